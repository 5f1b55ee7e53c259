"""What `reasonedit bench` measures, done with transformers on the same weights: the yardstick, not the product.

The work is written the plain way, one forward pass per prompt and per picture part:

- an edit: every candidate part of the picture is cut, preprocessed and asked about every statement
  (`Does the image show ...?`), then each part that shows it is scored by the statement's likelihood as a description;
- a query with four choices: one pass for the embedding of the picture, and one per choice as the reply.

Reads one JSON request a line from the standard input and answers with one JSON line each:

    {"kind": "edit", "image": "scene.png", "statements": ["The thing has a dark rim.", ...]}
    {"kind": "query", "image": "scene.png", "prompt": "facts and question", "choices": ["zorb", ...]}
    {"kind": "generate", "image": "scene.png", "prompt": "Describe this image.", "tokens": 32}

Answers: {"ms": wall clock, "forwards": passes run, "verify_ms": ..., "evidence": ...} or {"ms", "forwards", "answer"}; of a
generation (greedy, by transformers' own `generate` with its cache) "prefill_ms", "decode_ms" and "tokens".

Usage: python bench_transformers.py --model models/demo/vlm [--threads 2] [--dtype bfloat16] [--device cuda]
Needs torch, transformers, pillow, numpy.
"""

import argparse
import json
import sys
import time

import torch
from PIL import Image
from transformers import AutoTokenizer, Qwen3VLForConditionalGeneration
from transformers.generation.streamers import BaseStreamer

try:  # The processor without torchvision has a name of its own in newer versions.
    from transformers import Qwen2VLImageProcessorPil as ImageProcessor
except ImportError:
    from transformers import Qwen2VLImageProcessor as ImageProcessor

ROWS = COLUMNS = 3
KERNELS = [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2)]
WIDE = {(1, 2), (2, 3)}
TALL = {(2, 1), (3, 2)}


def candidates(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) of the 3x3 grid's kernels: 29 on square pictures, 21 otherwise."""
    xs = [round(i * width / COLUMNS) for i in range(COLUMNS + 1)]
    ys = [round(i * height / ROWS) for i in range(ROWS + 1)]
    left_out = WIDE if width > height else TALL if height > width else set()
    return [
        (xs[c], ys[r], xs[c + columns], ys[r + rows])
        for rows, columns in KERNELS
        if (rows, columns) not in left_out
        for r in range(ROWS - rows + 1)
        for c in range(COLUMNS - columns + 1)
    ]


class Model:
    """The checkpoint with its tokenizer and image processor."""

    def __init__(self, folder: str, dtype: str, device: str):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.processor = ImageProcessor.from_pretrained(folder)
        self.model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
        self.model.to(device)
        self.image_token = self.model.config.image_token_id
        self.merge = self.model.config.vision_config.spatial_merge_size
        self.forwards = 0
        words = {"yes": ["yes", "Yes"], "no": ["no", "No"]}
        self.first = {
            name: sorted({self.tokenizer.encode(word, add_special_tokens=False)[0] for word in group})
            for name, group in words.items()
        }

    def ids(self, text: str, image_tokens: int, reply: str = "") -> tuple[torch.Tensor, int]:
        """Token ids of one user turn about one picture, with a reply; and how many of them are the reply's."""
        content = [{"type": "image"}, {"type": "text", "text": text}]
        prompt = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        head, tail = prompt.split("<|image_pad|>")
        encode = lambda part: self.tokenizer.encode(part, add_special_tokens=False)  # noqa: E731
        tokens = encode(head) + [self.image_token] * image_tokens + encode(tail)
        end = encode(reply) if reply else []
        return torch.tensor([tokens + end]), len(end)

    def inputs(self, image: Image.Image, text: str, reply: str = "") -> tuple[dict, int]:
        """What the model is called with, picture preprocessed; and the length of the reply in tokens."""
        pixels = self.processor(images=[image], return_tensors="pt")
        grid = pixels["image_grid_thw"]
        ids, reply_length = self.ids(text, int(grid[0].prod()) // self.merge**2, reply)
        inputs = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "pixel_values": pixels["pixel_values"].to(self.model.dtype),
            "image_grid_thw": grid,
            "mm_token_type_ids": (ids == self.image_token).int(),
        }
        return {name: value.to(self.model.device) for name, value in inputs.items()}, reply_length

    def forward(self, image: Image.Image, text: str, reply: str = "") -> tuple[torch.Tensor, torch.Tensor, int]:
        """One whole pass: preprocessing, vision, language. Logits (length, vocabulary), ids, length of the reply."""
        inputs, reply_length = self.inputs(image, text, reply)
        self.forwards += 1
        # Only what is looked at is projected to the vocabulary.
        output = self.model(**inputs, use_cache=False, logits_to_keep=reply_length + 1)
        return output.logits[0].float().cpu(), inputs["input_ids"][0].cpu(), reply_length

    def p_yes(self, image: Image.Image, statement: str) -> float:
        """Probability of yes against no as the first token of the reply."""
        text = statement.strip().rstrip(".")
        text = text[:1].lower() + text[1:]
        logits, _, _ = self.forward(image, f"Does the image show {text}?")
        p = logits[-1].softmax(-1)
        yes, no = (float(p[self.first[name]].sum()) for name in ("yes", "no"))
        return yes / (yes + no)

    def log_likelihood(self, image: Image.Image, text: str, reply: str) -> tuple[float, int]:
        """Summed log-likelihood of the reply's tokens, and their number."""
        logits, ids, length = self.forward(image, text, reply)
        steps = logits[:-1].log_softmax(-1)
        return float(steps.gather(1, ids[-length:, None]).sum()), length


def edit(model: Model, request: dict) -> dict:
    """Looks for the evidence of every statement: method section 1, the plain way."""
    picture = Image.open(request["image"]).convert("RGB")
    patches = [picture.crop(box) for box in candidates(*picture.size)]
    began = time.perf_counter()
    kept = [
        [n for n, patch in enumerate(patches) if model.p_yes(patch, statement) > 0.5]
        for statement in request["statements"]
    ]
    verified = time.perf_counter()
    evidence = []
    for statement, shown in zip(request["statements"], kept):
        scores = {}
        for n in shown:
            total, length = model.log_likelihood(patches[n], "Describe this image.", statement)
            scores[n] = total / length
        evidence.append(max(scores, key=scores.get) if scores else None)
    return {"verify_ms": (verified - began) * 1e3, "kept": [len(shown) for shown in kept], "evidence": evidence}


def query(model: Model, request: dict) -> dict:
    """The picture's embedding, and every choice as the reply: one pass each."""
    picture = Image.open(request["image"]).convert("RGB")
    model.forward(picture, request["prompt"])
    scores = [model.log_likelihood(picture, request["prompt"], choice)[0] for choice in request["choices"]]
    return {"answer": request["choices"][max(range(len(scores)), key=scores.__getitem__)], "scores": scores}


class Clock(BaseStreamer):
    """Notes when each token comes."""

    def __init__(self):
        self.times = []

    def put(self, value: torch.Tensor) -> None:
        """The prompt comes first, then token by token."""
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is left to be shown."""


def generate(model: Model, request: dict) -> dict:
    """Greedy, from the picture's file to the last token."""
    began = time.perf_counter()
    inputs, _ = model.inputs(Image.open(request["image"]).convert("RGB"), request["prompt"])
    clock = Clock()
    ids = model.model.generate(
        **inputs, max_new_tokens=request["tokens"], do_sample=False, use_cache=True, streamer=clock
    )
    made = ids[0, inputs["input_ids"].shape[1] :]
    first, last = clock.times[1], clock.times[-1]
    return {
        "prefill_ms": (first - began) * 1e3, "decode_ms": (last - first) * 1e3, "tokens": len(made),
        "prompt_tokens": inputs["input_ids"].shape[1],
        "answer": model.tokenizer.decode(made, skip_special_tokens=True).strip(),
    }


def main() -> None:
    """Answers requests until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/demo/vlm", help="folder of the checkpoint")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch (0: as it likes)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model = Model(arguments.model, arguments.dtype, arguments.device)
    kinds = {"edit": edit, "query": query, "generate": generate}
    ready = {"ready": True, "threads": torch.get_num_threads(), "torch": torch.__version__}
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        model.forwards = 0
        began = time.perf_counter()
        with torch.inference_mode():
            answer = kinds[request["kind"]](model, request)
        answer["ms"] = (time.perf_counter() - began) * 1e3
        answer["forwards"] = model.forwards
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
