//! Chat messages to token ids, and token ids to text.
//!
//! Text typed by a user never becomes a control token (architecture invariant 6), and yet ordinary text gives
//! token for token what transformers' `apply_chat_template` gives: the template is rendered with the user's text
//! in place, with every character that could begin an added token put out of its way; what stands between two
//! control tokens is then encoded as one string, by a tokenizer that knows no added tokens.

mod control;
mod stream;
mod template;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use tokenizers::{AddedVocabulary, Tokenizer};

use crate::{Result, VlmError};
use control::{ControlTokens, Segment, Veil};
pub use stream::TokenStream;
use template::ChatTemplate;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions ahead of the conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentPart {
    /// The next picture, in the order of the conversation.
    Image,
    /// Text.
    Text(String),
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said and shown, in order.
    pub content: Vec<ContentPart>,
}

/// A piece of a rendered prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptPiece {
    /// Token ids.
    Tokens(Vec<u32>),
    /// Place of the picture with this index (the tokens of the picture, without the markers around it).
    Image(usize),
}

/// A prompt as the model sees it, cut where the pictures end, so that the first part is run once per picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedPrompt {
    /// Everything up to the last picture and the control tokens that close it; empty without pictures. It does
    /// not depend on the text behind the last picture.
    pub prefix: Vec<PromptPiece>,
    /// What follows, generation prompt included; at least one token.
    pub suffix: Vec<u32>,
}

/// What surrounds a `tokenizer.json`: settings from the other files of a checkpoint's folder.
#[derive(Clone, Debug, Default)]
pub struct PromptSettings {
    /// Jinja source of the chat template.
    pub chat_template: String,
    /// Named special tokens that templates may refer to, such as `bos_token`.
    pub special_tokens: BTreeMap<String, String>,
    /// Placeholder of a picture (`image_token_id` of `config.json`).
    pub image_token: u32,
    /// Tokens that end the model's turn (`eos_token_id` of `generation_config.json`).
    pub stop_tokens: Vec<u32>,
}

/// A model's tokenizer together with its chat template. Cheap to share; used on the caller's threads.
#[derive(Debug)]
pub struct PromptTokenizer {
    full: Tokenizer,
    /// The same tokenizer without added tokens: all that ordinary text goes through.
    plain: Tokenizer,
    control: ControlTokens,
    template: ChatTemplate,
    image_token: u32,
    stop_tokens: Vec<u32>,
    /// Ordinary text between the last control token of the generation prompt and the reply, `assistant\n` for `ChatML`.
    lead_in: String,
    /// The tokenizer puts a space before a text's first word: taken off again when decoding.
    adds_prefix_space: bool,
}

impl PromptTokenizer {
    /// Builds one from the bytes of a `tokenizer.json` and its settings.
    ///
    /// # Errors
    /// [`VlmError::Tokenizer`] for a file that can't be read, [`VlmError::Template`] for a template that doesn't
    /// compile or doesn't place one picture and a text in a user's turn.
    pub fn new(tokenizer_json: &[u8], settings: PromptSettings) -> Result<Self> {
        let mut full = Tokenizer::from_bytes(tokenizer_json)
            .map_err(|e| VlmError::Tokenizer(format!("tokenizer.json can't be read: {e}")))?;
        // Files saved after training may carry padding or a length limit; sequences here are never padded or cut.
        full.with_padding(None);
        full.with_truncation(None).map_err(|e| VlmError::Tokenizer(e.to_string()))?;
        let mut plain = full.clone();
        plain.with_added_vocabulary(AddedVocabulary::new());
        let control = ControlTokens::new(full.get_added_tokens_decoder());
        let template = ChatTemplate::new(settings.chat_template, settings.special_tokens)?;
        let mut this = Self {
            full,
            plain,
            control,
            template,
            image_token: settings.image_token,
            stop_tokens: settings.stop_tokens,
            lead_in: String::new(),
            adds_prefix_space: false,
        };
        this.adds_prefix_space = {
            let ids = this.encode_plain("a")?;
            this.full.decode(&ids, false).is_ok_and(|text| text == " a")
        };
        let (_, segments) = this.segments(&[user(1, "a")], true)?;
        this.lead_in = match segments.last() {
            Some(Segment::Text(text)) => text.clone(),
            _ => String::new(),
        };
        this.render(1, "a")?;
        Ok(this)
    }

    /// A user's turn that shows `images` pictures and then says `user_text`, with the prompt to reply.
    ///
    /// # Errors
    /// [`VlmError::Template`] or [`VlmError::Tokenizer`].
    pub fn render(&self, images: usize, user_text: &str) -> Result<RenderedPrompt> {
        self.render_messages(&[user(images, user_text)])
    }

    /// A whole conversation with the prompt to reply; pictures are numbered in order of appearance.
    ///
    /// # Errors
    /// [`VlmError::Template`] when the template fails or doesn't show every picture exactly once,
    /// [`VlmError::Tokenizer`].
    pub fn render_messages(&self, messages: &[ChatMessage]) -> Result<RenderedPrompt> {
        let (images, segments) = self.segments(messages, true)?;
        let last_image =
            segments.iter().rposition(|s| matches!(s, Segment::Control(id) if *id == self.image_token));
        // Control tokens right behind the last picture don't depend on the text either.
        let cut = last_image.map_or(0, |at| {
            at + segments[at..].iter().take_while(|s| matches!(s, Segment::Control(_))).count()
        });
        let mut prefix = Vec::new();
        let mut seen = 0;
        let mut run = Vec::new();
        for segment in &segments[..cut] {
            match segment {
                Segment::Control(id) if *id == self.image_token => {
                    if !run.is_empty() {
                        prefix.push(PromptPiece::Tokens(std::mem::take(&mut run)));
                    }
                    prefix.push(PromptPiece::Image(seen));
                    seen += 1;
                }
                Segment::Control(id) => run.push(*id),
                Segment::Text(text) => run.extend(self.encode_plain(text)?),
            }
        }
        if !run.is_empty() {
            prefix.push(PromptPiece::Tokens(run));
        }
        if seen != images {
            return Err(VlmError::Template(format!(
                "it shows {seen} pictures where the conversation has {images}"
            )));
        }
        let mut suffix = Vec::new();
        for segment in &segments[cut..] {
            match segment {
                Segment::Control(id) => suffix.push(*id),
                Segment::Text(text) => suffix.extend(self.encode_plain(text)?),
            }
        }
        if suffix.is_empty() {
            return Err(VlmError::Template("nothing follows the last picture".into()));
        }
        Ok(RenderedPrompt { prefix, suffix })
    }

    /// Tokens of a text as the reply that follows the generation prompt, end of turn not included.
    ///
    /// # Errors
    /// [`VlmError::Tokenizer`].
    pub fn encode_reply(&self, reply: &str) -> Result<Vec<u32>> {
        if !self.lead_in.is_empty() {
            let lead = self.encode_plain(&self.lead_in)?;
            let both = self.encode_plain(&format!("{}{reply}", self.lead_in))?;
            if let Some(rest) = both.strip_prefix(lead.as_slice()) {
                return Ok(rest.to_vec());
            }
            // The tokenizer would join the prompt's end with the reply: a generated reply can't, so neither does this one.
        }
        self.encode_plain(reply)
    }

    /// The distinct first tokens of each word as a reply, in order of first appearance.
    ///
    /// # Errors
    /// [`VlmError::Tokenizer`], also for a word without tokens.
    pub fn first_tokens(&self, words: &[String]) -> Result<Vec<u32>> {
        let mut seen = BTreeSet::new();
        let mut tokens = Vec::new();
        for word in words {
            let first = *self
                .encode_reply(word)?
                .first()
                .ok_or_else(|| VlmError::Tokenizer("an empty word has no first token".into()))?;
            if seen.insert(first) {
                tokens.push(first);
            }
        }
        Ok(tokens)
    }

    /// Text of a finished reply, control tokens left out.
    ///
    /// # Errors
    /// [`VlmError::Tokenizer`].
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        let text = self.decode_raw(tokens)?;
        Ok(match text.strip_prefix(' ') {
            Some(rest) if self.adds_prefix_space => rest.to_owned(),
            _ => text,
        })
    }

    /// Tokens that end the model's turn.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop_tokens
    }

    /// The placeholder token of a picture.
    pub fn image_token(&self) -> u32 {
        self.image_token
    }

    /// Tokens of ordinary text: no added token is recognised in it, nothing is put around it.
    ///
    /// # Errors
    /// [`VlmError::Tokenizer`].
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>> {
        let encode = |text: &str| -> Result<Vec<u32>> {
            let encoding = self
                .plain
                .encode_fast(text, false)
                .map_err(|e| VlmError::Tokenizer(format!("a text can't be encoded: {e}")))?;
            Ok(encoding.get_ids().to_vec())
        };
        let ids = encode(text)?;
        if !ids.iter().any(|id| self.control.is_control(*id)) {
            return Ok(ids);
        }
        // A vocabulary that holds the control token as a word (word-level and unigram models): its spelling is
        // taken apart, so that what a user typed stays text.
        let mut all = Vec::new();
        for piece in self.control.take_apart(text) {
            all.extend(encode(piece)?.into_iter().filter(|id| !self.control.is_control(*id)));
        }
        Ok(all)
    }

    fn decode_raw(&self, tokens: &[u32]) -> Result<String> {
        self.full
            .decode(tokens, true)
            .map_err(|e| VlmError::Tokenizer(format!("tokens can't be decoded: {e}")))
    }

    /// Renders the conversation and cuts it at control tokens; also counts its pictures.
    fn segments(&self, messages: &[ChatMessage], reply: bool) -> Result<(usize, Vec<Segment>)> {
        let texts = messages.iter().flat_map(|m| &m.content).filter_map(|part| match part {
            ContentPart::Text(text) => Some(text.as_str()),
            ContentPart::Image => None,
        });
        let veil = Veil::new(&self.control, texts)?;
        let mut images = 0;
        let rendered: Vec<Value> = messages
            .iter()
            .map(|message| {
                let content: Vec<Value> = message
                    .content
                    .iter()
                    .map(|part| match part {
                        ContentPart::Image => {
                            images += 1;
                            serde_json::json!({"type": "image"})
                        }
                        ContentPart::Text(text) => {
                            serde_json::json!({"type": "text", "text": veil.cover(text)})
                        }
                    })
                    .collect();
                serde_json::json!({"role": message.role, "content": content})
            })
            .collect();
        let text = self.template.render(&rendered, reply)?;
        let mut segments = self.control.split(&text);
        for segment in &mut segments {
            if let Segment::Text(text) = segment {
                *text = veil.uncover(text);
            }
        }
        Ok((images, segments))
    }
}

fn user(images: usize, text: &str) -> ChatMessage {
    let mut content = vec![ContentPart::Image; images];
    content.push(ContentPart::Text(text.to_owned()));
    ChatMessage { role: Role::User, content }
}
