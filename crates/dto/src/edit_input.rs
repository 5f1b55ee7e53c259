//! Edits as they are submitted.

use std::fmt;

use bytes::Bytes;
use reasonedit_api::resolve;
use reasonedit_editor::{Amendment, EditRequest, Editor, StatementInput, Warning};
use reasonedit_http::fetch::Fetcher;
use reasonedit_http::multipart::{Field, FilePart, FormBody};
use reasonedit_http::problem::Result;
use reasonedit_text::{repair, split_text};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::contributor::Contributor;
use crate::standing::OnConflictDto;
use reasonedit_api::image::{IMAGE_PART, ImageInput, ImageSchema};
use reasonedit_api::{BoxInput, EditIdInput, Metadata};

/// A correction: what was shown and asked, what is right, and why.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditInput {
    /// The picture.
    #[schema(value_type = ImageSchema)]
    pub image: ImageInput,
    /// The question that was answered wrongly.
    #[schema(min_length = 1, example = "Is this lesion benign or malignant?")]
    pub question: String,
    /// The right answer.
    #[schema(min_length = 1, example = "malignant")]
    pub answer: String,
    /// Why: statements with or without boxes, or one text that is split into sentences. May be left out.
    #[serde(default)]
    #[schema(value_type = Option<ReasoningSchema>)]
    pub reasoning: Option<Reasoning>,
    /// Answers to choose from, if the question has such.
    #[schema(example = json!(["benign", "malignant"]))]
    pub choices: Option<Vec<String>>,
    /// Who says so.
    #[schema(example = "dermatology-2")]
    pub author: Option<String>,
    /// Labels to find it by.
    pub tags: Option<Vec<String>>,
    /// Anything worth keeping with it.
    #[schema(value_type = Option<Metadata>)]
    pub metadata: Option<Map<String, Value>>,
    /// ULIDs of live edits of this codebook, about whatever picture and question, that don't stand while this
    /// one is live. Who names one names also those that say exactly the same.
    #[schema(value_type = Option<Vec<String>>, example = json!([]))]
    pub supersedes: Option<Vec<EditIdInput>>,
    /// What becomes of older edits about the same picture and question that answer otherwise; as it is
    /// configured if not given (`supersede`, unless somebody changed that).
    pub on_conflict: Option<OnConflictDto>,
    /// Ask the model before and after the edit; `true` if not given. The query parameter of this name wins.
    pub verify: Option<bool>,
}

impl EditInput {
    /// The reasoning, if it is one text.
    pub fn reasoning_text(&self) -> Option<&str> {
        match &self.reasoning {
            Some(Reasoning::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// What the editor is asked for, its picture at hand, without an idempotency key. `verify` comes before
    /// what the body says.
    ///
    /// # Errors
    /// 403 for another author; 422 and what fetching says for pictures that can't be had.
    pub async fn into_request(
        self,
        fetcher: &Fetcher,
        by: &Contributor,
        editor: &Editor,
        verify: Option<bool>,
    ) -> Result<EditRequest> {
        let author = by.author(self.author)?;
        let image = resolve(self.image, fetcher, &by.scope, editor).await?;
        let mut warnings = Vec::new();
        let reasoning = self.reasoning.map(|said| said.into_statements(&mut warnings)).unwrap_or_default();
        Ok(EditRequest {
            warnings,
            image,
            question: self.question,
            answer: self.answer,
            reasoning,
            choices: self.choices.unwrap_or_default(),
            author,
            tags: self.tags.unwrap_or_default(),
            metadata: Value::Object(self.metadata.unwrap_or_default()),
            supersedes: self.supersedes.unwrap_or_default().into_iter().map(|id| id.0).collect(),
            on_conflict: self.on_conflict.map(Into::into),
            verify: verify.or(self.verify).unwrap_or(true),
            idempotency: None,
        })
    }
}

/// A new version of an edit: what it says otherwise than the one before. What is left out stays; the picture,
/// the question and the choices do in any case.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AmendmentInput)]
pub struct AmendInput {
    /// The right answer; one of the choices where the question has such.
    #[schema(min_length = 1, example = "malignant")]
    pub answer: Option<String>,
    /// Why: statements with or without boxes, or one text that is split into sentences. All of it: statements
    /// that are left out are no part of the new version.
    #[serde(default)]
    #[schema(value_type = Option<ReasoningSchema>)]
    pub reasoning: Option<Reasoning>,
    /// Labels to find it by, all of them.
    pub tags: Option<Vec<String>>,
    /// Anything worth keeping with it, in place of what was.
    #[schema(value_type = Option<Metadata>)]
    pub metadata: Option<Map<String, Value>>,
    /// ULIDs of live edits that the new version takes the place of: they are kept, and not told any more
    /// while it stands.
    #[schema(value_type = Option<Vec<String>>)]
    pub supersedes: Option<Vec<EditIdInput>>,
    /// Who says so.
    pub author: Option<String>,
    /// Ask the model after it; `true` if not given.
    pub verify: Option<bool>,
}

impl AmendInput {
    /// What the editor is asked for.
    ///
    /// # Errors
    /// 403 for another author.
    pub fn into_amendment(self, by: &Contributor) -> Result<Amendment> {
        let mut warnings = Vec::new();
        Ok(Amendment {
            answer: self.answer,
            reasoning: self.reasoning.map(|said| said.into_statements(&mut warnings)),
            tags: self.tags,
            metadata: self.metadata.map(Value::Object),
            supersedes: self.supersedes.unwrap_or_default().into_iter().map(|id| id.0).collect(),
            author: by.author(self.author)?,
            verify: self.verify.unwrap_or(true),
            expected: None,
            idempotency: None,
            warnings,
        })
    }
}

impl FormBody for EditInput {
    const FILE: FilePart = IMAGE_PART;
    const FIELDS: &'static [(&'static str, Field)] = &[
        ("question", Field::Text),
        ("answer", Field::Text),
        ("reasoning", Field::Items("statement")),
        ("choices", Field::Texts),
        ("author", Field::Text),
        ("tags", Field::Texts),
        ("metadata", Field::Json),
        ("supersedes", Field::Texts),
        ("on_conflict", Field::Text),
        ("verify", Field::Json),
    ];

    fn set_file(&mut self, bytes: Bytes) {
        self.image = ImageInput::Bytes(bytes);
    }
}

/// A person's reasoning as it was sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reasoning {
    /// One text.
    Text(String),
    /// Statement by statement.
    List(Vec<StatementBody>),
}

impl Reasoning {
    /// The statements; one text is split into sentences, and `warnings` tell what of it is in none.
    pub fn into_statements(self, warnings: &mut Vec<Warning>) -> Vec<StatementInput> {
        const PLACE: &str = "/reasoning";
        match self {
            Self::Text(mut text) => {
                repair(&mut text, PLACE, warnings);
                let split = split_text(&text);
                warnings.extend(split.warnings(PLACE));
                let statements = split.statements.into_iter();
                statements.map(|statement| StatementInput { statement, evidence: Vec::new() }).collect()
            }
            Self::List(list) => list
                .into_iter()
                .map(|body| StatementInput {
                    statement: body.statement,
                    evidence: body.evidence.unwrap_or_default().into_iter().map(Into::into).collect(),
                })
                .collect(),
        }
    }
}

// By hand instead of `#[serde(untagged)]`, which forgets where in the list an error was.
impl<'de> Deserialize<'de> for Reasoning {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrList;

        impl<'de> Visitor<'de> for TextOrList {
            type Value = Reasoning;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of statements")
            }

            fn visit_str<E>(self, text: &str) -> Result<Reasoning, E> {
                Ok(Reasoning::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Reasoning, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Reasoning::List)
            }
        }

        deserializer.deserialize_any(TextOrList)
    }
}

/// A statement as it was sent: an object, or its text alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatementBody {
    statement: String,
    evidence: Option<Vec<BoxInput>>,
}

impl<'de> Deserialize<'de> for StatementBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrObject;

        impl<'de> Visitor<'de> for TextOrObject {
            type Value = StatementBody;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a statement or an object with `statement` and `evidence`")
            }

            fn visit_str<E>(self, text: &str) -> Result<StatementBody, E> {
                Ok(StatementBody { statement: text.to_owned(), evidence: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<StatementBody, A::Error> {
                let StatementSchema { statement, evidence } =
                    StatementSchema::deserialize(MapAccessDeserializer::new(object))?;
                Ok(StatementBody { statement, evidence })
            }
        }

        deserializer.deserialize_any(TextOrObject)
    }
}

/// One statement of the reasoning, one sentence.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StatementInput)]
pub struct StatementSchema {
    /// The statement.
    #[schema(min_length = 1, example = "The lesion has an irregular border.")]
    statement: String,
    /// Where the picture shows it; left out, the model looks for it.
    evidence: Option<Vec<BoxInput>>,
}

/// A person's reasoning.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ReasoningInput)]
#[allow(dead_code, reason = "describes `Reasoning` in the contract")]
pub enum ReasoningSchema {
    /// One text, split into sentences.
    Text(String),
    /// Statement by statement.
    List(Vec<StatementOrText>),
}

/// A statement with its evidence, or its text alone.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes `StatementBody` in the contract")]
pub enum StatementOrText {
    /// The text alone.
    Text(String),
    /// With boxes.
    Object(StatementSchema),
}

/// `POST /edits` as a form.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the form in the contract")]
pub struct EditForm {
    /// The picture file; or as a text what `image` of the JSON body has.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// The question that was answered wrongly.
    question: String,
    /// The right answer.
    answer: String,
    /// One statement each when repeated (also as `reasoning[]`); a single one is split into sentences, unless
    /// it is a JSON list.
    #[schema(nullable = false)]
    reasoning: Option<Vec<String>>,
    /// One choice each (also as `choices[]`), or one JSON list.
    #[schema(nullable = false)]
    choices: Option<Vec<String>>,
    /// Who says so.
    #[schema(nullable = false)]
    author: Option<String>,
    /// One label each (also as `tags[]`), or one JSON list.
    #[schema(nullable = false)]
    tags: Option<Vec<String>>,
    /// A JSON object.
    #[schema(nullable = false)]
    metadata: Option<String>,
    /// One ULID each (also as `supersedes[]`), or one JSON list.
    #[schema(nullable = false)]
    supersedes: Option<Vec<String>>,
    /// What becomes of edits that this one contradicts.
    #[schema(nullable = false)]
    on_conflict: Option<OnConflictDto>,
    /// `true` or `false`.
    #[schema(nullable = false)]
    verify: Option<bool>,
}

/// Parameters of `POST /edits`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CreateParams {
    /// Name of the codebook; `default` if not given.
    #[param(pattern = "^[a-z0-9-]{1,64}$", example = "default")]
    pub codebook: Option<String>,
    /// `false` skips `before` and `after`.
    pub verify: Option<bool>,
    /// Only say what the edit would change (as `POST /dry-run`): to the canaries, and for editors to the
    /// questions of the log, where one is kept. Nothing is stored, and the idempotency key says nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Which edits are listed.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Name of the codebook; `default` if not given.
    #[param(pattern = "^[a-z0-9-]{1,64}$", example = "default")]
    pub codebook: Option<String>,
    /// Most edits of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9A-HJKMNP-TV-Z]{26}$")]
    pub cursor: Option<String>,
    /// Only of this author.
    pub author: Option<String>,
    /// Only with this tag.
    pub tag: Option<String>,
    /// Only with this text in question, answer or reasoning.
    pub q: Option<String>,
}

#[cfg(test)]
mod tests;
