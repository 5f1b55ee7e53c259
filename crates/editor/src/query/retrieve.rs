//! Embedding a question about a picture, and searching the codebook for what is near.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use reasonedit_codebook::{EditId, Fact, GenerationId, Relevant, Retrieval, RetrievalParams, Snapshot};
use reasonedit_inference::CallOptions;
use reasonedit_text::Warning;

use crate::config::EditorConfig;
use crate::core::Core;
use crate::error::EditorError;
use crate::pictures::{DecodedPicture, blocking};
use crate::timing::milliseconds;
use crate::types::{QueryEvent, RetrievalOverride, Verification};

/// What is to be retrieved: the configuration, and what the request says otherwise.
pub(super) struct RetrievalPlan {
    pub(super) enabled: bool,
    /// Keys whose facts are put in front.
    pub(super) k: usize,
    pub(super) verify: bool,
    /// Whether only what bears on the question is looked among, where that can be told. A request that names
    /// a percentile gets the gate by distance.
    pub(super) relevance: bool,
    /// Of the search; it finds more keys where some may be withheld.
    pub(super) params: RetrievalParams,
}

impl RetrievalPlan {
    pub(super) fn new(config: &EditorConfig, wishes: &RetrievalOverride) -> Self {
        let (defaults, checks) = (&config.codebook.retrieval, &config.retrieval.verify);
        let k = wishes.k.unwrap_or(defaults.k);
        let verify = wishes.verify.unwrap_or(checks.enabled);
        let params = RetrievalParams {
            k: if verify { checks.candidates.max(k) } else { k },
            reject_percentile: wishes.reject_percentile.or(defaults.reject_percentile),
            ..*defaults
        };
        let relevance = wishes.reject_percentile.is_none();
        Self { enabled: wishes.enabled.unwrap_or(config.retrieval.enabled), k, verify, relevance, params }
    }
}

/// What retrieval gave, and what it took in milliseconds.
pub(crate) struct Retrieved {
    pub(crate) report: Retrieval,
    pub(crate) verification: Option<Verification>,
    pub(crate) generation: Option<GenerationId>,
    pub(crate) revision: Option<u64>,
    /// What was looked up, if anything was.
    pub(crate) key: Option<Arc<[f32]>>,
    /// What of the request's wishes was not fulfilled.
    pub(crate) warnings: Vec<Warning>,
    /// Whether it is the codebook as it is that was asked.
    pub(crate) is_live: bool,
    pub(crate) queue_ms: f64,
    pub(crate) embed_ms: f64,
    pub(crate) retrieve_ms: f64,
    pub(crate) verify_ms: f64,
}

impl Retrieved {
    /// Where nothing was looked for.
    pub(super) fn nothing(k: usize) -> Self {
        Self {
            generation: None,
            revision: None,
            key: None,
            warnings: Vec::new(),
            is_live: true,
            report: Retrieval { rejected: true, k, ..Retrieval::default() },
            verification: None,
            queue_ms: 0.0,
            embed_ms: 0.0,
            retrieve_ms: 0.0,
            verify_ms: 0.0,
        }
    }

    /// The facts, as they are put in front of the question.
    pub(crate) fn facts(&self) -> impl Iterator<Item = &str> + Clone {
        self.report.facts.iter().map(|fact| fact.value.as_str())
    }

    /// Names edits as people know them, whichever version of them it was.
    pub(super) fn name_edits(&mut self, snapshot: &Snapshot) {
        if snapshot.standing().later_versions() == 0 {
            return;
        }
        let withheld = self.verification.iter_mut().flat_map(|judged| &mut judged.withheld);
        let superseded = &mut self.report.superseded;
        let (gone, by): (Vec<_>, Vec<_>) =
            superseded.iter_mut().map(|one| (&mut one.fact, &mut one.by)).unzip();
        let facts = self.report.facts.iter_mut().chain(&mut self.report.nearest).chain(gone);
        let facts = facts.chain(withheld.map(|one| &mut one.fact));
        for edits in facts.map(|fact| &mut fact.edit_ids).chain(by) {
            name_as_known(snapshot, edits);
        }
    }

    pub(super) fn event(&self) -> QueryEvent {
        QueryEvent::Retrieval(Box::new(self.report.clone()), self.verification.clone())
    }
}

/// Names edits as people know them, each once.
pub(super) fn name_as_known(snapshot: &Snapshot, edits: &mut Vec<EditId>) {
    for edit in edits.iter_mut() {
        *edit = snapshot.edit(*edit).map_or(*edit, |record| record.known_as());
    }
    let mut seen = HashSet::new();
    edits.retain(|edit| seen.insert(*edit));
}

/// A question that can be looked up.
pub(super) struct EmbeddedQuestion {
    pub(super) key: Arc<[f32]>,
    /// As the codebook's keys see it.
    pub(super) picture: DecodedPicture,
    pub(super) queue_ms: f64,
    pub(super) embed_ms: f64,
}

/// Embeds a question about a picture as the keys of the snapshot are.
///
/// # Errors
/// Keys that another model or encoder made, a busy or failing engine.
pub(super) async fn embed(
    core: &Core,
    snapshot: &Snapshot,
    picture: &DecodedPicture,
    question: &str,
    options: CallOptions,
) -> Result<EmbeddedQuestion, EditorError> {
    let embedder = core.embedder_for(snapshot)?;
    let picture = core.pictures().under(picture, embedder.pixels()).await?;
    let embedding = Instant::now();
    let (key, queue_ms) = embedder.key(core.engine(), picture.input(None), question.trim(), options).await?;
    Ok(EmbeddedQuestion { key: key.into(), picture, queue_ms, embed_ms: milliseconds(embedding) })
}

/// What was found for a question's key, before anything of it is judged on the picture.
pub(super) struct Found {
    pub(super) report: Retrieval,
    /// What bears on the question, where that was asked.
    pub(super) relevant: Option<Arc<Relevant>>,
}

impl Found {
    /// Where there is nothing to be found.
    pub(super) fn nothing(k: usize) -> Self {
        Self { report: Retrieval { rejected: true, k, ..Retrieval::default() }, relevant: None }
    }

    /// Whether whatever is made of it is made of the other: the same sentences of the same edits in the same
    /// order, told to bear on the question in the same way. How near they are says nothing more once they
    /// are in order.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        let alone = |found: &Self, fact: &Fact| {
            found.relevant.as_ref().is_none_or(|relevant| relevant.statements.contains_key(&fact.value))
        };
        self.report.facts.len() == other.report.facts.len()
            && self.report.facts.iter().zip(&other.report.facts).all(|(a, b)| {
                let distances = |fact: &Fact| Fact { distance: 0.0, relevance: None, ..fact.clone() };
                distances(a) == distances(b) && alone(self, a) == alone(other, b)
            })
    }
}

/// Searches off the async threads: the search grows with the codebook, and the first one after an edit may
/// refresh the gate. What is to be verified is told of every key that holds it.
pub(super) async fn search(
    snapshot: &Arc<Snapshot>,
    key: &Arc<[f32]>,
    plan: &RetrievalPlan,
    relevant: Option<Arc<Relevant>>,
) -> Result<Found, EditorError> {
    // What bears on the question is found by what it says: distance then only orders it.
    let params = RetrievalParams { gate: plan.params.gate && relevant.is_none(), ..plan.params };
    let (snapshot, key, verify) = (Arc::clone(snapshot), Arc::clone(key), plan.verify);
    blocking(move || {
        let mut report = snapshot.candidates(&key, &params, relevant.as_deref())?;
        if !verify {
            let mut seen = HashSet::new();
            report.facts.retain(|fact| seen.insert(fact.value.clone()));
        }
        Ok(Found { report, relevant })
    })
    .await
}

#[cfg(test)]
mod tests;
