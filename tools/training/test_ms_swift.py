"""ms-swift reads what is exported for it, by its own loader and template.

Needs ms-swift, qwen_vl_utils and pytest in an environment of their own: `.ci/run training`. No step is trained: its
template of Qwen3-VL knows the picture's token by the number that it has in the published vocabulary, and the demo's is
smaller.
"""

import json
import os

import pytest
from conftest import MARKS, MODEL, PLAIN, PLAIN_STATEMENTS
from swift import get_processor, get_template
from swift.dataset import load_dataset

IGNORED = -100


@pytest.fixture(scope="module")
def template():
    processor = get_processor(str(MODEL), model_type="qwen3_vl")
    template = get_template(processor)
    template.image_token_id = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    return template


def said(labels, tokenizer):
    """The tokens of a reply, without what the template puts after it."""
    ids = [label for label in labels if label != IGNORED]
    assert ids[-1] == tokenizer.convert_tokens_to_ids("<|im_end|>"), ids
    return ids[:-1]


def tokens(text, tokenizer):
    """The tokens of a text, none of which steers the model."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert not set(ids) & set(tokenizer.get_added_vocab().values()), text
    return ids


def loaded(folder, monkeypatch, side="train"):
    """Rows as the trainer gets them, each with its line."""
    monkeypatch.setitem(os.environ, "ROOT_IMAGE_DIR", str(folder))
    data, _ = load_dataset(str(folder / f"{side}.jsonl"), strict=True, load_from_cache_file=False)
    lines = (folder / f"{side}.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(data) == len(lines)
    return zip(data, map(json.loads, lines))


@pytest.mark.parametrize("place", ["files", "inline"])
def test_conversations(exported, template, tmp_path, monkeypatch, place):
    manifest = exported.into(tmp_path, f"format=ms-swift&split=0.4&seed=3&images={place}")
    template.set_mode("train")
    tokenizer = template.tokenizer
    for side in manifest["sides"]:
        for row, line in loaded(tmp_path, monkeypatch, side):
            edit = exported.edits[line["edit"]]
            encoded = template.encode(row)
            answer = edit["answer"].replace("<", "< ")
            lines = "\n".join(PLAIN_STATEMENTS)
            wanted = f"<think>\n{lines}\n</think>\n\n{answer}" if edit["reasoning"] else answer
            assert said(encoded["labels"], tokenizer) == tokens(wanted, tokenizer)
            ids = encoded["input_ids"]
            assert ids.count(template.image_token_id) == int(encoded["image_grid_thw"].prod()) // 4
            asked = tokens(PLAIN if edit["question"] == MARKS else edit["question"], tokenizer)
            after = ids.index(tokenizer.convert_tokens_to_ids("<|vision_end|>")) + 1
            assert ids[after:after + len(asked)] == asked


def test_pairs(exported, template, tmp_path, monkeypatch):
    manifest = exported.into(tmp_path, "format=ms-swift&task=dpo")
    assert manifest["sides"]["train"]["rows"] > 0
    template.set_mode("rlhf")
    tokenizer = template.tokenizer
    for row, line in loaded(tmp_path, monkeypatch):
        edit, encoded = exported.edits[line["edit"]], template.encode(row)
        assert said(encoded["chosen_labels"], tokenizer) == tokens(edit["answer"].replace("<", "< "), tokenizer)
        assert said(encoded["rejected_labels"], tokenizer) == tokens(edit["before"]["answer"], tokenizer)
