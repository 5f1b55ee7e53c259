"""LLaMA-Factory reads what is exported for it, by its own loader, and trains the demo checkpoint with it.

Needs llamafactory and pytest in an environment of their own, since it wants older libraries than others: `.ci/run training`.
"""

import json
import os
import subprocess
import sys

from conftest import MARKS, MODEL, PLAIN, PLAIN_STATEMENTS, ROOT, heredoc
from PIL import Image

os.environ.setdefault("DISABLE_VERSION_CHECK", "1")

from llamafactory.data import get_dataset, get_template_and_fix_tokenizer  # noqa: E402
from llamafactory.hparams import get_train_args  # noqa: E402
from llamafactory.model import load_tokenizer  # noqa: E402
from llamafactory.train.tuner import run_exp  # noqa: E402

IGNORED = -100


def options(folder, stage, **more):
    """What a file of settings for `llamafactory-cli train` would hold."""
    task = "dpo" if stage == "dpo" else "sft"
    return {
        "model_name_or_path": str(MODEL), "stage": stage, "do_train": True, "finetuning_type": "full",
        "dataset": f"reasonedit_{task}", "dataset_dir": str(folder), "template": "qwen3_vl_nothink", "cutoff_len": 2048,
        "output_dir": str(folder / "out"), "overwrite_cache": True, "report_to": "none", "max_steps": 1, "logging_steps": 1,
        "per_device_train_batch_size": 2, "learning_rate": 1e-3, "use_cpu": True, "bf16": False, "fp16": False,
        "save_strategy": "no", "dataloader_num_workers": 0, "freeze_vision_tower": True, **more,
    }


def loaded(arguments):
    """The data sets as the trainer gets them, and the tokenizer."""
    model_args, data_args, training_args, finetuning_args, _ = get_train_args(dict(arguments))
    module = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(module["tokenizer"], data_args)
    stage = "rm" if finetuning_args.stage == "dpo" else finetuning_args.stage
    return get_dataset(template, model_args, data_args, training_args, stage=stage, **module), module["tokenizer"]


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


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_conversations(exported, tmp_path):
    manifest = exported.into(tmp_path, "format=llama-factory&split=0.4&seed=3")
    data, tokenizer = loaded(options(tmp_path, "sft", eval_dataset="reasonedit_sft_test"))
    sides = {"train": data["train_dataset"], "test": data["eval_dataset"]}
    assert {name: len(rows) for name, rows in sides.items()} == {name: side["rows"] for name, side in manifest["sides"].items()}
    for name, side in sides.items():
        for row, line in zip(side, rows(tmp_path / f"{name}.jsonl")):
            edit = exported.edits[line["edit"]]
            answer = edit["answer"].replace("<", "< ")
            lines = "\n".join(PLAIN_STATEMENTS)
            wanted = f"<think>\n{lines}\n</think>\n\n{answer}" if edit["reasoning"] else answer
            assert said(row["labels"], tokenizer) == tokens(wanted, tokenizer)
            question = PLAIN if edit["question"] == MARKS else edit["question"]
            ids, asked = row["input_ids"], tokens(question, tokenizer)
            after = ids.index(tokenizer.convert_tokens_to_ids("<|vision_end|>")) + 1
            assert ids[after:after + len(asked)] == asked, question
            (picture,) = row["images"]
            assert Image.open(picture).size == (edit["image"]["width"], edit["image"]["height"])


def test_the_reasoning_template_takes_the_thinking_for_its_own(exported, tmp_path):
    """It puts an empty thought before replies in which it finds none."""
    exported.into(tmp_path, "format=llama-factory")
    data, tokenizer = loaded(options(tmp_path, "sft", template="qwen3_vl"))
    for row, line in zip(data["train_dataset"], rows(tmp_path / "train.jsonl")):
        empty = not exported.edits[line["edit"]]["reasoning"]
        begun = tokens("<think>\n\n</think>" if empty else f"<think>\n{PLAIN_STATEMENTS[0]}", tokenizer)
        assert said(row["labels"], tokenizer)[:len(begun)] == begun


def test_pairs(exported, tmp_path):
    manifest = exported.into(tmp_path, "format=llama-factory&task=dpo")
    data, tokenizer = loaded(options(tmp_path, "dpo"))
    assert len(data["train_dataset"]) == manifest["sides"]["train"]["rows"] > 0
    for row, line in zip(data["train_dataset"], rows(tmp_path / "train.jsonl")):
        edit = exported.edits[line["edit"]]
        assert said(row["chosen_labels"], tokenizer) == tokens(edit["answer"].replace("<", "< "), tokenizer)
        assert said(row["rejected_labels"], tokenizer) == tokens(edit["before"]["answer"], tokenizer)


def losses(folder):
    """What the trainer wrote down of its steps."""
    log = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    return [entry["train_loss"] for entry in log if "train_loss" in entry]


def test_a_step(exported, tmp_path):
    exported.into(tmp_path, "format=llama-factory")
    run_exp(options(tmp_path, "sft"))
    assert losses(tmp_path / "out")[0] > 0


def test_the_recipe(exported, tmp_path):
    """The settings of docs/training.md train a step on pairs."""
    exported.into(tmp_path / "llama-factory", "format=llama-factory&task=dpo")
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "llama-factory.yaml").write_text(heredoc("llama-factory.yaml"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "llamafactory.cli", "train", "llama-factory.yaml"],
        cwd=tmp_path, capture_output=True, text=True, timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert losses(tmp_path / "trained-llama-factory")[0] > 0
