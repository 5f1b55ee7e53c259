//! Places in the plane for nodes of which only the distances are known, always the same for the same
//! distances.

/// Sweeps of the stress majorisation; each lowers the stress, and the last ones hardly.
const SWEEPS: usize = 200;
/// Sweeps that move nodes apart that would cover each other.
const PUSHES: usize = 300;

/// Symmetric n × n distances to n places: classical scaling (the two leading eigenvectors of the doubly
/// centred squared distances), then stress majorisation (SMACOF, all weights 1). The centre is 0; the unit is
/// that of the distances.
pub(super) fn places(distances: &[f64], n: usize) -> Vec<(f64, f64)> {
    let mut at = classical(distances, n);
    for _ in 0..SWEEPS {
        let old = at.clone();
        for (i, place) in at.iter_mut().enumerate() {
            let (mut x, mut y) = (0.0, 0.0);
            for (j, other) in old.iter().enumerate() {
                let (dx, dy) = (old[i].0 - other.0, old[i].1 - other.1);
                let apart = dx.hypot(dy);
                // Guttman's transform: towards where the distance would be right, seen from every other node.
                let ratio = if apart > 1e-12 { distances[i * n + j] / apart } else { 0.0 };
                x += other.0 + ratio * dx;
                y += other.1 + ratio * dy;
            }
            *place = (x / n as f64, y / n as f64);
        }
    }
    at
}

/// The two leading coordinates of classical multidimensional scaling. The eigenvectors come from simultaneous
/// iteration with a fixed start: the matrix is small and only two are wanted.
fn classical(distances: &[f64], n: usize) -> Vec<(f64, f64)> {
    let squared: Vec<f64> = distances.iter().map(|d| d * d).collect();
    let means: Vec<f64> =
        squared.chunks_exact(n.max(1)).map(|row| row.iter().sum::<f64>() / n as f64).collect();
    let mean = means.iter().sum::<f64>() / n.max(1) as f64;
    let centred = |i: usize, j: usize| -0.5 * (squared[i * n + j] - means[i] - means[j] + mean);
    let norm = (0..n * n).map(|at| centred(at / n, at % n).powi(2)).sum::<f64>().sqrt();
    let mut found: Vec<Vec<f64>> = Vec::new();
    for axis in 0..2 {
        // Any start that is not orthogonal to the wanted vector; irrational steps make ties unlikely.
        let mut vector: Vec<f64> =
            (0..n).map(|i| ((i + 1) as f64 * (0.618_034 + axis as f64)).sin()).collect();
        for _ in 0..500 {
            for earlier in &found {
                let along = dot(&vector, earlier) / dot(earlier, earlier).max(f64::MIN_POSITIVE);
                for (component, other) in vector.iter_mut().zip(earlier) {
                    *component -= along * other;
                }
            }
            // Shifted by the norm, so that a large negative eigenvalue (distances need not be Euclidean) is
            // not the largest.
            let mut next: Vec<f64> = (0..n)
                .map(|i| (0..n).map(|j| centred(i, j) * vector[j]).sum::<f64>() + norm * vector[i])
                .collect();
            let length = dot(&next, &next).sqrt();
            if length <= 0.0 {
                break;
            }
            for value in &mut next {
                *value /= length;
            }
            vector = next;
        }
        let stretched: Vec<f64> =
            (0..n).map(|i| (0..n).map(|j| centred(i, j) * vector[j]).sum::<f64>()).collect();
        let value = dot(&stretched, &vector).max(0.0);
        for component in &mut vector {
            *component *= value.sqrt();
        }
        found.push(vector);
    }
    (0..n).map(|i| (found[0][i], found[1][i])).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Scales places into a square of `side` around `centre`, then moves apart those nearer than `gap`. What lay
/// on one spot spreads into a rosette.
pub(super) fn fit(places: &[(f64, f64)], centre: (f64, f64), side: f64, gap: f64) -> Vec<(f64, f64)> {
    let reach = places.iter().fold(1e-12_f64, |most, (x, y)| most.max(x.abs()).max(y.abs()));
    let half = side / 2.0;
    let mut at: Vec<(f64, f64)> = places.iter().map(|(x, y)| (x / reach * half, y / reach * half)).collect();
    for _ in 0..PUSHES {
        let mut moved = false;
        for i in 0..at.len() {
            for j in 0..i {
                let (mut dx, mut dy) = (at[i].0 - at[j].0, at[i].1 - at[j].1);
                let mut apart = dx.hypot(dy);
                if apart >= gap {
                    continue;
                }
                if apart < 1e-6 {
                    // The golden angle: no two nodes of a pile leave it in the same direction.
                    let angle = 2.399_963 * i as f64;
                    (dx, dy, apart) = (angle.cos(), angle.sin(), 1.0);
                    dx *= 0.01;
                    dy *= 0.01;
                    apart *= 0.01;
                }
                let push = 0.5 * (gap - apart) / apart;
                at[i] = (at[i].0 + dx * push, at[i].1 + dy * push);
                at[j] = (at[j].0 - dx * push, at[j].1 - dy * push);
                moved = true;
            }
        }
        for place in &mut at {
            *place = (place.0.clamp(-half, half), place.1.clamp(-half, half));
        }
        if !moved {
            break;
        }
    }
    at.into_iter().map(|(x, y)| (centre.0 + x, centre.1 + y)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distances(of: &[(f64, f64)]) -> Vec<f64> {
        of.iter().flat_map(|a| of.iter().map(|b| (a.0 - b.0).hypot(a.1 - b.1))).collect()
    }

    #[test]
    fn places_of_the_plane_come_back() {
        let known = [(0.0, 0.0), (3.0, 0.0), (0.0, 4.0), (7.0, 1.0), (2.0, 2.0)];
        let wanted = distances(&known);
        let found = distances(&places(&wanted, known.len()));
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 1e-3, "{found} for {wanted}");
        }
    }

    #[test]
    fn one_pile_spreads() {
        let at = fit(&places(&[0.0; 36], 6), (50.0, 50.0), 100.0, 10.0);
        for i in 0..at.len() {
            for j in 0..i {
                assert!((at[i].0 - at[j].0).hypot(at[i].1 - at[j].1) > 9.5);
            }
            assert!((0.0..=100.0).contains(&at[i].0) && (0.0..=100.0).contains(&at[i].1));
        }
    }
}
