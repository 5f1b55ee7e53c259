"""What the vision models of the Qwen family share: picture processing, prompts, the forward."""

import json

import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast

from .common import picture
from .harness import CONVERSATIONS, Picture, Taps, write_outputs

def resized(image, processor):
    """Along x, then along y: what torchvision and Pillow before version 13 do. Newer Pillow begins with the cheaper axis."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    factor = processor.patch_size * processor.merge_size
    least, most = processor.size["shortest_edge"], processor.size["longest_edge"]
    height, width = smart_resize(image.height, image.width, factor, least, most)
    return image.resize((width, image.height), Image.BICUBIC).resize((width, height), Image.BICUBIC)


def token_ids(fast):
    """The placeholders as config.json names them."""
    names = {"image_token_id": "image_pad", "video_token_id": "video_pad", "vision_start_token_id": "vision_start", "vision_end_token_id": "vision_end"}
    return {key: fast.convert_tokens_to_ids(f"<|{token}|>") for key, token in names.items()}


def processor_config(seed, patch):
    mean, std = ([0.5] * 3, [0.5] * 3) if seed % 2 else ([0.48, 0.46, 0.41], [0.27, 0.26, 0.28])
    return {
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "size": {"shortest_edge": 4 * 64, "longest_edge": 10 * 64},
        "patch_size": patch, "merge_size": 2, "temporal_patch_size": 2, "image_mean": mean, "image_std": std,
    }


def picture_sizes(rng):
    return [(rng.randint(18, 30),) * 2, (rng.randint(44, 60), rng.randint(12, 20)), (rng.randint(10, 16), rng.randint(30, 44))]


def checkpoint(model_class, architecture, folder, rng, out):
    """Reference outputs of an existing checkpoint, which is linked into `out`."""
    for path in folder.iterdir():
        link = out / path.name
        if not link.exists():
            link.symlink_to(path.resolve())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    fast = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), eos_token=settings["eos_token"])
    template, older = folder / "chat_template.jinja", folder / "chat_template.json"
    if template.exists():
        fast.chat_template = template.read_text()
    else:
        fast.chat_template = (json.loads(older.read_text()) if older.exists() else settings)["chat_template"]
    model = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    outputs(model.eval(), architecture, fast, processor, rng, [(90, 90), (240, 120), (100, 170)], out)


def outputs(model, architecture, fast, processor_config, rng, sizes, out):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    names = ["patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std"]
    size = processor_config.get("size") or {
        "shortest_edge": processor_config["min_pixels"], "longest_edge": processor_config["max_pixels"],
    }
    processor = Qwen2VLImageProcessorPil(size=size, **{k: processor_config[k] for k in names})
    unit = processor.merge_size**2
    image_token = model.config.image_token_id
    pictures = []
    for i, (width, height) in enumerate(sizes):
        image = picture(rng, width, height)
        (out / "images").mkdir(exist_ok=True)
        image.save(out / "images" / f"{i}.png")
        # Already resized: a second time would not always give the same size.
        batch = processor(images=[resized(image, processor)], do_resize=False, return_tensors="pt")
        inputs = {"pixel_values": batch["pixel_values"].float(), "image_grid_thw": batch["image_grid_thw"]}
        patches = len(inputs["pixel_values"])
        rows = lambda name, patches=patches: patches // (unit if name == "merger" else 1)
        grid = inputs["image_grid_thw"][0].tolist()
        pictures.append(Picture(f"images/{i}.png", inputs["pixel_values"], grid, inputs, rows))

    def encode(messages, images):
        prompt = fast.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        for index in images:
            prompt = prompt.replace("<|image_pad|>", "<|placeholder|>" * pictures[index].rows("merger"), 1)
        return fast(prompt.replace("<|placeholder|>", "<|image_pad|>"), add_special_tokens=False)["input_ids"]

    def forward(ids, inputs):
        tokens = torch.tensor([ids])
        if inputs:
            inputs = inputs | {"mm_token_type_ids": (tokens == image_token).int()}
        model.model.rope_deltas = None
        return model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False, **inputs).logits[0]

    taps = Taps()
    taps.layers_of(model.model.visual.blocks, "vision")
    taps.output_of(model.model.visual.merger, "merger")
    taps.layers_of(model.model.language_model.layers, "language")
    step = 1 / 255 / min(processor_config["image_std"])
    write_outputs(out, architecture, pictures, CONVERSATIONS, taps, encode, forward, step)
