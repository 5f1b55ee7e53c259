//! Answers of the contract for a person at a terminal.

use std::fmt::Write;

use serde_json::Value;

use crate::output::{bytes, table};

/// Characters of a statement in a listing.
const WIDTH: usize = 100;

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn short(value: &Value) -> String {
    let text = text(value);
    match text.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn decimals(value: &Value, digits: usize) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
}

fn opinion(value: &Value) -> String {
    format!("{} ({})", text(&value["answer"]), decimals(&value["probability"], 3))
}

/// An answer of the model to an edited question, or why there is none.
fn answered(value: &Value, absent: &Value) -> String {
    match (value, absent["reason"].as_str()) {
        (Value::Null, Some("failed")) => format!("none: {}", text(&absent["detail"])),
        (Value::Null, Some("not_kept")) => "not kept".to_owned(),
        (Value::Null, _) => "not asked".to_owned(),
        (given, _) => opinion(given),
    }
}

/// Another edit about the same picture and question.
fn rival(value: &Value) -> String {
    let by = value["author"].as_str().map(|author| format!(" by {author}")).unwrap_or_default();
    format!("{} ({}{by})", short(&value["answer"]), text(&value["edit_id"]))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Stages of edits and queries as they follow one another, the sum last; stages that are not listed stand
/// before it.
pub(crate) fn stage_order(stage: &str) -> usize {
    const ORDER: [&str; 7] = ["queue", "patchify", "embed", "retrieve", "merge", "store", "answer"];
    match stage {
        "total" => usize::MAX,
        _ => ORDER.iter().position(|known| *known == stage).unwrap_or(ORDER.len()),
    }
}

fn timings(value: &Value) -> String {
    let stages = value.as_object().into_iter().flatten().filter(|(stage, _)| *stage != "total");
    let mut stages: Vec<_> = stages.collect();
    stages.sort_by_key(|(stage, _)| stage_order(stage));
    let parts: Vec<String> =
        stages.into_iter().map(|(stage, ms)| format!("{stage} {}", decimals(ms, 1))).collect();
    format!("{} ms ({})", decimals(&value["total"], 1), parts.join(", "))
}

fn area(value: &Value) -> String {
    let part = |name: &str| text(&value[name]);
    format!("{}×{} at {},{}", part("width"), part("height"), part("x"), part("y"))
}

/// What of the request was not taken as it came, a line each.
fn warnings(out: &mut String, value: &Value) {
    for warning in list(&value["warnings"]) {
        let _ = writeln!(out, "warning: {}", text(&warning["detail"]));
    }
}

/// What became of an edit.
pub(crate) fn edit(value: &Value) -> String {
    let mut out = String::new();
    if value["status"] == "proposed" {
        let _ = writeln!(out, "proposal {}", text(&value["id"]));
        warnings(&mut out, value);
        let _ = write!(out, "it waits until somebody else has approved of it");
        return out;
    }
    let _ = writeln!(out, "edit    {}", text(&value["id"]));
    if value["version"].as_u64().is_some_and(|version| version > 1) {
        let _ = writeln!(out, "version {}", value["version"]);
    }
    let _ = writeln!(out, "before  {}", answered(&value["before"], &value["before_absent"]));
    let _ = writeln!(out, "after   {}", answered(&value["after"], &value["after_absent"]));
    for older in list(&value["conflicts"]) {
        let _ = writeln!(out, "in the place of {}", rival(older));
    }
    if !value["superseded_by"].is_null() {
        let _ = writeln!(out, "superseded by {}", rival(&value["superseded_by"]));
    }
    for named in list(&value["supersedes"]) {
        let _ = writeln!(out, "supersedes {}", text(named));
    }
    if !value["duplicate_of"].is_null() {
        let _ = writeln!(out, "says exactly what {} says", text(&value["duplicate_of"]));
    }
    for alike in list(&value["near_duplicates"]) {
        let _ = writeln!(out, "for other reasons also {}", rival(alike));
    }
    let entries = list(&value["entries"]).count();
    let merged = list(&value["entries"]).filter(|entry| !entry["merged_into"].is_null()).count();
    let _ = writeln!(out, "entries {entries}, {merged} of them merged into existing keys");
    for (number, statement) in list(&value["reasoning"]).enumerate() {
        let _ = writeln!(out, "  {}. {}", number + 1, short(&statement["statement"]));
        for evidence in list(&statement["evidence"]) {
            let _ = write!(out, "     seen in {} ({}", area(evidence), text(&evidence["source"]));
            if !evidence["p_yes"].is_null() {
                let _ = write!(out, ", yes {}", decimals(&evidence["p_yes"], 3));
            }
            let _ = writeln!(out, ")");
        }
    }
    warnings(&mut out, value);
    let _ = write!(out, "took    {}", timings(&value["timings_ms"]));
    out
}

/// What an edit would change.
pub(crate) fn dry_run(value: &Value) -> String {
    let mut out = String::new();
    for older in list(&value["conflicts"]) {
        let _ = writeln!(out, "would stand in the place of {}", rival(older));
    }
    if !value["superseded_by"].is_null() {
        let _ = writeln!(out, "would be superseded by {}", rival(&value["superseded_by"]));
    }
    effects(&mut out, value);
    warnings(&mut out, value);
    let _ = write!(out, "took    {}", timings(&value["timings_ms"]));
    out
}

/// What would become of questions and canaries.
pub(crate) fn effects(out: &mut String, value: &Value) {
    let (flipped, questions) = (text(&value["flipped"]), text(&value["questions"]));
    let _ = writeln!(out, "{flipped} of {questions} answers would be others");
    for change in list(&value["changes"]).filter(|change| change["flips"] == true) {
        let (before, after) = (text(&change["before"]["answer"]), text(&change["after"]["answer"]));
        let _ = writeln!(out, "  {} {after} instead of {before}", text(&change["question"]));
    }
    for broken in list(&value["broken_canaries"]) {
        let (answer, after) = (text(&broken["answer"]), text(&broken["after"]["answer"]));
        let _ =
            writeln!(out, "would break a canary: {} {after} instead of {answer}", text(&broken["question"]));
    }
}

/// The answer to a query.
pub(crate) fn answer(value: &Value) -> String {
    let mut out = String::new();
    if let Some(thinking) = value["thinking"].as_str() {
        let _ = writeln!(out, "thought: {thinking}");
        if value["format"] == "broken" {
            let _ =
                writeln!(out, "the reply has not the form of the model: {}", text(&value["format_fault"]));
        }
    }
    out.push_str(&text(&value["answer"]));
    out.push('\n');
    for choice in list(&value["choices"]) {
        let _ = writeln!(out, "  {}  {}", decimals(&choice["probability"], 3), text(&choice["text"]));
    }
    if !value["unedited"].is_null() {
        let _ = writeln!(out, "without the codebook: {}", opinion(&value["unedited"]));
    }
    let retrieval = &value["retrieval"];
    let (what, value_of, threshold) = match &retrieval["relevance"] {
        Value::Null => ("nearest", &retrieval["nearest_distance"], &retrieval["threshold"]),
        relevance => ("relevance", &relevance["question"], &relevance["question_threshold"]),
    };
    let near = format!("{what} {}, threshold {}", decimals(value_of, 3), decimals(threshold, 3));
    if retrieval["familiarity"]["familiar"] == Value::Bool(false) {
        let held = &retrieval["familiarity"];
        let (distance, threshold) = (decimals(&held["distance"], 3), decimals(&held["threshold"], 3));
        let _ = writeln!(
            out,
            "nothing retrieved: the picture is like none of the codebook's ({distance}, threshold {threshold})"
        );
    } else if retrieval["rejected"] == Value::Bool(true) {
        let _ = writeln!(out, "nothing retrieved ({near})");
    } else {
        let _ = writeln!(out, "retrieved ({near}):");
        for fact in list(&retrieval["facts"]) {
            let _ = writeln!(out, "  {}  {}", decimals(&fact["distance"], 3), short(&fact["value"]));
        }
    }
    for fact in list(&retrieval["omitted"]) {
        let _ = writeln!(out, "left out, no room in the model's context:  {}", short(&fact["value"]));
    }
    for fact in list(&retrieval["withheld"]).filter(|fact| fact["reason"] == "superseded") {
        let by: Vec<&str> = list(&fact["superseded_by"]).filter_map(Value::as_str).collect();
        let _ = writeln!(out, "superseded by {}:  {}", by.join(", "), short(&fact["value"]));
    }
    if !value["prompt"].is_null() {
        let _ = writeln!(out, "prompt: {}", text(&value["prompt"]));
    }
    warnings(&mut out, value);
    let _ = write!(out, "took {}", timings(&value["timings_ms"]));
    out
}

/// Counts of a codebook.
pub(crate) fn stats(value: &Value) -> String {
    let size = |name: &str| bytes(value[name].as_u64().unwrap_or(0));
    let mut rows = vec![
        vec!["codebook".to_owned(), text(&value["name"])],
        vec!["edits".to_owned(), text(&value["edits"])],
        vec!["entries".to_owned(), text(&value["members"])],
        vec!["keys after merging".to_owned(), text(&value["keys"])],
        vec!["bytes merged".to_owned(), size("bytes_merged")],
        vec!["bytes unmerged".to_owned(), size("bytes_unmerged")],
        vec!["gate threshold".to_owned(), decimals(&value["gate_threshold"], 4)],
    ];
    let embedding = &value["embedding"];
    if !embedding.is_null() {
        for (label, name) in [
            ("tap", "tap"),
            ("pooling", "pooling"),
            ("lambda", "lambda"),
            ("picture dimensions", "vision_dim"),
            ("sentence dimensions", "sentence_dim"),
            ("pixels", "pixels"),
            ("model", "model_fingerprint"),
            ("sentence encoder", "encoder_fingerprint"),
        ] {
            let shown: String = text(&embedding[name]).chars().take(16).collect();
            rows.push(vec![label.to_owned(), shown]);
        }
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_names_the_facts_behind_it() {
        let value = json!({
            "answer": "malignant",
            "choices": [{"text": "benign", "log_probability": -3.9, "probability": 0.02},
                        {"text": "malignant", "log_probability": -0.1, "probability": 0.98}],
            "retrieval": {"rejected": false, "nearest_distance": 0.41, "threshold": 0.9, "k": 5,
                "facts": [{"value": "Things with a jagged edge are malignant.", "distance": 0.41}]},
            "unedited": {"answer": "benign", "probability": 0.71},
            "timings_ms": {"queue": 0.1, "embed": 2.0, "total": 4.25}
        });
        assert_eq!(
            answer(&value),
            "malignant\n  0.020  benign\n  0.980  malignant\nwithout the codebook: benign (0.710)\n\
             retrieved (nearest 0.410, threshold 0.900):\n  0.410  Things with a jagged edge are malignant.\n\
             took 4.2 ms (queue 0.1, embed 2.0)"
        );
    }

    #[test]
    fn what_a_model_thought_stands_before_its_answer() {
        let value = json!({
            "thinking": "It is round.", "format": "broken", "format_fault": "several_answers",
            "answer": "", "timings_ms": {"total": 1.0},
            "retrieval": {"rejected": false, "nearest_distance": 0.5, "threshold": 0.9, "k": 5, "facts": []}
        });
        let told = answer(&value);
        let expected = "thought: It is round.\nthe reply has not the form of the model: several_answers\n\n";
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn what_was_left_out_is_named() {
        let value = json!({
            "answer": "red", "timings_ms": {"total": 1.0},
            "retrieval": {"rejected": false, "nearest_distance": 0.5, "threshold": 0.9, "k": 5, "facts": [],
                "omitted": [{"value": "A long report.", "distance": 0.5, "reason": "context_full"}],
                "withheld": [{"value": "It is blue.", "reason": "superseded", "superseded_by": ["01Z"]},
                             {"value": "It is round.", "reason": "not_shown"}]}
        });
        assert_eq!(
            answer(&value),
            "red\nretrieved (nearest 0.500, threshold 0.900):\n\
             left out, no room in the model's context:  A long report.\n\
             superseded by 01Z:  It is blue.\ntook 1.0 ms ()"
        );
    }

    #[test]
    fn what_was_not_taken_as_it_came_is_told() {
        let value = json!({"answer": "red", "retrieval": {"rejected": true}, "timings_ms": {"total": 1.0},
            "warnings": [{"code": "depth_scaled", "pointer": "/image", "detail": "The greys were scaled."}]});
        assert!(
            answer(&value).contains("\nwarning: The greys were scaled.\ntook 1.0 ms"),
            "{}",
            answer(&value)
        );
        assert!(edit(&value).contains("\nwarning: The greys were scaled.\ntook"), "{}", edit(&value));
    }

    #[test]
    fn a_rejected_query_says_so() {
        let value = json!({"answer": "red", "retrieval": {"rejected": true, "nearest_distance": null,
            "threshold": null, "k": 5, "facts": []}, "timings_ms": {"total": 1.0}});
        assert_eq!(answer(&value), "red\nnothing retrieved (nearest -, threshold -)\ntook 1.0 ms ()");
        let relevance = json!({"question": 0.21, "question_threshold": 0.36, "statement_threshold": 0.64});
        let value = json!({"answer": "red", "retrieval": {"rejected": true, "nearest_distance": 0.1,
            "threshold": null, "relevance": relevance, "k": 5, "facts": []}, "timings_ms": {"total": 1.0}});
        assert_eq!(
            answer(&value),
            "red\nnothing retrieved (relevance 0.210, threshold 0.360)\ntook 1.0 ms ()"
        );
    }

    #[test]
    fn an_edit_shows_before_after_and_evidence() {
        let value = json!({
            "id": "01X", "before": {"answer": "benign", "probability": 0.7}, "after": null,
            "entries": [{"merged_into": null}, {"merged_into": "01Y"}],
            "reasoning": [{"statement": "s".repeat(200), "evidence": [
                {"x": 1, "y": 2, "width": 3, "height": 4, "source": "model", "p_yes": 0.93}]}],
            "timings_ms": {"total": 10.0, "store": 1.0}
        });
        let shown = edit(&value);
        assert!(shown.contains("before  benign (0.700)\nafter   not asked"), "{shown}");
        let mut failed = value.clone();
        failed["after_absent"] = json!({"reason": "failed", "detail": "The model was too busy."});
        failed["conflicts"] = json!([{"edit_id": "01W", "answer": "benign", "author": "kim"}]);
        failed["superseded_by"] = json!({"edit_id": "01Z", "answer": "unclear", "author": null});
        let told = edit(&failed);
        assert!(told.contains("after   none: The model was too busy.\n"), "{told}");
        assert!(
            told.contains("in the place of benign (01W by kim)\nsuperseded by unclear (01Z)\n"),
            "{told}"
        );
        let waits = json!({"id": "01P", "status": "proposed", "warnings": []});
        assert_eq!(edit(&waits), "proposal 01P\nit waits until somebody else has approved of it");
        assert!(shown.contains("entries 2, 1 of them"), "{shown}");
        assert!(shown.contains("seen in 3×4 at 1,2 (model, yes 0.930)"), "{shown}");
        assert!(shown.contains(&format!("{}…", "s".repeat(100))), "{shown}");
    }
}
