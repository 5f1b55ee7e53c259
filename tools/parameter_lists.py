"""Writes the parameters of published Qwen3-VL checkpoints as transformers' classes have them on the meta device.

    python tools/parameter_lists.py crates/vlm/tests/goldens/parameters

For each model: the sizes of its config.json, the number of tensors and parameters, and a BLAKE3 over one line
`name [d0, d1, …]` per tensor, sorted by name. Needs torch, transformers and blake3.
"""

import json
import sys
from pathlib import Path

import torch
from blake3 import blake3
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration


def text(hidden, ffn):
    return {
        "model_type": "qwen3_vl_text", "hidden_size": hidden, "intermediate_size": ffn, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
        "max_position_embeddings": 262144, "rms_norm_eps": 1e-6, "rope_theta": 5000000,
        "rope_scaling": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_type": "default"},
    }


def vision(depth, hidden, ffn, out, deepstack):
    return {
        "model_type": "qwen3_vl", "depth": depth, "hidden_size": hidden, "intermediate_size": ffn, "num_heads": 16,
        "in_channels": 3, "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": out,
        "num_position_embeddings": 2304, "deepstack_visual_indexes": deepstack, "hidden_act": "gelu_pytorch_tanh",
    }


def config(tied, text_config, vision_config):
    return {
        "model_type": "qwen3_vl", "image_token_id": 151655, "video_token_id": 151656, "vision_start_token_id": 151652,
        "vision_end_token_id": 151653, "tie_word_embeddings": tied, "text_config": text_config,
        "vision_config": vision_config,
    }


MODELS = {
    "qwen3-vl-4b": config(True, text(2560, 9728), vision(24, 1024, 4096, 2560, [5, 11, 17])),
    "qwen3-vl-8b": config(False, text(4096, 12288), vision(27, 1152, 4304, 4096, [8, 16, 24])),
}


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, sizes in MODELS.items():
        with torch.device("meta"):
            model = Qwen3VLForConditionalGeneration(Qwen3VLConfig(**json.loads(json.dumps(sizes))))
        # Tied tensors are listed once, as they are saved.
        parameters = sorted((n, list(p.shape)) for n, p in model.named_parameters())
        lines = "".join(f"{n} {shape}\n" for n, shape in parameters)
        record = {
            "config": sizes,
            "tensors": len(parameters),
            "parameters": sum(p.numel() for p in model.parameters()),
            "blake3": blake3(lines.encode()).hexdigest(),
        }
        (out / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
        print(name, record["tensors"], record["parameters"])


if __name__ == "__main__":
    main()
