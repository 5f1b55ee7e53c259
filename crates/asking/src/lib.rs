//! What is asked of the engine about pictures and texts: pictures decoded and at hand, questions as they are
//! put to the model and what of its context they leave, and what comes back: keys, answers, whether a picture
//! shows a statement and where, other words for a text. No codebook is looked into here.

pub mod answer;
pub mod backgrounds;
pub mod embed;
pub mod paraphrase;
pub mod patchify;
pub mod pictures;
pub mod prepared_chat;
pub mod retry;
pub mod stream;
#[cfg(test)]
mod testing;
mod thinking;
pub mod token_budget;
pub mod visual_entailment;

use reasonedit_editor_config::{self as config, prompts};
use reasonedit_editor_error as error;
use reasonedit_editor_types as types;
