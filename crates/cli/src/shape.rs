//! Answers of the editor as JSON in the shapes of the HTTP contract, so that a data folder and a service
//! answer alike.

use reasonedit_api::query::AnswerDto;
use reasonedit_codebook::Stats;
use reasonedit_dto::edit::EditDto;
use reasonedit_editor::{EditView, ImportSummary, QueryOutcome};
use serde_json::{Value, json};

/// The answer to `POST /edits` and to `PATCH /edits/{id}`.
pub(crate) fn edit(view: &EditView) -> Value {
    json!(EditDto::from(view))
}

/// The answer to `POST /query`.
pub(crate) fn answer(outcome: QueryOutcome, explain: bool) -> Value {
    json!(AnswerDto::new(outcome, explain))
}

/// The answer to `GET /codebook`.
pub(crate) fn stats(name: &str, stats: &Stats) -> Value {
    json!({
        "name": name,
        "edits": stats.edits,
        "members": stats.members,
        "keys": stats.keys,
        "bytes_merged": stats.bytes_merged,
        "bytes_unmerged": stats.bytes_unmerged,
        "gate_threshold": stats.threshold,
        "embedding": stats.embedding,
    })
}

/// The answer to `POST /codebook/import`.
pub(crate) fn import(summary: ImportSummary) -> Value {
    json!(summary)
}
