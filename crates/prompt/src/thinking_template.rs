//! How a reasoning model writes what it thinks, by its chat template or by whoever loads it.

use serde::{Deserialize, Serialize};

use crate::control::{ControlTokens, Segment};

/// Begins what a model thinks.
pub const OPEN_THINKING: &str = "<think>";
/// Ends what a model thinks.
pub const CLOSE_THINKING: &str = "</think>";
/// Begins an answer, in the form that has answers between tags.
pub const OPEN_ANSWER: &str = "<answer>";
/// Ends such an answer.
pub const CLOSE_ANSWER: &str = "</answer>";

/// What is said of a model's thinking by whoever loads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThinkingChoice {
    /// What its chat template says.
    #[default]
    Auto,
    /// It doesn't think: its replies are taken as they come.
    None,
    /// [`ThinkingForm::Think`].
    Think,
    /// [`ThinkingForm::ThinkAnswer`].
    ThinkAnswer,
}

/// How a reasoning model writes its replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingForm {
    /// `<think>…</think>` and then the answer (Qwen3's thinking models).
    Think,
    /// `<think>…</think><answer>…</answer>` (Vision-R1, CRANE).
    ThinkAnswer,
}

/// How one model thinks.
#[derive(Clone, Debug)]
pub(crate) struct ThinkingTemplate {
    pub(crate) form: ThinkingForm,
    /// The chat template's prompt to reply opens the thinking already.
    opened: bool,
    /// Ordinary text between the last control token and the answer.
    pub(crate) answer_lead: String,
}

impl ThinkingTemplate {
    /// Finds out how a model thinks, if it does: by `source`, its chat template, and `transcript`, a prompt
    /// to reply that the template wrote.
    pub(crate) fn find(
        choice: ThinkingChoice,
        source: &str,
        transcript: &str,
        control: &ControlTokens,
    ) -> Option<Self> {
        let prompt = transcript.trim_end();
        let opened = prompt.ends_with(OPEN_THINKING);
        // A template that can be told not to think, and isn't, leaves the opening tag to the model.
        let switched = source.contains("enable_thinking") && !prompt.ends_with(CLOSE_THINKING);
        let form = match choice {
            ThinkingChoice::None => return None,
            ThinkingChoice::ThinkAnswer => ThinkingForm::ThinkAnswer,
            ThinkingChoice::Auto if !opened && !switched => return None,
            ThinkingChoice::Auto if source.contains(OPEN_ANSWER) => ThinkingForm::ThinkAnswer,
            ThinkingChoice::Think | ThinkingChoice::Auto => ThinkingForm::Think,
        };
        let mut found = Self { form, opened, answer_lead: String::new() };
        if let Some(Segment::Text(text)) = control.split(found.closing()).pop() {
            found.answer_lead = text;
        }
        Some(found)
    }

    /// What begins the thinking, where the prompt does not.
    pub(crate) fn opening(&self) -> &'static str {
        match self.form {
            _ if self.opened => "",
            ThinkingForm::Think => "<think>\n",
            ThinkingForm::ThinkAnswer => OPEN_THINKING,
        }
    }

    /// What ends it and begins the answer.
    pub(crate) fn closing(&self) -> &'static str {
        match self.form {
            ThinkingForm::Think => "\n</think>\n\n",
            ThinkingForm::ThinkAnswer => "</think><answer>",
        }
    }
}
