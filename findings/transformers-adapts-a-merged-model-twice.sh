#!/usr/bin/env bash
# transformers 5.24.0 with PEFT 0.21.2: a merged model saved beside its adapter is loaded with the adapter twice.
# One guesses: from_pretrained of a folder with config.json and model.safetensors gives the weights in that file.
# Seen 2026-11-29: after model.save_pretrained("out"); model.merge_and_unload().save_pretrained("out"), both the class
#   and AutoModelForCausalLM take model.safetensors from "out" as the base, not what base_model_name_or_path names,
#   and put the adapter lying there on top: base + 2 B A, nothing said (one factor is right where the merged model
#   has a folder of its own, and where "out" has only the adapter). In the same environment with PEFT uninstalled
#   the same call gives the merged model, with one factor.
# What follows: the numbers of a folder with both files depend on what is installed where they are made. A reader
#   refuses such a folder or asks which of the two is meant; an oracle loads from a folder without adapter_config.json.
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

cat >make.py <<'PY'
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

torch.set_num_threads(1)
torch.manual_seed(0)
LlamaForCausalLM(LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, vocab_size=96,
                             num_attention_heads=4, num_key_value_heads=4)).save_pretrained("base")

def logits(model):
    with torch.no_grad():
        return model.eval()(torch.arange(12)[None]).logits.clone()

def trained(alpha):
    config = LoraConfig(r=4, lora_alpha=alpha, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(AutoModelForCausalLM.from_pretrained("base"), config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model

model = trained(8)
wanted = {"base": logits(AutoModelForCausalLM.from_pretrained("base")), "once": logits(model),
          "twice": logits(trained(16))}
model.save_pretrained("adapter")
model.save_pretrained("out")
merged = model.merge_and_unload()
merged.save_pretrained("out")
merged.save_pretrained("alone")
save_file(wanted, "wanted.safetensors")
PY
v/bin/python make.py >make.log 2>&1 || { cat make.log; unsure "no files"; }

cat >load.py <<'PY'
import json, logging, sys, warnings
from importlib.util import find_spec

import torch, transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM

torch.set_num_threads(1)

class Lines(logging.Handler):
    """Keeps what transformers logs."""
    lines = []
    def emit(self, record):
        self.lines.append(record.getMessage())

transformers.logging.get_logger("transformers").addHandler(Lines())
wanted = load_file("wanted.safetensors")

def look(kind, folder):
    """Which of the wanted logits the model of this folder has, and what was said of it."""
    Lines.lines.clear()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model = kind.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(torch.arange(12)[None]).logits
    near = [name for name, other in wanted.items() if (logits - other).abs().max() < 1e-4]
    said = [s for s in [str(w.message) for w in warned] + Lines.lines
            if any(word in s.lower() for word in ("adapter", "lora", "peft"))]
    return {"logits": near, "said": said}

folders = ("alone", "adapter", "out") if find_spec("peft") else ("alone", "out")
seen = {"%s %s" % (folder, kind.__name__): look(kind, folder)
        for folder in folders for kind in (AutoModelForCausalLM, LlamaForCausalLM)}
json.dump({"version": transformers.__version__, "seen": seen,
           "once and twice": (wanted["once"] - wanted["twice"]).abs().max().item()}, sys.stdout)
PY
v/bin/python load.py >with.json 2>with.log || { cat with.log; unsure "did not load"; }
v/bin/pip uninstall -q -y peft || unsure "peft stays"
v/bin/python load.py >without.json 2>without.log || { cat without.log; unsure "did not load without peft"; }

cat >judge.py <<'PY'
import json, sys

try:
    runs = {}
    for title in ("with", "without"):
        with open(title + ".json") as f:
            runs[title] = json.load(f)
    with open("out/adapter_config.json") as f:
        named = json.load(f)["base_model_name_or_path"]
    apart = runs["with"]["once and twice"]
    withs, withouts = runs["with"]["seen"], runs["without"]["seen"]
    auto, own = "AutoModelForCausalLM", "LlamaForCausalLM"
    checks = {
        "once and twice differ": apart > 0.01,
        "the file names the base": named == "base",
        "merged in a folder of its own: once": withs["alone " + auto]["logits"] == ["once"],
        "adapter in a folder of its own: once": withs["adapter " + auto]["logits"] == ["once"],
        "both in one: twice": withs["out " + auto]["logits"] == withs["out " + own]["logits"] == ["twice"],
        "nothing is said": not withs["out " + auto]["said"] and not withs["out " + own]["said"],
        "PEFT uninstalled: once": withouts["out " + auto]["logits"] == withouts["out " + own]["logits"] == ["once"],
    }
except (OSError, ValueError, KeyError, TypeError) as e:
    print("could not tell:", repr(e))
    sys.exit(2)
print("versions   transformers", runs["with"]["version"], "| base_model_name_or_path", named)
print("expected   'out' gives the merged model, once, with and without PEFT")
for title, run in runs.items():
    for key, value in run["seen"].items():
        print("%-8s PEFT  %-30s %s" % (title, key, value))
for name, held in checks.items():
    print("  yes" if held else "  NO ", name)
sys.exit(0 if all(checks.values()) else 1)
PY
v/bin/python judge.py
