"""TRL reads what is exported for it, and trains the demo checkpoint with it.

Needs torch, torchvision, transformers, trl, datasets, Pillow, pytest: `.ci/run training`.
"""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import MARKS, MODEL, PLAIN, PLAIN_STATEMENTS, heredoc
from datasets import load_dataset
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

IGNORED = -100


@pytest.fixture(scope="module")
def processor():
    read = AutoProcessor.from_pretrained(MODEL)
    # The demo has its template where tokenizers have theirs; processors of published checkpoints bring one.
    read.chat_template = read.tokenizer.chat_template
    return read


def model():
    return AutoModelForImageTextToText.from_pretrained(MODEL, dtype=torch.float32)


def tokens(text, processor):
    """The tokens of a text, none of which steers the model."""
    ids = processor.tokenizer.encode(text, add_special_tokens=False)
    assert not set(ids) & set(processor.tokenizer.get_added_vocab().values()), text
    return ids


def settings(config, folder, **options):
    """One step on the CPU."""
    return config(
        output_dir=str(folder), max_steps=1, per_device_train_batch_size=4, learning_rate=1e-3, max_length=None,
        use_cpu=True, report_to=[], save_strategy="no", logging_steps=1, gradient_checkpointing=False, bf16=False,
        dataloader_num_workers=0, **options,
    )


def text(message):
    """What the parts of a message say."""
    return "".join(part["text"] for part in message["content"] if part["type"] == "text")


def trained(trainer):
    """The loss of the step, after which weights are others."""
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    changed = [name for name, value in trainer.model.named_parameters() if not torch.equal(before[name], value)]
    assert any("language_model" in name for name in changed) and any("visual" in name for name in changed)
    return next(entry["loss"] for entry in trainer.state.log_history if "loss" in entry)


def reply(ids, processor):
    """The tokens of a reply, without what the template puts after it."""
    ids = [i for i in ids if i != IGNORED]
    end = processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert ids[-1] == end, ids
    return ids[:-1]


def test_a_folder_is_read_as_it_is(exported, tmp_path):
    """Without a line of code for it: `trl sft --dataset_name FOLDER` does the same."""
    manifest = exported.into(tmp_path, "format=trl&split=0.4&seed=3")
    data = load_dataset(str(tmp_path))
    assert {name: len(rows) for name, rows in data.items()} == {
        name: side["rows"] for name, side in manifest["sides"].items()
    }
    assert manifest["sides"]["test"]["rows"] > 0 and sum(map(len, data.values())) == len(exported.edits)
    sides = {}
    for name, rows in data.items():
        for row in rows:
            edit = exported.edits[row["edit"]]
            sides.setdefault(edit["image"]["id"], set()).add(name)
            (image,) = row["images"]
            assert image.size == (edit["image"]["width"], edit["image"]["height"])
            ours, theirs = np.asarray(exported.seen(edit), int), np.asarray(image.convert("RGB"), int)
            # Decoders of JPEG differ by a little; a picture that is turned, inverted or white, by much.
            assert np.abs(ours - theirs).mean() < 2, edit["question"]
            (asked,), (answered,) = row["prompt"], row["completion"]
            assert [part["type"] for part in asked["content"]] == ["image", "text"]
            question = PLAIN if edit["question"] == MARKS else edit["question"]
            assert text(asked) == question
            assert text(answered).endswith(edit["answer"].replace("<", "< "))
    assert all(len(names) == 1 for names in sides.values()), sides


def test_one_picture_is_a_folder_too(exported, tmp_path):
    """Where there are as few pictures as files of rows, `datasets` still finds out what the folder is."""
    exported.into(tmp_path, "format=trl")
    rows = (tmp_path / "train" / "metadata.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "train" / "metadata.jsonl").write_text(rows[0], encoding="utf-8")
    kept = json.loads(rows[0])["file_names"][0]
    for picture in (tmp_path / "train" / "images").iterdir():
        if not kept.endswith(picture.name):
            picture.unlink()
    (row,) = load_dataset(str(tmp_path), split="train")
    assert row["images"][0].size == (120, 96)


@pytest.mark.parametrize("place", ["think", "answer", "none"])
def test_the_answer_alone_is_learnt(exported, processor, tmp_path, place):
    exported.into(tmp_path / "data", f"format=trl&reasoning={place}")
    data = load_dataset(str(tmp_path / "data"), split="train")
    trainer = SFTTrainer(model(), args=settings(SFTConfig, tmp_path / "out"), train_dataset=data, processing_class=processor)
    image_token = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    for row in data:
        edit = exported.edits[row["edit"]]
        batch = trainer.data_collator([dict(row)])
        said = reply(batch["labels"][0].tolist(), processor)
        answer = edit["answer"].replace("<", "< ")
        lines = "\n".join(PLAIN_STATEMENTS)
        if place == "none" or not edit["reasoning"]:
            assert said == tokens(answer, processor)
        elif place == "think":
            assert said == tokens(f"<think>\n{lines}\n</think>\n\n{answer}", processor)
        else:
            assert said == tokens(f"{answer}\n{lines}", processor)
        ids = batch["input_ids"][0].tolist()
        # The picture's tokens are as many as its patches make, whatever the texts hold, and nothing else is special.
        assert ids.count(image_token) == int(batch["image_grid_thw"][0].prod()) // 4
        control = set(processor.tokenizer.get_added_vocab().values())
        special = [i for i in ids if i in control and i != image_token]
        assert processor.tokenizer.convert_ids_to_tokens(special) == [
            "<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|im_end|>", "<|im_start|>", "<|im_end|>",
        ]
        question = PLAIN if edit["question"] == MARKS else edit["question"]
        wanted = tokens(question, processor)
        assert any(ids[at:at + len(wanted)] == wanted for at in range(len(ids))), question
    assert math.isfinite(trained(trainer))


def test_of_messages_the_question_would_be_learnt_too(exported, processor, tmp_path):
    """Why rows have a prompt and a completion: of the same conversation as `messages`, TRL learns all of it."""
    exported.into(tmp_path / "data", "format=trl&reasoning=none")
    data = load_dataset(str(tmp_path / "data"), split="train").select(range(2))
    data = data.map(lambda row: {"messages": row["prompt"] + row["completion"]}, remove_columns=["prompt", "completion", "edit"])
    trainer = SFTTrainer(model(), args=settings(SFTConfig, tmp_path / "out"), train_dataset=data, processing_class=processor)
    labels = trainer.data_collator([dict(data[0])])["labels"][0]
    assert "what is drawing number" in processor.tokenizer.decode(labels[labels != IGNORED])


def test_pairs_prefer_the_correction(exported, processor, tmp_path):
    manifest = exported.into(tmp_path / "data", "format=trl&task=dpo")
    data = load_dataset(str(tmp_path / "data"), split="train")
    left_out = manifest["left_out"]
    assert len(data) == len(exported.edits) - left_out["answer_before_right"] - left_out["answer_before_unknown"] > 0
    trainer = DPOTrainer(model(), args=settings(DPOConfig, tmp_path / "out"), train_dataset=data, processing_class=processor)
    for row in data:
        edit = exported.edits[row["edit"]]
        batch = trainer.data_collator([dict(row)])
        chosen, rejected = (
            reply(ids[mask.bool()].tolist(), processor)
            for ids, mask in zip(batch["input_ids"], batch["completion_mask"])
        )
        assert chosen == tokens(edit["answer"].replace("<", "< "), processor)
        assert rejected == tokens(edit["before"]["answer"], processor) != chosen
    # Before the first step the policy is its own reference.
    assert trained(trainer) == pytest.approx(math.log(2), abs=1e-3)


def test_rows_with_their_pictures_in_them(exported, processor, tmp_path):
    """The processors of transformers take `data:` URLs where they take pictures."""
    exported.into(tmp_path / "files", "format=trl&reasoning=none")
    exported.into(tmp_path / "inline", "format=trl&reasoning=none&images=inline")
    beside = load_dataset(str(tmp_path / "files"), split="train")
    inside = load_dataset("json", data_files=str(tmp_path / "inline" / "train.jsonl"), split="train")
    trainer = SFTTrainer(model(), args=settings(SFTConfig, tmp_path / "out"), train_dataset=inside, processing_class=processor)
    by_edit = {row["edit"]: row for row in beside}
    for row in inside:
        here, there = (trainer.data_collator([dict(one)]) for one in (row, by_edit[row["edit"]]))
        assert torch.equal(here["input_ids"], there["input_ids"])
        # Other programs read them.
        assert torch.allclose(here["pixel_values"], there["pixel_values"], atol=0.05)
    assert math.isfinite(trained(trainer))


def test_the_recipe(exported, tmp_path):
    """The script of docs/training.md trains a step."""
    exported.into(tmp_path / "trl", "format=trl")
    (tmp_path / "train_trl.py").write_text(heredoc("train_trl.py"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "train_trl.py", str(MODEL), "trl"], cwd=tmp_path, capture_output=True, text=True, timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.strip().splitlines()[-1].removeprefix("loss ")) > 0
