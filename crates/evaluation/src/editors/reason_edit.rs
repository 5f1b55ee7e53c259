//! `ReasonEdit` itself, with whatever settings a variant has.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use reasonedit_codebook::{CodebookName, EditId, Fact};
use reasonedit_editor::{CallContext, EditorConfig, EditorError, QueryRequest, RetrievalOverride};

use super::definition::{EditorDefinition, EditorParts};
use super::edit_cache::{KeyPool, LeasedEditor, SharedEditCache};
use super::variant::EditorVariant;
use crate::EvaluationError;
use crate::baseline::{
    BaselineEditor, EditOutcome, EditorCorrection, EditorFuture, EditorQuestion, EditorReply,
    MemoryFootprint, Profile, SentenceInFront,
};

/// The editor that every other is compared with.
pub const REASONEDIT: &str = "reasonedit";

/// As it is configured.
pub(super) const EDITORS: &[EditorDefinition] = &[EditorDefinition {
    name: REASONEDIT,
    // The paper's method (sections 3.2 and 4.2) without what goes beyond it; of τ it says that 10 to 50 are
    // good.
    published: &[
        ("codebook.retrieval.k", 5.0),
        ("codebook.gate.percentile", 30.0),
        ("codebook.retrieval.hubness", 0.0),
        ("retrieval.verify.enabled", 0.0),
        ("retrieval.relevance.enabled", 0.0),
    ],
    grid: &[
        ("codebook.retrieval.k", &[3.0, 5.0, 8.0]),
        ("codebook.gate.percentile", &[10.0, 30.0, 50.0]),
        ("codebook.retrieval.hubness", &[0.0, 1.0]),
        ("retrieval.verify.enabled", &[0.0, 1.0]),
    ],
    trained: false,
    make: |parts| variant_of(parts, EditorVariant::with_settings(REASONEDIT, parts.settings, parts.base)),
}];

/// The editor with the settings of a variant.
pub(super) fn variant_of<'a>(
    parts: &'a EditorParts<'a>,
    variant: EditorVariant,
) -> EditorFuture<'a, Box<dyn BaselineEditor>> {
    Box::pin(async move {
        let config = variant.of(parts.base)?;
        let unchanged = config == *parts.base && variant.name != REASONEDIT;
        let profile = variant.profile(&config, unchanged);
        let editor = ReasonEdit::new(profile, parts.edit_cache, parts.base, config, parts.set).await?;
        Ok(Box::new(editor) as _)
    })
}

/// An editor with a codebook in memory, whose edits come from a pool.
struct ReasonEdit {
    profile: Profile,
    editor: LeasedEditor,
    pool: Arc<KeyPool>,
    set: CodebookName,
    numbers: RwLock<HashMap<EditId, usize>>,
}

impl ReasonEdit {
    async fn new(
        profile: Profile,
        edit_cache: &SharedEditCache,
        base: &EditorConfig,
        config: EditorConfig,
        set: &str,
    ) -> Result<Self, EvaluationError> {
        let set = set.parse().map_err(EditorError::from)?;
        let pool = edit_cache.pool(base, &config).await?;
        let editor = edit_cache.plain(&config).await?;
        Ok(Self { profile, editor, pool, set, numbers: RwLock::default() })
    }
}

impl BaselineEditor for ReasonEdit {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn edit<'a>(&'a self, number: usize, correction: &'a EditorCorrection) -> EditorFuture<'a, EditOutcome> {
        Box::pin(async move {
            let made = self.pool.make(&self.set, number, correction).await?;
            let id = made.record.id;
            let book =
                self.editor.library().get_or_create(&CodebookName::default()).map_err(EditorError::from)?;
            book.apply(made.record, made.members, &made.generation).map_err(EditorError::from)?;
            self.numbers.write().insert(id, number);
            Ok(EditOutcome::Made(made.ms.filter(|_| !self.pool.borrows())))
        })
    }

    fn ask<'a>(&'a self, question: &'a EditorQuestion) -> EditorFuture<'a, EditorReply> {
        Box::pin(async {
            let request = QueryRequest {
                image: question.image.clone(),
                question: question.question.clone(),
                choices: question.choices.clone(),
                max_tokens: None,
                max_thinking_tokens: None,
                retrieval: RetrievalOverride { enabled: Some(true), ..question.retrieval.clone() },
                compare: false,
                warnings: Vec::new(),
            };
            let outcome =
                self.editor.query(&CodebookName::default(), request, CallContext::default()).await?;
            let numbers = self.numbers.read();
            let sentence = |fact: &Fact| {
                let edits = fact.edit_ids.iter().filter_map(|id| numbers.get(id).copied());
                SentenceInFront::of_kind(fact.kind, edits.collect(), &fact.value)
            };
            Ok(EditorReply {
                answer: outcome.answer,
                in_front: outcome.retrieval.facts.iter().map(sentence).collect(),
                rejected: outcome.retrieval.rejected,
            })
        })
    }

    fn kept(&self) -> EditorFuture<'_, Option<MemoryFootprint>> {
        Box::pin(async {
            let stats = self.editor.codebook(&CodebookName::default()).await?;
            Ok(Some(MemoryFootprint { merged: stats.bytes_merged, unmerged: stats.bytes_unmerged }))
        })
    }
}
