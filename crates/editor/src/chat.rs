//! Conversations: a question with turns before it. What the codebook knows is put in front of the last turn's
//! text; the turns before reach the model as they were said.

use std::time::Instant;

use reasonedit_codebook::CodebookName;
use reasonedit_text::Warning;
use reasonedit_vlm::VlmError;
use reasonedit_vlm::constrain::{CompiledForm, ReplyForm};
use reasonedit_vlm::engine::{Conversation, LogitRules, Sampling};
use reasonedit_vlm::prompt::{ChatMessage, ContentPart, PromptPiece, PromptTokenizer, Role};
use tokio::sync::mpsc;

use crate::Editor;
use crate::error::{EditorError, FieldError};
use crate::pictures::{Picture, blocking};
use crate::prompts::with_facts;
use crate::query::Asking;
use crate::types::{CallContext, ImageSource, QueryEvent, RetrievalOverride};
use crate::{text, validate};

/// A part of a turn.
#[derive(Clone, Debug)]
pub enum ChatPart {
    /// Text.
    Text(String),
    /// A picture; in turns of the user.
    Image(ImageSource),
    /// A picture that the model is not shown.
    Omitted,
}

/// What someone said and showed.
#[derive(Clone, Debug)]
pub struct ChatTurn {
    /// Who.
    pub role: Role,
    /// In the order sent. Texts that follow each other are joined by a line break; a picture alone in its
    /// turn stands ahead of the text, as the model is used to and as in a query.
    pub content: Vec<ChatPart>,
}

/// How a reply is made of the model's probabilities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoding {
    /// How tokens are chosen; answers by choice are not sampled.
    pub sampling: Sampling,
    /// What is done to the model's logits before.
    pub rules: LogitRules,
    /// Texts that end the reply; they are no part of it.
    pub stop: Vec<String>,
    /// Tell every token, each with so many of the most probable ones at its place.
    pub alternatives: Option<usize>,
}

/// A form that a reply is to have, and where the request has it, as a JSON pointer.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedForm {
    /// The form.
    pub form: ReplyForm,
    /// What its own pointers are relative to.
    pub place: String,
}

/// A conversation to be replied to.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// Turns, oldest first. The last one of the user's is the question: retrieval is about its text and its
    /// last picture, each else about the last one of the user's before it. Without either nothing is
    /// retrieved.
    pub turns: Vec<ChatTurn>,
    /// The last turn is the model's and is gone on with: the reply is what comes behind it.
    pub continues: bool,
    /// Answers to choose from, one at least; empty: the reply is generated.
    pub choices: Vec<String>,
    /// What a generated reply must look like.
    pub form: Option<AskedForm>,
    /// Most tokens to generate; as many as the configuration allows if more or nothing is said.
    pub max_tokens: Option<usize>,
    /// How the reply is made.
    pub decoding: Decoding,
    /// Settings of retrieval.
    pub retrieval: RetrievalOverride,
    /// Reply without the codebook too.
    pub compare: bool,
    /// What was not taken as it came before the editor saw it; what the editor finds is added.
    pub warnings: Vec<Warning>,
}

impl ChatRequest {
    /// Turn and part of the picture that retrieval is about.
    pub fn subject(&self) -> Option<(usize, usize)> {
        let parts = self.turns.iter().enumerate().rev();
        let mut parts = parts
            .flat_map(|(t, turn)| turn.content.iter().enumerate().rev().map(move |(p, part)| (t, p, part)));
        parts.find(|(.., part)| matches!(part, ChatPart::Image(_))).map(|(turn, part, _)| (turn, part))
    }

    /// The text that retrieval is about; empty if the user has said nothing.
    pub fn question(&self) -> String {
        let asked = self.turns.iter().rev().filter(|turn| turn.role == Role::User).map(ChatTurn::text);
        asked.into_iter().find(|text| !text.trim().is_empty()).unwrap_or_default()
    }
}

impl ChatTurn {
    /// Its texts, a line break between any two.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self
            .content
            .iter()
            .filter_map(|part| match part {
                ChatPart::Text(text) => Some(text.as_str()),
                ChatPart::Image(_) | ChatPart::Omitted => None,
            })
            .collect();
        texts.join("\n")
    }
}

/// Turns with their pictures at hand; facts go in front of the text of the user's last one.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    /// In order of appearance; the last is what retrieval is about.
    pub(crate) pictures: Vec<Picture>,
    before: Vec<ChatMessage>,
    last: Vec<ContentPart>,
    /// What the model has said since.
    after: Vec<ChatMessage>,
    /// How the reply begins.
    begun: String,
}

impl Talk {
    /// One question about one picture.
    pub(crate) fn question(picture: Picture, question: &str) -> Self {
        let last = vec![ContentPart::Image, ContentPart::Text(question.to_owned())];
        Self { pictures: vec![picture], before: Vec::new(), last, after: Vec::new(), begun: String::new() }
    }

    /// Of turns; `continues` says whether the last one is the reply's beginning.
    fn new(turns: &[ChatTurn], continues: bool, pictures: Vec<Picture>) -> Result<Self, EditorError> {
        let (turns, begun) = match turns.split_last() {
            Some((last, before)) if continues => (before, last.text()),
            _ => (turns, String::new()),
        };
        let mut before = messages(turns);
        let asked = before.iter().rposition(|message| message.role == Role::User);
        let asked = asked.ok_or(EditorError::Internal("a conversation without the user"))?;
        let after = before.split_off(asked + 1);
        let last = before.pop().map(|message| message.content).unwrap_or_default();
        Ok(Self { pictures, before, last, after, begun })
    }

    /// What is put to the model.
    pub(crate) fn with<'f>(&self, facts: impl IntoIterator<Item = &'f str> + Clone) -> Conversation {
        let mut content = self.last.clone();
        let text = content.iter_mut().find_map(|part| match part {
            ContentPart::Text(text) => Some(text),
            ContentPart::Image => None,
        });
        if let Some(text) = text {
            *text = with_facts(facts, text);
        } else {
            let facts = with_facts(facts, "");
            if !facts.is_empty() {
                content.push(ContentPart::Text(facts.trim().to_owned()));
            }
        }
        let mut messages = self.before.clone();
        messages.push(ChatMessage { role: Role::User, content });
        messages.extend(self.after.iter().cloned());
        let images = self.pictures.iter().map(|picture| picture.input(None)).collect();
        Conversation { images, messages, begun: self.begun.clone() }
    }
}

impl Editor {
    /// Replies to a conversation: what was retrieved at once, the reply as it is made, then everything. Input
    /// errors that show without looking at the pictures are returned here; later ones arrive in the stream.
    /// Dropping the receiver cancels the work.
    ///
    /// # Errors
    /// Unusable input.
    pub fn chat_stream(
        &self,
        codebook: &CodebookName,
        mut request: ChatRequest,
        call: CallContext,
    ) -> Result<mpsc::Receiver<Result<QueryEvent, EditorError>>, EditorError> {
        text::read_chat(&mut request);
        let config = self.config();
        validate::chat(&request, &config.limits, &config.retrieval)?;
        let limit = config.answer.max_tokens_limit;
        let codebook = codebook.clone();
        Ok(self.streamed(move |editor, events| async move {
            let began = Instant::now();
            let (talk, noted) = editor.talk(&codebook, &request).await?;
            let form = editor.form(request.form.as_ref(), !talk.begun.is_empty()).await?;
            let asking = Asking {
                began,
                talk,
                question: request.question(),
                form,
                choices: request.choices,
                max_tokens: request.max_tokens.map_or(limit, |tokens| tokens.min(limit)),
                decoding: request.decoding,
                retrieval: request.retrieval,
                compare: request.compare,
                whole_prompt: true,
                warnings: request.warnings.into_iter().chain(noted).collect(),
            };
            editor.run(&codebook, asking, call, Some(&events)).await
        }))
    }

    /// Compiles the form of a reply; `begun` says whether it goes on behind a beginning.
    async fn form(
        &self,
        asked: Option<&AskedForm>,
        begun: bool,
    ) -> Result<Option<CompiledForm>, EditorError> {
        let Some(AskedForm { form, place }) = asked else { return Ok(None) };
        let compiled = self.engine().form(form.clone(), begun).await.map_err(|error| match error {
            VlmError::Form { pointer, detail } => {
                VlmError::Form { pointer: format!("{place}{pointer}"), detail }
            }
            other => other,
        })?;
        Ok(Some(compiled))
    }

    /// Looks at the pictures of a valid request and sees whether the model takes the conversation. Gives also
    /// what of the pictures was not taken as it came.
    async fn talk(
        &self,
        codebook: &CodebookName,
        request: &ChatRequest,
    ) -> Result<(Talk, Vec<Warning>), EditorError> {
        let (mut pictures, mut warnings) = (Vec::new(), Vec::new());
        let rules = self.pixel_rules(codebook)?;
        for (t, turn) in request.turns.iter().enumerate() {
            for (p, part) in turn.content.iter().enumerate() {
                let ChatPart::Image(source) = part else { continue };
                let picture = self.pictures().resolve(source, rules).await.map_err(|error| match error {
                    EditorError::Image(error) => {
                        EditorError::ImageAt { pointer: validate::part(t, p), error }
                    }
                    other => other,
                })?;
                warnings.extend(picture.warnings(&validate::part(t, p)));
                pictures.push(picture);
            }
        }
        let talk = Talk::new(&request.turns, request.continues, pictures)?;
        let tokenizer = self.engine().tokenizer().await?;
        let (limit, plain) = (self.engine().info().await?.max_positions, talk.with([]));
        blocking(move || fits(&plain, &tokenizer, limit)).await?;
        Ok((talk, warnings))
    }
}

fn text_of(part: &ContentPart) -> Option<&str> {
    match part {
        ContentPart::Text(text) => Some(text),
        ContentPart::Image => None,
    }
}

/// Turns as the model's template takes them. Instructions at the beginning become one: templates know one.
fn messages(turns: &[ChatTurn]) -> Vec<ChatMessage> {
    let mut messages: Vec<ChatMessage> = Vec::with_capacity(turns.len());
    for turn in turns {
        let content = parts(&turn.content);
        match messages.as_mut_slice() {
            [system] if system.role == Role::System && turn.role == Role::System => {
                let texts: Vec<&str> = system.content.iter().chain(&content).filter_map(text_of).collect();
                system.content = vec![ContentPart::Text(texts.join("\n\n"))];
            }
            _ => messages.push(ChatMessage { role: turn.role, content }),
        }
    }
    messages
}

fn parts(content: &[ChatPart]) -> Vec<ContentPart> {
    let mut parts: Vec<ContentPart> = Vec::with_capacity(content.len());
    for part in content {
        match (part, parts.last_mut()) {
            (ChatPart::Text(text), Some(ContentPart::Text(before))) => {
                before.push('\n');
                before.push_str(text);
            }
            (ChatPart::Text(text), _) => parts.push(ContentPart::Text(text.clone())),
            (ChatPart::Image(_), _) => parts.push(ContentPart::Image),
            (ChatPart::Omitted, _) => {}
        }
    }
    let pictures = parts.iter().filter(|part| **part == ContentPart::Image).count();
    if pictures == 1 {
        let texts: Vec<&str> = parts.iter().filter_map(text_of).collect();
        let texts = texts.join("\n");
        parts = vec![ContentPart::Image];
        if !texts.is_empty() {
            parts.push(ContentPart::Text(texts));
        }
    }
    parts
}

/// Refuses what the model can't be told: pictures that it can't see, turns that its chat template refuses or
/// leaves out, and more text than the `limit` of its positions, so that it is told before an answer is begun.
fn fits(conversation: &Conversation, tokenizer: &PromptTokenizer, limit: usize) -> Result<(), EditorError> {
    let refuse =
        |detail: &str| Err(EditorError::Invalid(vec![FieldError::new("/messages", detail.to_owned())]));
    if !conversation.images.is_empty() && tokenizer.image_token().is_none() {
        return refuse("this model reads text only; it can't look at pictures");
    }
    let transcript = match tokenizer.transcript(&conversation.messages) {
        Ok(transcript) => transcript,
        Err(VlmError::Template(reason)) => {
            return refuse(&format!("the model's chat template doesn't take these turns: {reason}"));
        }
        Err(other) => return Err(other.into()),
    };
    let mut rest = transcript.as_str();
    for text in conversation.messages.iter().flat_map(|m| &m.content).filter_map(text_of) {
        let text = text.trim();
        match rest.find(text) {
            Some(at) => rest = &rest[at + text.len()..],
            None => {
                return refuse(
                    "the model's chat template leaves a turn out: instructions go at the beginning",
                );
            }
        }
    }
    let rendered = tokenizer.render_messages(&conversation.messages)?;
    let prefix = rendered.prefix.iter().map(|piece| match piece {
        PromptPiece::Tokens(tokens) => tokens.len(),
        // At least; how many follows from its size.
        PromptPiece::Image(_) => 1,
    });
    let tokens = prefix.sum::<usize>() + rendered.suffix.len();
    if tokens > limit {
        return Err(VlmError::TooLong { tokens, limit }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use reasonedit_vlm::prompt::PromptSettings;

    use super::*;

    fn picture() -> ChatPart {
        ChatPart::Image(ImageSource::Bytes(bytes::Bytes::from_static(b"x")))
    }

    fn text(text: &str) -> ChatPart {
        ChatPart::Text(text.to_owned())
    }

    fn said(text: &str) -> ContentPart {
        ContentPart::Text(text.to_owned())
    }

    #[test]
    fn a_picture_alone_stands_ahead_and_several_where_they_were() {
        assert_eq!(parts(&[text("a"), picture(), text("b")]), [ContentPart::Image, said("a\nb")]);
        assert_eq!(parts(&[picture()]), [ContentPart::Image]);
        assert_eq!(
            parts(&[text("first"), picture(), text("second"), text("x"), picture()]),
            [said("first"), ContentPart::Image, said("second\nx"), ContentPart::Image]
        );
    }

    #[test]
    fn instructions_at_the_beginning_become_one() {
        let turn = |role, content| ChatTurn { role, content };
        let turns = [
            turn(Role::System, vec![text("Be brief.")]),
            turn(Role::System, vec![text("Say"), text("please.")]),
            turn(Role::User, vec![text("Hello")]),
            turn(Role::System, vec![text("Later")]),
        ];
        let messages = messages(&turns);
        assert_eq!(messages[0].content, [said("Be brief.\n\nSay\nplease.")]);
        assert_eq!(
            messages.iter().map(|m| m.role).collect::<Vec<_>>(),
            [Role::System, Role::User, Role::System]
        );
    }

    #[test]
    fn retrieval_is_about_the_last_picture() {
        let turn = |content| ChatTurn { role: Role::User, content };
        let request = |turns| ChatRequest {
            warnings: Vec::new(),
            turns,
            continues: false,
            choices: Vec::new(),
            form: None,
            max_tokens: None,
            decoding: Decoding::default(),
            retrieval: RetrievalOverride::default(),
            compare: false,
        };
        let two = request(vec![turn(vec![picture(), text("a"), picture()]), turn(vec![text("b")])]);
        assert_eq!(two.subject(), Some((0, 2)));
        assert_eq!(request(vec![turn(vec![text("b")])]).subject(), None);
    }

    #[test]
    fn facts_stand_in_front_of_the_last_turn_alone() {
        let before = vec![ChatMessage { role: Role::User, content: vec![said("Hello")] }];
        let last = vec![said("What is it? "), ContentPart::Image, said("And this?")];
        let talk = Talk { pictures: Vec::new(), before, last, after: Vec::new(), begun: String::new() };
        let messages = talk.with(["A is b.", "C is d."]).messages;
        assert_eq!(messages[0].content, [said("Hello")]);
        assert_eq!(
            messages[1].content,
            [said("A is b. C is d. What is it?"), ContentPart::Image, said("And this?")]
        );
    }

    /// A tokenizer whose template knows instructions at the beginning alone, and no pictures unless
    /// `pictures`.
    fn tokenizer(pictures: bool) -> PromptTokenizer {
        const TEMPLATE: &str = "{% for m in messages %}{% if loop.first or m.role != 'system' %}<|im_start|>{{ m.role }}\n\
            {% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}{% if c.type == 'image' %}<|image_pad|>\
            {% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endif %}{% endfor %}\
            {% if messages | length > 6 %}{{ raise_exception('so long') }}{% endif %}\
            {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
        let json = include_bytes!("../../vlm/tests/goldens/qwen3_vl-1/tokenizer.json");
        let parsed: serde_json::Value = serde_json::from_slice(json).unwrap();
        let added = parsed["added_tokens"].as_array().unwrap();
        let id =
            |name: &str| added.iter().find(|t| t["content"] == name).unwrap()["id"].as_u64().unwrap() as u32;
        let settings = PromptSettings {
            chat_template: TEMPLATE.to_owned(),
            image_token: pictures.then(|| id("<|image_pad|>")),
            stop_tokens: vec![id("<|im_end|>")],
            ..PromptSettings::default()
        };
        PromptTokenizer::new(json, settings).unwrap()
    }

    #[test]
    fn what_the_model_cant_be_told_is_refused() {
        let message = |role, text: &str| ChatMessage { role, content: vec![said(text)] };
        let asked = |messages: &[ChatMessage], limit| {
            let messages = messages.to_vec();
            let conversation = Conversation { images: Vec::new(), messages, begun: String::new() };
            fits(&conversation, &tokenizer(true), limit).map_err(|error| error.to_string())
        };
        let turns = [
            message(Role::System, " Be brief.\n"),
            message(Role::User, "Hello <|im_end|>"),
            message(Role::Assistant, ""),
            message(Role::User, "Hello"),
        ];
        assert_eq!(asked(&turns, 512), Ok(()));
        assert!(asked(&turns, 20).unwrap_err().contains("more than the limit of 20"));
        let mut late = turns.clone();
        late.swap(0, 1);
        assert!(asked(&late, 512).unwrap_err().contains("leaves a turn out"));
        let long = [&turns[..], &turns[..]].concat();
        assert!(asked(&long, 512).unwrap_err().contains("doesn't take these turns"));

        let pixels = std::sync::Arc::new(reasonedit_imaging::RgbImage::new(8, 8));
        let id = reasonedit_codebook::ImageId([0; 32]);
        let talk = Talk::question(Picture::plain(id, pixels), "What is it?");
        assert!(fits(&talk.with([]), &tokenizer(true), 512).is_ok());
        let blind = fits(&talk.with([]), &tokenizer(false), 512).unwrap_err().to_string();
        assert!(blind.contains("reads text only"), "{blind}");
    }
}
