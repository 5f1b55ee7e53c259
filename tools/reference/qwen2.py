"""Qwen2, text only (the Qwen2.5 models have this architecture)."""

import random

import torch
from transformers import AutoTokenizer, Qwen2ForCausalLM

from .chatml import QWEN2, byte_level_tokenizer
from .common import published, resave, write_json
from .harness import TEXT_CONVERSATIONS, Taps, write_outputs


def random_checkpoint(seed, out):
    rng = random.Random(seed)
    stop = []

    def write(folder):
        fast = byte_level_tokenizer(folder, rng, QWEN2)
        kv_heads, group = rng.choice([(1, 2), (2, 1), (2, 2), (1, 3)])
        config = {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "hidden_size": kv_heads * group * rng.choice([12, 16]),
            "intermediate_size": rng.choice([48, 72]),
            "num_hidden_layers": rng.randint(2, 4),
            "num_attention_heads": kv_heads * group,
            "num_key_value_heads": kv_heads,
            "vocab_size": len(fast) + rng.randint(0, 8),
            "max_position_embeddings": 512,
            "rms_norm_eps": 1e-6,
            "hidden_act": "silu",
            "rope_theta": 1000000.0,
            "tie_word_embeddings": seed % 4 > 1,
            "use_sliding_window": False,
            "sliding_window": 32768,
            "max_window_layers": 2,
            "bos_token_id": fast.pad_token_id,
            "eos_token_id": fast.eos_token_id,
        }
        write_json(folder / "config.json", config)
        stop.extend([fast.eos_token_id, fast.pad_token_id])

    with published(write) as folder:
        model, _ = resave(Qwen2ForCausalLM, folder, seed, out, stop)
    outputs(model, AutoTokenizer.from_pretrained(out), out)


def outputs(model, fast, out):
    def encode(messages, _):
        # Text models' templates take a message's text as it is.
        flat = [{"role": m["role"], "content": "".join(part["text"] for part in m["content"])} for m in messages]
        prompt = fast.apply_chat_template(flat, tokenize=False, add_generation_prompt=True)
        return fast(prompt, add_special_tokens=False)["input_ids"]

    def forward(ids, _):
        tokens = torch.tensor([ids])
        return model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits[0]

    taps = Taps()
    taps.layers_of(model.model.layers, "language")
    write_outputs(out, "qwen2", [], TEXT_CONVERSATIONS, taps, encode, forward)
