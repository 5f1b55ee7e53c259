#!/usr/bin/env bash
# Makes the golden checkpoints of crates/models again, each by the release of transformers that it is to be read from.
#
#   tools/reference.sh              # both releases
#   tools/reference.sh 5.23.0       # one of them
#
# Environments are made below REFERENCE_ENVS (target/reference) and kept. About 3 GB each.
set -euo pipefail
cd "$(dirname "$0")/.."
envs=${REFERENCE_ENVS:-target/reference}
common=(torch==2.15.0 torchvision==0.29.2 numpy pillow==13.0.0 safetensors sentencepiece protobuf)

packages() { # packages RELEASE: what goes with it
    case $1 in
        4.57.6) echo transformers==4.57.6 sentence-transformers==5.1.2 tokenizers==0.22.2 ;;
        5.23.0) echo transformers==5.23.0 sentence-transformers==6.2.0 tokenizers==0.23.3 ;;
        *) echo "no golden checkpoint is made by release $1" >&2; return 1 ;;
    esac
}

[ $# -gt 0 ] || set -- 4.57.6 5.23.0
for release; do
    read -r -a chosen <<<"$(packages "$release")"
    env=$envs/$release
    [ -x "$env/bin/python" ] || python3 -m venv "$env"
    "$env/bin/pip" install --quiet "${common[@]}" "${chosen[@]}"
    HF_HUB_OFFLINE=1 "$env/bin/python" tools/reference.py --all --release "$release"
done
