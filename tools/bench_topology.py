"""Times the topology crate beside networkx on the same graph, on one core each.

    cargo build --release --workspace --examples
    python tools/bench_topology.py [--rows 400] [--dimensions 1024] [--groups 20] [--program target/release/examples/bench_topology]

Two comparisons, each doing the same work on both sides: from embeddings to modularity (numpy distances, a networkx graph,
its modularity) and, for the graph alone, from distances to modularity (networkx given a graph that is built already). The
modularities must agree within 1e-9.
"""

import os

for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]:
    os.environ[name] = "1"

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import networkx as nx
import numpy as np


def distances_of(rows):
    norms = (rows**2).sum(1)
    return np.sqrt(np.maximum(norms[:, None] + norms[None, :] - 2 * rows @ rows.T, 0))


def graph_of(distances):
    above = np.triu_indices(len(distances), 1)
    least, largest = distances[above].min(), distances[above].max()
    weights = 1 - (distances - least) / (largest - least)
    np.fill_diagonal(weights, 0)
    return nx.from_numpy_array(weights)


def timed(compute, times):
    least = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        value = compute()
        least = min(least, (time.perf_counter() - start) * 1e3)
    return least, value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--dimensions", type=int, default=1024)
    parser.add_argument("--groups", type=int, default=20)
    parser.add_argument("--program", default="target/release/examples/bench_topology")
    args = parser.parse_args()

    rng = np.random.default_rng(3)
    groups = np.arange(args.rows) % args.groups
    centres = rng.normal(size=(args.groups, args.dimensions))
    rows = (centres[groups] + rng.normal(size=(args.rows, args.dimensions))).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.f32"
        rows.tofile(file)
        command = [args.program, args.rows, args.dimensions, args.groups, file]
        ours = json.loads(subprocess.run([str(c) for c in command], check=True, capture_output=True).stdout)

    communities = [set(np.flatnonzero(groups == g).tolist()) for g in range(args.groups)]
    wide = rows.astype(np.float64)
    whole, value = timed(lambda: nx.community.modularity(graph_of(distances_of(wide)), communities), 3)
    graph = graph_of(distances_of(wide))
    alone, _ = timed(lambda: nx.community.modularity(graph, communities), 3)
    assert abs(value - ours["modularity"]) < 1e-9, (value, ours)

    print(f"{args.rows} nodes, {args.dimensions} dimensions, Q = {value:.9f}, one core")
    for name, here, there in [
        ("embeddings to modularity", ours["from_embeddings_ms"], whole),
        ("distances or graph to modularity", ours["from_distances_ms"], alone),
    ]:
        print(f"{name:34} {here:8.2f} ms   networkx {there:8.1f} ms   {there / here:6.0f} x")


if __name__ == "__main__":
    main()
