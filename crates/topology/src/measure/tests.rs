use proptest::prelude::*;

use super::*;
use crate::draw::Item;
use crate::rows::{Embeddings, SquaredDistances};

/// A place on a line for every item: originals ten apart, views a little beside their original, foreign ones
/// far away.
fn place(item: Item) -> f32 {
    match item {
        Item::Original { pair } => 10.0 * pair as f32,
        Item::View { pair, view } => 10.0 * pair as f32 + 0.125 * (view + 1) as f32,
        Item::Foreign { index } => -50.0 - index as f32,
    }
}

fn lines(items: &[Item]) -> Vec<f32> {
    items.iter().map(|&item| place(item)).collect()
}

fn factored(draw: &Draw, weight: f64) -> Measures {
    let squares = SquaredDistances::of(Embeddings::new(&lines(&draw.images()), 1).unwrap());
    let nodes = draw.node_indices();
    measure(draw, &Network::of_pairs(&squares, &squares, &nodes, weight).unwrap()).unwrap()
}

#[test]
fn an_embedding_of_pictures_alone_is_vision_biased() {
    let draw = Draw::new(5).unwrap();
    let measures = factored(&draw, 0.0);
    // By hand: w = 1 − |i − j|/4 between pictures i and j, whatever the text. Of all weight, m = 175, 50 lies
    // within pictures and 25 within texts; strengths of the pictures 57.5, 76.25, 82.5, 76.25, 57.5 of 350,
    // of the texts a fifth each.
    let expected =
        2.0 * (57.5f64 / 350.0).powi(2) + 2.0 * (76.25f64 / 350.0).powi(2) + (82.5f64 / 350.0).powi(2);
    assert!((measures.vision_modularity - (50.0 / 175.0 - expected)).abs() < 1e-12, "{measures:?}");
    assert!((measures.language_modularity - (25.0 / 175.0 - 0.2)).abs() < 1e-12, "{measures:?}");
    // Another text moves nothing, a perturbed picture something: the definition's two extremes.
    assert_eq!((measures.vision_bias, measures.language_bias), (1.0, -1.0));
}

#[test]
fn both_modalities_alike_are_balanced() {
    let draw = Draw::new(5).unwrap();
    let measures = factored(&draw, 1.0);
    assert!((measures.vision_modularity - measures.language_modularity).abs() < 1e-12);
    assert!((measures.vision_bias - measures.language_bias).abs() < 1e-12);
    assert!(measures.vision_bias < 0.0 && measures.bimodal_modularity > 0.0, "{measures:?}");
    assert!(measures.bimodal_modularity > factored(&draw, 0.01).bimodal_modularity);
}

#[test]
fn biases_by_hand() {
    // Anchor at 0; perturbed at 1 and 3 (mean 2), mismatched at 5 and 7 (mean 6).
    let rows = [0.0, 1.0, 3.0, 5.0, -7.0];
    let network = Network::of_rows(Embeddings::new(&rows, 1).unwrap()).unwrap();
    assert_eq!(bias(&network, 0, &[1, 2], &[3, 4]), (2.0 - 6.0) / 8.0);
    assert_eq!(bias(&network, 0, &[3, 4], &[1, 2]), 0.5);
    assert_eq!(bias(&network, 0, &[0], &[0]), 0.0);
}

#[test]
fn a_draw_needs_its_own_nodes() {
    let draw = Draw::new(3).unwrap();
    let rows = vec![0.0; draw.network_nodes()];
    let network = Network::of_rows(Embeddings::new(&rows, 1).unwrap()).unwrap();
    assert!(matches!(measure(&draw, &network), Err(TopologyError::Count { .. })));
}

proptest! {
    #[test]
    fn rows_and_factors_agree(pairs in 2usize..6, perturbed in 1usize..5, foreign in 0usize..4, weight in 0.0f32..3.0) {
        let draw = Draw::new(pairs).unwrap().with_probes(perturbed, foreign);
        let rows: Vec<f32> =
            draw.nodes().into_iter().flat_map(|node| [place(node.image), weight * place(node.text)]).collect();
        let dense = measure(&draw, &Network::of_rows(Embeddings::new(&rows, 2).unwrap()).unwrap()).unwrap();
        let sparse = factored(&draw, f64::from(weight));
        for (a, b) in [
            (dense.vision_modularity, sparse.vision_modularity),
            (dense.language_modularity, sparse.language_modularity),
            (dense.bimodal_modularity, sparse.bimodal_modularity),
            (dense.vision_bias, sparse.vision_bias),
            (dense.language_bias, sparse.language_bias),
        ] {
            prop_assert!((a - b).abs() < 1e-5, "{dense:?} {sparse:?}");
            prop_assert!((-1.0..=1.0).contains(&a));
        }
    }
}
