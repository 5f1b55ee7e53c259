//! Measures a similarity network's modularity, from embeddings and from known squared distances:
//! `cargo run --release --example bench_topology -- [ROWS DIMENSIONS GROUPS FILE]`, FILE holding ROWS ×
//! DIMENSIONS little-endian f32. Rows belong to the groups in turn. Without arguments: 400 random rows of
//! 1,024 in 20 groups. Prints one line of JSON, times in milliseconds (least of 30). `RAYON_NUM_THREADS=1`
//! for one core; `tools/bench_topology.py` compares with networkx.

use std::time::Instant;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reasonedit_topology::{Embeddings, Network, Partition, SquaredDistances};

const TIMES: usize = 30;

/// The least time of some repetitions in milliseconds, and what was computed.
fn timed<T>(mut compute: impl FnMut() -> T) -> (f64, T) {
    let mut least = f64::INFINITY;
    let mut last = None;
    for _ in 0..TIMES {
        let start = Instant::now();
        let value = compute();
        least = least.min(start.elapsed().as_secs_f64() * 1e3);
        last = Some(value);
    }
    (least, last.unwrap_or_else(compute))
}

#[allow(clippy::print_stdout)] // It is what the program is for.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (rows, dimensions, groups, values) = if let [rows, dimensions, groups, file] = arguments.as_slice() {
        let bytes = std::fs::read(file)?;
        let values = bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
        (rows.parse()?, dimensions.parse()?, groups.parse()?, values)
    } else {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let values: Vec<f32> = (0..400 * 1024).map(|_| generator.random_range(-1.0..1.0)).collect();
        (400usize, 1024usize, 20usize, values)
    };
    let partition = Partition::new((0..rows).map(|row| row % groups));
    let embeddings = Embeddings::new(&values, dimensions)?;
    let (from_rows, modularity) = timed(|| Network::of_rows(embeddings)?.modularity(&partition));

    let squares = SquaredDistances::of(embeddings);
    let same_text = SquaredDistances::zero(1);
    let nodes: Vec<(u32, u32)> = (0..rows as u32).map(|row| (row, 0)).collect();
    let (from_distances, again) =
        timed(|| Network::of_pairs(&squares, &same_text, &nodes, 0.0)?.modularity(&partition));
    println!(
        "{{\"rows\": {rows}, \"dimensions\": {dimensions}, \"threads\": {}, \"from_embeddings_ms\": {from_rows:.3}, \
         \"from_distances_ms\": {from_distances:.3}, \"modularity\": {:.15}, \"modularity_from_distances\": {:.15}}}",
        rayon::current_num_threads(),
        modularity?,
        again?
    );
    Ok(())
}
