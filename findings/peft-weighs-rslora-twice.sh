#!/usr/bin/env bash
# PEFT 0.21.2: add_weighted_adapter of adapters with `use_rslora` is too strong by the root of the new rank.
# One guesses: "cat" gives the exact weighted sum (the docstring calls it precise); one adapter at weight 1 is a copy.
# Seen 2026-11-29: all factors go into A, and lora_alpha becomes the new rank so that the new factor is 1; but
#   use_rslora is taken over from the first adapter, so the factor is alpha / sqrt(r) = sqrt(r). Two of rank 4 by
#   "cat" are 2.83 times their sum, in memory and loaded again; one alone is twice itself by "cat", "svd" and
#   "linear". Of a plain and an rslora one the sum is right if the plain one is named first. No warning. (Told
#   upstream: huggingface/peft issue 3761, still so in this release.)
# What follows: such a file (use_rslora, r = lora_alpha) is read as it stands, with sqrt(r): it cannot be told from
#   one meant so. Who combines such adapters compares delta weights with the sum of the parts, and divides the
#   weights by sqrt(new rank) beforehand or merges into the model one after the other instead.
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
    return LlamaForCausalLM(LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=1, vocab_size=96,
                                        num_attention_heads=4, num_key_value_heads=4)).eval()

def adapters(**kinds):
    """A model with an adapter a name, of rank 4, random; the value says whether it is rank-stabilised."""
    model = None
    for name, rslora in kinds.items():
        config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], use_rslora=rslora)
        if model is None:
            model = get_peft_model(base(), config, adapter_name=name)
        else:
            model.add_adapter(name, config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()

def delta(model, name):
    return model.base_model.model.model.layers[0].self_attn.q_proj.get_delta_weight(name).detach()

def times(got, want):
    """The number of times that `want` is in `got`, and what is left over beside it."""
    n = ((got * want).sum() / (want * want).sum()).item()
    return round(n, 3), round(((got - n * want).norm() / got.norm()).item(), 3)

seen, warned = {}, []
try:
    for how in ("cat", "svd", "linear"):
        for kind, rslora in (("plain", False), ("rslora", True)):
            model = adapters(one=rslora)
            with warnings.catch_warnings(record=True) as w:
                warnings.simplefilter("always")
                model.add_weighted_adapter(["one"], [1.0], "copy", combination_type=how)
            warned += [str(x.message) for x in w]
            seen["one " + kind, how] = times(delta(model, "copy"), delta(model, "one"))
    for title, kinds, names in (("two plain", (False, False), ("a", "b")), ("two rslora", (True, True), ("a", "b")),
                                ("rslora, plain", (True, False), ("a", "b")),
                                ("plain, rslora", (True, False), ("b", "a"))):
        model = adapters(a=kinds[0], b=kinds[1])
        with warnings.catch_warnings(record=True) as w:
            warnings.simplefilter("always")
            model.add_weighted_adapter(list(names), [1.0, 1.0], "sum", combination_type="cat")
        warned += [str(x.message) for x in w]
        total = delta(model, "a") + delta(model, "b")
        seen[title, "cat"] = times(delta(model, "sum"), total)
        model.save_pretrained(title, selected_adapters=["sum"])
        again = PeftModel.from_pretrained(base(), title + "/sum")
        seen[title, "cat, loaded again"] = times(delta(again, "default"), total)
    with open("two rslora/sum/adapter_config.json") as f:
        stored = {k: v for k, v in json.load(f).items() if k in ("r", "lora_alpha", "use_rslora")}
except Exception as e:
    print("could not tell:", repr(e))
    sys.exit(2)

print("versions  ", *(n + " " + version(n) for n in ("peft", "transformers", "torch")))
print("expected   1.0 times the adapter, and 1.0 times the sum, by all of them, with nothing left over")
for (what, how), (n, rest) in seen.items():
    print("%-14s %-18s %.3f times, left over %.3f" % (what, how, n, rest))
print("two rslora, saved:", stored, "| warnings", warned)
root = round(8 ** 0.5, 3)
checks = {
    "a plain adapter at weight 1 is copied": all(seen["one plain", h] == (1.0, 0.0) for h in ("cat", "svd", "linear")),
    "an rslora adapter of rank 4 is doubled": all(seen["one rslora", h] == (2.0, 0.0)
                                                   for h in ("cat", "svd", "linear")),
    "two plain ones: the sum": seen["two plain", "cat"] == (1.0, 0.0),
    "two rslora ones: sqrt(8) times the sum": seen["two rslora", "cat"] == (root, 0.0),
    "rslora first, plain second: so too": seen["rslora, plain", "cat"] == (root, 0.0),
    "the same two, plain first: the sum": seen["plain, rslora", "cat"] == (1.0, 0.0),
    "loaded again it is the same": all(seen[t, "cat"] == seen[t, "cat, loaded again"]
                                       for t in ("two plain", "two rslora", "rslora, plain", "plain, rslora")),
    "the file says rank 8, alpha 8, use_rslora": stored == {"r": 8, "lora_alpha": 8, "use_rslora": True},
    "no warning": not [w for w in warned if "deprecated" not in w],
}
for name, held in checks.items():
    print("  yes" if held else "  NO ", name)
sys.exit(0 if all(checks.values()) else 1)
PY
v/bin/python look.py 2>look.log || { rc=$?; cat look.log; exit "$rc"; }
