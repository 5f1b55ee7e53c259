#!/usr/bin/env bash
# Drives a built binary the way a person with curl does, and checks every answer:
# edit -> query -> paraphrase -> unrelated -> kill -9 -> restart -> query -> revert -> query.
#
#   .ci/smoke.sh [BINARY]        default: target/release/reasonedit
#
# Needs bash, curl and python3. Writes only to a temporary folder. The pictures and the corrections come from
# `reasonedit world`, from a seed the demo model was not trained on; corrections are of questions that the unedited model
# gets wrong. This is a test of the machinery: how often a small model takes an edit is measured by `reasonedit eval`, so
# that one of three edits has to take here, half of its paraphrases, and most unrelated answers have to stay.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=$(realpath "${1:-target/release/reasonedit}")
seed=${SMOKE_SEED:-1000417}
work=$(mktemp -d)
server=
log=$work/server.log

cleanup() {
    local status=$?
    if [ -n "$server" ]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    if [ "$status" -ne 0 ] && [ -s "$log" ]; then
        echo "--- last lines of the server's log"
        tail -n 20 "$log"
    fi
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT

say() { printf '  %-58s %s\n' "$1" "$2"; }
die() { echo "smoke test failed: $*" >&2; exit 1; }

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port

# Milliseconds from the start of the process until it says that it is ready.
start() {
    local begun now
    begun=$(date +%s%N)
    "$binary" serve --bind "127.0.0.1:$port" --data "$work/data" >>"$log" 2>&1 &
    server=$!
    for _ in $(seq 1 600); do
        if curl --silent --fail --output /dev/null "$url/health/ready"; then
            now=$(date +%s%N)
            say "ready after" "$(((now - begun) / 1000000)) ms"
            return
        fi
        kill -0 "$server" 2>/dev/null || die "the server ended while starting"
        sleep 0.05
    done
    die "not ready within 30 s"
}

# field FILE EXPRESSION: evaluates a Python expression over the JSON document `d`.
field() {
    python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
value = eval(sys.argv[2])
print(value if isinstance(value, str) else json.dumps(value))' "$1" "$2"
}

# expect WHAT FILE EXPRESSION: the expression must be true of the JSON document.
expect() {
    local got
    got=$(field "$2" "$3") || die "$1: $(head -c 600 "$2")"
    [ "$got" = true ] || die "$1: $3 does not hold of $(head -c 600 "$2")"
    say "$1" ok
}

# post PATH BODY-FILE OUT-FILE STATUS
post() {
    local status
    status=$(curl --silent --show-error --output "$3" --write-out '%{http_code}' \
        --header 'Content-Type: application/json' --data-binary "@$2" "$url$1")
    [ "$status" = "$4" ] || die "POST $1 answered $status, not $4: $(head -c 600 "$3")"
}

# query OUT-FILE IMAGE QUESTION CHOICES-JSON
query() {
    python3 - "$work/query.json" "$2" "$3" "$4" <<'PY'
import base64, json, sys
out, image, question, choices = sys.argv[1:]
data = base64.b64encode(open(image, "rb").read()).decode()
body = {"image": {"data": data}, "question": question, "choices": json.loads(choices), "compare": True}
json.dump(body, open(out, "w"))
PY
    post /query "$work/query.json" "$1" 200
}

echo "smoke test of $binary"
"$binary" --version >/dev/null || die "--version"
"$binary" world --seed "$seed" --count 30 --out "$work/world" >/dev/null
[ "$(wc -l <"$work/world/edits.jsonl")" = 30 ] || die "world wrote another number of records"
start

# 1. A correction of something the model gets wrong.
id=
tries=0
for line in $(seq 1 30); do
    sed -n "${line}p" "$work/world/edits.jsonl" >"$work/record.json"
    image=$work/world/$(field "$work/record.json" 'd["image"]')
    question=$(field "$work/record.json" 'd["question"]')
    answer=$(field "$work/record.json" 'd["answer"]')
    choices=$(field "$work/record.json" 'd["choices"]')
    query "$work/before.json" "$image" "$question" "$choices"
    [ "$(field "$work/before.json" 'd["answer"]')" != "$answer" ] || continue
    say "before: $question" "$(field "$work/before.json" 'd["answer"]') (wrong)"

    # Multipart, as in the README; the statements as repeated parts.
    forms=(--form "image=@$image" --form-string "question=$question" --form-string "answer=$answer")
    while IFS= read -r statement; do forms+=(--form-string "reasoning=$statement"); done \
        < <(python3 -c 'import json, sys; print("\n".join(json.load(open(sys.argv[1]))["reasoning"]))' "$work/record.json")
    while IFS= read -r choice; do forms+=(--form-string "choices=$choice"); done \
        < <(python3 -c 'import json, sys; print("\n".join(json.load(open(sys.argv[1]))["choices"]))' "$work/record.json")
    status=$(curl --silent --show-error --output "$work/edit.json" --write-out '%{http_code}' "${forms[@]}" "$url/edits")
    [ "$status" = 201 ] || die "POST /edits answered $status: $(head -c 600 "$work/edit.json")"
    expect "edit stored: entries" "$work/edit.json" 'len(d["entries"]) >= 1'
    tries=$((tries + 1))
    if [ "$(field "$work/edit.json" 'd["after"]["answer"]')" = "$answer" ]; then
        id=$(field "$work/edit.json" 'd["id"]')
        say "edit: the model's answer after it is the correction" "$answer"
        break
    fi
    [ "$tries" -lt 3 ] || die "none of $tries edits changed the answer: $(head -c 600 "$work/edit.json")"
    say "edit: did not take; reverted" "$tries of 3"
    curl --silent --fail --request DELETE "$url/edits/$(field "$work/edit.json" 'd["id"]')" || die "DELETE"
done
[ -n "$id" ] || die "the unedited model makes no error on 30 records: nothing to correct"

# 2. The same question, a paraphrase, and something else.
query "$work/after.json" "$image" "$question" "$choices"
expect "query: the corrected answer" "$work/after.json" "d['answer'] == '''$answer'''"
expect "query: names the edit's statements" "$work/after.json" \
    "not d['retrieval']['rejected'] and any('$id' in f['edit_ids'] for f in d['retrieval']['facts'])"
expect "query: the unedited model still errs" "$work/after.json" "d['unedited']['answer'] != '''$answer'''"

right=0
asked=$(field "$work/record.json" 'len(d["paraphrases"])')
for n in $(seq 0 $((asked - 1))); do
    query "$work/paraphrase.json" "$image" "$(field "$work/record.json" "d['paraphrases'][$n]")" "$choices"
    [ "$(field "$work/paraphrase.json" 'd["answer"]')" != "$answer" ] || right=$((right + 1))
done
[ $((right * 2)) -ge "$asked" ] || die "only $right of $asked paraphrases get the corrected answer"
say "paraphrases: the corrected answer" "$right of $asked"

kept=0
asked=$(field "$work/record.json" 'len(d["unrelated"])')
for n in $(seq 0 $((asked - 1))); do
    query "$work/unrelated.json" "$work/world/$(field "$work/record.json" "d['unrelated'][$n]['image']")" \
        "$(field "$work/record.json" "d['unrelated'][$n]['question']")" \
        "$(field "$work/record.json" "d['unrelated'][$n]['choices']")"
    [ "$(field "$work/unrelated.json" 'd["answer"] == d["unedited"]["answer"]')" != true ] || kept=$((kept + 1))
done
[ $((kept * 4)) -ge $((asked * 3)) ] || die "only $kept of $asked unrelated answers are unchanged"
say "unrelated questions: answer unchanged" "$kept of $asked"

# 3. Nothing acknowledged is lost.
kill -KILL "$server"
wait "$server" 2>/dev/null || true
server=
say "kill -9" done
start
query "$work/again.json" "$image" "$question" "$choices"
expect "after the restart: the corrected answer" "$work/again.json" "d['answer'] == '''$answer'''"
python3 - "$work/after.json" "$work/again.json" <<'PY' || die "the answer after the restart differs from the one before"
import json, sys
before, after = (json.load(open(name)) for name in sys.argv[1:])
for document in (before, after):
    del document["timings_ms"]
sys.exit(before != after)
PY
say "after the restart: the very same answer, facts and figures" ok

# 4. Reverted is as if never made.
status=$(curl --silent --output /dev/null --write-out '%{http_code}' --request DELETE "$url/edits/$id")
[ "$status" = 204 ] || die "DELETE /edits/$id answered $status"
query "$work/reverted.json" "$image" "$question" "$choices"
expect "reverted: the old answer" "$work/reverted.json" "d['answer'] == d['unedited']['answer'] != '''$answer'''"
expect "reverted: nothing retrieved" "$work/reverted.json" "d['retrieval']['facts'] == []"
status=$(curl --silent --output /dev/null --write-out '%{http_code}' "$url/edits/$id")
[ "$status" = 404 ] || die "GET of a reverted edit answered $status"
say "reverted: the edit is gone" ok

# 5. It goes when asked to.
kill -TERM "$server"
code=0
wait "$server" || code=$?
server=
[ "$code" = 0 ] || die "ended with $code on SIGTERM"
say "SIGTERM: drained, exit status" 0
echo "smoke test passed"
