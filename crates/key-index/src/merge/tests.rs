use proptest::prelude::*;

use super::*;

#[test]
fn the_rules_differ_where_one_condition_fails() {
    let paper = MergeConfig::default();
    let code = MergeConfig { rule: MergeRule::Any, ..paper };
    // At 0.12 of the radius the circles still overlap by more than nine tenths.
    assert!(!paper.merges(1.0, 1.0, 0.12) && code.merges(1.0, 1.0, 0.12));
    // A small circle amid a large one is near, and covers little of it.
    assert!(!paper.merges(1.0, 2.0, 0.05) && code.merges(1.0, 2.0, 0.05));
    assert!(paper.merges(1.0, 1.0, 0.05));
    assert!(!MergeConfig { enabled: false, ..paper }.merges(1.0, 1.0, 0.0));
    assert!(!paper.merges(0.0, 0.0, 0.0));
}

proptest! {
    #[test]
    fn nothing_merges_beyond_its_reach(
        a in 0f32..4.0, b in 0f32..4.0, d in 0f64..8.0,
        overlap in 0f64..1.0, distance in 0f64..1.5, any in any::<bool>(),
    ) {
        let rule = if any { MergeRule::Any } else { MergeRule::All };
        let config = MergeConfig { enabled: true, overlap, distance, rule };
        if config.merges(a, b, d) {
            prop_assert!(d <= config.reach(a) * (1.0 + 1e-9) && d <= config.reach(b) * (1.0 + 1e-9));
        }
    }
}
