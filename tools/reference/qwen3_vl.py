"""Qwen3-VL."""

import json
import random

from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from .chatml import QWEN3_VL, byte_level_tokenizer
from .common import randomise, save_weights, write_json
from .qwen_vision import checkpoint, outputs, picture_sizes, processor_config, token_ids


def random_checkpoint(seed, out):
    rng = random.Random(seed)
    fast = byte_level_tokenizer(out, rng, QWEN3_VL)
    vocabulary = len(fast) + rng.randint(0, 8)
    kv_heads, group = rng.choice([(1, 2), (2, 1), (2, 2), (1, 3)])
    head = 16
    # Half a head, split over the three axes the way the published models do it (24, 20, 20 of 64).
    section = rng.choice([[4, 2, 2], [2, 3, 3], [3, 3, 2]])
    hidden = rng.choice([32, 40])
    vision_head, vision_heads = rng.choice([(8, 3), (12, 2), (8, 4)])
    depth = rng.randint(2, 3)
    layers = rng.randint(2, 4)
    deepstack = sorted(rng.sample(range(depth), rng.randint(1, min(depth, layers - 1))))
    side = rng.choice([3, 4, 6])
    patch = 4
    tied = rng.random() < 0.5
    rope = {"mrope_section": section, "mrope_interleaved": True, "rope_type": "default"}
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
            "head_dim": head,
            "vocab_size": vocabulary,
            "max_position_embeddings": 512,
            "rms_norm_eps": 1e-6,
            "hidden_act": "silu",
            "attention_bias": rng.random() < 0.3,
        },
        "vision_config": {
            "model_type": "qwen3_vl_vision",
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
    # Half of the references spell the rotary settings as the published files do.
    if seed % 2:
        config["text_config"] |= {"rope_parameters": rope | {"rope_theta": 10000.0}}
    else:
        config["text_config"] |= {"rope_scaling": rope, "rope_theta": 10000.0}
    write_json(out / "config.json", config)
    write_json(out / "generation_config.json", {"eos_token_id": [fast.eos_token_id, fast.pad_token_id]})
    processor = processor_config(seed, patch)
    write_json(out / "preprocessor_config.json", processor)
    torch_config = Qwen3VLConfig(**json.loads(json.dumps(config)))
    torch_config._attn_implementation = "eager"
    model = randomise(Qwen3VLForConditionalGeneration(torch_config).float(), seed)
    assert model.config.text_config.rope_parameters["mrope_section"] == section
    assert model.config.text_config.rope_parameters["rope_theta"] == 10000.0
    save_weights(model, out, skip={"lm_head.weight"} if tied else ())
    outputs(model, "qwen3_vl", fast, processor, rng, picture_sizes(rng), out)


def existing_checkpoint(folder, seed, out):
    checkpoint(Qwen3VLForConditionalGeneration, "qwen3_vl", folder, random.Random(seed), out)
