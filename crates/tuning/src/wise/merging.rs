//! TIES (Yadav et al. 2023, "TIES-Merging: Resolving Interference When Merging Models").

use std::cmp::Ordering;

/// One change of weights for several of them, all of one length: of each the `density` share of largest
/// values is kept; of each weight the sign is elected that the sum of what is left has; the mean of the
/// values with that sign is taken.
pub(super) fn ties(changes: &[Vec<f32>], density: f64) -> Vec<f32> {
    let trimmed: Vec<Vec<f32>> = changes.iter().map(|change| trimmed(change, density)).collect();
    let length = changes.first().map_or(0, Vec::len);
    (0..length)
        .map(|at| {
            let sum: f32 = trimmed.iter().map(|change| change[at]).sum();
            let agree = |value: &f32| if sum >= 0.0 { *value > 0.0 } else { *value < 0.0 };
            let (total, count) = trimmed
                .iter()
                .map(|change| change[at])
                .filter(agree)
                .fold((0.0, 0usize), |(total, count), value| (total + value, count + 1));
            if count == 0 { 0.0 } else { total / count as f32 }
        })
        .collect()
}

/// The `density` share of values that are largest without their sign, the earlier of equals; the others are
/// 0.
fn trimmed(change: &[f32], density: f64) -> Vec<f32> {
    let keep = (density * change.len() as f64) as usize;
    if keep >= change.len() {
        return change.to_vec();
    }
    let mut order: Vec<usize> = (0..change.len()).collect();
    let larger =
        |a: &usize, b: &usize| -> Ordering { change[*b].abs().total_cmp(&change[*a].abs()).then(a.cmp(b)) };
    order.select_nth_unstable_by(keep, larger);
    let mut kept = vec![0.0; change.len()];
    for at in &order[..keep] {
        kept[*at] = change[*at];
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trims_elects_and_takes_the_mean_of_those_that_agree() {
        let changes = [vec![3.0, -1.0, 0.2, 0.0], vec![1.0, 4.0, -0.1, -2.0], vec![-2.0, 5.0, 0.0, 1.0]];
        // Half of each: [3, -1, 0, 0], [0, 4, 0, -2], [-2, 5, 0, 0].
        assert_eq!(ties(&changes, 0.5), [3.0, 4.5, 0.0, -2.0]);
        // All: the sums are 2, 8, 0.1, -1.
        assert_eq!(ties(&changes, 1.0), [2.0, 4.5, 0.2, -2.0]);
    }

    #[test]
    fn changes_of_different_weights_stay_whole() {
        assert_eq!(ties(&[vec![1.0, 0.0, 0.0], vec![0.0, 0.0, -2.0]], 0.7), [1.0, 0.0, -2.0]);
    }
}
