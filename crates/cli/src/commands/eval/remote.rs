//! `eval --server`: the same evaluation of a running service, over HTTP.
//!
//! Edits go into a codebook of their own, one after another and marked; they are reverted at the end, when
//! the program is stopped, and, where neither was possible, when the next evaluation begins.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reasonedit_editor::{ImageSource, RetrievalOverride};
use reasonedit_evaluation::{
    BaselineEditor, EditOutcome, EditorCorrection, EditorFactory, EditorFuture, EditorQuestion, EditorReply,
    EditorVariant, EvaluationError, MemoryFootprint, Profile, REASONEDIT, RetrievalSetting, SentenceInFront,
    UNEDITED,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use crate::client::Client;
use crate::error::{CliError, Result};
use crate::picture::Picture;

mod answers;

pub(super) use answers::Model;
use answers::{Answer, Codebook, Edit, EditPage, Fact, Ready};

/// Marks edits that an evaluation made.
const TAG: &str = "reasonedit-eval";
/// Settings that a question can override, by their path below `editor`.
const OVERRIDES: [&str; 4] = [
    "codebook.retrieval.k",
    "codebook.gate.percentile",
    "codebook.retrieval.reject_percentile",
    "retrieval.verify.enabled",
];

/// A running service as a maker of editors: the model without any edit, and the service itself, also with
/// other settings of retrieval.
pub(super) struct Remote {
    shared: Arc<Shared>,
    variants: Vec<(EditorVariant, RetrievalOverride)>,
}

/// What all editors of a service have in common: there is one codebook, in which one of them works at a time.
struct Shared {
    client: Client,
    codebook: String,
    made: Mutex<EditsMade>,
    stopped: AtomicBool,
}

/// Edits that are live in the codebook.
#[derive(Default)]
struct EditsMade {
    /// The set that they are the first of.
    set: String,
    /// In the order in which they were made.
    edits: Vec<MadeEdit>,
    numbers: HashMap<String, usize>,
}

/// An edit that is live.
struct MadeEdit {
    number: usize,
    id: String,
    ms: f64,
}

impl Remote {
    /// The service that `client` speaks to; its codebook is `codebook`.
    ///
    /// # Errors
    /// The codebook that everyone uses; a variant that changes what a question can't.
    pub(super) fn new(client: Client, codebook: &str, variants: Vec<EditorVariant>) -> Result<Self> {
        if codebook == "default" {
            return Err(CliError::Usage(
                "--codebook default: an evaluation needs a codebook that nobody else uses".to_owned(),
            ));
        }
        let variants = variants
            .into_iter()
            .map(|variant| Ok((overrides(&variant)?, variant)))
            .map(|both: Result<_>| both.map(|(set, variant)| (variant, set)))
            .collect::<Result<_>>()?;
        let shared = Shared {
            client,
            codebook: codebook.to_owned(),
            made: Mutex::default(),
            stopped: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared), variants })
    }

    /// Names of the editors that a service can be.
    pub(super) fn names(&self) -> Vec<String> {
        let own = self.variants.iter().map(|(variant, _)| variant.name.clone());
        [UNEDITED, REASONEDIT].into_iter().map(str::to_owned).chain(own).collect()
    }

    /// The model, as the service tells it.
    ///
    /// # Errors
    /// The service can't be reached, or is not ready.
    pub(super) async fn model(&self) -> Result<Model> {
        let ready: Ready = read(self.shared.client.get("health/ready").await?)?;
        ready.model.ok_or_else(|| CliError::Failed("the service is still loading its model".to_owned()))
    }

    /// What the codebook's keys are made with; `null` before its first edit.
    ///
    /// # Errors
    /// The service can't be reached.
    pub(super) async fn embedding(&self) -> Result<Value> {
        Ok(self.shared.client.get("codebook").await?["embedding"].take())
    }

    /// The version that the service says it is.
    ///
    /// # Errors
    /// The service can't be reached.
    pub(super) async fn version(&self) -> Result<Option<String>> {
        let contract = self.shared.client.get("openapi.json").await?;
        Ok(contract["info"]["version"].as_str().map(str::to_owned))
    }

    /// Reverts every edit of the codebook that an evaluation made; returns how many there were.
    ///
    /// # Errors
    /// The service can't be reached; the codebook holds an edit that somebody else made: then nothing is
    /// reverted.
    pub(super) async fn clear(&self) -> Result<usize> {
        self.shared.clear(&mut *self.shared.made.lock().await).await
    }

    /// From now on every edit and question is refused, so that the evaluation ends.
    pub(super) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether it was stopped.
    pub(super) fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Relaxed)
    }

    /// The same service, to be stopped from elsewhere.
    pub(super) fn handle(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), variants: Vec::new() }
    }

    fn make(&self, name: &str) -> Result<Box<dyn BaselineEditor>, EvaluationError> {
        let plain = |name: &str, about: &str, edited: bool| Profile {
            name: name.to_owned(),
            about: about.to_owned(),
            retrieves: edited,
            gated: edited,
            uses_reasoning: edited,
            retrieval_settings: if edited {
                vec![RetrievalSetting::K, RetrievalSetting::Tau]
            } else {
                Vec::new()
            },
        };
        let (profile, overrides) = match name {
            UNEDITED => {
                let profile = plain(UNEDITED, "The service's model without any edit.", false);
                (profile, RetrievalOverride { enabled: Some(false), ..RetrievalOverride::default() })
            }
            REASONEDIT => (
                plain(REASONEDIT, "The service as it is configured.", true),
                RetrievalOverride { enabled: Some(true), ..RetrievalOverride::default() },
            ),
            other => {
                let unknown = || EvaluationError::UnknownEditor {
                    name: other.to_owned(),
                    known: self.names().join(", "),
                };
                let (variant, overrides) =
                    self.variants.iter().find(|(variant, _)| variant.name == other).ok_or_else(unknown)?;
                let enabled = RetrievalOverride { enabled: Some(true), ..overrides.clone() };
                (plain(other, &format!("The service. {}", variant.about), true), enabled)
            }
        };
        let edited = profile.retrieves;
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(Remotely { shared, profile, overrides, edited, made: AtomicUsize::new(0) }))
    }
}

impl EditorFactory for Remote {
    fn editor<'a>(&'a self, name: &'a str, set: &'a str) -> EditorFuture<'a, Box<dyn BaselineEditor>> {
        Box::pin(async move {
            let baseline = self.make(name)?;
            if baseline.profile().retrieves {
                let mut made = self.shared.made.lock().await;
                // Of the same set the next editor takes over what the one before it made, so that they differ
                // in nothing else.
                if made.set != set {
                    self.shared.clear(&mut made).await.map_err(failed)?;
                    set.clone_into(&mut made.set);
                }
            }
            Ok(baseline)
        })
    }
}

/// An editor of a service.
struct Remotely {
    shared: Arc<Shared>,
    profile: Profile,
    overrides: RetrievalOverride,
    edited: bool,
    /// Edits that it was told to make.
    made: AtomicUsize,
}

impl BaselineEditor for Remotely {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn edit<'a>(&'a self, number: usize, correction: &'a EditorCorrection) -> EditorFuture<'a, EditOutcome> {
        Box::pin(async move {
            if !self.edited {
                return Ok(EditOutcome::Made(None));
            }
            let mut made = self.shared.made.lock().await;
            let at = self.made.load(Ordering::Relaxed);
            if made.edits.get(at).is_none_or(|edit| edit.number != number) {
                self.shared.keep_first(&mut made, at).await.map_err(failed)?;
                let (id, ms) = self.shared.edit(correction).await.map_err(failed)?;
                made.numbers.insert(id.clone(), number);
                made.edits.push(MadeEdit { number, id, ms });
            }
            self.made.store(at + 1, Ordering::Relaxed);
            Ok(EditOutcome::Made(made.edits.get(at).map(|edit| edit.ms)))
        })
    }

    fn ask<'a>(&'a self, question: &'a EditorQuestion) -> EditorFuture<'a, EditorReply> {
        Box::pin(async move {
            if self.edited {
                let mut made = self.shared.made.lock().await;
                self.shared.keep_first(&mut made, self.made.load(Ordering::Relaxed)).await.map_err(failed)?;
            }
            let answer = self.shared.ask(question, &self.overrides).await.map_err(failed)?;
            let made = self.shared.made.lock().await;
            let sentence = |fact: &Fact| {
                let edits = fact.edit_ids.iter().filter_map(|id| made.numbers.get(id).copied());
                SentenceInFront::of_kind(fact.kind, edits.collect(), &fact.value)
            };
            Ok(EditorReply {
                in_front: answer.retrieval.facts.iter().map(sentence).collect(),
                rejected: self.edited && answer.retrieval.rejected,
                answer: answer.answer,
            })
        })
    }

    fn kept(&self) -> EditorFuture<'_, Option<MemoryFootprint>> {
        Box::pin(async move {
            if !self.edited {
                return Ok(None);
            }
            let made = self.shared.made.lock().await.edits.len();
            let client = &self.shared.client;
            let own: Codebook = client.get("codebook").await.and_then(read).map_err(failed)?;
            if own.edits != made {
                return Err(failed(CliError::Failed(format!(
                    "the codebook `{}` holds {} edits, and {made} were made: something else changes it; name another with --codebook",
                    self.shared.codebook, own.edits
                ))));
            }
            Ok(Some(MemoryFootprint { merged: own.bytes_merged, unmerged: own.bytes_unmerged }))
        })
    }

    fn reset(&self) -> EditorFuture<'_, bool> {
        // What it has made is reverted when its next edit or question comes.
        self.made.store(0, Ordering::Relaxed);
        Box::pin(async { Ok(true) })
    }
}

impl Shared {
    fn go_on(&self) -> Result<()> {
        if self.stopped.load(Ordering::Relaxed) {
            Err(CliError::Failed("stopped".to_owned()))
        } else {
            Ok(())
        }
    }

    /// Makes an edit: its id and the milliseconds that the service worked on it.
    async fn edit(&self, correction: &EditorCorrection) -> Result<(String, f64)> {
        self.go_on()?;
        let mut body = json!({
            "image": picture(&correction.image), "question": correction.question, "answer": correction.answer,
            "reasoning": correction.reasoning, "tags": [TAG], "verify": false,
        });
        if !correction.choices.is_empty() {
            body["choices"] = json!(correction.choices);
        }
        let edit: Edit = read(self.client.post_patiently("edits", &body).await?)?;
        let took = |stage: &str| edit.timings_ms.get(stage).copied().unwrap_or_default();
        let ms = took("total") - took("queue");
        Ok((edit.id, ms))
    }

    async fn ask(&self, question: &EditorQuestion, own: &RetrievalOverride) -> Result<Answer> {
        self.go_on()?;
        let asked = &question.retrieval;
        let mut retrieval = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                retrieval.insert(name.to_owned(), value);
            }
        };
        set("enabled", own.enabled.map(Value::from));
        set("k", asked.k.or(own.k).map(Value::from));
        set("reject_percentile", asked.reject_percentile.or(own.reject_percentile).map(Value::from));
        set("verify", asked.verify.or(own.verify).map(Value::from));
        let mut body =
            json!({"image": picture(&question.image), "question": question.question, "retrieval": retrieval});
        if !question.choices.is_empty() {
            body["choices"] = json!(question.choices);
        }
        read(self.client.post_patiently("query", &body).await?)
    }

    /// Reverts all but the first edits: those that the editor before has made and this one hasn't yet.
    async fn keep_first(&self, made: &mut EditsMade, count: usize) -> Result<()> {
        while made.edits.len() > count {
            let Some(MadeEdit { id, .. }) = made.edits.pop() else { break };
            made.numbers.remove(&id);
            self.client.delete(&format!("edits/{id}")).await?;
        }
        Ok(())
    }

    async fn clear(&self, made: &mut EditsMade) -> Result<usize> {
        *made = EditsMade::default();
        let (mut own, mut others) = (Vec::new(), 0);
        let mut cursor: Option<String> = None;
        loop {
            let from = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page: EditPage = read(self.client.get(&format!("edits?limit=200{from}")).await?)?;
            for edit in page.edits {
                if edit.tags.iter().any(|tag| tag == TAG) { own.push(edit.id) } else { others += 1 }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        if others > 0 {
            return Err(CliError::Usage(format!(
                "the codebook `{}` holds {others} edits that no evaluation made, and they stay: name an empty codebook with --codebook NAME",
                self.codebook
            )));
        }
        for id in &own {
            self.client.delete(&format!("edits/{id}")).await?;
        }
        Ok(own.len())
    }
}

/// The settings of a variant as overrides of a question.
fn overrides(variant: &EditorVariant) -> Result<RetrievalOverride> {
    let mut set = RetrievalOverride::default();
    for (path, value) in &variant.changes {
        let known = match path.as_str() {
            "codebook.retrieval.k" => value.as_u64().map(|k| set.k = usize::try_from(k).ok()),
            "codebook.gate.percentile" | "codebook.retrieval.reject_percentile" => {
                value.as_f64().map(|percentile| set.reject_percentile = Some(percentile))
            }
            "retrieval.verify.enabled" => value.as_bool().map(|verify| set.verify = Some(verify)),
            _ => None,
        };
        if known.is_none() {
            return Err(CliError::Usage(format!(
                "--variant {}: a question to a service can't set `{path}` to {value}; it can set {}. Leave out --server for other settings.",
                variant.name,
                OVERRIDES.join(", ")
            )));
        }
    }
    Ok(set)
}

fn picture(source: &ImageSource) -> Value {
    match source {
        ImageSource::Bytes(bytes) => Picture::Bytes(bytes.bytes().clone()).to_json(),
        ImageSource::Known(id) => Picture::Known(*id).to_json(),
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| {
        CliError::Failed(format!("the service answered something else than was asked for: {error}"))
    })
}

#[allow(clippy::needless_pass_by_value, reason = "what map_err wants")]
fn failed(error: CliError) -> EvaluationError {
    EvaluationError::Service(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(codebook: &str, variant: &str) -> Result<Remote> {
        let client = Client::new("http://127.0.0.1:9", None, codebook)?;
        Remote::new(client, codebook, vec![EditorVariant::parse(variant).unwrap()])
    }

    #[test]
    fn variants_are_settings_of_a_question_or_refused_by_name() {
        let text = "x:codebook.retrieval.k=3,codebook.gate.percentile=20,retrieval.verify.enabled=false";
        let remote = remote("evaluation", text).unwrap();
        assert_eq!(remote.names(), [UNEDITED, REASONEDIT, "x"]);
        let expected = RetrievalOverride {
            enabled: None,
            k: Some(3),
            reject_percentile: Some(20.0),
            verify: Some(false),
            ..RetrievalOverride::default()
        };
        assert_eq!(remote.variants[0].1, expected);
        assert_eq!(
            remote.make("x").unwrap().profile().retrieval_settings,
            [RetrievalSetting::K, RetrievalSetting::Tau]
        );
        assert!(remote.make("ike").is_err());
    }

    #[test]
    fn what_can_not_be_measured_through_a_service_is_told() {
        for (codebook, variant, named) in [
            ("default", "x:codebook.retrieval.k=3", "--codebook default"),
            ("evaluation", "x:embedding.lambda=1", "`embedding.lambda`"),
            ("evaluation", "x:codebook.retrieval.k=many", "`codebook.retrieval.k`"),
        ] {
            let error = remote(codebook, variant).err().unwrap();
            assert_eq!(error.status(), 2);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
