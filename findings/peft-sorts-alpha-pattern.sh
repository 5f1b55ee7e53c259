#!/usr/bin/env bash
# PEFT 0.21.2 (transformers 5.24.0): saving an adapter sorts `alpha_pattern`, and the order is what it means.
# One guesses: the most exact key wins, or the order of the keys is kept; saved and loaded is the adapter as trained.
# Seen 2026-11-29: the first key that fits wins, and adapter_config.json is written with sorted keys. With
#   {"q_proj": 64, "layers.0.self_attn.q_proj": 2}, rank 4, layer 0 trains with factor 16 and is loaded with 0.5:
#   logits that the adapter moved by 0.69 come back 0.62 away, and there is no warning. In the other order, and
#   where no two keys fit one module, nothing moves. The same two keys in `rank_pattern` raise a size mismatch.
# What follows: a reader takes the first that fits in the order of the file, which is what PEFT computes with it;
#   the trained factor is nowhere in the file. Whoever writes patterns for PEFT gives keys of which no two fit
#   one module; logits to compare with are taken from the adapter loaded again, not from the one just trained.
set -euo pipefail

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
unsure() { echo "could not tell: $*"; exit 2; }
export HF_HUB_OFFLINE=1 HF_HOME="$dir/hf" PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
cd "$dir"

# PyPI's torch brings CUDA along (5 GB); PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu spares it.
python3 -m venv v || unsure "no venv"
v/bin/pip install -q --no-compile --only-binary :all: \
    peft==0.21.2 transformers==5.24.0 torch==2.15.0 safetensors==0.8.0 \
    || unsure "pip failed"

cat >look.py <<'PY'
import json, sys, warnings
from importlib.metadata import version

try:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM
except Exception as e:
    print("could not tell:", e)
    sys.exit(2)

torch.set_num_threads(1)

def base():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, vocab_size=96,
                                        num_attention_heads=4, num_key_value_heads=4)).eval()

def logits(model):
    with torch.no_grad():
        return model(torch.arange(12)[None]).logits

def apart(a, b):
    return (a - b).abs().max().item()

def factors(model):
    return [layer.self_attn.q_proj.scaling["default"] for layer in model.base_model.model.model.layers]

def adapter(**patterns):
    model = get_peft_model(base(), LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], **patterns))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()

def trip(folder, pattern):
    """What was trained, what the file says and what is loaded again."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model = adapter(alpha_pattern=pattern)
        trained = logits(model)
        model.save_pretrained(folder)
        again = PeftModel.from_pretrained(base(), folder).eval()
    with open(folder + "/adapter_config.json") as f:
        stored = list(json.load(f)["alpha_pattern"])
    about = [str(w.message) for w in warned if "pattern" in str(w.message) or "adapter" in str(w.message).lower()]
    return {"keys": stored, "trained": factors(model), "loaded": factors(again),
            "moved": apart(trained, logits(base())), "off": apart(trained, logits(again)), "warned": about}

LAYER = "layers.0.self_attn.q_proj"
try:
    seen = {
        "general key first": trip("general", {"q_proj": 64, LAYER: 2}),
        "exact key first": trip("exact", {LAYER: 2, "q_proj": 64}),
        "no two fit": trip("apart", {"v_proj": 64, "q_proj": 2}),
    }
    adapter(rank_pattern={"q_proj": 3, LAYER: 2}).save_pretrained("rank")
except Exception as e:
    print("could not tell:", repr(e))
    sys.exit(2)
try:
    PeftModel.from_pretrained(base(), "rank")
    rank = "loaded"
except Exception as e:
    rank = "size mismatch" if "size mismatch" in str(e) else repr(e)

print("versions  ", *(n + " " + version(n) for n in ("peft", "transformers", "torch")))
print("expected   the factors of q_proj in layers 0 and 1 are loaded as they were trained, and the logits are equal")
for name, s in seen.items():
    print("%-18s file %s\n   factors trained %s loaded %s | logits moved %.3f, loaded again off %.3f | warnings %s"
          % (name, s["keys"], s["trained"], s["loaded"], s["moved"], s["off"], s["warned"]))
print("rank_pattern with the general key first:", rank)
general, exact, disjoint = seen.values()
checks = {
    "the file's keys are sorted": general["keys"] == exact["keys"] == [LAYER, "q_proj"],
    "trained: the first key that fits": general["trained"] == [16.0, 16.0] and exact["trained"] == [0.5, 16.0],
    "loaded: another factor": general["loaded"] == [0.5, 16.0],
    "logits are off by much of what it moved": general["off"] > 0.3 * general["moved"] > 0.01,
    "nothing is said": not general["warned"],
    "the other order is kept": exact["loaded"] == exact["trained"] and exact["off"] == 0,
    "so are keys that fit no module in common": disjoint["loaded"] == disjoint["trained"] and disjoint["off"] == 0,
    "rank_pattern fails aloud": rank == "size mismatch",
}
for name, held in checks.items():
    print("  yes" if held else "  NO ", name)
sys.exit(0 if all(checks.values()) else 1)
PY
v/bin/python look.py 2>look.log || { rc=$?; cat look.log; exit "$rc"; }
