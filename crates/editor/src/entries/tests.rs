use super::*;

#[test]
fn a_radius_is_the_median_of_odd_even_and_none() {
    assert_eq!(median_radius(vec![3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median_radius(vec![4.0, 1.0]), 2.5);
    assert_eq!(median_radius(Vec::new()), 0.0);
}

#[test]
fn seeds_differ_by_edit_purpose_and_index() {
    let (a, b) = (EditId(ulid::Ulid::from_parts(1, 1)), EditId(ulid::Ulid::from_parts(1, 2)));
    let seeds = [seed(a, "x", 0), seed(b, "x", 0), seed(a, "y", 0), seed(a, "x", 1)];
    assert_eq!(distinct(seeds.into_iter()).len(), 4);
    assert_eq!(seed(a, "x", 0), seed(a, "x", 0));
}
