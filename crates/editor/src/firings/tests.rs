use super::*;
use crate::types::AbsentReason;

#[test]
fn an_answer_that_was_not_kept_has_its_reason_whenever_it_was_written() {
    let fired = r#"{"after":null,"timings_ms":{},"fired":{"queries":3,"last":null}}"#;
    let old = r#"{"after":null,"timings_ms":{"total":8.5}}"#;
    let told = r#"{"after":null,"after_absent":{"reason":"failed","detail":"It was busy."},"timings_ms":{"total":8.5}}"#;
    let answered = r#"{"after":{"answer":"benign","probability":0.7},"timings_ms":{"total":8.5}}"#;
    for (stored, asked, reason) in [
        ("", true, Some(AbsentReason::NotKept)),
        ("", false, Some(AbsentReason::NotAsked)),
        (fired, true, Some(AbsentReason::NotKept)),
        (fired, false, Some(AbsentReason::NotAsked)),
        (old, true, Some(AbsentReason::Failed)),
        (old, false, Some(AbsentReason::NotAsked)),
        (told, true, Some(AbsentReason::Failed)),
        (answered, true, None),
    ] {
        let outcome = StoredOutcome::read(Some(stored.as_bytes())).unwrap_or_default();
        let absence = outcome.absence_after(asked);
        assert_eq!(absence.as_ref().map(|absence| absence.reason), reason, "{stored} {asked}");
        assert_eq!(stored == told, absence.is_some_and(|absence| absence.detail == "It was busy."));
    }
}
