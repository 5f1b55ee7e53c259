#!/usr/bin/env bash
# LLaMA-Factory 0.9.5: `{{idx}}` in somebody's question becomes the number of the turn before it is tokenised.
# One guesses: a message is put into the chat template once, so nothing in the message itself is filled in.
# Seen 2026-11-29: StringFormatter goes through its arguments one after the other over the same string, `content`
#   first and `idx` after it; with ("Which key is {{idx}}?", idx="0") the model is trained on "Which key is 0?".
#   `{{content}}` in a message stays: by then its turn is over. Nothing is logged, no count is off.
# What follows: texts that may hold such braces have to be broken up before they go into a data set for it
#   (`{ {idx}}`), as `<image>` has to be, which it counts; a test that only counts pictures does not see it.
set -euo pipefail

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
unsure() { echo "could not tell: $*"; exit 2; }
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
cd "$dir"

# One file of it is enough, without the gigabytes that the package as a whole asks for.
python3 -m pip download -q --no-deps --only-binary :all: llamafactory==0.9.5 || unsure "pip failed"
python3 - <<'PY'
import glob, sys, types, zipfile

try:
    with zipfile.ZipFile(glob.glob("llamafactory-*.whl")[0]) as wheel:
        source = wheel.read("llamafactory/data/formatter.py").decode()
    # What the file imports beside the standard library is not what is looked at.
    for name in ("stub", "stub.extras", "stub.data", "stub.data.data_utils", "stub.data.tool_utils"):
        module = types.ModuleType(name)
        module.__path__ = []
        sys.modules[name] = module
    sys.modules["stub.data.data_utils"].SLOTS = list
    for name in ("FunctionCall", "get_tool_utils"):
        setattr(sys.modules["stub.data.tool_utils"], name, object)
    formatter = types.ModuleType("stub.data.formatter")
    formatter.__package__ = "stub.data"
    sys.modules["stub.data.formatter"] = formatter
    if "typing_extensions" not in sys.modules:
        fallback = types.ModuleType("typing_extensions")
        fallback.override = lambda function: function
        sys.modules["typing_extensions"] = fallback
    exec(compile(source, "formatter.py", "exec"), formatter.__dict__)
    (text,) = formatter.StringFormatter(slots=["<{{content}}>"]).apply(content="key {{idx}} {{content}}", idx="0")
except Exception as e:
    print("could not tell:", repr(e))
    sys.exit(2)

print(text)
if text == "<key 0 {{content}}>":
    print("still so: {{idx}} in a message is filled in")
elif text == "<key {{idx}} {{content}}>":
    print("no longer so: a message stays as it is")
    sys.exit(1)
else:
    print("could not tell: neither")
    sys.exit(2)
PY
