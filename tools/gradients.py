"""Writes what crates/tuning compares its gradients with: PyTorch's, of the demo model and of two tiny golden checkpoints.

    python tools/gradients.py                     # all, into crates/tuning/tests/goldens
    python tools/gradients.py --name demo --out DIR

Each is a prompt with one picture and a reply of a few tokens, and has in its folder

- `example.json`: checkpoint, picture, token ids of prompt (the picture as its placeholders) and reply, layer in the middle;
- `feed_forward.safetensors`: `loss` (mean cross-entropy over the tokens of the reply), and where these are predicted `logits` and
  `hidden`, which enters the norm of the final feed-forward block, with its gradient; gradients of the weights of that block and of
  the matrix that ends the block in the middle. Of large ones norm, sampled entries and products with a vector on either side;
- `low_rank.safetensors`: factors `lora_A` and `lora_B` (rank 4, alpha 8, none zero) for the four projections of the attention in
  every layer, their gradients, and the loss with them.

All in float32 with eager attention, on one thread. Needs torch, transformers 5, numpy, pillow, safetensors.
"""

import argparse
import json
from pathlib import Path

import torch
import transformers
from PIL import Image
from reference.gradients import Example, stored_picture, write_gradients

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "crates/tuning/tests/goldens"
TINY = {"qwen2_5_vl-2": "Yes, it does.", "llava-4": "Yes, it does."}
"""Golden checkpoints of crates/models, and the reply to their first case."""
SIZE = (140, 112)
"""Of the demo's picture: one that its preprocessing leaves as it is, and no square."""
QUESTION, REPLY = "What is this specimen called?", "A purple object is called a pumpkin."


def opened(folder):
    """The model of a checkpoint in float32."""
    config = transformers.AutoConfig.from_pretrained(folder)
    kind = getattr(transformers, config.architectures[0])
    return kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def demo_example(model, picture):
    """The demo model's, and its picture as bytes of colour."""
    folder = ROOT / "models/demo/vlm"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.Qwen2VLImageProcessorPil.from_pretrained(folder)
    batch = processor(images=[picture], return_tensors="pt")
    grid = batch["image_grid_thw"]
    tokens = int(grid[0].prod()) // processor.merge_size**2
    assert grid[0, 1:].tolist() == [SIZE[1] // processor.patch_size, SIZE[0] // processor.patch_size]
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False)  # noqa: E731
    prompt_ids = encode(prompt.replace("<|image_pad|>", "<|image_pad|>" * tokens))
    assert prompt_ids.count(model.config.image_token_id) == tokens
    inputs = {"pixel_values": batch["pixel_values"].float(), "image_grid_thw": grid}
    return Example(model, prompt_ids, encode(REPLY), inputs)


def write_demo(out):
    """The demo model, about a part of one of its samples."""
    out.mkdir(parents=True, exist_ok=True)
    picture = Image.open(ROOT / "models/demo/samples/specimen.jpg").convert("RGB").resize(SIZE, Image.BICUBIC)
    picture.save(out / "image.png", optimize=True)
    # The service decodes the file; so does this.
    picture = Image.open(out / "image.png").convert("RGB")
    example = demo_example(opened(ROOT / "models/demo/vlm"), picture)
    write_gradients(example, {"checkpoint": "models/demo/vlm", "image": "image.png"}, 18, out)


def write_tiny(name, reply, out):
    """A golden checkpoint, about the first of its pictures."""
    folder = ROOT / "crates/models/tests/goldens" / name
    case = json.loads((folder / "reference.json").read_text())["cases"][0]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    reply_ids = tokenizer.encode(reply, add_special_tokens=False)
    example = Example(opened(folder), case["input_ids"], reply_ids, stored_picture(folder, case["images"][0]))
    about = {"checkpoint": f"crates/models/tests/goldens/{name}", "pixels": f"image.{case['images'][0]}"}
    write_gradients(example, about, 18, out)


def main():
    """Writes what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", choices=["demo", *TINY])
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.name in (None, "demo"):
        write_demo(arguments.out / "demo")
    for name, reply in TINY.items():
        if arguments.name in (None, name):
            write_tiny(name, reply, arguments.out / name)


if __name__ == "__main__":
    main()
