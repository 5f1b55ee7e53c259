//! Messages of a conversation as they come over the wire.

use std::fmt;

use reasonedit_api::image::ImageInput;
use reasonedit_api::sent;
use reasonedit_editor::{ChatPart, ChatTurn, Role};
use reasonedit_http::fetch::Fetcher;
use reasonedit_http::problem::{Problem, Result};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::config::OlderPictures;
use super::rules::{InputRules, given, unsupported};

/// A message.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OpenAiMessage)]
pub(crate) struct MessageInput {
    /// `system` and `developer` are the same; `tool` and `function` are not supported.
    #[schema(value_type = RoleSchema)]
    role: String,
    /// What is said and shown.
    #[serde(default)]
    #[schema(value_type = Option<ContentSchema>)]
    content: Content,
    /// Of the assistant's last message: go on with it, as it is done anyway. The field of Mistral and
    /// `DeepSeek`.
    prefix: Option<bool>,
    /// What the assistant said instead of an answer; taken as its content where there is none.
    refusal: Option<String>,
    #[schema(ignore)]
    tool_calls: Option<Value>,
    #[schema(ignore)]
    function_call: Option<Value>,
    #[schema(ignore)]
    audio: Option<Value>,
}

/// Who speaks.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = OpenAiRole)]
#[allow(dead_code, reason = "describes roles in the contract")]
enum RoleSchema {
    /// Instructions.
    System,
    /// The same.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// What a message says and shows: a text, or texts and pictures in order.
#[derive(Debug, Default)]
enum Content {
    #[default]
    None,
    Text(String),
    Parts(Vec<PartInput>),
}

/// What a message says and shows.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = OpenAiContent)]
#[allow(dead_code, reason = "describes content in the contract")]
enum ContentSchema {
    /// A text.
    Text(String),
    /// Texts and pictures in order.
    Parts(Vec<PartInput>),
}

/// A part of a message: a text, or a picture of the user's.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiContentPart)]
pub(crate) struct PartInput {
    /// `text` or `image_url`; audio and files are not supported.
    #[serde(rename = "type")]
    #[schema(example = "text")]
    kind: String,
    /// With `text`.
    #[schema(nullable = false)]
    text: Option<String>,
    #[schema(ignore)]
    refusal: Option<String>,
    /// With `image_url`.
    #[schema(nullable = false)]
    image_url: Option<ImageUrl>,
    /// A picture that is left out.
    #[serde(skip)]
    omitted: bool,
}

/// The type of a part that is a picture.
const IMAGE: &str = "image_url";

/// A picture. `detail` is taken and changes nothing: pictures are looked at as the model does it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiImageUrl)]
pub(crate) struct ImageUrl {
    /// A `data:` URL with base64 (padded or not, standard or URL-safe), or an `https` URL of an allowed host.
    #[schema(example = "data:image/png;base64,iVBORw0K")]
    url: String,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of parts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }

            fn visit_unit<E: Error>(self) -> Result<Content, E> {
                Ok(Content::None)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Content, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Content::Parts)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for ImageUrl {
    /// An object, or, as some clients have it, the URL alone.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            url: String,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ImageUrl;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a `url`")
            }

            fn visit_str<E: Error>(self, url: &str) -> Result<ImageUrl, E> {
                Ok(ImageUrl { url: url.to_owned() })
            }

            fn visit_string<E: Error>(self, url: String) -> Result<ImageUrl, E> {
                Ok(ImageUrl { url })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ImageUrl, A::Error> {
                Object::deserialize(MapAccessDeserializer::new(map)).map(|Object { url }| ImageUrl { url })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Turns of the editor's; part by part as they were sent, so that places agree. Pictures are decoded or
/// fetched; of more than the rules allow the oldest are left out, never those of the user's last turn. Gives
/// the places of what was left out, too.
///
/// # Errors
/// 400 for parts and roles that are not supported, 422 for what can't be used, and what fetching says, each
/// with its place.
pub(super) async fn turns(
    mut messages: Vec<MessageInput>,
    rules: &InputRules<'_>,
) -> Result<(Vec<ChatTurn>, Vec<String>)> {
    // Before anything is fetched: a request must not make this service call others without end.
    let omitted = omit(&mut messages, rules)?;
    let mut turns = Vec::with_capacity(messages.len());
    for (at, message) in messages.into_iter().enumerate() {
        turns.push(message.turn(&format!("/messages/{at}"), rules.fetcher).await?);
    }
    Ok((turns, omitted))
}

/// Marks the oldest pictures above the number that is taken; gives their places.
fn omit(messages: &mut [MessageInput], rules: &InputRules<'_>) -> Result<Vec<String>> {
    let most = rules.pictures;
    let shown: usize = messages.iter().map(MessageInput::pictures).sum();
    let asked = messages.iter().rposition(|message| message.role == "user").unwrap_or_default();
    let last: usize = messages[asked.min(messages.len())..].iter().map(MessageInput::pictures).sum();
    let needed = if rules.older_pictures == OlderPictures::Omit { last } else { shown };
    if needed > most {
        let detail = format!("{needed} pictures were given; at most {most} are taken");
        return Err(Problem::invalid("/messages", detail));
    }
    let mut left = shown.saturating_sub(most);
    let mut omitted = Vec::with_capacity(left);
    for (m, message) in messages.iter_mut().enumerate() {
        let Content::Parts(parts) = &mut message.content else { continue };
        for (p, part) in parts.iter_mut().enumerate().filter(|(_, part)| part.kind == IMAGE) {
            if left == 0 {
                return Ok(omitted);
            }
            left -= 1;
            part.omitted = true;
            omitted.push(format!("/messages/{m}/content/{p}"));
        }
    }
    Ok(omitted)
}

impl MessageInput {
    fn pictures(&self) -> usize {
        let Content::Parts(parts) = &self.content else { return 0 };
        parts.iter().filter(|part| part.kind == IMAGE).count()
    }

    pub(super) fn is_assistants(&self) -> bool {
        self.role == "assistant"
    }

    /// Whether the answer is to go on with it, if that is said.
    pub(super) fn prefix(&self) -> Option<bool> {
        self.prefix
    }

    async fn turn(self, place: &str, fetcher: &Fetcher) -> Result<ChatTurn> {
        let role = match self.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" | "function" => {
                return Err(unsupported(format!("{place}/role"), "Tools are not supported"));
            }
            _ => {
                let detail = "A role is system, developer, user or assistant.";
                return Err(Problem::invalid(format!("{place}/role"), detail));
            }
        };
        let refused = [
            ("tool_calls", &self.tool_calls),
            ("function_call", &self.function_call),
            ("audio", &self.audio),
        ];
        if let Some((name, _)) = refused.into_iter().find(|(_, value)| given(value.as_ref())) {
            return Err(unsupported(format!("{place}/{name}"), &format!("`{name}` is not supported")));
        }
        let content = match self.content {
            Content::Text(text) => vec![ChatPart::Text(text)],
            Content::Parts(parts) => {
                let mut content = Vec::with_capacity(parts.len());
                for (at, part) in parts.into_iter().enumerate() {
                    content.push(part.part(&format!("{place}/content/{at}"), fetcher).await?);
                }
                content
            }
            // Who asked for a tool, refused, or was cut off before the first word has said nothing.
            Content::None if role == Role::Assistant => {
                self.refusal.into_iter().map(ChatPart::Text).collect()
            }
            Content::None => {
                return Err(Problem::invalid(format!("{place}/content"), "A message needs content."));
            }
        };
        Ok(ChatTurn { role, content })
    }
}

impl PartInput {
    async fn part(self, place: &str, fetcher: &Fetcher) -> Result<ChatPart> {
        let missing = |field: &str| {
            let detail = format!("A part of this type needs `{field}`.");
            Problem::invalid(format!("{place}/{field}"), detail)
        };
        match self.kind.as_str() {
            "text" => self.text.map(ChatPart::Text).ok_or_else(|| missing("text")),
            "refusal" => self.refusal.map(ChatPart::Text).ok_or_else(|| missing("refusal")),
            IMAGE if self.omitted => Ok(ChatPart::Omitted),
            IMAGE => {
                let url = self.image_url.ok_or_else(|| missing("image_url"))?.url;
                let image = if url.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http")) {
                    ImageInput::Url(url)
                } else {
                    ImageInput::Data(url)
                };
                let found = sent(image, fetcher).await;
                let place = format!("{place}/image_url/url");
                found.map(ChatPart::Image).map_err(|problem| problem.relocated(|_| Some(place.clone())))
            }
            other => {
                let what = format!("Parts of type `{other}` are not supported");
                Err(unsupported(format!("{place}/type"), &what))
            }
        }
    }
}
