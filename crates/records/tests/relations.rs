//! How an edit stands to others, as it is stored.

use reasonedit_records::ids::EditId;
use reasonedit_records::records::EditRecord;
use reasonedit_records::relations::{OnConflict, Relations, Version};
use serde_json::{Value, from_value, json, to_value};

fn stored() -> Value {
    json!({
        "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "created_at": "2026-01-01T00:00:00Z",
        "image": {"id": "0".repeat(64), "width": 600, "height": 450}, "question": "Is it benign?",
        "answer": "no", "choices": ["yes", "no"],
        "reasoning": [{"statement": "It is jagged.", "evidence": []}], "author": null, "tags": [],
        "metadata": null, "embedding": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "before": null, "timings_ms": {},
        "idempotency": null,
    })
}

#[test]
fn records_of_before_mean_what_they_meant_and_are_written_as_they_were() {
    let record: EditRecord = from_value(stored()).unwrap();
    assert_eq!(record.relations, Relations::default());
    assert_eq!(record.relations.on_conflict, OnConflict::Supersede);
    assert!(!record.relations.shares_keys, "its keys are its own");
    assert_eq!((record.known_as(), record.version(), record.said_at()), (record.id, 1, record.created_at));
    assert_eq!(to_value(&record).unwrap(), stored());
}

#[test]
fn what_is_said_of_others_reads_back() {
    let mut record: EditRecord = from_value(stored()).unwrap();
    let other = EditId::from_bytes([7; 16]);
    record.relations = Relations {
        supersedes: vec![other],
        on_conflict: OnConflict::KeepBoth,
        version: Some(Version { of: other, after: other, number: 3, said_at: record.created_at }),
        shares_keys: true,
    };
    let text = serde_json::to_string(&record).unwrap();
    assert!(text.contains(r#""on_conflict":"keep_both""#), "{text}");
    assert_eq!(serde_json::from_str::<EditRecord>(&text).unwrap(), record);
    assert_eq!((record.known_as(), record.version()), (other, 3));
}

#[test]
fn what_a_version_changed_is_named() {
    let before: EditRecord = from_value(stored()).unwrap();
    let changed = |change: fn(&mut Value)| {
        let mut after = stored();
        change(&mut after);
        from_value::<EditRecord>(after).unwrap().changed_since(&before)
    };
    assert!(changed(|_| {}).is_empty());
    assert_eq!(changed(|after| after["answer"] = json!("yes")), ["answer"]);
    assert_eq!(changed(|after| after["reasoning"][0]["statement"] = json!("It is smooth.")), ["reasoning"]);
    assert_eq!(
        changed(|after| {
            let drawn = json!([{"x": 0, "y": 0, "width": 9, "height": 9, "source": "user"}]);
            after["reasoning"][0]["evidence"] = drawn;
        }),
        ["evidence"]
    );
    assert!(
        changed(|after| {
            let found = json!([{"x": 0, "y": 0, "width": 9, "height": 9, "source": "model"}]);
            after["reasoning"][0]["evidence"] = found;
        })
        .is_empty()
    );
    assert_eq!(
        changed(|after| (after["tags"], after["metadata"]) = (json!(["a"]), json!({"b": 1}))),
        ["tags", "metadata"]
    );
}
