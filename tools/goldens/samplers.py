"""What transformers' logits processors make of the demo model's logits: crates/inference/tests/goldens/samplers.json.

    python tools/goldens/samplers.py            # needs torch and transformers

Logits are rounded before anything is done to them, so that both sides begin with the same numbers. The order of the processors is vLLM's: bias, the ends
that are not allowed yet, penalties, temperature, min_p, top_k, top_p. Frequency and presence penalties, which transformers lacks, are OpenAI's formula.
"""

import json
from pathlib import Path

import torch
import transformers
from transformers import AutoTokenizer, Qwen3VLForConditionalGeneration
from transformers.generation.logits_process import (
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/demo/vlm"
OUT = ROOT / "crates/inference/tests/goldens/samplers.json"
TOLD = 8

CASES = [
    {},
    {"temperature": 0.7},
    {"top_k": 1},
    {"top_k": 5},
    {"top_k": 40, "temperature": 1.5},
    {"min_p": 0.02},
    {"min_p": 0.3, "temperature": 2.0},
    {"min_p": 1.0},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.6, "top_k": 20},
    {"frequency_penalty": 0.5},
    {"frequency_penalty": -2.0, "presence_penalty": 1.5},
    {"presence_penalty": 2.0, "temperature": 0.5},
    {"bias": [["best", -100.0]]},
    {"bias": [["best", -3.5], [300, 12.25]]},
    {"min_tokens": 9},
    {"min_tokens": 2},
    {"top_p": 0.9, "top_k": 12, "temperature": 1.5},
    {"top_p": 0.5, "temperature": 1.3},
    {"min_p": 0.05, "top_k": 30, "top_p": 0.8, "temperature": 1.8, "repetition_penalty": 1.2, "presence_penalty": 0.4, "bias": [[310, 4.0]]},
]


def processed(case, prompt, said, row, ends):
    """Logits after everything but top_p, then after that too."""
    ids = torch.tensor([prompt + said])
    scores = row[None].clone()
    if case.get("bias"):
        scores = SequenceBiasLogitsProcessor([[[token], bias] for token, bias in case["bias"]])(ids, scores)
    if "min_tokens" in case:
        scores = MinNewTokensLengthLogitsProcessor(len(prompt), case["min_tokens"], torch.tensor(ends))(ids, scores)
    if "repetition_penalty" in case:
        scores = RepetitionPenaltyLogitsProcessor(case["repetition_penalty"])(ids, scores)
    for token in set(said):
        scores[0, token] -= case.get("frequency_penalty", 0.0) * said.count(token) + case.get("presence_penalty", 0.0)
    scores = TemperatureLogitsWarper(case.get("temperature", 1.0))(ids, scores)
    if "min_p" in case:
        scores = MinPLogitsWarper(case["min_p"])(ids, scores)
    if "top_k" in case:
        scores = TopKLogitsWarper(case["top_k"])(ids, scores)
    nucleus = TopPLogitsWarper(case["top_p"])(ids, scores) if "top_p" in case else scores
    return scores[0], nucleus[0]


def main():
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = Qwen3VLForConditionalGeneration.from_pretrained(MODEL, dtype=torch.float32).eval()
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    rows = []
    for question, reply in [("What colour is the object?", " red red"), ("Describe this image.", " the object is red and the")]:
        prompt = tokenizer(f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n")["input_ids"]
        said = tokenizer(reply, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + said])).logits[0, -1]
        rows.append({"prompt": prompt, "said": said, "logits": [round(x, 3) for x in logits.tolist()]})
    cases = []
    for at, row in enumerate(rows):
        logits = torch.tensor(row["logits"])
        for case in CASES:
            named = [[int(logits.argmax()) if token == "best" else token, bias] for token, bias in case.get("bias", [])]
            case = {**case, "bias": named}
            scores, nucleus = processed(case, row["prompt"], row["said"], logits, ends)
            probabilities = scores.softmax(-1)
            told = sorted(range(len(logits)), key=lambda token: (-probabilities[token].item(), token))[:TOLD]
            cases.append({
                "row": at,
                **case,
                "count": int(torch.isfinite(scores).sum()),
                "top": [[token, round(probabilities[token].item(), 7)] for token in told if probabilities[token] > 0],
                "nucleus": torch.isfinite(nucleus).nonzero().flatten().tolist() if "top_p" in case else None,
            })
    made = {"transformers": transformers.__version__, "ends": ends, "rows": rows, "cases": cases}
    OUT.write_text(json.dumps(made, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
