"""A bundle with a Qwen3-VL of half a billion random parameters: for measuring what size costs, where no hub is reachable.

Shapes are those of the small published members of the family (grouped heads of 128, a vocabulary of 151,936, a tied output matrix, three
deepstack layers); weights are random, in bfloat16; tokenizer, chat template and sentence encoder are those of the demo bundle, so that the world's
texts can be asked about. Answers mean nothing.

Usage: python tools/large_checkpoint.py --out DIR [--layers 16] [--demo models/demo]
Needs torch, transformers, safetensors.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from reference.common import randomise, save_weights, write_json
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

# Tokens of the demo tokenizer that are text by themselves: neither control tokens nor single bytes.
SPOKEN = range(300, 1400)


def configuration(demo: dict, layers: int) -> dict:
    """The checkpoint's config.json; token ids are the demo tokenizer's."""
    ids = {name: demo[name] for name in demo if name.endswith("_token_id")}
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "dtype": "bfloat16",
        **ids,
        "tie_word_embeddings": True,
        "text_config": {
            "model_type": "qwen3_vl_text",
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "num_hidden_layers": layers,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6,
            "hidden_act": "silu",
            "attention_bias": False,
            "rope_scaling": {"mrope_section": [24, 20, 20], "mrope_interleaved": True, "rope_type": "default"},
            "rope_theta": 5000000.0,
        },
        "vision_config": {
            "model_type": "qwen3_vl_vision",
            "depth": 12,
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_heads": 12,
            "patch_size": 16,
            "out_hidden_size": 1024,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [2, 5, 8],
            "hidden_act": "gelu_pytorch_tanh",
        },
    }


def main() -> None:
    """Writes the bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--demo", type=Path, default=Path(__file__).resolve().parents[1] / "models" / "demo")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    vlm = arguments.out / "vlm"
    vlm.mkdir(parents=True, exist_ok=True)
    shutil.copytree(arguments.demo / "sentence-encoder", arguments.out / "sentence-encoder", dirs_exist_ok=True)
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(arguments.demo / "vlm" / name, vlm / name)
    processor = json.loads((arguments.demo / "vlm" / "preprocessor_config.json").read_text())
    # A picture has 64 to 256 image tokens, of 32 x 32 pixels each.
    least, most = 64 * 32 * 32, 256 * 32 * 32
    processor |= {"patch_size": 16, "size": {"shortest_edge": least, "longest_edge": most}}
    processor |= {"min_pixels": least, "max_pixels": most}
    write_json(vlm / "preprocessor_config.json", processor)
    config = configuration(json.loads((arguments.demo / "vlm" / "config.json").read_text()), arguments.layers)
    write_json(vlm / "config.json", config)
    model = Qwen3VLForConditionalGeneration(Qwen3VLConfig(**json.loads(json.dumps(config))))
    randomise(model.float(), arguments.seed)
    with torch.no_grad():
        # Replies are of tokens that the tokenizer has words for, and end when they may get no longer.
        rows = model.get_input_embeddings().weight
        rows[:SPOKEN.start] *= 0.01
        rows[SPOKEN.stop :] *= 0.01
    save_weights(model, vlm, skip={"lm_head.weight"})
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{count / 1e9:.2f} billion parameters in {vlm}")


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
