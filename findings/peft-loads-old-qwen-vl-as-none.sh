#!/usr/bin/env bash
# PEFT 0.21.2 loads no tensor of a Qwen2.5-VL adapter of 2025 that transformers 5.24.0 itself loads whole.
# One guesses: both read adapters by one table of old names, since the model below loads and LLaVA's adapter does too.
# Seen 2026-11-29: transformers 4.51.3 with PEFT 0.15.2 wrote `base_model.model.model.layers.…` and `….visual.…`.
#   The model of that time loads with equal logits; PeftModel.from_pretrained(model, folder) leaves it as it was
#   (logits equal to those without), with one warning of missing keys, none that the file's own were dropped;
#   model.load_adapter(folder) gives the trained logits. LLaVA's of the same day (`language_model.model.layers.…`)
#   is read by both. PEFT reads Qwen's with key_mapping={"^visual": "model.visual", "^model": "model.language_model"}.
# What follows: old names are a reader's own work and are mapped by model type; a tensor without a target is an error,
#   not a warning; PEFT is an oracle for an old adapter only if its logits differ from the plain model's.
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
from transformers import (LlavaConfig, LlavaForConditionalGeneration, Qwen2_5_VLConfig,
                          Qwen2_5_VLForConditionalGeneration)

torch.set_num_threads(1)
TEXT = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=4, vocab_size=96)
qwen = Qwen2_5_VLConfig(
    **TEXT, rope_theta=10000.0, rope_scaling={"type": "mrope", "mrope_section": [2, 3, 3]}, bos_token_id=1,
    eos_token_id=2, tie_word_embeddings=False, image_token_id=90, video_token_id=91, vision_start_token_id=92,
    vision_end_token_id=93,
    vision_config=dict(depth=1, hidden_size=32, intermediate_size=64, num_heads=4, out_hidden_size=64))
llava = LlavaConfig(
    text_config=dict(TEXT, model_type="llama"), image_token_index=90,
    vision_config=dict(model_type="clip_vision_model", hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                       num_attention_heads=4, image_size=28, patch_size=14))
for name, kind, config in (("qwen", Qwen2_5_VLForConditionalGeneration, qwen),
                           ("llava", LlavaForConditionalGeneration, llava)):
    torch.manual_seed(0)
    model = kind(config).eval()
    model.save_pretrained(name)
    ids = torch.arange(3, 15)[None]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        plain = model(input_ids=ids).logits.clone()
        model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["gate_proj"])).eval()
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        trained = model(input_ids=ids).logits.clone()
    model.save_pretrained(name + "-adapter", save_embedding_layers=False)
    save_file({"ids": ids, "plain": plain, "trained": trained}, name + "-logits.safetensors")
PY
PYTHONPATH=old v/bin/python make.py >make.log 2>&1 || { cat make.log; unsure "the old ones did not write their files"; }

cat >look.py <<'PY'
import sys, warnings
from importlib.metadata import version

try:
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import LlavaForConditionalGeneration, Qwen2_5_VLForConditionalGeneration
except Exception as e:
    print("could not tell:", e)
    sys.exit(2)

torch.set_num_threads(1)
MAPPING = {"^visual": "model.visual", "^model": "model.language_model"}

def look(name, kind):
    """Greatest differences of logits from the old ones, and what PEFT said."""
    old, adapter = load_file(name + "-logits.safetensors"), name + "-adapter"

    def base():
        return kind.from_pretrained(name)

    def off(model):
        with torch.no_grad():
            logits = model.eval()(input_ids=old["ids"]).logits
        return {k: round((logits - old[k]).abs().max().item(), 4) for k in ("plain", "trained")}

    seen = {"file": min(load_file(adapter + "/adapter_model.safetensors")), "no adapter": off(base())}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        seen["PeftModel.from_pretrained"] = off(PeftModel.from_pretrained(base(), adapter))
    seen["said"] = [str(w.message) for w in warned if "adapter" in str(w.message) or "lora" in str(w.message)]
    model = base()
    model.load_adapter(adapter)
    seen["model.load_adapter"] = off(model)
    if name == "qwen":
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            seen["PEFT with key_mapping"] = off(PeftModel.from_pretrained(base(), adapter, key_mapping=MAPPING))
        seen["said with it"] = [str(w.message) for w in warned if "adapter" in str(w.message)]
    return seen

try:
    qwen = look("qwen", Qwen2_5_VLForConditionalGeneration)
    llava = look("llava", LlavaForConditionalGeneration)
except Exception as e:
    print("could not tell:", repr(e))
    sys.exit(2)

print("versions  ", *(n + " " + version(n) for n in ("peft", "transformers", "torch")), "| files by 0.15.2, 4.51.3")
print("expected   both ways give the trained logits, for both models")
for name, seen in (("qwen2_5_vl", qwen), ("llava", llava)):
    print(name)
    for key, value in seen.items():
        print("  %-26s %s" % (key, value))
checks = {
    "the old models load whole": qwen["no adapter"]["plain"] < 1e-3 and llava["no adapter"]["plain"] < 1e-3,
    "the adapters matter": qwen["no adapter"]["trained"] > 0.1 and llava["no adapter"]["trained"] > 0.1,
    "PEFT: Qwen's does nothing": qwen["PeftModel.from_pretrained"] == qwen["no adapter"],
    "PEFT says only what is missing": len(qwen["said"]) == 1 and "Found missing adapter keys" in qwen["said"][0]
                                      and "model.model.layers" not in qwen["said"][0],
    "transformers: Qwen's is loaded": qwen["model.load_adapter"]["trained"] < 1e-3,
    "PEFT with key_mapping: loaded": qwen["PEFT with key_mapping"]["trained"] < 1e-3 and not qwen["said with it"],
    "PEFT: LLaVA's is loaded": llava["PeftModel.from_pretrained"]["trained"] < 1e-3 and not llava["said"],
    "transformers: LLaVA's is loaded": llava["model.load_adapter"]["trained"] < 1e-3,
}
for name, held in checks.items():
    print("  yes" if held else "  NO ", name)
sys.exit(0 if all(checks.values()) else 1)
PY
v/bin/python look.py 2>look.log || { rc=$?; cat look.log; exit "$rc"; }
