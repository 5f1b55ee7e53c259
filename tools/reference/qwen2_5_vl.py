"""Qwen2.5-VL."""

import random

from transformers import Qwen2_5_VLForConditionalGeneration

from .chatml import QWEN2_5_VL, byte_level_tokenizer
from .common import published, resave, write_json
from .qwen_vision import checkpoint, outputs, picture_sizes, processor_config, token_ids


def random_checkpoint(seed, out):
    rng = random.Random(seed)
    stop = []

    def write(folder):
        fast = byte_level_tokenizer(folder, rng, QWEN2_5_VL)
        kv_heads, group = rng.choice([(1, 2), (2, 1), (2, 2), (1, 3)])
        hidden = kv_heads * group * 16
        section = rng.choice([[2, 3, 3], [4, 2, 2], [3, 3, 2]])
        vision_head, vision_heads = rng.choice([(8, 3), (12, 2), (8, 4)])
        depth = rng.randint(2, 4)
        patch = 4
        # As in the published file: the language model's settings at the top, "type" beside the sections.
        text = {
            "hidden_size": hidden,
            "intermediate_size": rng.choice([48, 72]),
            "num_hidden_layers": rng.randint(2, 4),
            "num_attention_heads": kv_heads * group,
            "num_key_value_heads": kv_heads,
            "vocab_size": len(fast) + rng.randint(0, 8),
            "max_position_embeddings": 512,
            "rms_norm_eps": 1e-6,
            "hidden_act": "silu",
            # Neither what the class assumes (a million) nor what other classes do (ten thousand).
            "rope_theta": 20000.0,
            "rope_scaling": {"type": "mrope", "mrope_section": section},
            "use_sliding_window": False,
            "sliding_window": 32768,
            "max_window_layers": 2,
            "bos_token_id": fast.pad_token_id,
            "eos_token_id": fast.eos_token_id,
        }
        vision = {
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
        }
        around = {"architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl", "tie_word_embeddings": seed % 4 > 1}
        write_json(folder / "config.json", around | token_ids(fast) | text | {"vision_config": vision})
        settings = processor_config(seed, patch)
        # The published file has flat names.
        size = settings.pop("size")
        settings |= {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"], "processor_class": "Qwen2_5_VLProcessor"}
        write_json(folder / "preprocessor_config.json", settings)
        stop.extend([fast.eos_token_id, fast.pad_token_id])

    with published(write) as folder:
        model, processor = resave(Qwen2_5_VLForConditionalGeneration, folder, seed, out, stop)
    outputs(model, "qwen2_5_vl", processor, rng, picture_sizes(rng), out)


def existing_checkpoint(folder, seed, out):
    checkpoint(Qwen2_5_VLForConditionalGeneration, "qwen2_5_vl", folder, random.Random(seed), out)
