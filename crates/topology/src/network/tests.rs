use proptest::prelude::*;

use super::*;

/// The definition, word for word: a full matrix of weights, and Newman's double sum.
fn naive(distances: &[f64], groups: &[u32]) -> f64 {
    let n = groups.len();
    let pairs = || (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).filter(|(i, j)| i != j);
    let least = pairs().map(|(i, j)| distances[i * n + j]).fold(f64::INFINITY, f64::min);
    let largest = pairs().map(|(i, j)| distances[i * n + j]).fold(0.0, f64::max);
    let mut weights = vec![0.0; n * n];
    for (i, j) in pairs() {
        weights[i * n + j] =
            if largest > least { 1.0 - (distances[i * n + j] - least) / (largest - least) } else { 1.0 };
    }
    newman_double_sum(&weights, groups)
}

fn newman_double_sum(weights: &[f64], groups: &[u32]) -> f64 {
    let n = groups.len();
    let strengths: Vec<f64> = weights.chunks(n).map(|row| row.iter().sum()).collect();
    let doubled: f64 = strengths.iter().sum();
    let mut q = 0.0;
    for i in 0..n {
        for j in 0..n {
            if groups[i] == groups[j] {
                q += weights[i * n + j] - strengths[i] * strengths[j] / doubled;
            }
        }
    }
    q / doubled
}

fn naive_distances(values: &[f32], dimensions: usize) -> Vec<f64> {
    let rows: Vec<&[f32]> = values.chunks(dimensions).collect();
    rows.iter()
        .flat_map(|a| {
            rows.iter().map(|b| {
                a.iter().zip(*b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum::<f64>().sqrt()
            })
        })
        .collect()
}

fn modularity(values: &[f32], dimensions: usize, groups: &[u32]) -> f64 {
    let rows = Embeddings::new(values, dimensions).unwrap();
    Network::of_rows(rows).unwrap().modularity(&Partition::new(groups)).unwrap()
}

/// Rows around a few centres, some of them equal; with a group for each.
fn clouds(most: usize) -> impl Strategy<Value = (Vec<f32>, usize, Vec<u32>)> {
    (2usize..most, 1usize..9).prop_flat_map(|(n, dimensions)| {
        let component = prop_oneof![3 => -1.0f32..1.0, 1 => (-2i8..3).prop_map(f32::from)];
        (
            proptest::collection::vec(component, n * dimensions),
            Just(dimensions),
            proptest::collection::vec(0u32..4, n),
        )
    })
}

#[test]
fn two_pairs_by_hand() {
    // At 0, 1, 10, 11 on a line: distances 1, 10, 11, 9, 10, 1, so the weights are 1, .1, 0, .2, .1, 1.
    // Strengths 1.1, 1.3, 1.3, 1.1; 2m = 4.8. Inside {0, 1} and {2, 3}: 2 of 2.4; expected 2·(2.4/4.8)² =
    // 1/2.
    let q = modularity(&[0.0, 1.0, 10.0, 11.0], 1, &[0, 0, 1, 1]);
    assert!((q - (2.0 / 2.4 - 0.5)).abs() < 1e-15, "{q}");
    // Grouped across: inside {0, 2} and {1, 3} 0.1 each; strengths 2.4 each again.
    let q = modularity(&[0.0, 1.0, 10.0, 11.0], 1, &[0, 1, 0, 1]);
    assert!((q - (0.2 / 2.4 - 0.5)).abs() < 1e-15, "{q}");
}

#[test]
fn what_is_all_the_same_is_a_complete_graph() {
    // Complete graph on 4 nodes, two groups of two: 2/6 − 1/2.
    let expected = 1.0 / 3.0 - 0.5;
    assert_eq!(modularity(&[0.7; 4 * 3], 3, &[0, 0, 1, 1]), expected);
    // The corners of a simplex lie at equal distances, however they were rounded.
    let corners: Vec<f32> = (0..16).map(|at| if at % 5 == 0 { 0.1 } else { 0.0 }).collect();
    let q = modularity(&corners, 4, &[0, 0, 1, 1]);
    assert!((q - expected).abs() < 1e-12, "{q}");
    // One pair is nearest and farthest at once.
    assert_eq!(modularity(&[0.0, 1.0], 1, &[0, 1]), -0.5);
}

#[test]
fn equal_rows_lie_at_zero_wherever_they_stand() {
    let dimensions = 37;
    let row: Vec<f32> = (0..dimensions).map(|at| 1e4 + (at as f32 * 0.37).sin()).collect();
    let mut values: Vec<f32> = (0..90 * dimensions).map(|at| (at as f32 * 0.011).cos() * 3.0).collect();
    for at in [0, 3, 5, 62, 66, 89] {
        values[at * dimensions..][..dimensions].copy_from_slice(&row);
    }
    let rows = Embeddings::new(&values, dimensions).unwrap();
    let squared = SquaredDistances::of(rows);
    for a in [0, 3, 5, 62, 66, 89] {
        for b in [0, 3, 5, 62, 66, 89] {
            assert_eq!(squared.get(a, b), 0.0, "{a} {b}");
        }
    }
}

#[test]
fn near_rows_far_from_the_origin_keep_their_digits() {
    // Differences of 2^-10 beside components of 2^12, and one row far away: a plain Gram matrix would be left
    // with noise.
    let mut values = vec![4096.0f32; 8 * 64];
    for (row, line) in values.chunks_mut(64).enumerate().take(7) {
        for (at, value) in line.iter_mut().enumerate() {
            *value += (((row * 7 + at * 3) % 11) as f32) / 1024.0;
        }
    }
    values[7 * 64..].fill(-60_000.0);
    let squared = SquaredDistances::of(Embeddings::new(&values, 64).unwrap());
    for (at, expected) in naive_distances(&values, 64).into_iter().enumerate() {
        let found = squared.get(at / 8, at % 8).sqrt();
        assert!((found - expected).abs() <= 1e-12 * expected, "{found} {expected}");
    }
}

#[test]
fn bad_input_is_refused() {
    let new = |values: &[f32], dimensions| Embeddings::new(values, dimensions).map(|_| ());
    assert_eq!(new(&[1.0; 5], 2), Err(TopologyError::RaggedRows { values: 5, dimensions: 2 }));
    assert_eq!(new(&[], 0), Err(TopologyError::RaggedRows { values: 0, dimensions: 0 }));
    let refused = Embeddings::new(&[0.0, 1.0, f32::NAN, 0.0], 2).unwrap_err();
    assert!(matches!(refused, TopologyError::NotFinite { row: 1, component: 0, .. }));
    assert!(new(&[f32::INFINITY], 1).is_err());
    let one = [1.0];
    let network =
        |values| Network::of_rows(Embeddings::new(values, 1).unwrap()).map(|network| network.nodes());
    assert_eq!(network(&one), Err(TopologyError::TooFewNodes(1)));
    assert_eq!(network(&[]), Err(TopologyError::TooFewNodes(0)));
    let two = Network::of_rows(Embeddings::new(&[1.0, 2.0], 1).unwrap()).unwrap();
    assert!(two.modularity(&Partition::new([0, 1, 2])).is_err());
    assert_eq!(two.modularity(&Partition::new([0])), Err(TopologyError::TooFewNodes(1)));
    assert_eq!(two.modularities(&[]), Ok(vec![]));
    let items = SquaredDistances::zero(2);
    let of_pairs = |nodes: &[(u32, u32)], weight| {
        Network::of_pairs(&items, &items, nodes, weight).map(|network| network.nodes())
    };
    assert_eq!(of_pairs(&[(0, 0), (1, 1)], 1.0), Ok(2));
    assert!(of_pairs(&[(0, 0), (1, 2)], 1.0).is_err());
    assert!(of_pairs(&[(0, 0), (1, 1)], -1.0).is_err());
    assert!(of_pairs(&[(0, 0), (1, 1)], f64::NAN).is_err());
    assert!(SquaredDistances::from_values(vec![0.0, -1.0, 1.0, 0.0], 2).is_err());
    assert!(SquaredDistances::from_values(vec![0.0; 3], 2).is_err());
    assert!(modularity_of_edges(&[(0, 2, 1.0)], &Partition::new([0, 1])).is_err());
    assert!(modularity_of_edges(&[(0, 1, f64::NAN)], &Partition::new([0, 1])).is_err());
    assert_eq!(modularity_of_edges(&[], &Partition::new([0, 1])), Ok(0.0));
}

proptest! {
    #[test]
    fn blocks_equal_the_definition((values, dimensions, groups) in clouds(150)) {
        let found = modularity(&values, dimensions, &groups);
        let expected = naive(&naive_distances(&values, dimensions), &groups);
        prop_assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        prop_assert!((-0.5 - 1e-12..=1.0).contains(&found));
    }

    #[test]
    fn the_scale_of_the_embedding_does_not_matter((values, dimensions, groups) in clouds(40), power in -20i32..20) {
        // Powers of two scale without rounding, so that the same graph comes out.
        let scaled: Vec<f32> = values.iter().map(|value| value * 2.0f32.powi(power)).collect();
        let (a, b) = (modularity(&values, dimensions, &groups), modularity(&scaled, dimensions, &groups));
        prop_assert!((a - b).abs() < 1e-12);
    }

    #[test]
    fn the_scale_of_the_weights_does_not_matter(
        edges in proptest::collection::vec((0usize..6, 0usize..6, 0.01f64..5.0), 1..20),
        groups in proptest::collection::vec(0u32..3, 6),
        factor in 0.001f64..1000.0,
    ) {
        let scaled: Vec<_> = edges.iter().map(|&(a, b, weight)| (a, b, weight * factor)).collect();
        let groups = Partition::new(groups);
        let (a, b) = (modularity_of_edges(&edges, &groups).unwrap(), modularity_of_edges(&scaled, &groups).unwrap());
        prop_assert!((a - b).abs() < 1e-12);
        prop_assert!((-0.5 - 1e-12..=1.0).contains(&a));
    }

    #[test]
    fn the_order_of_the_nodes_does_not_matter((values, dimensions, groups) in clouds(90), shift in 1usize..50) {
        let n = groups.len();
        let order: Vec<usize> = (0..n).map(|at| (at + shift) % n).rev().collect();
        let moved: Vec<f32> = order.iter().flat_map(|&at| values[at * dimensions..][..dimensions].to_vec()).collect();
        let moved_groups: Vec<u32> = order.iter().map(|&at| groups[at]).collect();
        let (a, b) = (modularity(&values, dimensions, &groups), modularity(&moved, dimensions, &moved_groups));
        prop_assert!((a - b).abs() < 1e-9, "{a} {b}");
    }

    #[test]
    fn one_group_is_zero((values, dimensions, groups) in clouds(90)) {
        prop_assert_eq!(modularity(&values, dimensions, &vec![7; groups.len()]), 0.0);
    }

    #[test]
    fn the_first_nodes_are_a_network_of_their_own((values, dimensions, groups) in clouds(150), share in 0.0f64..1.0) {
        let first = ((groups.len() as f64 * share) as usize).max(2);
        let rows = Embeddings::new(&values, dimensions).unwrap();
        let network = Network::of_rows(rows).unwrap();
        let (all, some) = (Partition::new(&groups), Partition::new(&groups[..first]));
        let found = network.modularities(&[&some, &all, &some]).unwrap();
        let alone = modularity(&values[..first * dimensions], dimensions, &groups[..first]);
        prop_assert!((found[0] - alone).abs() < 1e-9);
        prop_assert_eq!(found[0], found[2]);
        prop_assert!((found[1] - modularity(&values, dimensions, &groups)).abs() < 1e-12);
    }

    #[test]
    fn factored_equals_dense(
        (images, image_width, _) in clouds(9),
        (texts, text_width, _) in clouds(9),
        weight in 0.0f32..20.0,
        groups in proptest::collection::vec(0u32..4, 81),
    ) {
        let counts = (images.len() / image_width, texts.len() / text_width);
        let nodes: Vec<(u32, u32)> =
            (0..counts.0 as u32).flat_map(|image| (0..counts.1 as u32).map(move |text| (image, text))).collect();
        let groups = &groups[..nodes.len()];
        let mut dual = Vec::new();
        for &(image, text) in &nodes {
            dual.extend_from_slice(&images[image as usize * image_width..][..image_width]);
            dual.extend(texts[text as usize * text_width..][..text_width].iter().map(|value| value * weight));
        }
        let dense = modularity(&dual, image_width + text_width, groups);
        let image_squares = SquaredDistances::of(Embeddings::new(&images, image_width).unwrap());
        let text_squares = SquaredDistances::of(Embeddings::new(&texts, text_width).unwrap());
        let network = Network::of_pairs(&image_squares, &text_squares, &nodes, f64::from(weight)).unwrap();
        let factored = network.modularity(&Partition::new(groups)).unwrap();
        // λ·S(t) is rounded to f32 in the dense form; nothing else differs.
        prop_assert!((dense - factored).abs() < 1e-6, "{dense} {factored}");
    }

    #[test]
    fn threads_do_not_matter((values, dimensions, groups) in clouds(150)) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let alone = pool.install(|| modularity(&values, dimensions, &groups));
        prop_assert_eq!(alone, modularity(&values, dimensions, &groups));
    }
}
