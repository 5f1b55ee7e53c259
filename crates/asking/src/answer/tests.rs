use super::*;

#[test]
fn softmax_sums_to_one_even_far_below_zero() {
    let p = softmax(&[-1000.0, -1001.0, -1000.0]);
    assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    assert_eq!(p[0], p[2]);
    assert!(p[0] > p[1]);
}
