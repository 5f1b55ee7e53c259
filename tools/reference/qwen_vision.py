"""What the vision models of the Qwen family share: picture processing, prompts, the forward."""

import inspect

import torch
from PIL import Image

from .common import pillow_class, pillow_processor, picture, plain, reopen
from .harness import CONVERSATIONS, Picture, Taps, write_outputs

SETTINGS = ["size", "patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std"]


def resized(image, processor):
    """Along x, then along y: what torchvision and Pillow before version 13 do. Newer Pillow begins with the cheaper axis."""
    smart_resize = inspect.getmodule(pillow_class("qwen2_vl", "Qwen2VLImageProcessor")).smart_resize
    factor = processor.patch_size * processor.merge_size
    size = plain(processor.size)
    height, width = smart_resize(image.height, image.width, factor, size["shortest_edge"], size["longest_edge"])
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
    model, processor = reopen(model_class, folder)
    outputs(model, architecture, processor, rng, [(90, 90), (240, 120), (100, 170)], out)


def outputs(model, architecture, whole, rng, sizes, out):
    fast = whole.tokenizer
    size = plain(whole.image_processor.size)
    # 4.57's class with Pillow reads the size from these two alone.
    limits = {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
    processor = pillow_processor(whole.image_processor, "qwen2_vl", "Qwen2VLImageProcessor", SETTINGS, **limits)
    assert plain(processor.size) == size
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
        prompt = whole.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        for index in images:
            prompt = prompt.replace("<|image_pad|>", "<|placeholder|>" * pictures[index].rows("merger"), 1)
        return fast(prompt.replace("<|placeholder|>", "<|image_pad|>"), add_special_tokens=False)["input_ids"]

    # Release 5 is told which tokens are pictures.
    typed = "mm_token_type_ids" in inspect.signature(model.model.forward).parameters

    def forward(ids, inputs):
        tokens = torch.tensor([ids])
        if inputs and typed:
            inputs = inputs | {"mm_token_type_ids": (tokens == image_token).int()}
        model.model.rope_deltas = None
        return model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False, **inputs).logits[0]

    taps = Taps()
    taps.layers_of(model.model.visual.blocks, "vision")
    taps.output_of(model.model.visual.merger, "merger")
    taps.layers_of(model.model.language_model.layers, "language")
    step = 1 / 255 / min(processor.image_std)
    write_outputs(out, architecture, pictures, CONVERSATIONS, taps, encode, forward, step)
