#!/usr/bin/env python3
"""Writes crates/evaluation/src/files/fixtures: records as pyarrow and Hugging Face's `datasets` write them, so that the readers are held to
other writers than those of their own libraries.

    pip install datasets pyarrow pillow
    python3 tools/dataset_fixtures.py

The pictures are squares of one colour. `pyarrow.parquet`: two row groups; dictionary, large and plain strings; pages of the second version.
`save_to_disk`: two splits, one of them in two files; the answer by its letter or its place; a record without a picture.
"""

import io
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, Features, Image as ImageFeature, List, Value
from PIL import Image

FIXTURES = Path(__file__).resolve().parent.parent / "crates/evaluation/src/files/fixtures"
OUT = FIXTURES / "pyarrow.parquet"


def square(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG")
    return out.getvalue()


def saved() -> None:
    out = FIXTURES / "save_to_disk"
    shutil.rmtree(out, ignore_errors=True)
    colours = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}

    def split(answers, kind):
        features = Features(
            {
                "image": ImageFeature(),
                "question": Value("string"),
                "choices": List(Value("string")),
                "answer": Value(kind),
                "solution": Value("string"),
            }
        )
        rows = [
            {
                "image": {"bytes": square(colour), "path": None},
                "question": f"What is the colour of square {number}?",
                "choices": list(colours),
                "answer": answer,
                "solution": f"Squares like this are {name}.",
            }
            for number, ((name, colour), answer) in enumerate(zip(colours.items(), answers))
        ]
        rows.append({"image": None, "question": "Without a picture?", "choices": ["yes", "no"], "answer": answers[0], "solution": ""})
        return Dataset.from_list(rows, features=features)

    sets = DatasetDict({"train": split([0, 1, 2], "int8"), "test": split(["A", "B", "C"], "large_string")})
    sets.save_to_disk(str(out), num_shards={"train": 2, "test": 1})
    for path in sorted(out.rglob("*")):
        if path.is_file():
            print(f"{path}: {path.stat().st_size} bytes")


def main() -> None:
    saved()
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
