"""Qwen2.5-VL."""

import json
import random

from safetensors.torch import load_file, save_file
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from .chatml import QWEN2_5_VL, byte_level_tokenizer
from .common import randomise, save_weights, write_json
from .qwen_vision import checkpoint, outputs, picture_sizes, processor_config, token_ids


def published_name(name):
    """The name of a parameter in the published checkpoints."""
    return name.replace("model.visual.", "visual.", 1).replace("model.language_model.", "model.", 1)


def random_checkpoint(seed, out):
    rng = random.Random(seed)
    fast = byte_level_tokenizer(out, rng, QWEN2_5_VL)
    kv_heads, group = rng.choice([(1, 2), (2, 1), (2, 2), (1, 3)])
    head = 16
    hidden = kv_heads * group * head
    section = rng.choice([[2, 3, 3], [4, 2, 2], [3, 3, 2]])
    vision_head, vision_heads = rng.choice([(8, 3), (12, 2), (8, 4)])
    depth = rng.randint(2, 4)
    patch = 4
    tied = seed % 3 == 0
    text_config = {
        "hidden_size": hidden,
        "intermediate_size": rng.choice([48, 72]),
        "num_hidden_layers": rng.randint(2, 4),
        "num_attention_heads": kv_heads * group,
        "num_key_value_heads": kv_heads,
        "vocab_size": len(fast) + rng.randint(0, 8),
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "rope_theta": 10000.0,
        "rope_scaling": {"type": "mrope", "mrope_section": section},
        "use_sliding_window": False,
        "sliding_window": 32768,
        "max_window_layers": 2,
    }
    config = {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        **token_ids(fast),
        "tie_word_embeddings": tied,
        "vision_config": {
            "model_type": "qwen2_5_vl",
            "depth": depth,
            "hidden_size": vision_head * vision_heads,
            "hidden_act": "silu",
            "intermediate_size": rng.choice([34, 56]),
            "num_heads": vision_heads,
            "in_chans": 3,
            "out_hidden_size": hidden,
            "patch_size": patch,
            "spatial_merge_size": 2,
            "spatial_patch_size": patch,
            "temporal_patch_size": 2,
            "tokens_per_second": 2,
            # Two or three tokens a side: windows at the edges of the pictures below are cut.
            "window_size": 2 * patch * rng.choice([2, 3]),
            "fullatt_block_indexes": sorted(rng.sample(range(depth), rng.randint(0, depth - 1))),
        },
    }
    # Half of the references have the language model's settings at the top, as the published files do, and its names.
    published = seed % 2 == 0
    if published:
        config |= text_config
    else:
        config["text_config"] = text_config | {"model_type": "qwen2_5_vl_text"}
    write_json(out / "config.json", config)
    write_json(out / "generation_config.json", {"eos_token_id": [fast.eos_token_id, fast.pad_token_id]})
    processor = processor_config(seed, patch)
    # The published file has flat names.
    size = processor.pop("size")
    processor |= {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
    write_json(out / "preprocessor_config.json", processor)
    torch_config = Qwen2_5_VLConfig(**json.loads(json.dumps(config)))
    torch_config._attn_implementation = "eager"
    model = randomise(Qwen2_5_VLForConditionalGeneration(torch_config).float(), seed)
    text = model.config.text_config
    assert text.rope_parameters["mrope_section"] == section and text.rope_parameters["rope_theta"] == 10000.0
    assert (text.hidden_size, text.vocab_size) == (hidden, text_config["vocab_size"])
    save_weights(model, out, skip={"lm_head.weight"} if tied else ())
    if published:
        path = out / "model.safetensors"
        tensors = {published_name(name): value for name, value in load_file(path).items()}
        save_file(tensors, path, metadata={"format": "pt"})
    outputs(model, "qwen2_5_vl", fast, processor, rng, picture_sizes(rng), out)


def existing_checkpoint(folder, seed, out):
    checkpoint(Qwen2_5_VLForConditionalGeneration, "qwen2_5_vl", folder, random.Random(seed), out)
