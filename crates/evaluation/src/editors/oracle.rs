//! The ceiling of retrieval: every question is asked with the facts of the edit that it belongs to.

use std::collections::HashMap;

use parking_lot::RwLock;
use reasonedit_editor::with_facts;

use super::answer::answer;
use super::definition::EditorDefinition;
use super::edit_cache::LeasedEditor;
use crate::baseline::{
    BaselineEditor, EditOutcome, EditorCorrection, EditorFuture, EditorQuestion, EditorReply,
    MemoryFootprint, Profile, SentenceInFront,
};

/// Its name.
pub(super) const ORACLE: &str = "oracle";

/// The ceiling.
pub(super) const EDITORS: &[EditorDefinition] = &[EditorDefinition {
    name: ORACLE,
    published: &[],
    grid: &[],
    trained: false,
    make: |parts| {
        Box::pin(async { Ok(Box::new(Oracle::new(parts.edit_cache.plain(parts.base).await?)) as _) })
    },
}];

/// Puts the answer entry and all statements of the right edit in front, whatever is asked; for unrelated and
/// contrast questions those of the edit of their record, so that what the model does with facts that don't
/// apply is seen as well.
struct Oracle {
    profile: Profile,
    editor: LeasedEditor,
    /// By edit its sentences, and what they say.
    facts: RwLock<HashMap<usize, Vec<(String, SentenceInFront)>>>,
}

impl Oracle {
    fn new(editor: LeasedEditor) -> Self {
        let profile = Profile {
            name: ORACLE.to_owned(),
            about: "Not an editor but the ceiling of retrieval: each question is asked with the answer entry and all statements of the edit \
                    it belongs to, unrelated and contrast questions with those of the edit of their record."
                .to_owned(),
            retrieves: true,
            gated: false,
            uses_reasoning: true,
            retrieval_settings: Vec::new(),
        };
        Self { profile, editor, facts: RwLock::default() }
    }
}

impl BaselineEditor for Oracle {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn edit<'a>(&'a self, number: usize, correction: &'a EditorCorrection) -> EditorFuture<'a, EditOutcome> {
        Box::pin(async move {
            let prompts = &self.editor.config().prompts;
            let answer = prompts.answer_entry(&correction.question, &correction.answer);
            let mut facts = vec![(answer, SentenceInFront::answer(vec![number]))];
            facts.extend(
                correction
                    .reasoning
                    .iter()
                    .map(|s| (s.statement.clone(), SentenceInFront::statement(vec![number], &s.statement))),
            );
            self.facts.write().insert(number, facts);
            Ok(EditOutcome::Made(None))
        })
    }

    fn ask<'a>(&'a self, question: &'a EditorQuestion) -> EditorFuture<'a, EditorReply> {
        Box::pin(async {
            let facts = {
                let known = self.facts.read();
                known.get(&question.of_edit).cloned().unwrap_or_default()
            };
            let prompt = with_facts(facts.iter().map(|(text, _)| text.as_str()), &question.question);
            let answer = answer(&self.editor, question, prompt).await?;
            let in_front = facts.into_iter().map(|(_, sentence)| sentence).collect();
            Ok(EditorReply { answer, in_front, rejected: false })
        })
    }

    fn kept(&self) -> EditorFuture<'_, Option<MemoryFootprint>> {
        Box::pin(async { Ok(None) })
    }
}
