//! What receivers are told: an event of a codebook's history as a message.
//!
//! By default ids, times, author and tags, and nothing that was said about a patient: who needs the rest has
//! a token for `GET /edits/{id}`, or a receiver with `texts`.

use bytes::Bytes;
use reasonedit_api::rfc3339;
use reasonedit_editor::storage::{
    Codebook, Event, EventOrigin, LoggedEvent, StorageError, StorageResult as Result,
};
use reasonedit_editor::{CodebookName, EditId, EditRecord, Embedding};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::config::{EndpointConfig, EventKind};

/// Begins the id of every message (Standard Webhooks).
const ID_PREFIX: &str = "msg_";

/// What is posted to a receiver.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WebhookMessage)]
pub(crate) struct MessageDto {
    /// What happened.
    #[serde(rename = "type")]
    pub(crate) kind: EventKind,
    /// When.
    #[schema(format = DateTime, example = "2026-11-20T08:00:00.000000001Z")]
    pub(crate) timestamp: String,
    /// The rest.
    pub(crate) data: DataDto,
}

/// What happened to which codebook.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WebhookData)]
pub(crate) struct DataDto {
    /// Name of the codebook.
    #[schema(example = "default")]
    pub(crate) codebook: String,
    /// Number of the event in the codebook's history, from 0: later ones have greater numbers, and some are
    /// not sent.
    pub(crate) sequence: u64,
    /// The edit, of `edit.created`, `edit.reverted`, `edit.restored` and `edit.erased`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) edit: Option<EventEditDto>,
    /// What the keys are made with now, of `selection.applied`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) selection: Option<EventSelectionDto>,
}

/// An edit, as far as a receiver is told of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WebhookEdit)]
pub(crate) struct EventEditDto {
    /// Its ULID.
    pub(crate) id: String,
    /// When it was made: of an imported edit, where it was made.
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    /// Who made it.
    pub(crate) author: Option<String>,
    /// Its labels.
    pub(crate) tags: Vec<String>,
    /// ULID of the edit that this is a later version of, the one that people know; absent for the first.
    /// Made, it takes the place of the version before; reverted, it gives it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version_of: Option<String>,
    /// Number of that version; present where `version_of` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u32>,
    /// Whether it came with an archive.
    pub(crate) imported: bool,
    /// ULID of the step that took it back together with others, or that was undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revert: Option<String>,
    /// What it says, for receivers with `texts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) texts: Option<EventTextsDto>,
}

/// What an edit says.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WebhookTexts)]
pub(crate) struct EventTextsDto {
    /// The question.
    pub(crate) question: String,
    /// The right answer.
    pub(crate) answer: String,
    /// The possible answers; empty if there were none to choose from.
    pub(crate) choices: Vec<String>,
    /// Why it is right, statement by statement.
    pub(crate) reasoning: Vec<String>,
}

/// A selection that became live.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WebhookSelection)]
pub(crate) struct EventSelectionDto {
    /// Its ULID: `embedding.id` of `GET /codebook`.
    pub(crate) id: String,
    /// Layer whose output embeds pictures.
    #[schema(example = "vision.7")]
    pub(crate) tap: String,
    /// How its tokens become one vector.
    #[schema(example = "mean")]
    pub(crate) pooling: String,
    /// Weight of the sentence embedding.
    pub(crate) lambda: f64,
    /// Whether it was chosen for this codebook; else it follows the configuration.
    pub(crate) chosen: bool,
    /// Whether this went back to the selection before.
    pub(crate) rolled_back: bool,
}

/// A message, ready to be signed.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The same whenever this event is sent to whomever: receivers drop what they have seen.
    pub(super) id: String,
    /// JSON of a [`MessageDto`].
    pub(super) body: Bytes,
    /// When it happened.
    pub(super) at: OffsetDateTime,
    /// The edit that it is about, if it is about one.
    pub(super) edit: Option<EditId>,
}

fn kind(event: &Event) -> EventKind {
    match event {
        Event::Edited(_) => EventKind::EditCreated,
        Event::Reverted(_) => EventKind::EditReverted,
        Event::Restored(_) => EventKind::EditRestored,
        Event::Erased(_) => EventKind::EditErased,
        Event::Reembedded(_) => EventKind::SelectionApplied,
    }
}

/// Whether a receiver is told of this codebook.
pub(super) fn about(codebooks: &[CodebookName], name: &CodebookName) -> bool {
    codebooks.is_empty() || codebooks.contains(name)
}

/// Whether a receiver is told of this event of a codebook that it is told about.
pub(super) fn wanted(endpoint: &EndpointConfig, logged: &LoggedEvent) -> bool {
    (endpoint.events.is_empty() || endpoint.events.contains(&kind(&logged.event)))
        && (endpoint.imports || logged.origin != EventOrigin::Imported)
}

/// The message of an event.
///
/// # Errors
/// `Store` or `Corrupt`, and `UnknownEdit` for a history that is damaged.
pub(super) fn message(book: &Codebook, sequence: u64, logged: &LoggedEvent, texts: bool) -> Result<Message> {
    let mut data = DataDto { codebook: book.name().to_string(), sequence, edit: None, selection: None };
    let mut about = None;
    let (subject, at) = match logged.event {
        Event::Edited(id) | Event::Reverted(id) | Event::Restored(id) | Event::Erased(id) => {
            let imported = logged.origin == EventOrigin::Imported;
            let (told, made) = match book.record(id) {
                Ok(record) => (edit(&record, imported, texts), record.created_at),
                Err(StorageError::Erased { .. }) => (erased(id, imported), id.0.datetime().into()),
                Err(error) => return Err(error),
            };
            let told = EventEditDto { revert: logged.revert.map(|revert| revert.to_string()), ..told };
            (data.edit, about) = (Some(told), Some(id));
            (id.0, logged.at.unwrap_or(made))
        }
        Event::Reembedded(id) => {
            data.selection = logged.generation.as_ref().map(|generation| {
                selection(&generation.embedding, generation.chosen, logged.origin == EventOrigin::RolledBack)
            });
            let made = OffsetDateTime::from(id.0.datetime());
            (id.0, logged.at.unwrap_or(made))
        }
    };
    let message = MessageDto { kind: kind(&logged.event), timestamp: rfc3339(at), data };
    let mut hasher = blake3::Hasher::new();
    hasher.update(book.name().as_str().as_bytes()).update(&[0]);
    hasher.update(&sequence.to_be_bytes()).update(&subject.to_bytes()).update(message.timestamp.as_bytes());
    let id = format!("{ID_PREFIX}{}", &hasher.finalize().to_hex()[..32]);
    // Every field is plain data: this can't fail.
    let body = Bytes::from(serde_json::to_vec(&message).unwrap_or_default());
    Ok(Message { id, body, at, edit: about })
}

/// An edit of which nothing is known any more but when it was made, by its id.
fn erased(id: EditId, imported: bool) -> EventEditDto {
    let created_at = rfc3339(OffsetDateTime::from(id.0.datetime()));
    EventEditDto {
        id: id.to_string(),
        created_at,
        author: None,
        tags: Vec::new(),
        version_of: None,
        version: None,
        imported,
        revert: None,
        texts: None,
    }
}

fn edit(record: &EditRecord, imported: bool, texts: bool) -> EventEditDto {
    let version = record.relations.version;
    EventEditDto {
        id: record.id.to_string(),
        created_at: rfc3339(record.created_at),
        author: record.author.clone(),
        tags: record.tags.clone(),
        version_of: version.map(|version| version.of.to_string()),
        version: version.map(|version| version.number),
        imported,
        revert: None,
        texts: texts.then(|| EventTextsDto {
            question: record.question.clone(),
            answer: record.answer.clone(),
            choices: record.choices.clone(),
            reasoning: record.reasoning.iter().map(|statement| statement.statement.clone()).collect(),
        }),
    }
}

fn selection(embedding: &Embedding, chosen: bool, rolled_back: bool) -> EventSelectionDto {
    EventSelectionDto {
        id: embedding.id.to_string(),
        tap: embedding.tap.clone(),
        pooling: embedding.pooling.clone(),
        lambda: embedding.lambda,
        chosen,
        rolled_back,
    }
}
