//! The model as it is.

use super::answer::answer;
use super::definition::EditorDefinition;
use super::edit_cache::LeasedEditor;
use crate::baseline::{
    BaselineEditor, EditOutcome, EditorCorrection, EditorFuture, EditorQuestion, EditorReply,
    MemoryFootprint, Profile,
};

/// The model as it is.
pub const UNEDITED: &str = "unedited";

/// The editor.
pub(super) const EDITORS: &[EditorDefinition] = &[EditorDefinition {
    name: UNEDITED,
    published: &[],
    grid: &[],
    trained: false,
    make: |parts| {
        Box::pin(async { Ok(Box::new(Unedited::new(parts.edit_cache.plain(parts.base).await?)) as _) })
    },
}];

/// Takes no edit and answers as the model does.
struct Unedited {
    profile: Profile,
    editor: LeasedEditor,
}

impl Unedited {
    fn new(editor: LeasedEditor) -> Self {
        let profile = Profile {
            name: UNEDITED.to_owned(),
            about: "The model without any edit.".to_owned(),
            retrieves: false,
            gated: false,
            uses_reasoning: false,
            retrieval_settings: Vec::new(),
        };
        Self { profile, editor }
    }
}

impl BaselineEditor for Unedited {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn edit<'a>(&'a self, _: usize, _: &'a EditorCorrection) -> EditorFuture<'a, EditOutcome> {
        Box::pin(async { Ok(EditOutcome::Made(None)) })
    }

    fn ask<'a>(&'a self, question: &'a EditorQuestion) -> EditorFuture<'a, EditorReply> {
        Box::pin(async {
            let answer = answer(&self.editor, question, question.question.clone()).await?;
            Ok(EditorReply { answer, ..EditorReply::default() })
        })
    }

    fn kept(&self) -> EditorFuture<'_, Option<MemoryFootprint>> {
        Box::pin(async { Ok(None) })
    }
}
