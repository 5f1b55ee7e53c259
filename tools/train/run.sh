#!/usr/bin/env bash
# Trains the demo bundle from nothing: episodes must have been written before (see README.md).
# usage: run.sh EPISODES HELD_EPISODES WORK OUT      environment: PYTHON, V_MINUTES, P_MINUTES, L_MINUTES, S_MINUTES, J_MINUTES, VIEWS,
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
  run packing.py --episodes "$episodes" --tokenizer "$tokenizer" --out "$work/shards" --views "${VIEWS:-60000}"
  run packing.py --episodes "$episodes" --tokenizer "$tokenizer" --out "$work/lessons" --views "$((${VIEWS:-60000} * 2 / 5))" --lessons
  # training draws from both
  cp -r "$work/shards" "$work/mix"
  first=$(find "$work/shards" -name 'shard-*.npy' | wc -l)
  for lesson in "$work"/lessons/shard-*.npy; do
    cp "$lesson" "$work/mix/shard-$(printf %04d "$first").npy"
    first=$((first + 1))
  done
  touch "$work/packed"
fi

read -r -a flags <<< "${TRAIN_FLAGS:-}"
common=(--episodes "$episodes" --held-episodes "$held" --held-shards "$work/held" --tokenizer "$tokenizer" --threads 1 "${flags[@]}")
run train_model.py --stage vision "${common[@]}" --out "$work/vision.pt" --minutes "${V_MINUTES:-50}" --views 64 > "$work/vision.log" 2>&1 &
vision=$!
# language: the primer, after which copying from a context is there; then the ordinary rows
primer=${P_MINUTES:-3}
run train_model.py --stage language "${common[@]}" --primer --out "$work/language.pt" --minutes "$primer" --views 16 > "$work/language.log" 2>&1
run train_model.py --stage language "${common[@]}" --shards "$work/mix" --out "$work/language.pt" --minutes "$((primer + ${L_MINUTES:-25}))" \
  --views 16 >> "$work/language.log" 2>&1
[ -f "$work/sentences.pt" ] || run train_sentences.py --sentences "$episodes/sentences.jsonl" --held "$held/sentences.jsonl" \
  --tokenizer "$tokenizer" --out "$work/sentences.pt" --minutes "${S_MINUTES:-8}" --threads 1 > "$work/sentences.log" 2>&1
wait "$vision"
# joint: two trainers, one a core, that average their weights every few steps
for own in 1 2; do
  run train_model.py --stage joint "${common[@]}" --shards "$work/mix" --vision "$work/vision.pt" --language "$work/language.pt" --out "$work/joint-$own.pt" \
    --minutes "${J_MINUTES:-90}" --views 16 --crops 0.3 --frozen 0.05 --seed "$own" \
    --publish "$work/shared-$own.pt" --peer "$work/shared-$((3 - own)).pt" > "$work/joint-$own.log" 2>&1 &
  trainers[own]=$!
done
wait "${trainers[1]}" && wait "${trainers[2]}"
run export.py --model "$work/joint-1.pt" --average "$work/joint-2.pt" --sentences "$work/sentences.pt" --tokenizer "$tokenizer" --out "$out" --check "$held"
