"""A Llama tokenizer (BPE over SentencePiece's alphabet, bytes as a fallback) and what LLaVA and InstructBLIP references share."""

import inspect
import json

import numpy as np
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

from .common import CORPUS, picture, plain, write_json
from .harness import Picture

# Whether the tokenizer.json marks the beginning of every stretch of text (as converted by older releases of
# transformers) or that of the first one only (as converted since 4.40 from files with `legacy: false`).
STYLES = ["every", "first"]


def llama_tokenizer(out, rng, style, extra, processor_class, leading="<s>"):
    """Trains a tokenizer and saves it as the published folders have it; `extra` are added special tokens behind the vocabulary, `leading` stands ahead of a text."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=rng.randint(90, 120), show_progress=False)
    trained.train_from_iterator(CORPUS + ["USER: ASSISTANT: yes no"], trainer)
    learned = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    merges = [tuple(m) for m in json.loads(trained.to_str())["model"]["merges"]]
    words = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + [token for token, _ in learned]
    vocabulary = {word: i for i, word in enumerate(words)}
    assert len(vocabulary) == len(words)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if style == "every":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in ["<unk>", "<s>", "</s>", *extra]])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{leading} $A", pair=f"{leading} $A {leading}:1 $B:1", special_tokens=[(leading, tokenizer.token_to_id(leading))]
    )
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    names = {"bos_token": leading, "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>" if "<pad>" in extra else "<unk>"}
    rest = {"add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False, "legacy": style == "every"}
    # As published: the length that no tokenizer has.
    rest |= {"model_max_length": 1000000000000000019884624838656, "processor_class": processor_class}
    write_json(out / "tokenizer_config.json", names | rest | {"tokenizer_class": "LlamaTokenizer"})
    return AutoTokenizer.from_pretrained(out)


def llama_config(rng, vocabulary):
    """Sizes of a tiny Llama, none of them a power of two if it can be helped."""
    heads, kv_heads, head = rng.choice([(2, 2, 18), (3, 3, 12), (4, 2, 10)])
    return {
        "model_type": "llama",
        "hidden_size": heads * head,
        "intermediate_size": rng.choice([44, 60, 70]),
        "num_hidden_layers": rng.randint(2, 3),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-05,
    }


def patches(pixels, side):
    """(3, height, width) cut into flattened patches, row by row; what doesn't fill a patch is left out."""
    rows, columns = pixels.shape[1] // side, pixels.shape[2] // side
    cut = pixels[:, : rows * side, : columns * side].reshape(3, rows, side, columns, side)
    return cut.permute(1, 3, 0, 2, 4).reshape(rows * columns, 3 * side * side).float(), [1, rows, columns]


def resized(image, processor):
    """To the size the processor asks for: along x, then along y (torchvision, and Pillow before version 13)."""
    size = plain(processor.size)
    if "shortest_edge" in size:
        short, long = sorted(image.size)
        target = [size["shortest_edge"], int(size["shortest_edge"] * long / short)]
        width, height = target if image.width <= image.height else target[::-1]
    else:
        width, height = size["width"], size["height"]
    return image.resize((width, image.height), Image.BICUBIC).resize((width, height), Image.BICUBIC)


def squared(image, processor):
    """Padded to a square with the mean colour, as LlavaImageProcessor does before it resizes."""
    colours = tuple(int(x * 255) for x in processor.image_mean)
    known = inspect.signature(processor.pad_to_square).parameters
    layout = {"input_data_format": "channels_first"} if "input_data_format" in known else {}
    padded = processor.pad_to_square(np.array(image).transpose(2, 0, 1), background_color=colours, **layout)
    return Image.fromarray(padded.transpose(1, 2, 0))


def pictures(rng, out, processor, side, rows, inputs=lambda batch: {"pixel_values": batch["pixel_values"].float()}):
    """Draws and saves three pictures. `side` is a patch's, `rows` says how many rows of a tap belong to one picture."""
    drawn = []
    small, wide, high = rng.randint(18, 30), (rng.randint(44, 60), rng.randint(12, 20)), (rng.randint(10, 16), rng.randint(30, 44))
    for i, (width, height) in enumerate([(small, small), wide, high]):
        image = picture(rng, width, height)
        (out / "images").mkdir(exist_ok=True)
        image.save(out / "images" / f"{i}.png")
        if getattr(processor, "do_pad", False):
            image = squared(image, processor)
        steps = {"do_resize": False} | ({"do_pad": False} if hasattr(processor, "do_pad") else {})
        batch = processor(images=[resized(image, processor)], return_tensors="pt", **steps)
        pixels, grid = patches(batch["pixel_values"][0], side)
        drawn.append(Picture(f"images/{i}.png", pixels, grid, inputs(batch), rows))
    return drawn


def pixel_step(processor):
    return 1 / 255 / min(processor.image_std)
