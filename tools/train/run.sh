#!/usr/bin/env bash
# Trains the demo bundle from nothing: episodes must have been written before (see README.md).
# usage: run.sh EPISODES HELD_EPISODES WORK OUT      environment: PYTHON, V_MINUTES, L_MINUTES, F_MINUTES, J_MINUTES, S_MINUTES, VIEWS,
# TRAIN_FLAGS (more flags for every stage, e.g. "--eager --steps 2" to try the whole chain)
# Every stage resumes from its checkpoint in WORK, so the script may be stopped and started again.
set -euo pipefail
episodes=$1 held=$2 work=$3 out=$4
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
mkdir -p "$work"
tokenizer=$work/tokenizer.json
run() { nice -n 3 "$python" -u "$here/$1" "${@:2}"; }

[ -f "$tokenizer" ] || run textcodec.py --corpus "$episodes/corpus.txt" --out "$tokenizer"
run check_forward.py --tokenizer "$tokenizer"
[ -f "$work/held/tags.json" ] || run packing.py --episodes "$held" --tokenizer "$tokenizer" --out "$work/held"
if [ ! -f "$work/packed" ]; then
  run packing.py --episodes "$episodes" --tokenizer "$tokenizer" --out "$work/shards" --views "${VIEWS:-48000}"
  run packing.py --episodes "$episodes" --tokenizer "$tokenizer" --out "$work/lessons" --views "$((${VIEWS:-48000} / 3))" --lessons
  # the joint stage draws from both
  cp -r "$work/shards" "$work/mix"
  first=$(find "$work/shards" -name 'shard-*.npy' | wc -l)
  for lesson in "$work"/lessons/shard-*.npy; do
    cp "$lesson" "$work/mix/shard-$(printf %04d "$first").npy"
    first=$((first + 1))
  done
  touch "$work/packed"
fi

read -r -a flags <<< "${TRAIN_FLAGS:-}"
common=(--episodes "$episodes" --held-episodes "$held" --held-shards "$work/held" --tokenizer "$tokenizer" "${flags[@]}")
run train_model.py --stage vision "${common[@]}" --out "$work/vision.pt" --minutes "${V_MINUTES:-16}" \
  --views 64 --threads 1 > "$work/vision.log" 2>&1 &
vision=$!
# language: the ordinary rows, then the short first lessons, after which copying from a context is there
run train_model.py --stage language "${common[@]}" --shards "$work/shards" --out "$work/language.pt" --minutes "${L_MINUTES:-10}" \
  --views 16 --threads 1 > "$work/language.log" 2>&1
run train_model.py --stage language "${common[@]}" --shards "$work/lessons" --out "$work/language.pt" \
  --minutes "$((${L_MINUTES:-10} + ${F_MINUTES:-5}))" --views 16 --threads 1 >> "$work/language.log" 2>&1
wait "$vision"
[ -f "$work/sentences.pt" ] || run train_sentences.py --sentences "$episodes/sentences.jsonl" --held "$held/sentences.jsonl" \
  --tokenizer "$tokenizer" --out "$work/sentences.pt" --minutes "${S_MINUTES:-5}" --threads 2 > "$work/sentences.log" 2>&1
run train_model.py --stage joint "${common[@]}" --shards "$work/mix" --vision "$work/vision.pt" --language "$work/language.pt" --out "$work/joint.pt" \
  --minutes "${J_MINUTES:-60}" --views 16 --crops 0.3 --frozen 0.12 > "$work/joint.log" 2>&1
run export.py --model "$work/joint.pt" --sentences "$work/sentences.pt" --tokenizer "$tokenizer" --out "$out" --check "$held"
