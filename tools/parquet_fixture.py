#!/usr/bin/env python3
"""Writes crates/evaluation/src/files/fixtures/pyarrow.parquet: records as Hugging Face's `datasets` writes them, so that the reader is held to
another writer than the one of its own library.

    pip install pyarrow pillow
    python3 tools/parquet_fixture.py

The pictures are squares of one colour. Two row groups; dictionary, large and plain strings; pages of the second version.
"""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

OUT = Path(__file__).resolve().parent.parent / "crates/evaluation/src/files/fixtures/pyarrow.parquet"


def square(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG")
    return out.getvalue()


def main() -> None:
    pictures = [{"bytes": square(colour), "path": None} for colour in [(200, 0, 0), (0, 200, 0), (0, 0, 200)]]
    table = pa.table(
        {
            "question_id": ["q0", "q1", "q2"],
            "image": pa.array(pictures, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            "question": pa.array(["Which colour?", "What hue?", "What tint?"], pa.large_string()),
            "choices": [["red", "green"], ["red", "green", "blue"], ["blue", "red"]],
            "correct_choice_idx": pa.array([0, 1, 0], pa.int8()),
            "answer": pa.array(["red", "green", "blue"]).dictionary_encode(),
            "rationales": [["It is like a rose. A rose is red."], ["It is like grass."], [""]],
            "seen_at": pa.array([0, 1, 2], pa.timestamp("ns")),
        }
    )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, OUT, row_group_size=2, data_page_version="2.0", compression="snappy")
    print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
