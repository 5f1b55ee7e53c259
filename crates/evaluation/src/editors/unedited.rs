//! The model as it is.

use futures::future::BoxFuture;
use reasonedit_editor::Editor;

use super::{UNEDITED, answer};
use crate::EvaluationError;
use crate::subject::{Correction, Kept, Profile, Question, Reply, Subject};

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
            knobs: Vec::new(),
        };
        Self { profile, editor }
    }
}

impl Subject for Unedited {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn edit<'a>(
        &'a self,
        _: usize,
        _: &'a Correction,
    ) -> BoxFuture<'a, Result<Option<f64>, EvaluationError>> {
        Box::pin(async { Ok(None) })
    }

    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Reply, EvaluationError>> {
        Box::pin(async {
            let answer = answer(&self.editor, question, question.question.clone()).await?;
            Ok(Reply { answer, ..Reply::default() })
        })
    }

    fn kept(&self) -> BoxFuture<'_, Result<Option<Kept>, EvaluationError>> {
        Box::pin(async { Ok(None) })
    }
}
