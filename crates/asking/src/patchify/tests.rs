use super::*;

fn opinion(x: u32, y: u32, width: u32, height: u32, score: Option<f64>) -> PatchOpinion {
    let p_yes = if score.is_some() { 0.9 } else { 0.1 };
    PatchOpinion { area: PixelBox { x, y, width, height }, p_yes, log_likelihood: score }
}

#[test]
fn best_of_all_and_best_of_the_smallest_are_chosen() {
    let candidates = [
        opinion(0, 0, 200, 300, Some(-0.5)),
        opinion(0, 0, 100, 100, Some(-1.2)),
        opinion(100, 0, 100, 100, Some(-1.204)),
        opinion(200, 0, 100, 100, Some(-1.3)),
        opinion(0, 100, 100, 100, None),
    ];
    let chosen = choose(&candidates, (300, 300), &PatchifyConfig::default());
    let areas: Vec<_> = chosen.iter().map(|e| (e.area.x, e.area.width)).collect();
    assert_eq!(areas, [(0, 200), (0, 100), (100, 100)]);
    assert_eq!(chosen[0].log_likelihood, Some(-0.5));
}

#[test]
fn one_patch_that_is_both_is_named_once_and_none_kept_gives_none() {
    let config = PatchifyConfig::default();
    let both = [opinion(0, 0, 100, 100, Some(-0.5)), opinion(0, 0, 200, 200, Some(-0.9))];
    assert_eq!(choose(&both, (300, 300), &config).len(), 1);
    assert!(choose(&[opinion(0, 0, 100, 100, None)], (300, 300), &config).is_empty());
}
