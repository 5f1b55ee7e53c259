"""Losses of replies about a picture, and what changes them: gradients by PyTorch of the final feed-forward block, of one in the
middle, and of low-rank adapters of the attention in every layer."""

import inspect
import json

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy

from .common import versions, write_json

RANK, ALPHA = 4, 8.0
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]
SAMPLED = 64
"""Entries of a gradient that is too large to be written whole."""
WHOLE = 8192
"""Entries up to which it is written whole."""


class Example:
    """A prompt with a picture and the reply that is to be learnt."""

    def __init__(self, model, prompt_ids, reply_ids, inputs):
        self.model, self.prompt_ids, self.reply_ids = model, prompt_ids, reply_ids
        ids = torch.tensor([prompt_ids + reply_ids])
        self.inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False, **inputs}
        # Release 5 is told which tokens of the Qwen models are pictures.
        if "mm_token_type_ids" in inspect.signature(model.model.forward).parameters:
            self.inputs["mm_token_type_ids"] = (ids == model.config.image_token_id).int()

    def logits(self):
        """Where each token of the reply is predicted: (tokens, vocabulary)."""
        if hasattr(self.model.model, "rope_deltas"):
            self.model.model.rope_deltas = None
        return self.model(**self.inputs).logits[0, len(self.prompt_ids) - 1 : -1]

    def loss(self, logits):
        """Mean over the tokens of the reply, in nats."""
        return cross_entropy(logits, torch.tensor(self.reply_ids))


class LowRank(nn.Module):
    """A linear layer with `alpha / rank * B A` added to its weight."""

    def __init__(self, base, generator):
        super().__init__()
        self.base = base
        # As large as the weight's own part to a tenth or so, and exact in bfloat16.
        inner, outer = (RANK, base.in_features), (base.out_features, RANK)
        self.lora_A = nn.Parameter((torch.randn(inner, generator=generator) * inner[1] ** -0.5).bfloat16().float())
        self.lora_B = nn.Parameter((torch.randn(outer, generator=generator) * 0.05).bfloat16().float())

    def forward(self, x):
        """As PEFT does it: beside the weight, not merged."""
        return self.base(x) + (x @ self.lora_A.T) @ self.lora_B.T * (ALPHA / RANK)


def write_gradient(tensors, name, gradient, generator):
    """The whole, or its norm, some entries and its products with a vector on either side, which is written too."""
    gradient = gradient.detach()
    if gradient.numel() <= WHOLE:
        tensors[name] = gradient.clone()
        return
    rows, columns = gradient.shape
    for length in (rows, columns):
        if f"vector.{length}" not in tensors:
            vector = torch.randn(length, generator=generator)
            tensors[f"vector.{length}"] = vector / vector.norm()
    indices = torch.randperm(gradient.numel(), generator=generator)[:SAMPLED].sort().values
    tensors |= {
        f"{name}.norm": gradient.norm().reshape(1), f"{name}.indices": indices, f"{name}.entries": gradient.flatten()[indices],
        f"{name}.left": tensors[f"vector.{rows}"] @ gradient, f"{name}.right": gradient @ tensors[f"vector.{columns}"],
    }


def write_feed_forward(example, generator, out):
    """Gradients of the final block and of the matrix that ends one in the middle. Returns the loss and the layer in the middle."""
    layers = example.model.model.language_model.layers
    middle = (len(layers) - 1) // 2
    wanted = {f"layers.{len(layers) - 1}.mlp.{name}.weight": getattr(layers[-1].mlp, name).weight for name in MLP}
    wanted[f"layers.{middle}.mlp.down_proj.weight"] = layers[middle].mlp.down_proj.weight
    for weight in wanted.values():
        weight.requires_grad_(True)
    seen = []

    def hook(_, args):
        # Below the block in the middle nothing asks for a gradient, above it everything has one.
        args[0].retain_grad()
        seen.append(args[0])

    handle = layers[-1].post_attention_layernorm.register_forward_pre_hook(hook)
    logits = example.logits()
    handle.remove()
    loss = example.loss(logits)
    loss.backward()
    predicting = slice(len(example.prompt_ids) - 1, -1)
    tensors = {
        "loss": loss.detach().reshape(1), "logits": logits.detach().clone(), "hidden": seen[0].detach()[0, predicting].clone(),
        "hidden.gradient": seen[0].grad[0, predicting].clone(),
    }
    for name, weight in wanted.items():
        write_gradient(tensors, f"gradient.{name}", weight.grad, generator)
        weight.grad = None
        weight.requires_grad_(False)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "feed_forward.safetensors")
    return loss.item(), middle


def write_low_rank(example, generator, out):
    """Gradients of adapters of all layers' attention. Returns the loss."""
    adapted = {}
    for i, layer in enumerate(example.model.model.language_model.layers):
        for name in PROJECTIONS:
            module = LowRank(getattr(layer.self_attn, name), generator)
            setattr(layer.self_attn, name, module)
            adapted[f"layers.{i}.self_attn.{name}"] = module
    logits = example.logits()
    loss = example.loss(logits)
    loss.backward()
    tensors = {"loss": loss.detach().reshape(1), "logits": logits.detach()[-1:].clone()}
    for name, module in adapted.items():
        for factor in ("lora_A", "lora_B"):
            parameter = getattr(module, factor)
            tensors[f"{name}.{factor}"] = parameter.detach().bfloat16()
            tensors[f"gradient.{name}.{factor}"] = parameter.grad.clone()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "low_rank.safetensors")
    return loss.item()


def write_gradients(example, about, seed, out):
    """All that is compared, and `about` in `example.json`: where checkpoint and picture lie."""
    generator = torch.Generator().manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    for parameter in example.model.parameters():
        parameter.requires_grad_(False)
    loss, middle = write_feed_forward(example, generator, out)
    adapted = write_low_rank(example, generator, out)
    about |= {
        "prompt_ids": example.prompt_ids, "reply_ids": example.reply_ids, "middle": middle, "rank": RANK, "alpha": ALPHA,
        "loss": loss, "adapted_loss": adapted, "versions": versions(),
    }
    write_json(out / "example.json", about)


def stored_picture(folder, image):
    """What the model is called with for a picture of a golden checkpoint, from the pixels that are written there."""
    tensors = load_file(folder / "reference.safetensors")
    pixels, grid = tensors[f"image.{image}.pixels"], tensors[f"image.{image}.grid"].long()
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] != "llava":
        return {"pixel_values": pixels, "image_grid_thw": grid[None]}
    # Patches, row by row, back in their places; what fills no patch is looked at by nobody.
    size, patch = config["vision_config"]["image_size"], config["vision_config"]["patch_size"]
    rows, columns = grid[1:].tolist()
    square = pixels.reshape(rows, columns, 3, patch, patch).permute(2, 0, 3, 1, 4).reshape(3, rows * patch, columns * patch)
    whole = torch.zeros(1, 3, size, size)
    whole[0, :, : rows * patch, : columns * patch] = square
    return {"pixel_values": whole}
