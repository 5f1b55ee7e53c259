use super::*;
use crate::select::Pooling;
use crate::testing::{measured_on, report, tap_runs, weight_runs};

#[test]
fn the_report_on_the_wire() {
    insta::assert_json_snapshot!(report());
}

#[test]
fn the_report_to_read() {
    insta::assert_snapshot!(report().markdown());
}

#[test]
fn what_was_written_reads_back() {
    let report = report();
    let text = serde_json::to_string(&report).unwrap();
    let back: ModularityReport = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
}

#[test]
fn better_means_backed_by_the_runs() {
    let used = |tap: &str, weight| {
        let tap = TapKey { tap: tap.to_owned(), pooling: Pooling::Mean };
        ModularityReport::from_runs(
            measured_on(),
            Some(InUse { tap, weight }),
            &tap_runs(),
            &weight_runs(),
            None,
        )
        .unwrap()
    };
    let chosen = report().selection.weight.chosen;
    assert!(!used("vision.1", chosen).is_better());
    assert!(used("vision.0", chosen).is_better());
    // The tap stays, and a far worse weight goes.
    assert!(used("vision.1", 64.0).is_better());
    assert!(used("vision.1", 64.0).selection.weight.lead_over_incumbent.unwrap().mean > 0.0);
    // A weight chosen for another tap is no incumbent.
    assert!(used("vision.0", 64.0).selection.weight.incumbent.is_none());
    assert!(ModularityReport { in_use: None, ..report() }.is_better());
}
