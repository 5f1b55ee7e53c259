"""InstructBLIP: EVA vision tower, Q-Former that reads the instruction, Llama."""

import random

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from .common import CORPUS, pillow_processor, published, resave, write_json
from .harness import Taps, image, text, turn, write_outputs
from .llama import STYLES, llama_config, llama_tokenizer, pictures, pixel_step

CONVERSATIONS = [
    ([turn("user", image(), text("Does the image show a red circle?"))], [0]),
    ([turn("user", image(), text(" What is it? 12 stripes, naïve café …\nLook!"))], [1]),
    ([turn("user", image(), text("no"))], [2]),
    ([turn("user", image(), text("Is a lesion with an irregular border suspicious? [SEP] <unk"))], [1]),
    ([turn("user", text("Is a lesion with an irregular border suspicious?"))], []),
]
"""One question to a picture: the published model knows no conversations."""


SETTINGS = ["size", "image_mean", "image_std"]


def qformer_tokenizer(folder, rng):
    """Writes it below `folder`; returns the size of its vocabulary."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=rng.randint(100, 130), special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    ids = [(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    tokenizer.add_special_tokens(["[DEC]"])
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]", "bos_token": "[DEC]"}
    rest = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512, "truncation_side": "left"}
    write_json(folder / "tokenizer_config.json", names | rest)
    return tokenizer.get_vocab_size()


def random_checkpoint(seed, out):
    from transformers import InstructBlipForConditionalGeneration

    rng = random.Random(seed)

    def write(folder):
        # The published tokenizer puts </s> ahead of a text.
        leading = "</s>" if seed % 2 else "<s>"
        fast = llama_tokenizer(folder, rng, STYLES[seed % 2], ["<image>", "<pad>"], "InstructBlipProcessor", leading)
        questions = qformer_tokenizer(folder / "qformer_tokenizer", rng)
        heads, head = rng.choice([(3, 10), (2, 18), (5, 6)])
        query_heads, query_head = rng.choice([(2, 11), (3, 8), (4, 5)])
        patch = rng.choice([5, 6, 7])
        side = patch * rng.choice([2, 3]) + (seed % 3)
        queries = rng.choice([3, 5, 7])
        config = {
            "architectures": ["InstructBlipForConditionalGeneration"],
            "model_type": "instructblip",
            "image_token_index": fast.convert_tokens_to_ids("<image>"),
            "num_query_tokens": queries,
            "tie_word_embeddings": False,
            "text_config": llama_config(rng, len(fast) + rng.randint(0, 8)),
            "vision_config": {
                "model_type": "instructblip_vision_model", "hidden_size": heads * head, "intermediate_size": rng.choice([32, 50]),
                "num_hidden_layers": rng.randint(2, 3), "num_attention_heads": heads, "image_size": side, "patch_size": patch,
            },
            "qformer_config": {
                "model_type": "instructblip_qformer", "hidden_size": query_heads * query_head, "num_attention_heads": query_heads,
                "num_hidden_layers": rng.randint(3, 4), "intermediate_size": rng.choice([28, 36]), "vocab_size": questions + 1,
                "max_position_embeddings": 40, "cross_attention_frequency": 2, "encoder_hidden_size": heads * head,
            },
        }
        write_json(folder / "config.json", config)
        settings = {
            "image_processor_type": "BlipImageProcessor", "do_resize": True, "do_rescale": True, "do_normalize": True,
            "do_convert_rgb": True, "size": {"height": side, "width": side}, "resample": 3, "rescale_factor": 1 / 255,
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
            "processor_class": "InstructBlipProcessor",
        }
        write_json(folder / "preprocessor_config.json", settings)
        write_json(folder / "processor_config.json", {"processor_class": "InstructBlipProcessor", "num_query_tokens": queries})

    with published(write) as folder:
        model, processor = resave(InstructBlipForConditionalGeneration, folder, seed, out, [2, 1])
    image_processor = pillow_processor(processor.image_processor, "blip", "BlipImageProcessor", SETTINGS)
    # Special tokens typed in a text stay text.
    processor.qformer_tokenizer.split_special_tokens = True
    outputs(model, processor, image_processor, rng, out)


def outputs(model, processor, image_processor, rng, out):
    patch = model.config.vision_config.patch_size
    taps = Taps()
    taps.layers_of(model.vision_model.encoder.layers, "vision")
    # What becomes of the text in the Q-Former goes no further.
    queries = model.config.num_query_tokens
    for i, layer in enumerate(model.qformer.encoder.layer):
        hook = lambda _, __, out, i=i: taps.seen.__setitem__(f"qformer.{i}", (out[0] if isinstance(out, tuple) else out)[:, :queries])
        layer.register_forward_hook(hook)
    taps.output_of(model.language_projection, "projector")
    language = model.language_model.model
    taps.layers_of(language.layers, "language")
    drawn = pictures(rng, out, image_processor, patch, lambda tap: model.vision_model.embeddings.num_positions)
    asked = {}

    def encode(messages, images):
        said = "".join(part["text"] for message in messages for part in message["content"] if "text" in part)
        shown = [torch.zeros(3, 8, 8)] if images else None
        steps = {"do_resize": False, "do_rescale": False} if images else {}
        encoding = processor(images=shown, text=said, return_tensors="pt", **steps)
        asked["qformer_input_ids"] = encoding["qformer_input_ids"]
        return encoding["input_ids"][0].tolist()

    def forward(ids, inputs):
        tokens = torch.tensor([ids])
        common = dict(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False)
        return (model(**common, **inputs, **asked) if inputs else model.language_model(**common)).logits[0]

    step = pixel_step(image_processor)
    of_text = ("language.", "qformer.", "projector")
    write_outputs(out, "instructblip", drawn, CONVERSATIONS, taps, encode, forward, step, of_text)
