use super::*;

#[test]
fn p_yes_is_normalised_over_the_two() {
    let p = |v: &[f64]| p_yes(&Answered::FirstToken(v.to_vec())).unwrap();
    assert!((p(&[0.3, 0.1]) - 0.75).abs() < 1e-12);
    assert_eq!(p(&[0.0, 0.0]), 0.5);
    assert!(p_yes(&Answered::Replies(Vec::new())).is_err());
}
