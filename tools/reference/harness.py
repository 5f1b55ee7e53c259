"""Runs transformers over conversations and writes down what `reasonedit models check` compares: prompts as token ids, logits,
pooled taps, greedy continuations."""

import json
from dataclasses import dataclass, field
from typing import Callable

import torch
from safetensors.torch import save_file

from .common import pooled, versions, write_json

KEPT = 3
"""Logits are written for this many last positions."""

GREEDY = 8
"""Tokens of a greedy continuation."""


def image():
    return {"type": "image"}


def text(value):
    return {"type": "text", "text": value}


def turn(role, *parts):
    return {"role": role, "content": list(parts)}


CONVERSATIONS = [
    ([turn("user", image(), text("Does the image show a red circle?"))], [0]),
    ([turn("user", text("Look:\n"), image(), text(" What is it? 12 stripes, naïve café …"))], [1]),
    ([turn("user", image(), text("Compare this with "), image(), text(" please."))], [2, 0]),
    ([turn("user", text("Is a lesion with an irregular border suspicious?"))], []),
    (
        [
            turn("system", text("Answer in one word.")),
            turn("user", image(), text("Describe this image.")),
            turn("assistant", text("The lesion is round.")),
            turn("user", text("  And its border?  \n")),
        ],
        [1],
    ),
]
"""Messages, and which pictures stand where they show one."""

TEXT_CONVERSATIONS = [
    ([turn("user", text("Rephrase this sentence: the lesion has an irregular border."))], []),
    ([turn("user", text("What is it? 12 stripes, naïve café …\n"))], []),
    (
        [
            turn("system", text("Answer in one word.")),
            turn("user", text("Is a lesion with an irregular border suspicious?")),
            turn("assistant", text("The lesion is round.")),
            turn("user", text("  And its border?  \n")),
        ],
        [],
    ),
]
"""The same without pictures."""


@dataclass
class Picture:
    """A preprocessed picture."""

    file: str
    """Relative to the checkpoint."""
    pixels: torch.Tensor
    """What our preprocessing must give, (rows, values)."""
    grid: list
    """Its grid: temporal, rows, columns."""
    inputs: dict
    """The processor's tensors, one picture each; concatenated over a conversation's pictures."""
    rows: Callable[[str], int]
    """Rows of a tap that belong to it."""


@dataclass
class Taps:
    """Outputs of the modules that are taps, of the last forward."""

    seen: dict = field(default_factory=dict)

    def input_of(self, module, name):
        def hook(_, args, kwargs):
            self.seen[name] = (args[0] if args else kwargs["hidden_states"]).clone()

        module.register_forward_pre_hook(hook, with_kwargs=True)

    def output_of(self, module, name):
        # Copied: 4.57 adds to hidden states where they lie.
        module.register_forward_hook(lambda _, __, out: self.seen.__setitem__(name, (out[0] if isinstance(out, tuple) else out).clone()))

    def layers_of(self, layers, prefix):
        """What enters the first and what leaves each."""
        self.input_of(layers[0], f"{prefix}.embedding")
        for i, layer in enumerate(layers):
            self.output_of(layer, f"{prefix}.{i}")


def write_outputs(out, architecture, pictures, conversations, taps, encode, forward, pixel_step=None, of_text=("language.",)):
    """`encode(messages, images)` gives a prompt's token ids, `forward(ids, inputs)` the logits (tokens, vocabulary); `inputs` are
    the concatenated tensors of the conversation's pictures. `pixel_step`: greatest difference between neighbouring bytes;
    `of_text`: how the names of taps begin that depend on the text too."""
    tensors, cases = {}, []
    config = json.loads((out / "config.json").read_text())
    placeholder = config.get("image_token_id", config.get("image_token_index"))
    if pixel_step is not None:
        tensors["pixel_step"] = torch.tensor([pixel_step])
    for i, picture in enumerate(pictures):
        tensors[f"image.{i}.pixels"] = picture.pixels.contiguous()
        tensors[f"image.{i}.grid"] = torch.tensor(picture.grid).float()
    for i, (messages, images) in enumerate(conversations):
        ids = encode(messages, images)
        inputs = {k: torch.cat([pictures[j].inputs[k] for j in images]) for k in (pictures[images[0]].inputs if images else {})}
        with torch.no_grad():
            logits = forward(ids, inputs)
        tensors[f"case.{i}.logits"] = logits[-KEPT:].contiguous()
        for name, value in taps.seen.items():
            value = value.reshape(-1, value.shape[-1])
            if name.startswith(of_text):
                for kind, vector in pooled(value).items():
                    tensors[f"case.{i}.{name}.{kind}"] = vector.clone()
                continue
            start = 0
            for index in images:
                rows = pictures[index].rows(name)
                for kind, vector in pooled(value[start : start + rows]).items():
                    tensors[f"image.{index}.{name}.{kind}"] = vector.clone()
                start += rows
        greedy = []
        # A picture's placeholder in a reply stands for no picture: transformers can't go on behind one.
        while len(greedy) < GREEDY and (not greedy or greedy[-1] != placeholder):
            with torch.no_grad():
                greedy.append(int(forward(ids + greedy, inputs)[-1].argmax()))
        taps.seen.clear()
        cases.append({"messages": messages, "images": images, "input_ids": ids, "logits": KEPT, "greedy": greedy})
    save_file(tensors, out / "reference.safetensors")
    names = [picture.file for picture in pictures]
    write_json(out / "reference.json", {"architecture": architecture, "versions": versions(), "images": names, "cases": cases})
