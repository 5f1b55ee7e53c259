"""Proves that the training forward pass and the tree packing equal transformers' Qwen3-VL on ordinary single-turn prompts.

In f32, for several picture grids: the scores at every reply position of every branch of packed rows against
`Qwen3VLForConditionalGeneration` run on the single turn alone. Exits with an error when they differ by more than 1e-4.
"""

import argparse

import numpy as np
import torch
from export import render_prompt
from model import FastForward, build_model, patches_to_pixels, tree_mask
from packing import Packer

GRIDS = [(4, 4), (3, 5), (5, 3), (2, 7), (4, 5), (1, 12), (1, 2)]
TREES = [
    ("Round things with a dark rim are called zorbs. Zorbs live in moss.", [["What is it called?", "zorb", "a"], ["Where does it live?", "moss", "b"]]),
    ("", [["What colour is the thing?", "red", "c"], ["Does the image show a red star?", "no", "d"]]),
    ("The answer to 'What is it?' about the image is plim.", [["What is it?", "plim", "e"], ["Describe this image.", "The thing is red.", "describe"]]),
]


def single_turn_scores(model, tokenizer, pixels, grid, context, question, answer):
    """Scores of transformers at the reply positions of one turn: (reply tokens + 1, vocabulary)."""
    gh, gw = grid
    patches = pixels[: gh * gw * 4].view(-1, 3, 1, 196).expand(-1, -1, 2, -1).reshape(gh * gw * 4, -1)
    text = f"{context} {question}".strip()
    prompt = render_prompt(text).replace("<|image_pad|>", "<|image_pad|>" * (gh * gw))
    head = tokenizer.encode(prompt, add_special_tokens=False).ids
    tail = tokenizer.encode(answer, add_special_tokens=False).ids
    ids = torch.tensor([head + tail])
    out = model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=patches,
        image_grid_thw=torch.tensor([[1, gh * 2, gw * 2]]),
        mm_token_type_ids=(ids == 5).long(),
    )
    return out.logits[0, len(head) - 1 :], [*tail, 2]


def main():
    """Compare and report the greatest difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--length", type=int, default=192)
    args = parser.parse_args()
    torch.manual_seed(3)
    torch.set_num_threads(1)
    packer = Packer(args.tokenizer, args.length)
    tokenizer = packer.encode.tokenizer
    model = build_model(tokenizer.get_vocab_size()).eval()
    with torch.no_grad():
        patch = model.model.visual.patch_embed.proj.weight
        patch.copy_(patch.mean(2, keepdim=True).expand_as(patch))
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.add_(torch.randn_like(parameter) * 0.03)
        patch.copy_(patch[:, :, :1].expand_as(patch))
    fast = FastForward(model, torch.float32)
    views = np.random.default_rng(1).integers(0, 256, (len(GRIDS), 47_040), dtype=np.uint8)
    records = np.zeros(len(GRIDS), packer.type)
    for i in range(len(GRIDS)):
        packer.pack(i, TREES, records[i])
    pixels = patches_to_pixels(views, torch.float32)
    grid = fast.indices(GRIDS)
    field = {k: torch.from_numpy(records[k].astype(np.int64)) for k in ("ids", "target", "offset", "context", "branch")}
    worst = 0.0
    turns = 0
    with torch.no_grad():
        cells, deep = fast.vision(pixels, *fast.vision_tables(grid))
        mask = tree_mask(field["context"], field["branch"], fast.row_valid(grid, args.length))
        cos, sin = fast.rotary(field["offset"], grid)
        hidden = fast.language(field["ids"], cells, deep, cos, sin, mask)
        scores = fast.logits(hidden)
        slots = torch.arange(args.length).flip(0)[None, : args.length - 50].expand(len(GRIDS), -1)
        picked = fast.language(field["ids"], cells, deep, cos, sin, mask, slots)
        if not torch.allclose(picked, hidden.gather(1, slots[..., None].expand_as(picked)), atol=1e-5):
            raise SystemExit("the last layer over chosen slots differs from the whole")
        for i, shape in enumerate(GRIDS):
            number = 0
            for context, questions in TREES:
                for question, answer, _ in questions:
                    number += 1
                    slots = ((field["branch"][i] == number) & (field["target"][i] > 0)).nonzero()[:, 0]
                    want, tokens = single_turn_scores(model, tokenizer, pixels[i], shape, context, question, answer)
                    if field["target"][i][slots].tolist() != tokens:
                        raise SystemExit(f"targets differ: {field['target'][i][slots].tolist()} {tokens}")
                    worst = max(worst, (scores[i][slots] - want).abs().max().item())
                    turns += 1
    spread = scores[field["target"] > 0].std().item()
    print(f"{turns} turns on {len(GRIDS)} grids: greatest difference {worst:.2e} (scores have standard deviation {spread:.2f})")
    if worst > 1e-4:
        raise SystemExit("the training forward pass differs from transformers")


if __name__ == "__main__":
    main()
