#!/usr/bin/env bash
# PEFT 0.21.2 drops half the tensors of a LLaVA adapter of 2025 without a word where `target_modules` is an expression.
# One guesses: old names are converted; whatever did not fit would be among "Found missing adapter keys".
# Seen 2026-11-29: transformers 4.51.3 with PEFT 0.15.2 adapted `.*(vision_model|language_model).*\.(q_proj|v_proj)`,
#   both towers, 16 tensors. LLaVA has no `vision_model` in transformers 5.24.0: names of tensors are converted, the
#   expression is not, so the tower's 8 are never made. Only what was made can be missing; what the file holds beyond
#   that is dropped with no warning. Logits that the adapter moved by 4.29 come out 1.24 off.
#   model.load_adapter of transformers loads as little but reports the 8 as UNEXPECTED. The same targets as the
#   list ["q_proj", "v_proj"] come out exactly as trained.
# What follows: what is adapted is read from the tensors, never from target_modules, and a tensor without a target is
#   an error. Loading with PEFT to compare: count the tensors in the file and those made.
set -euo pipefail

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
unsure() { echo "could not tell: $*"; exit 2; }
export HF_HUB_OFFLINE=1 HF_HOME="$dir/hf" PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
cd "$dir"

# PyPI's torch brings CUDA along (5 GB); PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu spares it.
python3 -m venv v || unsure "no venv"
v/bin/pip install -q --no-compile --only-binary :all: \
    peft==0.21.2 transformers==5.24.0 torch==2.15.0 safetensors==0.8.0 requests==2.34.2 || unsure "pip failed"
# The releases of that time lie over the same torch.
v/bin/pip install -q --no-compile --only-binary :all: --no-deps --target old \
    peft==0.15.2 transformers==4.51.3 huggingface_hub==0.36.0 tokenizers==0.21.4 || unsure "pip failed for the old"

cat >make.py <<'PY'
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlavaConfig, LlavaForConditionalGeneration

torch.set_num_threads(1)
torch.manual_seed(0)
model = LlavaForConditionalGeneration(LlavaConfig(
    image_token_index=90, image_seq_length=4,
    text_config=dict(model_type="llama", hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                     num_attention_heads=4, num_key_value_heads=4, vocab_size=96),
    vision_config=dict(model_type="clip_vision_model", hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                       num_attention_heads=4, image_size=28, patch_size=14))).eval()
given = {"input_ids": torch.tensor([[1, 90, 90, 90, 90, 5, 6, 7]]), "pixel_values": torch.rand(1, 3, 28, 28)}
with torch.no_grad():
    # Large enough for the picture to matter.
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.normal_(0, parameter.shape[-1] ** -0.5)
    model.save_pretrained("base")
    plain = model(**given).logits.clone()
    for name, targets in (("expression", r".*(vision_model|language_model).*\.(q_proj|v_proj)"),
                          ("list", ["q_proj", "v_proj"])):
        base = LlavaForConditionalGeneration.from_pretrained("base")
        model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules=targets)).eval()
        generator = torch.Generator().manual_seed(1)
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        trained = model(**given).logits.clone()
        model.save_pretrained(name, save_embedding_layers=False)
        save_file({**given, "plain": plain, "trained": trained}, name + "-logits.safetensors")
PY
PYTHONPATH=old v/bin/python make.py >make.log 2>&1 || { cat make.log; unsure "the old ones did not write their files"; }

cat >look.py <<'PY'
import logging, sys, warnings
from importlib.metadata import version

try:
    import torch, transformers
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import LlavaForConditionalGeneration
except Exception as e:
    print("could not tell:", e)
    sys.exit(2)

torch.set_num_threads(1)

class Lines(logging.Handler):
    """Keeps what transformers logs."""
    lines = []
    def emit(self, record):
        self.lines.append(record.getMessage())

transformers.logging.get_logger("transformers").addHandler(Lines())

def base():
    return LlavaForConditionalGeneration.from_pretrained("base")

def factors(model):
    return sum("lora_" in key for key, _ in model.named_parameters())

def look(name):
    old = load_file(name + "-logits.safetensors")
    given = {key: old[key] for key in ("input_ids", "pixel_values")}

    def off(model):
        with torch.no_grad():
            logits = model.eval()(**given).logits
        return {key: round((logits - old[key]).abs().max().item(), 4) for key in ("plain", "trained")}

    seen = {"tensors in the file": len(load_file(name + "/adapter_model.safetensors")), "no adapter": off(base())}
    Lines.lines.clear()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base(), name)
    seen["PEFT made"], seen["PEFT"] = factors(model), off(model)
    said = [str(w.message) for w in warned] + Lines.lines
    seen["PEFT said"] = [s for s in said if any(k in s for k in ("adapter", "lora", "UNEXPECTED", "missing"))]
    Lines.lines.clear()
    model = base()
    info = model.load_adapter(name)
    seen["transformers made"], seen["transformers"] = factors(model), off(model)
    seen["transformers returned as unexpected"] = len(info.unexpected_keys)
    seen["transformers logged UNEXPECTED"] = any("UNEXPECTED" in line for line in Lines.lines)
    return seen

try:
    expression, listed = look("expression"), look("list")
except Exception as e:
    print("could not tell:", repr(e))
    sys.exit(2)

print("versions  ", *(n + " " + version(n) for n in ("peft", "transformers", "torch")), "| files by 0.15.2, 4.51.3")
print("expected   the trained logits, or a word about the tensors that found no place")
for name, seen in (("target_modules an expression", expression), ("target_modules a list", listed)):
    print(name)
    for key, value in seen.items():
        print("  %-36s %s" % (key, value))
checks = {
    "the old model loads whole": expression["no adapter"]["plain"] < 1e-3,
    "16 tensors in either file": expression["tensors in the file"] == listed["tensors in the file"] == 16,
    "expression: half is made": expression["PEFT made"] == expression["transformers made"] == 8,
    "expression: neither as trained nor as without": min(expression["PEFT"].values()) > 0.1,
    "PEFT says nothing": expression["PEFT said"] == [],
    "transformers reports the other half": expression["transformers returned as unexpected"] == 8
                                           and expression["transformers logged UNEXPECTED"],
    "list: as trained, by both": listed["PEFT made"] == 16 and listed["PEFT"]["trained"] < 1e-3
                                 and listed["transformers"]["trained"] < 1e-3,
}
for name, held in checks.items():
    print("  yes" if held else "  NO ", name)
sys.exit(0 if all(checks.values()) else 1)
PY
v/bin/python look.py 2>look.log || { rc=$?; cat look.log; exit "$rc"; }
