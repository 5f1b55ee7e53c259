"""Makes the reference modularities of the topology crate: by networkx and by igraph, on random embeddings and random graphs.

    python tools/topology_goldens.py [crates/topology/tests/goldens]

Needs numpy, networkx and igraph; none of them is needed to build or run the service. Both libraries must agree within 1e-12
before anything is written. Made with numpy 2.4, networkx 3.6, igraph 1.0.
"""

import json
import random
import sys
from pathlib import Path

import igraph
import networkx as nx
import numpy as np

OUT = Path(sys.argv[1] if len(sys.argv) > 1 else "crates/topology/tests/goldens")


def by_both(nodes, edges, groups):
    """Modularity of a weighted graph by networkx and by igraph; edges are (a, b, weight)."""
    graph = nx.Graph()
    graph.add_nodes_from(range(nodes))
    graph.add_weighted_edges_from(edges)
    communities = [{n for n in range(nodes) if groups[n] == g} for g in sorted(set(groups))]
    one = nx.community.modularity(graph, communities, weight="weight")
    other = igraph.Graph(n=nodes, edges=[(a, b) for a, b, _ in edges])
    two = other.modularity(groups, weights=[weight for _, _, weight in edges], directed=False)
    assert abs(one - two) < 1e-12, (one, two)
    return {"networkx": one, "igraph": two}


def similarity(values):
    """Edges of the similarity network: w = 1 - (d - d_min) / (d_max - d_min)."""
    rows = np.asarray(values, dtype=np.float32).astype(np.float64)
    pairs = [(i, j) for i in range(len(rows)) for j in range(i)]
    distances = np.array([np.sqrt(((rows[i] - rows[j]) ** 2).sum()) for i, j in pairs])
    weights = 1 - (distances - distances.min()) / (distances.max() - distances.min())
    return [(i, j, float(w)) for (i, j), w in zip(pairs, weights)]


def embeddings(rng):
    """Random rows around centres, of several sizes; components are multiples of 1/64, so that they are short and exact in f32."""
    for nodes, dimensions, centres, spread in [
        (2, 3, 1, 1), (5, 1, 2, 1), (12, 4, 3, 0.2), (30, 16, 5, 0.5), (67, 3, 4, 1), (70, 5, 70, 1), (130, 2, 6, 0.1),
        (40, 33, 8, 3),
    ]:
        middle = rng.normal(size=(centres, dimensions)) * 3
        groups = [int(g) for g in rng.integers(0, centres, nodes)]
        rows = middle[groups] + rng.normal(size=(nodes, dimensions)) * spread
        values = (np.round(rows * 64) / 64).tolist()
        yield values, groups
        # And a partition that has nothing to do with the rows.
        yield values, [int(g) for g in rng.integers(0, 3, nodes)]


def graphs(rng):
    """Random sparse graphs, some with edges from a node to itself, which count twice."""
    for nodes, share, loops in [(6, 0.5, False), (20, 0.2, True), (50, 0.1, False), (80, 0.05, True)]:
        edges = [
            (i, j, round(rng.uniform(0.1, 5), 3))
            for i in range(nodes)
            for j in range(i + 1 if loops else i)
            if rng.random() < share
        ]
        yield nodes, edges, [rng.randrange(max(2, nodes // 8)) for _ in range(nodes)]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    records = {"embeddings": [], "graphs": []}
    for values, groups in embeddings(np.random.default_rng(7)):
        edges = similarity(values) if len(values) > 2 else [(0, 1, 1.0)]
        record = {"dimensions": len(values[0]), "values": sum(values, []), "groups": groups}
        records["embeddings"].append(record | by_both(len(values), edges, groups))
    for nodes, edges, groups in graphs(random.Random(7)):
        records["graphs"].append({"edges": edges, "groups": groups} | by_both(nodes, edges, groups))
    lines = ["{"]
    for at, (name, cases) in enumerate(records.items()):
        body = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
        lines.append(f'"{name}": [\n{body}\n]' + ("," if at == 0 else ""))
    (OUT / "modularity.json").write_text("\n".join(lines) + "\n}\n")
    print(OUT / "modularity.json", *(f"{len(cases)} {name}" for name, cases in records.items()))


if __name__ == "__main__":
    main()
