//! The model as it is.

use futures::future::BoxFuture;
use reasonedit_editor::Editor;

use super::{UNEDITED, answer};
use crate::EvaluationError;
use crate::baseline::{
    BaselineEditor, EditorCorrection, EditorQuestion, EditorReply, MemoryFootprint, Profile,
};

/// Takes no edit and answers as the model does.
pub(super) struct Unedited {
    profile: Profile,
    editor: Editor,
}

impl Unedited {
    pub(super) fn new(editor: Editor) -> Self {
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

    fn edit<'a>(
        &'a self,
        _: usize,
        _: &'a EditorCorrection,
    ) -> BoxFuture<'a, Result<Option<f64>, EvaluationError>> {
        Box::pin(async { Ok(None) })
    }

    fn ask<'a>(
        &'a self,
        question: &'a EditorQuestion,
    ) -> BoxFuture<'a, Result<EditorReply, EvaluationError>> {
        Box::pin(async {
            let answer = answer(&self.editor, question, question.question.clone()).await?;
            Ok(EditorReply { answer, ..EditorReply::default() })
        })
    }

    fn kept(&self) -> BoxFuture<'_, Result<Option<MemoryFootprint>, EvaluationError>> {
        Box::pin(async { Ok(None) })
    }
}
