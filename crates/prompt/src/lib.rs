//! Chat messages to token ids, and token ids to text.
//!
//! Text typed by a user never becomes a control token (architecture invariant 6), and yet ordinary text gives
//! token for token what transformers' `apply_chat_template` gives: the template is rendered with the user's
//! text in place, with every character that could begin an added token put out of its way; what stands
//! between two control tokens is then encoded as one string, by a tokenizer that knows no added tokens.

mod bytes;
mod control;
mod error;
mod instruction;
mod messages;
mod rendered;
mod reply_splitter;
mod sections;
mod spelling;
mod stream;
mod template;
mod thinking;
mod thinking_template;
mod tokenizer;
mod tokenizer_file;

#[cfg(test)]
mod tests;

pub use error::{PromptError, Result};
pub use messages::{ChatMessage, ContentPart, Role};
pub use rendered::{PromptPiece, RenderedPrompt, prefix_pieces};
pub use reply_splitter::{FormatFault, ReplyPart, ReplySplitter, unfinished_length};
pub use spelling::Spelling;
pub use stream::TokenStream;
pub use thinking::Thinking;
pub use thinking_template::{
    CLOSE_ANSWER, CLOSE_THINKING, OPEN_ANSWER, OPEN_THINKING, ThinkingChoice, ThinkingForm,
};
pub use tokenizer::{PromptSettings, PromptTokenizer};
pub use tokenizer_file::read_tokenizer;
