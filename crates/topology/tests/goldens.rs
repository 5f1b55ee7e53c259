//! Modularity equals that of networkx and of igraph, on embeddings and on graphs; `tools/topology_goldens.py`
//! makes the references.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use reasonedit_topology::{Embeddings, Network, Partition, modularity_of_edges};
use serde::Deserialize;

const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Goldens {
    embeddings: Vec<OfEmbeddings>,
    graphs: Vec<OfGraph>,
}

#[derive(Deserialize)]
struct OfEmbeddings {
    dimensions: usize,
    values: Vec<f32>,
    groups: Vec<u32>,
    networkx: f64,
    igraph: f64,
}

#[derive(Deserialize)]
struct OfGraph {
    edges: Vec<(usize, usize, f64)>,
    groups: Vec<u32>,
    networkx: f64,
    igraph: f64,
}

fn goldens() -> Goldens {
    let goldens: Goldens = serde_json::from_str(include_str!("goldens/modularity.json")).unwrap();
    assert!(goldens.embeddings.len() >= 16 && goldens.graphs.len() >= 4);
    goldens
}

#[test]
fn similarity_networks_as_networkx_and_igraph_have_them() {
    for case in goldens().embeddings {
        let network = Network::of_rows(Embeddings::new(&case.values, case.dimensions).unwrap()).unwrap();
        let found = network.modularity(&Partition::new(case.groups)).unwrap();
        for expected in [case.networkx, case.igraph] {
            assert!((found - expected).abs() < TOLERANCE, "{found} {expected}");
        }
    }
}

#[test]
fn random_graphs_as_networkx_and_igraph_have_them() {
    for case in goldens().graphs {
        let found = modularity_of_edges(&case.edges, &Partition::new(case.groups)).unwrap();
        for expected in [case.networkx, case.igraph] {
            assert!((found - expected).abs() < TOLERANCE, "{found} {expected}");
        }
    }
}
