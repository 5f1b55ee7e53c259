//! A model's tokenizer with its chat template.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokenizers::{AddedVocabulary, Tokenizer};

use crate::bytes::ByteTokens;
use crate::control::{ControlTokens, Segment, Veil};
use crate::error::{PromptError, Result};
use crate::instruction::InstructionTokenizer;
use crate::messages::{ChatMessage, ContentPart, Role, user};
use crate::rendered::{PromptPiece, RenderedPrompt};
use crate::sections::{self, Leading, Rendered};
use crate::template::ChatTemplate;
use crate::thinking_template::{ThinkingChoice, ThinkingTemplate};
use crate::tokenizer_file::read_tokenizer;

/// What surrounds a `tokenizer.json`: settings from the other files of a checkpoint's folder.
#[derive(Clone, Debug, Default)]
pub struct PromptSettings {
    /// Jinja source of the chat template.
    pub chat_template: String,
    /// Named special tokens that templates may refer to, such as `bos_token`.
    pub special_tokens: BTreeMap<String, String>,
    /// Placeholder of a picture (`image_token_id` of `config.json`); `None` for models that read text only.
    pub image_token: Option<u32>,
    /// Tokens that end the model's turn (`eos_token_id` of `generation_config.json`).
    pub stop_tokens: Vec<u32>,
    /// Whether and how the model thinks before it answers.
    pub thinking: ThinkingChoice,
}

/// A model's tokenizer together with its chat template. Cheap to share; used on the caller's threads.
#[derive(Debug)]
pub struct PromptTokenizer {
    pub(crate) full: Tokenizer,
    /// The same tokenizer without added tokens: all that ordinary text goes through.
    plain: Tokenizer,
    /// `plain` for text that stands behind something else, where the tokenizer marks only the very first
    /// word.
    behind: Option<Tokenizer>,
    /// Control tokens that the tokenizer puts ahead of every text (`<s>`), where the template doesn't.
    leading: Leading,
    /// Tokens that are bytes, where there are such.
    bytes: Option<ByteTokens>,
    /// The Q-Former's tokenizer, where there is a Q-Former.
    instruction: Option<InstructionTokenizer>,
    pub(crate) control: ControlTokens,
    template: ChatTemplate,
    pub(crate) image_token: Option<u32>,
    pub(crate) stop_tokens: Vec<u32>,
    /// Ordinary text between the last control token of the generation prompt and the reply, `assistant\n` for
    /// `ChatML`.
    lead_in: String,
    /// Spaces between that and the reply (`ASSISTANT: yes` has one).
    reply_space: String,
    /// The tokenizer puts a space before a text's first word: taken off again when decoding.
    adds_prefix_space: bool,
    /// How the model thinks, if it does.
    pub(crate) thinking: Option<ThinkingTemplate>,
}

impl PromptTokenizer {
    /// Builds one from the bytes of a `tokenizer.json` and its settings.
    ///
    /// # Errors
    /// [`PromptError::Tokenizer`] for a file that can't be read, [`PromptError::Template`] for a template
    /// that doesn't compile or doesn't place one picture and a text in a user's turn.
    pub fn new(tokenizer_json: &[u8], settings: PromptSettings) -> Result<Self> {
        Self::build(tokenizer_json, settings, None)
    }

    /// As [`Self::new`], for a model whose Q-Former reads the prompt's text too: by a tokenizer of its own,
    /// cut to `limit` tokens. Its pictures stand ahead of everything, also of what the tokenizer puts ahead
    /// of a text.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_instruction(
        tokenizer_json: &[u8],
        settings: PromptSettings,
        instruction_json: &[u8],
        limit: usize,
    ) -> Result<Self> {
        Self::build(tokenizer_json, settings, Some(InstructionTokenizer::new(instruction_json, limit)?))
    }

    fn build(
        tokenizer_json: &[u8],
        settings: PromptSettings,
        instruction: Option<InstructionTokenizer>,
    ) -> Result<Self> {
        let mut full = read_tokenizer("tokenizer.json", tokenizer_json)?;
        // Files saved after training may carry padding or a length limit; sequences here are never padded or
        // cut.
        full.with_padding(None);
        full.with_truncation(None).map_err(|e| PromptError::Tokenizer(e.to_string()))?;
        let mut plain = full.clone();
        plain.with_added_vocabulary(AddedVocabulary::new());
        let behind = sections::without_first_mark(&plain)?;
        let behind_pictures = settings.image_token.filter(|_| instruction.is_some());
        let leading = Leading { ids: sections::leading_tokens(&full)?, behind: behind_pictures };
        let bytes = ByteTokens::of(&full)?;
        let control = ControlTokens::new(full.get_added_tokens_decoder());
        let template = ChatTemplate::new(&settings.chat_template, settings.special_tokens)?;
        let mut this = Self {
            full,
            plain,
            behind,
            leading,
            bytes,
            instruction,
            control,
            template,
            image_token: settings.image_token,
            stop_tokens: settings.stop_tokens,
            lead_in: String::new(),
            reply_space: String::new(),
            adds_prefix_space: false,
            thinking: None,
        };
        this.adds_prefix_space = {
            let ids = this.encode_plain("a")?;
            this.full.decode(&ids, false).is_ok_and(|text| text == " a")
        };
        let pictures = usize::from(this.image_token.is_some());
        let prompt = this.rendered(&[user(pictures, "a")], true)?;
        prompt.last_text().clone_into(&mut this.lead_in);
        let answer = ChatMessage { role: Role::Assistant, content: vec![ContentPart::Text("a".into())] };
        // A template need not know what to do with an answer.
        this.reply_space = this
            .rendered(&[user(pictures, "a"), answer], false)
            .map_or_else(|_| String::new(), |answered| prompt.space_before("a", &answered));
        this.render(pictures, "a")?;
        let transcript = this.transcript(&[user(pictures, "a")])?;
        this.thinking =
            ThinkingTemplate::find(settings.thinking, &settings.chat_template, &transcript, &this.control);
        Ok(this)
    }

    /// A user's turn that shows `images` pictures and then says `user_text`, with the prompt to reply.
    ///
    /// # Errors
    /// [`PromptError::Template`] or [`PromptError::Tokenizer`].
    pub fn render(&self, images: usize, user_text: &str) -> Result<RenderedPrompt> {
        self.render_messages(&[user(images, user_text)])
    }

    /// A whole conversation with the prompt to reply; pictures are numbered in order of appearance.
    ///
    /// # Errors
    /// [`PromptError::Template`] when the template fails or doesn't show every picture exactly once,
    /// [`PromptError::Tokenizer`].
    pub fn render_messages(&self, messages: &[ChatMessage]) -> Result<RenderedPrompt> {
        let Rendered { images, segments, first } = self.rendered(messages, true)?;
        let last_image =
            segments.iter().rposition(|s| matches!(s, Segment::Control(id) if Some(*id) == self.image_token));
        // Control tokens right behind the last picture don't depend on the text either.
        let cut = last_image.map_or(0, |at| {
            at + segments[at..].iter().take_while(|s| matches!(s, Segment::Control(_))).count()
        });
        let mut prefix = Vec::new();
        let mut seen = 0;
        let mut run = Vec::new();
        for (at, segment) in segments[..cut].iter().enumerate() {
            match segment {
                Segment::Control(id) if Some(*id) == self.image_token => {
                    if !run.is_empty() {
                        prefix.push(PromptPiece::Tokens(std::mem::take(&mut run)));
                    }
                    prefix.push(PromptPiece::Image(seen));
                    seen += 1;
                }
                Segment::Control(id) => run.push(*id),
                Segment::Text(text) => run.extend(self.encode_text(text, first == Some(at))?),
            }
        }
        if !run.is_empty() {
            prefix.push(PromptPiece::Tokens(run));
        }
        if seen != images {
            return Err(PromptError::Template(format!(
                "it shows {seen} pictures where the conversation has {images}"
            )));
        }
        let mut suffix = Vec::new();
        for (at, segment) in segments.iter().enumerate().skip(cut) {
            match segment {
                Segment::Control(id) => suffix.push(*id),
                Segment::Text(text) => suffix.extend(self.encode_text(text, first == Some(at))?),
            }
        }
        if suffix.is_empty() {
            return Err(PromptError::Template("nothing follows the last picture".into()));
        }
        let instruction = self.instruction.as_ref().map(|tokenizer| tokenizer.encode(&text_of(&segments)));
        Ok(RenderedPrompt { prefix, suffix, instruction: instruction.transpose()? })
    }

    /// The text of what [`Self::render_messages`] gives, control tokens and pictures by the names of their
    /// tokens: for people to see what the model is told.
    ///
    /// # Errors
    /// As [`Self::render_messages`].
    pub fn transcript(&self, messages: &[ChatMessage]) -> Result<String> {
        let rendered = self.rendered(messages, true)?;
        let text = |segment: Segment| match segment {
            Segment::Control(id) => self.name(id).unwrap_or_default(),
            Segment::Text(text) => text,
        };
        Ok(rendered.segments.into_iter().map(text).collect())
    }

    /// A token as the vocabulary spells it.
    pub fn name(&self, token: u32) -> Option<String> {
        self.full.id_to_token(token)
    }

    /// Tokens of a text as the reply that follows the generation prompt, end of turn not included.
    ///
    /// # Errors
    /// [`PromptError::Tokenizer`].
    pub fn encode_reply(&self, reply: &str) -> Result<Vec<u32>> {
        let space = if reply.starts_with(' ') { "" } else { self.reply_space.as_str() };
        self.encode_after(&self.lead_in, &format!("{space}{reply}"))
    }

    /// Tokens of a text as it follows the ordinary text `lead` behind a control token.
    pub(crate) fn encode_after(&self, lead: &str, text: &str) -> Result<Vec<u32>> {
        if !lead.is_empty() {
            let before = self.encode_text(lead, false)?;
            let both = self.encode_text(&format!("{lead}{text}"), false)?;
            if let Some(rest) = both.strip_prefix(before.as_slice()) {
                return Ok(rest.to_vec());
            }
            // The tokenizer would join the prompt's end with the reply: a generated reply can't, so neither
            // does this one.
        }
        self.encode_text(text, false)
    }

    /// The distinct first tokens of each word as an answer, in order of first appearance.
    ///
    /// # Errors
    /// [`PromptError::Tokenizer`], also for a word without tokens.
    pub fn first_tokens(&self, words: &[String]) -> Result<Vec<u32>> {
        let mut seen = BTreeSet::new();
        let mut tokens = Vec::new();
        for word in words {
            let first = *self
                .encode_answer(word)?
                .first()
                .ok_or_else(|| PromptError::Tokenizer("an empty word has no first token".into()))?;
            if seen.insert(first) {
                tokens.push(first);
            }
        }
        Ok(tokens)
    }

    /// Text of a finished reply, control tokens left out.
    ///
    /// # Errors
    /// [`PromptError::Tokenizer`].
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
    pub fn image_token(&self) -> Option<u32> {
        self.image_token
    }

    /// Tokens of ordinary text: no added token is recognised in it, nothing is put around it.
    ///
    /// # Errors
    /// [`PromptError::Tokenizer`].
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_text(text, true)
    }

    /// As [`Self::encode_plain`]; `first` says whether nothing stands before the text.
    pub(crate) fn encode_text(&self, text: &str, first: bool) -> Result<Vec<u32>> {
        let encode = |text: &str, first: bool| -> Result<Vec<u32>> {
            let tokenizer = if first { &self.plain } else { self.behind.as_ref().unwrap_or(&self.plain) };
            let encoding = tokenizer
                .encode_fast(text, false)
                .map_err(|e| PromptError::Tokenizer(format!("a text can't be encoded: {e}")))?;
            Ok(encoding.get_ids().to_vec())
        };
        let ids = encode(text, first)?;
        if !ids.iter().any(|id| self.control.is_control(*id)) {
            return Ok(ids);
        }
        // A vocabulary that holds the control token as a word (word-level and unigram models): its spelling
        // is taken apart, so that what a user typed stays text.
        let mut all = Vec::new();
        for (at, piece) in self.control.take_apart(text).into_iter().enumerate() {
            all.extend(
                encode(piece, first && at == 0)?.into_iter().filter(|id| !self.control.is_control(*id)),
            );
        }
        Ok(all)
    }

    pub(crate) fn decode_raw(&self, tokens: &[u32]) -> Result<String> {
        if let Some(bytes) = &self.bytes {
            return bytes.decode(&self.full, tokens, |id| self.control.is_control(id));
        }
        self.full
            .decode(tokens, true)
            .map_err(|e| PromptError::Tokenizer(format!("tokens can't be decoded: {e}")))
    }

    /// Renders the conversation and cuts it at control tokens; also counts its pictures.
    fn rendered(&self, messages: &[ChatMessage], reply: bool) -> Result<Rendered> {
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
                // Templates of text models take a message's text as it is.
                let content = if self.image_token.is_some() {
                    Value::Array(content)
                } else {
                    content.iter().filter_map(|part| part["text"].as_str()).collect::<String>().into()
                };
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
        Ok(Rendered::new(images, segments, &self.leading))
    }
}

/// Everything that is not a control token.
fn text_of(segments: &[Segment]) -> String {
    let text = segments.iter().filter_map(|segment| match segment {
        Segment::Text(text) => Some(text.as_str()),
        Segment::Control(_) => None,
    });
    text.collect()
}
