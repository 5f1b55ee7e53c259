use super::*;
use crate::testing::{measures, tap, tap_runs, weight_runs};

#[test]
fn the_tap_is_a_vision_tap_with_mean_pooling() {
    let choice = select_tap(&tap_runs(), None).unwrap();
    assert_eq!(choice.chosen, TapKey { tap: "vision.1".to_owned(), pooling: Pooling::Mean });
    assert_eq!(choice.runner_up, Some(TapKey { tap: "vision.0".to_owned(), pooling: Pooling::Mean }));
    // The same noise in both: the lead is 1/32 in every run, though each scatters by 1/128.
    let lead = choice.lead.unwrap();
    assert!(lead.mean == 0.03125 && lead.standard_error == 0.0 && lead.exceeds_error);
    assert_eq!((choice.value.mean, choice.value.standard_deviation), (0.054_687_5, 0.007_812_5));
    assert!(choice.incumbent.is_none() && choice.is_better());
}

#[test]
fn the_one_in_use_is_compared_with() {
    let used = TapKey { tap: "vision.1".to_owned(), pooling: Pooling::Mean };
    let same = select_tap(&tap_runs(), Some(&used)).unwrap();
    assert_eq!(same.lead_over_incumbent.unwrap().mean, 0.0);
    assert!(!same.is_better());
    let other = TapKey { tap: "vision.0".to_owned(), pooling: Pooling::Mean };
    assert!(select_tap(&tap_runs(), Some(&other)).unwrap().is_better());
    // Not among the candidates: nothing speaks for it.
    let gone = TapKey { tap: "vision.9".to_owned(), pooling: Pooling::Mean };
    let choice = select_tap(&tap_runs(), Some(&gone)).unwrap();
    assert!(choice.incumbent.is_none() && choice.is_better());
}

#[test]
fn a_lead_within_its_error_is_called_so() {
    let run = |first: f64, second: f64| {
        vec![
            tap("vision.0", Stage::Vision, Pooling::Mean, measures(0.0, 0.0, first)),
            tap("vision.1", Stage::Vision, Pooling::Mean, measures(0.0, 0.0, second)),
        ]
    };
    let choice = select_tap(&[run(0.1, 0.3), run(0.3, 0.0), run(0.3, 0.35)], None).unwrap();
    assert_eq!(choice.chosen.tap, "vision.0");
    assert!(!choice.lead.unwrap().exceeds_error);
    // Of equal ones the first, and alone there is no lead.
    assert_eq!(select_tap(&[run(0.2, 0.2)], None).unwrap().chosen.tap, "vision.0");
    let alone = select_tap(&[vec![run(0.2, 0.2).remove(0)]], None).unwrap();
    assert!(alone.runner_up.is_none() && alone.lead.is_none());
}

#[test]
fn the_weight_balances_both_modularities() {
    let choice = select_weight(&weight_runs(), None).unwrap();
    let summary = summarise_weights(&weight_runs()).unwrap();
    let best = summary.iter().max_by(|a, b| a.harmonic_mean.mean.total_cmp(&b.harmonic_mean.mean)).unwrap();
    assert_eq!(choice.chosen, best.weight);
    assert_eq!(choice.value, best.harmonic_mean);
    assert_eq!(choice.chosen, 4.0);
    // At 1/16 the language modularity is negative: no harmonic mean.
    assert_eq!(summary[0].harmonic_mean.mean, 0.0);
}

#[test]
fn runs_must_have_measured_the_same() {
    let nothing: [Vec<TapMeasures>; 0] = [];
    assert!(matches!(select_tap(&nothing, None), Err(TopologyError::NothingMeasured(_))));
    assert!(matches!(summarise_taps(&[vec![]]), Err(TopologyError::NothingMeasured(_))));
    let language: Vec<_> = tap_runs().into_iter().map(|run| run[3..4].to_vec()).collect();
    assert!(matches!(select_tap(&language, None), Err(TopologyError::NothingMeasured(_))));
    let mut runs = tap_runs();
    runs[2].swap(0, 1);
    let refused = summarise_taps(&runs).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "run 2 did not measure the same as run 0: vision.1 (mean) instead of vision.0 (mean)"
    );
    runs[2].pop();
    assert!(matches!(select_tap(&runs, None), Err(TopologyError::RunsDiffer { run: 2, .. })));
}

#[test]
fn weights_are_spaced_evenly_in_their_logarithm() {
    let weights = log_spaced(0.1, 100.0, 41);
    assert_eq!((weights.len(), weights[0], weights[40]), (41, 0.1, 100.0));
    for pair in weights.windows(2) {
        assert!((pair[1] / pair[0] - 1000.0f64.powf(1.0 / 40.0)).abs() < 1e-12);
    }
    assert_eq!(log_spaced(2.0, 9.0, 1), [2.0]);
    assert!(log_spaced(2.0, 9.0, 0).is_empty());
}
