//! GRACE (Hartvigsen et al. 2023, "Aging with GRACE"): discrete keys and learned values inside one layer of
//! the language model.
//!
//! A key is the state that enters the layer at the prompt's last token; a value is what leaves it instead
//! wherever a question's state lies within the key's deferral radius. Values are learned by gradient descent
//! through the layers suffix. ReasonEdit's authors compare with it as GRACE and, with an entry for every
//! statement of the reasoning, as GRACE-COT (paper section 4.1, appendix D.3).

mod codebook;

use std::path::Path;
use std::sync::Arc;

use codebook::{Entry, GraceCodebook, Placing};
use parking_lot::RwLock;
use reasonedit_editor::{EditorError, ImageSource};
use reasonedit_inference::CallOptions;
use reasonedit_models::{KvCache, LogitsAt, ModelError, Piece, Sequence, VisionLanguageModel};
use reasonedit_tuning::{Picture, Question, TuningError, unedited_answer};

use super::definition::{EditorDefinition, EditorParts};
use super::edit_cache::LeasedEditor;
use super::grace_settings::GraceSettings;
use crate::EvaluationError;
use crate::baseline::{
    BaselineEditor, EditOutcome, EditorCorrection, EditorFuture, EditorQuestion, EditorReply,
    MemoryFootprint, Profile, SentenceInFront, SentencePart,
};
use crate::picture_cache::PictureCache;

const GRACE: &str = "grace";
const GRACE_COT: &str = "grace-cot";

/// With keys of the answers alone, and with keys of the statements too.
pub(super) const EDITORS: &[EditorDefinition] = &[
    EditorDefinition {
        name: GRACE,
        published: PUBLISHED,
        grid: GRID,
        trained: false,
        make: |parts| Box::pin(async { Ok(Box::new(Grace::new(false, parts).await?) as _) }),
    },
    EditorDefinition {
        name: GRACE_COT,
        published: PUBLISHED,
        grid: GRID,
        trained: false,
        make: |parts| Box::pin(async { Ok(Box::new(Grace::new(true, parts).await?) as _) }),
    },
];

/// Where the layer lies: 0 the first, 1 the last.
const DEPTH: &str = "depth";
/// See [`GraceSettings`].
const RADIUS: &str = "radius";
/// See [`GraceSettings`].
const RATE: &str = "rate";
/// See [`GraceSettings`].
const STEPS: &str = "steps";
/// ReasonEdit's authors edit the last block for all editors, with 100 steps at least (appendix D.4); GRACE's
/// own radius and rate are numbers for the states of its models, and have no counterpart here.
const PUBLISHED: &[(&str, f64)] = &[(DEPTH, 1.0), (RADIUS, 0.2), (RATE, 0.3), (STEPS, 100.0)];
/// What is tried.
const GRID: &[(&str, &[f64])] = &[
    (DEPTH, &[0.0, 0.34, 0.67, 1.0]),
    (RADIUS, &[0.05, 0.1, 0.2, 0.4]),
    (RATE, &[0.1, 0.3]),
    (STEPS, &[100.0]),
];

/// File of a saved codebook.
const SAVED: &str = "grace.json";
/// Tokens that a generated answer may have.
const LONGEST: usize = 32;
/// Tokens that a call of the model is said to cost.
const CALL_COST: usize = 512;
/// Mean loss of the right answer's tokens (nats) at which a value is good enough: the answer then has a
/// probability of .99 a token.
const LEARNED: f32 = 0.01;

/// See the module's description.
struct Grace {
    profile: Profile,
    editor: LeasedEditor,
    pictures: Arc<PictureCache>,
    settings: GraceSettings,
    layer: usize,
    reasoning: bool,
    codebook: Arc<RwLock<GraceCodebook>>,
}

/// A picture with a text, ready to be put to the model.
#[derive(Clone)]
struct Prompt {
    picture: Arc<Picture>,
    text: String,
}

impl Grace {
    /// `reasoning`: with an entry for every statement.
    async fn new(reasoning: bool, parts: &EditorParts<'_>) -> Result<Self, EvaluationError> {
        let editor = parts.edit_cache.plain(parts.base).await?;
        let mut settings = parts.grace;
        let info = editor.engine().info().await.map_err(EditorError::from)?;
        let layers = info.taps.iter().filter_map(|tap| tap.name.0.strip_prefix("language.")?.parse().ok());
        let depth = layers.max().map_or(0, |last: usize| last + 1);
        let last = depth.saturating_sub(1);
        let layer = match parts.settings.get(DEPTH) {
            Some(share) => (share * last as f64).round() as usize,
            None => settings.layer.unwrap_or(depth / 3),
        };
        let layer = layer.min(last);
        settings.radius = parts.settings.or(RADIUS, f64::from(settings.radius)) as f32;
        settings.rate = parts.settings.or(RATE, f64::from(settings.rate)) as f32;
        settings.steps = parts.settings.count_or(STEPS, settings.steps);
        let statements = if reasoning {
            ", and an entry for each statement of the reasoning, keyed by the question whether the picture shows it, whose value says yes"
        } else {
            ""
        };
        let profile = Profile {
            name: (if reasoning { GRACE_COT } else { GRACE }).to_owned(),
            about: format!(
                "GRACE (Hartvigsen et al. 2023): where the state that enters decoder layer {layer} at the last token of a question lies within \
                 the radius of an edit's (at first {} of its length; expanded by equal answers, split between different ones), the layer's output there is \
                 replaced by a value that gradient descent ({} steps of Adam at most) has made the right answer come of{statements}. In the \
                 tables such an entry stands for a sentence in front, and no entry within its radius for a closed gate. Questions are put one \
                 at a time and share nothing, which its milliseconds show.",
                settings.radius, settings.steps
            ),
            retrieves: true,
            gated: true,
            uses_reasoning: reasoning,
            retrieval_settings: Vec::new(),
        };
        let pictures = Arc::clone(parts.pictures);
        Ok(Self { profile, editor, pictures, settings, layer, reasoning, codebook: Arc::default() })
    }

    fn prompt(&self, image: &ImageSource, text: &str) -> Result<Prompt, EvaluationError> {
        Ok(Prompt { picture: self.pictures.picture(image)?, text: text.trim().to_owned() })
    }

    async fn call_model<T: Send + 'static>(
        &self,
        call: impl Fn(&dyn VisionLanguageModel) -> Result<T, TuningError> + Send + Sync + 'static,
    ) -> Result<T, EvaluationError> {
        let call = move |model: &dyn VisionLanguageModel| Ok(call(model));
        let done = self.editor.engine().call_model(CALL_COST, call, CallOptions::default()).await;
        Ok(done.map_err(EditorError::from)?.0?)
    }

    /// Makes the model say `label` to a prompt; `false`: gradient descent left the numbers.
    async fn learn(&self, edit: usize, prompt: Prompt, label: &str) -> Result<bool, EvaluationError> {
        let (layer, settings) = (self.layer, self.settings);
        let (codebook, wanted) = (Arc::clone(&self.codebook), label.to_owned());
        let (key, placing, value) = self
            .call_model(move |model| {
                let (past, last) = run(model, &prompt)?;
                let key = model.forward_from_layer(layer, &behind(&past, &[last]))?.before().to_vec();
                let codebook = codebook.read();
                let placing = codebook.place(&key, &wanted, settings.radius);
                let value = match placing {
                    Placing::Expand { .. } => Vec::new(),
                    Placing::Add { .. } => fit(model, (&past, last), &wanted, layer, settings)?,
                };
                Ok((key, placing, value))
            })
            .await?;
        let learned = value.iter().all(|x| x.is_finite());
        if learned {
            let mut codebook = self.codebook.write();
            codebook.put(&placing, Entry { key, value, radius: 0.0, label: label.to_owned(), edit });
        }
        Ok(learned)
    }
}

impl BaselineEditor for Grace {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn edit<'a>(&'a self, number: usize, correction: &'a EditorCorrection) -> EditorFuture<'a, EditOutcome> {
        Box::pin(async move {
            let began = std::time::Instant::now();
            let prompt = self.prompt(&correction.image, &correction.question)?;
            let before = self.codebook.read().mark();
            let mut learned = self.learn(number, prompt.clone(), correction.answer.trim()).await?;
            let prompts = &self.editor.config().prompts;
            let yes = prompts.yes.first().map_or("yes", String::as_str);
            for statement in correction.reasoning.iter().filter(|_| self.reasoning) {
                let text = prompts.verify(&statement.statement);
                learned &= self.learn(number, Prompt { text, ..prompt.clone() }, yes).await?;
            }
            if !learned {
                self.codebook.write().back_to(&before);
                return Ok(EditOutcome::Failed("the loss of a value was no finite number".to_owned()));
            }
            Ok(EditOutcome::Made(Some(began.elapsed().as_secs_f64() * 1e3)))
        })
    }

    fn ask<'a>(&'a self, question: &'a EditorQuestion) -> EditorFuture<'a, EditorReply> {
        Box::pin(async {
            let question = self.pictures.question(&question.image, &question.question, &question.choices)?;
            let layer = self.layer;
            let codebook = Arc::clone(&self.codebook);
            let (answer, found) = self
                .call_model(move |model| {
                    let Question { picture, text, choices } = &question;
                    let prompt = Prompt { picture: Arc::clone(picture), text: text.clone() };
                    // No edit changes what enters the layer.
                    let key = picture.vector(model, "into a layer", &format!("{layer} {text}"), || {
                        let (past, last) = run(model, &prompt)?;
                        Ok(model.forward_from_layer(layer, &behind(&past, &[last]))?.before().to_vec())
                    })?;
                    let codebook = codebook.read();
                    let Some(found) = codebook.lookup(&key) else {
                        return Ok((unedited_answer(model, &question)?, None));
                    };
                    let (past, last) = run(model, &prompt)?;
                    let answer = if choices.is_empty() {
                        generate(model, &past, last, layer, &found.value)?
                    } else {
                        let best = choose(model, &past, last, choices, layer, &found.value)?;
                        choices.get(best).cloned().unwrap_or_default()
                    };
                    Ok((answer, Some((found.edit, found.label.clone()))))
                })
                .await?;
            let rejected = found.is_none();
            let in_front = found.into_iter().map(|(edit, label)| {
                // An entry of a statement makes the model affirm it, and says nothing else.
                let answers = !self.reasoning || !self.editor.config().prompts.yes.contains(&label);
                SentenceInFront {
                    edits: vec![edit],
                    says: answers.then_some(SentencePart::Answer).into_iter().collect(),
                }
            });
            Ok(EditorReply { answer, in_front: in_front.collect(), rejected })
        })
    }

    fn kept(&self) -> EditorFuture<'_, Option<MemoryFootprint>> {
        Box::pin(async {
            let bytes = self.codebook.read().bytes();
            Ok(Some(MemoryFootprint { merged: bytes, unmerged: bytes }))
        })
    }

    fn save<'a>(&'a self, folder: &'a Path) -> EditorFuture<'a, bool> {
        Box::pin(async move {
            let file = folder.join(SAVED);
            let written = serde_json::to_vec(&*self.codebook.read()).map_err(std::io::Error::from);
            written
                .and_then(|bytes| std::fs::write(&file, bytes))
                .map_err(|error| EvaluationError::file(&file, error))?;
            Ok(true)
        })
    }

    fn restore<'a>(&'a self, folder: &'a Path) -> EditorFuture<'a, bool> {
        Box::pin(async move {
            let Ok(bytes) = std::fs::read(folder.join(SAVED)) else { return Ok(false) };
            let Ok(codebook) = serde_json::from_slice(&bytes) else { return Ok(false) };
            *self.codebook.write() = codebook;
            Ok(true)
        })
    }
}

/// Keys and values of all of a prompt but its last token, and that token.
fn run(model: &dyn VisionLanguageModel, prompt: &Prompt) -> Result<(Arc<KvCache>, u32), TuningError> {
    let rendered = model.tokenizer().render(1, &prompt.text)?;
    let features = prompt.picture.features(model)?;
    let mut pieces = rendered.prefix_pieces(|_| Ok::<_, ModelError>(Arc::clone(&features)))?;
    let (last, suffix) = rendered.suffix.split_last().ok_or_else(nothing)?;
    pieces.push(Piece::Tokens(suffix.to_vec()));
    let sequence = Sequence { past: None, pieces, logits: LogitsAt::None, keep_cache: true };
    let output = model.run(&[sequence], &[])?.pop();
    Ok((Arc::new(output.and_then(|output| output.cache).ok_or_else(nothing)?), *last))
}

fn nothing() -> ModelError {
    ModelError::shape("a prompt without tokens, picture or cache")
}

/// Tokens behind what was run.
fn behind(past: &Arc<KvCache>, tokens: &[u32]) -> Sequence {
    let pieces = vec![Piece::Tokens(tokens.to_vec())];
    Sequence { past: Some(Arc::clone(past)), pieces, logits: LogitsAt::None, keep_cache: false }
}

/// The prompt's last token and a reply without its last: each of them is followed by a token of the reply.
fn before_each(last: u32, reply: &[u32]) -> Vec<u32> {
    std::iter::once(last).chain(reply[..reply.len().saturating_sub(1)].iter().copied()).collect()
}

/// Learns the value that makes the model say `label`: Adam (Kingma and Ba 2015) from the state that the model
/// itself has there.
fn fit(
    model: &dyn VisionLanguageModel,
    (past, last): (&Arc<KvCache>, u32),
    label: &str,
    layer: usize,
    settings: GraceSettings,
) -> Result<Vec<f32>, TuningError> {
    const MOMENTUM: f32 = 0.9;
    const SCALE: f32 = 0.999;
    let reply = model.tokenizer().encode_reply(label)?;
    let suffix = model.forward_from_layer(layer, &behind(past, &before_each(last, &reply)))?;
    let mut state = suffix.after().to_vec();
    let mean_square = state.iter().map(|x| x * x).sum::<f32>() / state.len().max(1) as f32;
    let rate = settings.rate * mean_square.sqrt();
    let mut first = vec![0f32; state.len()];
    let mut second = vec![0f32; state.len()];
    for step in 1..=settings.steps {
        let (loss, gradient) = suffix.loss(&state, &reply)?;
        if loss < LEARNED {
            break;
        }
        let (m_share, v_share) = (1.0 - MOMENTUM.powi(step as i32), 1.0 - SCALE.powi(step as i32));
        for (((x, g), m), v) in state.iter_mut().zip(&gradient).zip(&mut first).zip(&mut second) {
            *m = MOMENTUM * *m + (1.0 - MOMENTUM) * g;
            *v = SCALE * *v + (1.0 - SCALE) * g * g;
            *x -= rate * (*m / m_share) / ((*v / v_share).sqrt() + 1e-8);
        }
    }
    Ok(state)
}

/// The choice to which the model gives the greatest probability, with `value` behind the layer at the
/// prompt's last token, or with what the model has there itself. The first of equals wins.
fn choose(
    model: &dyn VisionLanguageModel,
    past: &Arc<KvCache>,
    last: u32,
    choices: &[String],
    layer: usize,
    value: &[f32],
) -> Result<usize, TuningError> {
    let mut best = (0, f64::NEG_INFINITY);
    for (at, choice) in choices.iter().enumerate() {
        let reply = model.tokenizer().encode_reply(choice.trim())?;
        let suffix = model.forward_from_layer(layer, &behind(past, &before_each(last, &reply)))?;
        let logits = suffix.logits(value)?;
        let rows = logits.chunks_exact(model.info().vocabulary).zip(&reply);
        let likelihood: f64 = rows.map(|(row, token)| log_probability(row, *token)).sum();
        if likelihood > best.1 {
            best = (at, likelihood);
        }
    }
    Ok(best.0)
}

/// A greedy reply, with `value` as in [`choose`]. Of equal logits the smaller token wins.
fn generate(
    model: &dyn VisionLanguageModel,
    past: &Arc<KvCache>,
    last: u32,
    layer: usize,
    value: &[f32],
) -> Result<String, TuningError> {
    let mut tokens = vec![last];
    while tokens.len() <= LONGEST {
        let suffix = model.forward_from_layer(layer, &behind(past, &tokens))?;
        let logits = suffix.logits(value)?;
        let row = logits.get(logits.len().saturating_sub(model.info().vocabulary)..).unwrap_or_default();
        let first_best = |best: usize, token: usize| if row[token] > row[best] { token } else { best };
        let next = (0..row.len()).fold(0, first_best) as u32;
        if model.tokenizer().stop_tokens().contains(&next) {
            break;
        }
        tokens.push(next);
    }
    Ok(model.tokenizer().decode(&tokens[1..])?)
}

/// ln softmax(row)[token].
fn log_probability(row: &[f32], token: u32) -> f64 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|x| f64::from(x - top).exp()).sum();
    row.get(token as usize).map_or(f64::NEG_INFINITY, |x| f64::from(x - top)) - sum.ln()
}
