"""Writes the parameters of published checkpoints as transformers' classes have them on the meta device.

    python tools/parameter_lists.py crates/models/tests/goldens/parameters

For each model: its id, the sizes of its config.json, the number of tensors and parameters, how many of these lie in the
language model's layers and in the output matrix, and a BLAKE3 over one line `name [d0, d1, …]` per tensor, sorted by name.
Needs torch, transformers and blake3.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import torch
import transformers
from blake3 import blake3

from reference.llava import published_name as llava_name
from reference.qwen2_5_vl import published_name as qwen2_5_vl_name


@dataclass
class Model:
    id: str
    model_class: str
    config_class: str
    config: dict
    published_name: Callable[[str], str] = lambda name: name
    """The published file's name of a parameter of transformers' class."""


def qwen3_vl(size, tied, text, vision):
    """`text`: width, feed-forward; `vision`: blocks, width, feed-forward, DeepStack."""
    hidden, ffn = text
    depth, vision_hidden, vision_ffn, deepstack = vision
    config = {
        "model_type": "qwen3_vl", "image_token_id": 151655, "video_token_id": 151656, "vision_start_token_id": 151652,
        "vision_end_token_id": 151653, "tie_word_embeddings": tied,
        "text_config": {
            "model_type": "qwen3_vl_text", "hidden_size": hidden, "intermediate_size": ffn, "num_hidden_layers": 36,
            "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
            "max_position_embeddings": 262144, "rms_norm_eps": 1e-6, "rope_theta": 5000000,
            "rope_scaling": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_type": "default"},
        },
        "vision_config": {
            "model_type": "qwen3_vl", "depth": depth, "hidden_size": vision_hidden, "intermediate_size": vision_ffn,
            "num_heads": 16, "in_channels": 3, "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2,
            "out_hidden_size": hidden, "num_position_embeddings": 2304, "deepstack_visual_indexes": deepstack,
            "hidden_act": "gelu_pytorch_tanh",
        },
    }
    return Model(f"Qwen/Qwen3-VL-{size}-Instruct", "Qwen3VLForConditionalGeneration", "Qwen3VLConfig", config)


def qwen2_text(hidden, ffn, layers, heads, kv_heads, vocabulary, tied):
    return {
        "hidden_size": hidden, "intermediate_size": ffn, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "vocab_size": vocabulary, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0, "hidden_act": "silu", "tie_word_embeddings": tied, "use_sliding_window": False,
        "sliding_window": 32768, "max_window_layers": layers,
    }


def qwen2_5_vl(size, text, tied, fields):
    config = text | {
        "model_type": "qwen2_5_vl", "max_position_embeddings": 128000, "vision_start_token_id": 151652,
        "vision_end_token_id": 151653, "vision_token_id": 151654, "image_token_id": 151655, "video_token_id": 151656,
        "tie_word_embeddings": tied, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "vision_config": {
            "depth": 32, "hidden_act": "silu", "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "in_chans": 3,
            "out_hidden_size": text["hidden_size"], "patch_size": 14, "spatial_merge_size": 2, "spatial_patch_size": 14,
            "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31], "tokens_per_second": 2, "temporal_patch_size": 2,
        } | fields,
    }
    names = "Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLConfig"
    return Model(f"Qwen/Qwen2.5-VL-{size}-Instruct", *names, config, qwen2_5_vl_name)


def qwen2(size, *sizes):
    return Model(f"Qwen/Qwen2.5-{size}-Instruct", "Qwen2ForCausalLM", "Qwen2Config", {"model_type": "qwen2"} | qwen2_text(*sizes))


def vicuna(vocabulary):
    """As published: what differs from transformers' LlamaConfig."""
    return {"model_type": "llama", "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "vocab_size": vocabulary}


def llava():
    config = {
        "model_type": "llava", "image_token_index": 32000, "pad_token_id": 32001, "projector_hidden_act": "gelu",
        "vision_feature_layer": -2, "vision_feature_select_strategy": "default", "tie_word_embeddings": False,
        "text_config": vicuna(32064),
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_size": 1024, "image_size": 336, "intermediate_size": 4096,
            "num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768, "vocab_size": 32000,
        },
    }
    return Model("llava-hf/llava-1.5-7b-hf", "LlavaForConditionalGeneration", "LlavaConfig", config, llava_name)


def instructblip():
    # The sizes of the vocabularies (Vicuna's with a token for pictures, the Q-Former's with one for its decoder) are those that transformers'
    # convert_instructblip_original_to_pytorch.py made the published checkpoint with.
    config = {
        "model_type": "instructblip", "num_query_tokens": 32, "image_token_index": 32000, "tie_word_embeddings": False,
        "text_config": vicuna(32001) | {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6},
        "vision_config": {"model_type": "instructblip_vision_model"},
        "qformer_config": {"model_type": "instructblip_qformer", "vocab_size": 30523},
    }
    return Model("Salesforce/instructblip-vicuna-7b", "InstructBlipForConditionalGeneration", "InstructBlipConfig", config)


def siglip():
    sizes = {"hidden_size": 1152, "intermediate_size": 4304, "num_attention_heads": 16, "num_hidden_layers": 27}
    config = {
        "model_type": "siglip",
        "text_config": sizes | {"model_type": "siglip_text_model", "vocab_size": 32000},
        "vision_config": sizes | {"model_type": "siglip_vision_model", "image_size": 384, "patch_size": 14},
    }
    return Model("google/siglip-so400m-patch14-384", "SiglipModel", "SiglipConfig", config)


MODELS = {
    "qwen3-vl-4b": qwen3_vl("4B", True, (2560, 9728), (24, 1024, 4096, [5, 11, 17])),
    "qwen3-vl-8b": qwen3_vl("8B", False, (4096, 12288), (27, 1152, 4304, [8, 16, 24])),
    "qwen2.5-vl-3b": qwen2_5_vl("3B", qwen2_text(2048, 11008, 36, 16, 2, 151936, True), True, {}),
    "qwen2.5-vl-7b": qwen2_5_vl("7B", qwen2_text(3584, 18944, 28, 28, 4, 152064, False), False, {}),
    "qwen2.5-0.5b": qwen2("0.5B", 896, 4864, 24, 14, 2, 151936, True),
    "qwen2.5-1.5b": qwen2("1.5B", 1536, 8960, 28, 12, 2, 151936, True),
    "qwen2.5-7b": qwen2("7B", 3584, 18944, 28, 28, 4, 152064, False),
    "llava-1.5-7b": llava(),
    "instructblip-vicuna-7b": instructblip(),
    "siglip-so400m": siglip(),
}


def record(model):
    config = getattr(transformers, model.config_class)(**json.loads(json.dumps(model.config)))
    with torch.device("meta"):
        network = getattr(transformers, model.model_class)(config)
    # Tied tensors are listed once, as they are saved.
    shapes = {model.published_name(name): list(p.shape) for name, p in network.named_parameters()}
    lines = "".join(f"{name} {shape}\n" for name, shape in sorted(shapes.items()))
    head = network.get_output_embeddings()
    layers = lambda name: ".layers." in name and "vision" not in name and head is not None
    matrices = [p for n, p in network.named_parameters() if layers(n) and p.dim() == 2]
    return {
        "id": model.id,
        "config": model.config,
        "tensors": len(shapes),
        "parameters": sum(p.numel() for p in network.parameters()),
        "layers": sum(p.numel() for p in matrices),
        "head": head.weight.numel() if head is not None else 0,
        "blake3": blake3(lines.encode()).hexdigest(),
    }


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, model in MODELS.items():
        found = record(model)
        (out / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
        print(name, *(found[key] for key in ["tensors", "parameters", "layers", "head"]))


if __name__ == "__main__":
    main()
