"""Write trained weights as the two Hugging Face folders that the service loads.

``<out>/vlm`` holds the vision-language model (Qwen3-VL architecture, bf16) and ``<out>/sentence-encoder`` the sentence
encoder (MPNet architecture, f32, sentence-transformers layout with mean pooling). ``check`` loads the written folders again with
plain transformers and answers a few questions, so that the export is known to be complete.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

PATCH_SIZE = 14
MERGE_SIZE = 2
MIN_PIXELS = 12_544
MAX_PIXELS = 15_680
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
END_OF_TEXT, IM_START, IM_END, VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD = range(7)

CHAT_TEMPLATE = """{%- for message in messages -%}
    {{- '<|im_start|>' + message.role + '\\n' -}}
    {%- if message.content is string -%}
        {{- message.content -}}
    {%- else -%}
        {%- for content in message.content -%}
            {%- if content.type == 'image' or 'image' in content or 'image_url' in content -%}
                {{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
            {%- elif content.type == 'video' or 'video' in content -%}
                {{- '<|vision_start|><|video_pad|><|vision_end|>' -}}
            {%- elif 'text' in content -%}
                {{- content.text -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


def write_json(path, value):
    """Write ``value`` as indented JSON with a final newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_vlm(model, tokenizer, out, min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS):
    """Write a `Qwen3VLForConditionalGeneration` and its `tokenizers.Tokenizer` to the folder ``out``.

    Weights are stored as bf16. The image processor's bounds are given in both spellings (``size`` and ``min_pixels`` / ``max_pixels``)
    because published checkpoints use either.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    copy = type(model)(model.config)
    copy.load_state_dict(model.state_dict())
    copy.to(torch.bfloat16)
    copy.config.architectures = ["Qwen3VLForConditionalGeneration"]
    copy.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    write_json(
        out / "generation_config.json",
        {"bos_token_id": IM_START, "do_sample": False, "eos_token_id": IM_END, "pad_token_id": END_OF_TEXT, "use_cache": True},
    )
    tokenizer.save(str(out / "tokenizer.json"))
    added = {
        str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
        for i, t in enumerate(SPECIAL_TOKENS)
    }
    write_json(
        out / "tokenizer_config.json",
        {
            "added_tokens_decoder": added,
            "bos_token": None,
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "model_max_length": 2048,
            "pad_token": "<|endoftext|>",
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": None,
        },
    )
    write_json(
        out / "preprocessor_config.json",
        {
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "Qwen2VLImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "max_pixels": max_pixels,
            "merge_size": MERGE_SIZE,
            "min_pixels": min_pixels,
            "patch_size": PATCH_SIZE,
            "processor_class": "Qwen3VLProcessor",
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"longest_edge": max_pixels, "shortest_edge": min_pixels},
            "temporal_patch_size": 2,
        },
    )


def with_sentence_markers(tokenizer):
    """Return a copy of ``tokenizer`` that puts <|im_start|> before and <|im_end|> after every text when it adds special tokens."""
    from tokenizers import Tokenizer, processors

    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A <|im_end|>",
        pair="<|im_start|> $A <|im_end|> $B:1 <|im_end|>:1",
        special_tokens=[("<|im_start|>", IM_START), ("<|im_end|>", IM_END)],
    )
    return copy


def write_sentence_encoder(model, tokenizer, out, max_length=128):
    """Write an `MPNetModel` (without pooler) in sentence-transformers layout: token embeddings, then their mean, not normalised."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    config = model.config.to_dict()
    config["architectures"] = ["MPNetModel"]
    config["dtype"] = "float32"
    write_json(out / "config.json", config)
    tensors = {k: v.detach().to(torch.float32).contiguous() for k, v in model.state_dict().items() if not k.endswith("position_ids")}
    save_file(tensors, str(out / "model.safetensors"), metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)
    with_sentence_markers(tokenizer).save(str(out / "tokenizer.json"))
    write_json(
        out / "tokenizer_config.json",
        {
            "bos_token": "<|im_start|>",
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "model_max_length": max_length,
            "pad_token": "<|endoftext|>",
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )
    write_json(out / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    write_json(
        out / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ],
    )
    write_json(
        out / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": model.config.hidden_size,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    )


def folder_size(path):
    """Total size in bytes of the files below ``path``."""
    return sum(f.stat().st_size for f in Path(path).rglob("*") if f.is_file())


def render_prompt(text):
    """The chat form of one question about one picture, with one image placeholder."""
    return f"<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{text}<|im_end|>\n<|im_start|>assistant\n"


def generate_reply(model, tokenizer, pixels, grid, text, limit=24):
    """Answer ``text`` about a picture with plain transformers `generate` (greedy).

    ``pixels`` is (patches, 3*2*14*14) f32 normalised, ``grid`` (1, rows, columns) in patches.
    """
    cells = int(grid[1]) * int(grid[2]) // MERGE_SIZE**2
    prompt = render_prompt(text).replace("<|image_pad|>", "<|image_pad|>" * cells)
    ids = torch.tensor([tokenizer.encode(prompt, add_special_tokens=False).ids])
    with torch.no_grad():
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=pixels.to(model.dtype),
            image_grid_thw=torch.tensor([list(grid)]),
            mm_token_type_ids=(ids == IMAGE_PAD).long(),
            max_new_tokens=limit,
            do_sample=False,
        )
    return tokenizer.decode(out[0, ids.shape[1] :].tolist(), skip_special_tokens=True).strip()


def check(bundle, episodes, count):
    """Load ``bundle`` again and print some replies to single-turn rows of ``episodes``; returns the share answered right."""
    from tokenizers import Tokenizer
    from transformers import Qwen3VLForConditionalGeneration

    from episodes import Episodes
    from model import patches_to_pixels

    model = Qwen3VLForConditionalGeneration.from_pretrained(Path(bundle) / "vlm").eval()
    tokenizer = Tokenizer.from_file(str(Path(bundle) / "vlm" / "tokenizer.json"))
    data = Episodes(episodes)
    right = total = 0
    for view, context, question, answer, tag in data.turns(count):
        if tag.startswith("desc"):
            continue
        gh, gw = (int(x) for x in data.grids[view])
        pixels = patches_to_pixels(data.views[view : view + 1], torch.float32)[0, : gh * gw * 4]
        pixels = pixels.view(-1, 3, 1, PATCH_SIZE**2).expand(-1, -1, 2, -1).reshape(gh * gw * 4, -1)
        reply = generate_reply(model, tokenizer, pixels, (1, gh * 2, gw * 2), f"{context} {question}".strip())
        right += reply == answer.lower()
        total += 1
        if total <= 12:
            print(json.dumps({"tag": tag, "context": context, "question": question, "right": answer, "reply": reply}))
    return right / max(1, total)


def main():
    """Export a training checkpoint, then check the written folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="checkpoint of train_model.py")
    parser.add_argument("--average", help="checkpoint of a second trainer run side by side; the mean of both is exported")
    parser.add_argument("--sentences", help="checkpoint of train_sentences.py")
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json of tokenizer.py")
    parser.add_argument("--out", required=True, help="bundle folder; gets vlm/ and sentence-encoder/")
    parser.add_argument("--check", help="episodes folder to try the written bundle on")
    parser.add_argument("--check-turns", type=int, default=60)
    args = parser.parse_args()
    from tokenizers import Tokenizer

    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(args.tokenizer)
    out = Path(args.out)
    if args.model:
        from model import build_model

        model = build_model(tokenizer.get_vocab_size())
        weights = torch.load(args.model, map_location="cpu")["model"]
        if args.average:
            other = torch.load(args.average, map_location="cpu")["model"]
            weights = {k: v.lerp(other[k], 0.5) for k, v in weights.items()}
        model.load_state_dict(weights)
        write_vlm(model, tokenizer, out / "vlm")
    if args.sentences:
        from train_sentences import build_encoder

        encoder = build_encoder(tokenizer.get_vocab_size())
        encoder.load_state_dict(torch.load(args.sentences, map_location="cpu")["model"])
        write_sentence_encoder(encoder, tokenizer, out / "sentence-encoder")
    print(json.dumps({"bytes": folder_size(out)}))
    if args.check:
        print(json.dumps({"answered_right": round(check(out, args.check, args.check_turns), 3)}))


if __name__ == "__main__":
    main()
