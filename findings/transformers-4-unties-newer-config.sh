#!/usr/bin/env bash
# transformers 4.57.6, given a Qwen2.5-VL config.json as 5.23.0 saves it, reads tied embeddings as untied.
# One guesses: an older release keeps what it knows, and it knows the top-level key "tie_word_embeddings".
# Seen 2026-11-29: true in the file is False once loaded, and no key is true once saved again; rope_theta is
#   the default 1000000.0, saved beside rope_parameters.rope_theta 5000000.0; mrope_section is not taken up
#   (rope_scaling null). Nothing is logged about it. Read back by 5.23.0 the file is untied for good.
#   With qwen3_vl the top level stays true, but the text part, which that release asks, is False.
# What follows: what a key means depends on the release and the nesting. A reader should see transformers_version,
#   take rope_parameters where both are there, and name a file with two different rope_theta, or one that says
#   untied while no lm_head.weight lies beside it, instead of choosing without a word.
set -euo pipefail

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
unsure() { echo "could not tell: $*"; exit 2; }
export HF_HUB_OFFLINE=1 HF_HOME="$dir/hf" PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
cd "$dir"

for release in 4.57.6 5.23.0; do
    python3 -m venv "v$release" || unsure "no venv"
    "v$release/bin/pip" install -q --no-compile --only-binary :all: "transformers==$release" \
        || unsure "pip failed for $release"
done

cat >make.py <<'PY'
from transformers import Qwen2_5_VLConfig, Qwen3VLConfig

text = dict(hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, vocab_size=1024, max_position_embeddings=512,
            rope_parameters={"rope_type": "default", "rope_theta": 5000000.0, "mrope_section": [4, 6, 6]})
Qwen2_5_VLConfig(text_config=text, tie_word_embeddings=True).save_pretrained("two")
text["rope_parameters"]["rope_theta"] = 8000000.0
text["head_dim"] = 32
Qwen3VLConfig(text_config=text, tie_word_embeddings=True).save_pretrained("three")
PY
v5.23.0/bin/python make.py 2>make.log || { cat make.log; unsure "5.23.0 did not write its configs"; }

cat >load.py <<'PY'
import json, sys
from transformers import AutoConfig, __version__

seen = {"version": __version__}
for name in sys.argv[2:]:
    config = AutoConfig.from_pretrained(name)
    rope = getattr(config.text_config, "rope_parameters", None) or {}
    seen[name] = {
        "tied": config.tie_word_embeddings,
        "text tied": getattr(config.get_text_config(decoder=True), "tie_word_embeddings", None),
        "rope_theta": getattr(config.text_config, "rope_theta", None),
        "rope_scaling": getattr(config.text_config, "rope_scaling", None),
        "rope_parameters": rope,
    }
    if sys.argv[1] == "save":
        config.save_pretrained(name + "-again")
json.dump(seen, sys.stdout)
PY
v4.57.6/bin/python load.py save two three >old.json 2>old.log || { cat old.log; unsure "4.57.6 did not load"; }
v5.23.0/bin/python load.py look two three two-again >new.json 2>new.log || { cat new.log; unsure "5.23.0 did not load"; }

cat >judge.py <<'PY'
import json, re, sys

def read(path):
    with open(path) as f:
        return json.load(f)

try:
    old, new = read("old.json"), read("new.json")
    given, again = read("two/config.json"), read("two-again/config.json")
    with open("old.log") as f:
        log = f.read()
    start, text = given["text_config"]["rope_parameters"], again["text_config"]
    pair, theta = (old["version"], new["version"]), start["rope_theta"]
except (OSError, ValueError, KeyError, TypeError) as e:
    print("could not tell:", e)
    sys.exit(2)
if pair != ("4.57.6", "5.23.0") or given.get("tie_word_embeddings") is not True or theta != 5000000.0:
    print("could not tell: the releases or the config they start from are not the ones meant")
    sys.exit(2)
tied = re.findall(r'"tie_word_embeddings": *true', json.dumps(again))
print("versions   transformers", *pair)
print("input      tie_word_embeddings", given["tie_word_embeddings"], start)
print("expected   4.57.6 loads it tied, with that rope_theta, or says that it does not")
print("4.57.6     two  ", old["two"])
print("4.57.6     three", old["three"])
print("saved      keys saying tied:", len(tied), "| rope_theta", text.get("rope_theta"), "beside",
      text.get("rope_parameters"))
print("5.23.0     two as it was:", new["two"]["tied"], "| two as 4.57.6 saved it:", new["two-again"]["tied"],
      new["two-again"]["rope_parameters"])
print("log        ", log.strip() or "(empty)")
checks = {
    "5.23.0 reads its own file as tied": new["two"]["tied"] is True,
    "4.57.6 reads it as untied": old["two"]["tied"] is False and old["two"]["text tied"] is False,
    "4.57.6 saves no true tie": not tied,
    "5.23.0 then reads untied": new["two-again"]["tied"] is False,
    "rope_theta is the default": old["two"]["rope_theta"] == 1000000.0 == text.get("rope_theta"),
    "both rope_theta are saved": (text.get("rope_parameters") or {}).get("rope_theta") == 5000000.0,
    "mrope_section is not taken up": old["two"]["rope_scaling"] is None,
    "qwen3_vl: top tied, text untied": old["three"]["tied"] is True and old["three"]["text tied"] is False,
    "nothing is logged of it": not re.search(r"tie_word|tied|rope|newer", log, re.I),
}
for name, held in checks.items():
    print("  yes" if held else "  NO ", name)
sys.exit(0 if all(checks.values()) else 1)
PY
v4.57.6/bin/python judge.py
