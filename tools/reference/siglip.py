"""SigLIP's image and text towers, with a SentencePiece tokenizer."""

import io
import random

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from .common import CORPUS, pillow_processor, pooled, published, resave, versions, write_json
from .harness import Taps
from .llama import pictures, pixel_step

TEXTS = [
    "Does the image show a red circle?",
    "  A LESION, with an (irregular) border\n is suspicious!!",
    "no",
    "Naïve café — 12 stripes, round and blue…",
    "",
    " ".join(CORPUS),
]


SETTINGS = ["size", "image_mean", "image_std"]


def tokenizer(folder, rng, length):
    """Trains a SentencePiece model and writes it as the published folders have it; returns the size of its vocabulary."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    trained = io.BytesIO()
    corpus = [line.lower() for line in CORPUS] * 4
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=trained, model_type="unigram", vocab_size=rng.randint(70, 90),
        hard_vocab_limit=False, pad_id=0, pad_piece="<pad>", eos_id=1, unk_id=2, bos_id=-1,
        normalization_rule_name="identity", minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(trained.getvalue())
    proto = sentencepiece_model_pb2.ModelProto.FromString(trained.getvalue())
    fast = Tokenizer(models.Unigram([(p.piece, p.score) for p in proto.pieces], unk_id=2, byte_fallback=False))
    fast.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    fast.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in ["</s>", "<unk>"]])
    fast.save(str(folder / "tokenizer.json"), pretty=False)
    settings = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>", "do_lower_case": True, "model_max_length": length}
    write_json(folder / "tokenizer_config.json", settings | {"tokenizer_class": "SiglipTokenizer", "processor_class": "SiglipProcessor"})
    return len(proto.pieces)


def random_checkpoint(seed, out):
    from transformers import SiglipModel

    rng = random.Random(seed)

    def write(folder):
        length = rng.choice([12, 20])
        vocabulary = tokenizer(folder, rng, length)
        heads, head = rng.choice([(3, 10), (2, 18), (5, 6)])
        text_heads = rng.choice([n for n in (2, 3, 5) if heads * head % n == 0])
        patch = rng.choice([5, 6, 7])
        # As in the published so400m, where 384 pixels are no multiple of 14.
        side = patch * rng.choice([3, 4]) + (seed % 3)
        sizes = lambda heads: {
            "hidden_size": 0, "intermediate_size": rng.choice([32, 50]), "num_hidden_layers": rng.randint(2, 3), "num_attention_heads": heads,
        }
        config = {
            "architectures": ["SiglipModel"],
            "model_type": "siglip",
            "text_config": sizes(text_heads)
            | {"model_type": "siglip_text_model", "hidden_size": heads * head, "vocab_size": vocabulary, "max_position_embeddings": length},
            "vision_config": sizes(heads)
            | {"model_type": "siglip_vision_model", "hidden_size": heads * head, "image_size": side, "patch_size": patch},
        }
        write_json(folder / "config.json", config)
        settings = {
            "image_processor_type": "SiglipImageProcessor", "do_resize": True, "do_rescale": True, "do_normalize": True, "resample": 3,
            "rescale_factor": 1 / 255, "size": {"height": side, "width": side}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
            "processor_class": "SiglipProcessor",
        }
        write_json(folder / "preprocessor_config.json", settings)

    with published(write) as folder:
        model, whole = resave(SiglipModel, folder, seed, out)
    outputs(model, whole, rng, out)


def outputs(model, whole, rng, out):
    words, length, patch = whole.tokenizer, model.config.text_config.max_position_embeddings, model.config.vision_config.patch_size
    processor = pillow_processor(whole.image_processor, "siglip", "SiglipImageProcessor", SETTINGS)
    side = model.config.vision_config.image_size
    # 4.57 gives the embedding itself.
    embedding = lambda output: getattr(output, "pooler_output", output)
    taps = Taps()
    taps.layers_of(model.vision_model.encoder.layers, "vision")
    drawn = pictures(rng, out, processor, patch, lambda tap: (side // patch) ** 2)
    tensors = {"pixel_step": torch.tensor([pixel_step(processor)])}
    images = []
    for i, picture in enumerate(drawn):
        tensors[f"image.{i}.pixels"] = picture.pixels.contiguous()
        tensors[f"image.{i}.grid"] = torch.tensor(picture.grid).float()
        with torch.no_grad():
            images.append(embedding(model.get_image_features(**picture.inputs))[0])
        for name, value in taps.seen.items():
            for kind, vector in pooled(value[0]).items():
                tensors[f"image.{i}.{name}.{kind}"] = vector.clone()
    ids = [words(text, padding="max_length", truncation=True, max_length=length)["input_ids"] for text in TEXTS]
    with torch.no_grad():
        texts = embedding(model.get_text_features(input_ids=torch.tensor(ids)))
        everything = model(input_ids=torch.tensor(ids), pixel_values=torch.cat([p.inputs["pixel_values"] for p in drawn]))
    tensors |= {"image_embeddings": torch.stack(images), "text_embeddings": texts, "logits": everything.logits_per_image}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "reference.safetensors")
    names = [picture.file for picture in drawn]
    write_json(out / "reference.json", {"architecture": "siglip", "versions": versions(), "images": names, "texts": TEXTS, "text_ids": ids})
