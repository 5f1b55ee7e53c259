"""Qwen3-VL."""

import random

from transformers import Qwen3VLForConditionalGeneration

from .chatml import QWEN3_VL, byte_level_tokenizer
from .common import published, resave, write_json
from .qwen_vision import checkpoint, outputs, picture_sizes, processor_config, token_ids


def random_checkpoint(seed, out):
    rng = random.Random(seed)
    stop = []

    def write(folder):
        fast = byte_level_tokenizer(folder, rng, QWEN3_VL)
        vocabulary = len(fast) + rng.randint(0, 8)
        kv_heads, group = rng.choice([(1, 2), (2, 1), (2, 2), (1, 3)])
        # Half a head, split over the three axes the way the published models do it (24, 20, 20 of 64).
        section = rng.choice([[4, 2, 2], [2, 3, 3], [3, 3, 2]])
        hidden = rng.choice([32, 40])
        vision_head, vision_heads = rng.choice([(8, 3), (12, 2), (8, 4)])
        depth = rng.randint(2, 3)
        layers = rng.randint(2, 4)
        deepstack = sorted(rng.sample(range(depth), rng.randint(1, min(depth, layers - 1))))
        side = rng.choice([3, 4, 6])
        patch = 4
        # As published the language model's settings say it too. Where they don't, 4.57 saves a head of its own below the word
        # that the top has on it.
        rng.random()
        tied = seed != 2
        in_text = {} if seed == 3 else {"tie_word_embeddings": tied}
        config = {
            "architectures": ["Qwen3VLForConditionalGeneration"],
            "model_type": "qwen3_vl",
            **token_ids(fast),
            "tie_word_embeddings": tied,
            "text_config": {
                "model_type": "qwen3_vl_text",
                "hidden_size": hidden,
                "intermediate_size": rng.choice([48, 72]),
                "num_hidden_layers": layers,
                "num_attention_heads": kv_heads * group,
                "num_key_value_heads": kv_heads,
                "head_dim": 16,
                "vocab_size": vocabulary,
                "max_position_embeddings": 512,
                "rms_norm_eps": 1e-6,
                "hidden_act": "silu",
                "attention_bias": rng.random() < 0.3,
                "rope_scaling": {"mrope_section": section, "mrope_interleaved": True, "rope_type": "default"},
                "rope_theta": 10000.0,
                "bos_token_id": fast.pad_token_id,
                "eos_token_id": fast.eos_token_id,
                **in_text,
            },
            "vision_config": {
                "model_type": "qwen3_vl",
                "depth": depth,
                "hidden_size": vision_head * vision_heads,
                "intermediate_size": rng.choice([32, 56]),
                "num_heads": vision_heads,
                "patch_size": patch,
                "out_hidden_size": hidden,
                "num_position_embeddings": side * side,
                "deepstack_visual_indexes": deepstack,
                "hidden_act": "gelu_pytorch_tanh",
            },
        }
        write_json(folder / "config.json", config)
        settings = processor_config(seed, patch) | {"processor_class": "Qwen3VLProcessor"}
        write_json(folder / "preprocessor_config.json", settings)
        stop.extend([fast.eos_token_id, fast.pad_token_id])

    with published(write) as folder:
        model, processor = resave(Qwen3VLForConditionalGeneration, folder, seed, out, stop)
    outputs(model, "qwen3_vl", processor, rng, picture_sizes(rng), out)


def existing_checkpoint(folder, seed, out):
    checkpoint(Qwen3VLForConditionalGeneration, "qwen3_vl", folder, random.Random(seed), out)
