"""Writes a tiny random checkpoint together with reference outputs of transformers, for `reasonedit models check DIR`.

    python tools/reference.py --architecture qwen3_vl|mpnet|bert --seed 1 --out DIR
    python tools/reference.py --architecture qwen3_vl --checkpoint models/demo/vlm --out DIR

Sizes (depth, heads, DeepStack, pictures) are drawn from the seed. Weights are stored as bfloat16 and computed with in
float32, so both sides start from the same numbers. Needs torch, transformers, tokenizers, pillow, numpy.
"""

import argparse
import json
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "Does the image show a red circle above the blue square? Yes, it does.",
    "The lesion has an irregular border. A lesion with an irregular border is suspicious.",
    "Describe this image. What is the name of the shape with 12 stripes? No, nothing is shown there!",
    "the answer to the question about the image is malignant, the other one is benign and round",
]

# The shape of the published Qwen3-VL template: system turn, parts of a turn, pictures between their markers.
TEMPLATE = """{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].content is string %}
        {{- messages[0].content }}
    {%- else %}
        {%- for content in messages[0].content %}
            {%- if 'text' in content %}
                {{- content.text }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- set image_count = namespace(value=0) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {{- '<|im_start|>' + message.role + '\\n' }}
        {%- if message.content is string %}
            {{- message.content }}
        {%- else %}
            {%- for content in message.content %}
                {%- if content.type == 'image' or 'image' in content or 'image_url' in content %}
                    {%- set image_count.value = image_count.value + 1 %}
                    {%- if add_vision_id %}Picture {{ image_count.value }}: {% endif -%}
                    <|vision_start|><|image_pad|><|vision_end|>
                {%- elif 'text' in content %}
                    {{- content.text }}
                {%- endif %}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- for content_item in message.content %}
            {%- if 'text' in content_item %}
                {{- content_item.text }}
            {%- endif %}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def randomise(model, seed):
    """Weights large enough that every part of the network matters, rounded to bfloat16."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name.lower() and name.endswith("weight"):
                value = 1 + 0.2 * noise
            elif parameter.dim() == 1:
                value = 0.1 * noise
            elif "embed" in name and "proj" not in name or "relative_attention_bias" in name:
                value = 0.7 * noise
            else:
                value = 1.2 * noise / parameter[0].numel() ** 0.5
            parameter.copy_(value.bfloat16().float())
    return model.eval()


def save_weights(model, out, skip=()):
    tensors = {n: p.detach().bfloat16().contiguous() for n, p in model.named_parameters() if n not in skip}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})


def byte_level_tokenizer(out, rng):
    tokenizer = Tokenizer(models.BPE())
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=256 + rng.randint(30, 60), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    settings = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": None, "chat_template": TEMPLATE}
    write_json(out / "tokenizer_config.json", settings | {"tokenizer_class": "PreTrainedTokenizerFast"})
    fast = PreTrainedTokenizerFast(tokenizer_file=str(out / "tokenizer.json"), eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = TEMPLATE
    return fast


def picture(rng, width, height):
    """Smooth colours with a few hard edges."""
    numpy = np.random.default_rng(rng.randrange(1 << 30))
    coarse = Image.fromarray(numpy.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    image = np.array(coarse.resize((width, height), Image.BICUBIC))
    x, y = rng.randrange(width // 2), rng.randrange(height // 2)
    image[y : y + height // 3, x : x + width // 3] = numpy.integers(0, 256, 3, dtype=np.uint8)
    return Image.fromarray(image)


def resized(image, processor):
    """Along x, then along y: what torchvision and Pillow before version 13 do. Newer Pillow begins with the cheaper axis."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    factor = processor.patch_size * processor.merge_size
    least, most = processor.size["shortest_edge"], processor.size["longest_edge"]
    height, width = smart_resize(image.height, image.width, factor, least, most)
    return image.resize((width, image.height), Image.BICUBIC).resize((width, height), Image.BICUBIC)


def pooled(rows):
    return {"mean": rows.float().mean(0), "last": rows[-1].float()}


class Taps:
    """Outputs of the modules that are taps."""

    def __init__(self, model):
        self.seen = {}
        visual, language = model.model.visual, model.model.language_model

        def first_input(name):
            def hook(_, args, kwargs):
                self.seen[name] = args[0] if args else kwargs["hidden_states"]

            return hook

        def output(name):
            return lambda _, __, out: self.seen.__setitem__(name, out[0] if isinstance(out, tuple) else out)

        visual.blocks[0].register_forward_pre_hook(first_input("vision.embedding"), with_kwargs=True)
        for i, block in enumerate(visual.blocks):
            block.register_forward_hook(output(f"vision.{i}"))
        visual.merger.register_forward_hook(output("merger"))
        language.layers[0].register_forward_pre_hook(first_input("language.embedding"), with_kwargs=True)
        for i, layer in enumerate(language.layers):
            layer.register_forward_hook(output(f"language.{i}"))


def qwen3_vl(seed, out):
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    rng = random.Random(seed)
    fast = byte_level_tokenizer(out, rng)
    vocabulary = len(fast) + rng.randint(0, 8)
    kv_heads, group = rng.choice([(1, 2), (2, 1), (2, 2), (1, 3)])
    head = 16
    # Half a head, split over the three axes the way the published models do it (24, 20, 20 of 64).
    section = rng.choice([[4, 2, 2], [2, 3, 3], [3, 3, 2]])
    hidden = rng.choice([32, 40])
    vision_head, vision_heads = rng.choice([(8, 3), (12, 2), (8, 4)])
    depth = rng.randint(2, 3)
    layers = rng.randint(2, 4)
    deepstack = sorted(rng.sample(range(depth), rng.randint(1, min(depth, layers - 1))))
    side = rng.choice([3, 4, 6])
    patch = 4
    tied = rng.random() < 0.5
    rope = {"mrope_section": section, "mrope_interleaved": True, "rope_type": "default"}
    config = {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "image_token_id": fast.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": fast.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": fast.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": fast.convert_tokens_to_ids("<|vision_end|>"),
        "tie_word_embeddings": tied,
        "text_config": {
            "model_type": "qwen3_vl_text",
            "hidden_size": hidden,
            "intermediate_size": rng.choice([48, 72]),
            "num_hidden_layers": layers,
            "num_attention_heads": kv_heads * group,
            "num_key_value_heads": kv_heads,
            "head_dim": head,
            "vocab_size": vocabulary,
            "max_position_embeddings": 512,
            "rms_norm_eps": 1e-6,
            "hidden_act": "silu",
            "attention_bias": rng.random() < 0.3,
        },
        "vision_config": {
            "model_type": "qwen3_vl_vision",
            "depth": depth,
            "hidden_size": vision_head * vision_heads,
            "intermediate_size": rng.choice([32, 56]),
            "num_heads": vision_heads,
            "patch_size": patch,
            "out_hidden_size": hidden,
            "num_position_embeddings": side * side,
            "deepstack_visual_indexes": deepstack,
            "hidden_act": "gelu_pytorch_tanh",
        },
    }
    # Half of the references spell the rotary settings as the published files do.
    if seed % 2:
        config["text_config"] |= {"rope_parameters": rope | {"rope_theta": 10000.0}}
    else:
        config["text_config"] |= {"rope_scaling": rope, "rope_theta": 10000.0}
    write_json(out / "config.json", config)
    write_json(out / "generation_config.json", {"eos_token_id": [fast.eos_token_id, fast.pad_token_id]})
    mean, std = ([0.5] * 3, [0.5] * 3) if seed % 2 else ([0.48, 0.46, 0.41], [0.27, 0.26, 0.28])
    processor_config = {
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "size": {"shortest_edge": 4 * 64, "longest_edge": 10 * 64},
        "patch_size": patch, "merge_size": 2, "temporal_patch_size": 2, "image_mean": mean, "image_std": std,
    }
    write_json(out / "preprocessor_config.json", processor_config)
    torch_config = Qwen3VLConfig(**json.loads(json.dumps(config)))
    torch_config._attn_implementation = "eager"
    model = randomise(Qwen3VLForConditionalGeneration(torch_config).float(), seed)
    assert model.config.text_config.rope_parameters["mrope_section"] == section
    assert model.config.text_config.rope_parameters["rope_theta"] == 10000.0
    save_weights(model, out, skip={"lm_head.weight"} if tied else ())
    sizes = [(rng.randint(18, 30),) * 2, (rng.randint(44, 60), rng.randint(12, 20)), (rng.randint(10, 16), rng.randint(30, 44))]
    qwen3_vl_outputs(model, fast, processor_config, rng, sizes, out)


def qwen3_vl_checkpoint(folder, seed, out):
    """Reference outputs of an existing checkpoint, which is linked into `out`."""
    from transformers import Qwen3VLForConditionalGeneration

    for path in folder.iterdir():
        link = out / path.name
        if not link.exists():
            link.symlink_to(path.resolve())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    fast = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), eos_token=settings["eos_token"])
    template = folder / "chat_template.jinja"
    fast.chat_template = template.read_text() if template.exists() else settings["chat_template"]
    model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    rng = random.Random(seed)
    processor_config = json.loads((folder / "preprocessor_config.json").read_text())
    qwen3_vl_outputs(model.eval(), fast, processor_config, rng, [(90, 90), (240, 120), (100, 170)], out)


def qwen3_vl_outputs(model, fast, processor_config, rng, sizes, out):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    names = ["size", "patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std"]
    processor = Qwen2VLImageProcessorPil(**{k: processor_config[k] for k in names})
    image_token = model.config.image_token_id
    tensors, inputs = {"pixel_step": torch.tensor([1 / 255 / min(processor_config["image_std"])])}, []
    for i, (width, height) in enumerate(sizes):
        image = picture(rng, width, height)
        (out / "images").mkdir(exist_ok=True)
        image.save(out / "images" / f"{i}.png")
        # Already resized: a second time would not always give the same size.
        batch = processor(images=[resized(image, processor)], do_resize=False, return_tensors="pt")
        inputs.append((batch["pixel_values"].float(), batch["image_grid_thw"]))
        tensors[f"image.{i}.pixels"] = inputs[-1][0].contiguous()
        tensors[f"image.{i}.grid"] = inputs[-1][1][0].float()

    image, text = (lambda: {"type": "image"}), (lambda t: {"type": "text", "text": t})
    user = lambda *parts: {"role": "user", "content": list(parts)}
    conversations = [
        ([user(image(), text("Does the image show a red circle?"))], [0]),
        ([user(text("Look:\n"), image(), text(" What is it? 12 stripes, naïve café …"))], [1]),
        ([user(image(), text("Compare this with "), image(), text(" please."))], [2, 0]),
        ([user(text("Is a lesion with an irregular border suspicious?"))], []),
        (
            [
                {"role": "system", "content": [text("Answer in one word.")]},
                user(image(), text("Describe this image.")),
                {"role": "assistant", "content": [text("The lesion is round.")]},
                user(text("  And its border?  \n")),
            ],
            [1],
        ),
    ]
    taps, cases = Taps(model), []
    merge = 4
    for i, (messages, images) in enumerate(conversations):
        prompt = fast.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        for index in images:
            tokens = int(inputs[index][1].prod()) // merge
            prompt = prompt.replace("<|image_pad|>", "<|placeholder|>" * tokens, 1)
        ids = fast(prompt.replace("<|placeholder|>", "<|image_pad|>"), add_special_tokens=False)["input_ids"]

        def forward(ids):
            tokens = torch.tensor([ids])
            kwargs = {}
            if images:
                kwargs["pixel_values"] = torch.cat([inputs[j][0] for j in images])
                kwargs["image_grid_thw"] = torch.cat([inputs[j][1] for j in images])
                kwargs["mm_token_type_ids"] = (tokens == image_token).int()
            model.model.rope_deltas = None
            with torch.no_grad():
                return model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False, **kwargs).logits[0]

        logits = forward(ids)
        kept = 3
        tensors[f"case.{i}.logits"] = logits[-kept:].contiguous()
        for name, value in taps.seen.items():
            if name.startswith("language."):
                for kind, vector in pooled(value[0]).items():
                    tensors[f"case.{i}.{name}.{kind}"] = vector.clone()
            else:
                start = 0
                for index in images:
                    rows = int(inputs[index][1].prod()) // (merge if name == "merger" else 1)
                    for kind, vector in pooled(value[start : start + rows]).items():
                        tensors[f"image.{index}.{name}.{kind}"] = vector.clone()
                    start += rows
        taps.seen.clear()
        greedy = []
        for _ in range(8):
            greedy.append(int(forward(ids + greedy)[-1].argmax()))
            taps.seen.clear()
        cases.append({"messages": messages, "images": images, "input_ids": ids, "logits": kept, "greedy": greedy})
    save_file(tensors, out / "reference.safetensors")
    names = [f"images/{i}.png" for i in range(len(sizes))]
    write_json(out / "reference.json", {"architecture": "qwen3_vl", "images": names, "cases": cases})


TEXTS = [
    "Does the image show a red circle?",
    "A lesion with an irregular border is suspicious.",
    "no",
    "Naïve café — 12 stripes, round and blue!",
    " ".join(CORPUS),
]


def sentence_encoder(architecture, seed, out):
    rng = random.Random(seed)
    if architecture == "mpnet":
        from transformers import MPNetConfig as Config
        from transformers import MPNetModel as Model

        first, last, special = "<s>", "</s>", ["<s>", "<pad>", "</s>", "[UNK]"]
    else:
        from transformers import BertConfig as Config
        from transformers import BertModel as Model

        first, last, special = "[CLS]", "[SEP]", ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=160, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS + TEXTS[:3], trainer)
    ids = [(t, tokenizer.token_to_id(t)) for t in (first, last)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{first} $A {last}", special_tokens=ids)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    heads, head = rng.choice([(2, 12), (3, 8), (4, 8)])
    limit = 40
    sizes = dict(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=heads * head, num_hidden_layers=rng.randint(2, 3),
        num_attention_heads=heads, intermediate_size=rng.choice([48, 64]), hidden_act="gelu", layer_norm_eps=1e-5,
        max_position_embeddings=limit + 10,
    )
    config = Config(**sizes)
    config._attn_implementation = "eager"
    model = randomise(Model(config).float(), seed)
    save_weights(model, out)
    write_json(out / "config.json", sizes | {"model_type": architecture, "architectures": [Model.__name__]})
    write_json(out / "sentence_bert_config.json", {"max_seq_length": limit, "do_lower_case": False})
    write_json(out / "1_Pooling" / "config.json", {"word_embedding_dimension": heads * head, "pooling_mode_mean_tokens": True})
    kind = "sentence_transformers.models."
    modules = [{"idx": 0, "name": "0", "path": "", "type": kind + "Transformer"}]
    modules.append({"idx": 1, "name": "1", "path": "1_Pooling", "type": kind + "Pooling"})
    write_json(out / "modules.json", modules)
    tokenizer.enable_truncation(limit)
    vectors = []
    for text in TEXTS:
        tokens = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            vectors.append(model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state[0].mean(0))
    save_file({"embeddings": torch.stack(vectors)}, out / "reference.safetensors")
    write_json(out / "reference.json", {"architecture": architecture, "texts": TEXTS})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", choices=["qwen3_vl", "mpnet", "bert"], required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, help="use this Qwen3-VL checkpoint instead of a random one")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    if args.checkpoint:
        qwen3_vl_checkpoint(args.checkpoint, args.seed, args.out)
    elif args.architecture == "qwen3_vl":
        qwen3_vl(args.seed, args.out)
    else:
        sentence_encoder(args.architecture, args.seed, args.out)


if __name__ == "__main__":
    main()
