//! Answers of the editor as JSON in the shapes of the HTTP contract, so that a data folder and a service
//! answer alike.

use std::collections::BTreeMap;

use reasonedit_codebook::{EntryKind, EntryView, Fact, Opinion, Stats, Superseded};
use reasonedit_editor::{EditView, ImportSummary, QueryOutcome, Verification, Withheld};
use reasonedit_inference::FinishReason;
use serde_json::{Map, Value, json};

fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Answer => "answer",
        EntryKind::Statement => "statement",
    }
}

fn opinion(opinion: &Opinion) -> Value {
    json!({ "answer": opinion.answer, "probability": opinion.probability })
}

/// Milliseconds to the microsecond.
fn timings(timings: &BTreeMap<String, f64>) -> Value {
    timings
        .iter()
        .map(|(stage, ms)| (stage.clone(), json!((ms * 1000.0).round() / 1000.0)))
        .collect::<Map<_, _>>()
        .into()
}

fn entry(entry: &EntryView) -> Value {
    json!({
        "id": entry.id, "kind": kind(entry.kind), "value": entry.value, "radius": entry.radius,
        "merged_into": entry.merged_into,
    })
}

/// The answer to `POST /edits`.
pub(crate) fn edit(view: &EditView) -> Value {
    let mut value = edit_fields(view);
    for (name, absence) in [("before_absent", &view.before_absent), ("after_absent", &view.after_absent)] {
        if let Some(absence) = absence {
            value[name] = json!(absence);
        }
    }
    value
}

fn edit_fields(view: &EditView) -> Value {
    let record = &view.record;
    let metadata = if record.metadata.is_null() { json!({}) } else { record.metadata.clone() };
    json!({
        "id": record.id,
        "created_at": record.created_at.to_offset(time::UtcOffset::UTC)
            .format(&time::format_description::well_known::Rfc3339).unwrap_or_default(),
        "image": record.image,
        "question": record.question,
        "answer": record.answer,
        "choices": record.choices,
        "reasoning": record.reasoning,
        "entries": view.entries.iter().map(entry).collect::<Vec<_>>(),
        "before": record.before.as_ref().map(opinion),
        "after": view.after.as_ref().map(opinion),
        "conflicts": view.conflicts,
        "superseded_by": view.superseded_by,
        "author": record.author,
        "tags": record.tags,
        "metadata": metadata,
        "embedding": record.embedding,
        "generation": view.generation,
        "timings_ms": timings(&view.timings_ms),
    })
}

fn fact(fact: &Fact, verification: Option<&Verification>) -> Value {
    let mut value = json!({
        "entry_id": fact.entry_id, "edit_ids": fact.edit_ids, "kind": kind(fact.kind), "value": fact.value,
        "distance": fact.distance, "image_id": fact.image_id, "evidence": fact.evidence,
    });
    if let Some(support) = verification.and_then(|v| v.support.get(&fact.value)) {
        value["support"] = json!(support);
    }
    value
}

fn retrieval(report: &reasonedit_codebook::Retrieval, verification: Option<&Verification>) -> Value {
    let fact = |one: &Fact| fact(one, verification);
    let mut value = json!({
        "rejected": report.rejected,
        "nearest_distance": report.nearest_distance,
        "threshold": report.threshold,
        "k": report.k,
        "facts": report.facts.iter().map(fact).collect::<Vec<_>>(),
    });
    if let Some(nearest) = report.nearest.as_ref().filter(|_| report.rejected) {
        value["nearest"] = fact(nearest);
    }
    let judged = |one: &Withheld| {
        let mut value = fact(&one.fact);
        value["reason"] = json!(one.reason);
        value
    };
    let superseded = |one: &Superseded| {
        let mut value = fact(&one.fact);
        (value["reason"], value["superseded_by"]) = (json!("superseded"), json!(one.by));
        value
    };
    let omitted = |one: &Fact| {
        let mut value = fact(one);
        value["reason"] = json!("context_full");
        value
    };
    value["omitted"] = report.omitted.iter().map(omitted).collect();
    let withheld = verification.into_iter().flat_map(|v| &v.withheld).map(judged);
    let withheld: Vec<Value> = withheld.chain(report.superseded.iter().map(superseded)).collect();
    if verification.is_some() || !withheld.is_empty() {
        value["withheld"] = json!(withheld);
    }
    value
}

/// The answer to `POST /query`.
pub(crate) fn answer(outcome: &QueryOutcome, explain: bool) -> Value {
    let mut value = json!({ "answer": outcome.answer });
    if let Some(choices) = &outcome.choices {
        value["choices"] = json!(choices);
    }
    value["retrieval"] = retrieval(&outcome.retrieval, outcome.verification.as_ref());
    if let Some(unedited) = &outcome.unedited {
        value["unedited"] = opinion(unedited);
    }
    if explain {
        value["prompt"] = json!(outcome.prompt);
    }
    value["generation"] = json!(outcome.generation);
    if let Some(finish) = outcome.finish {
        value["finish_reason"] = json!(match finish {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
        });
    }
    value["usage"] = json!(outcome.usage);
    value["timings_ms"] = timings(&outcome.timings_ms);
    value
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
