"""MPNet and BERT sentence encoders, as sentence-transformers reads and saves them."""

import random

import sentence_transformers
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from .common import CORPUS, published, randomise, versions, write_json

TEXTS = [
    "Does the image show a red circle?",
    "A lesion with an irregular border is suspicious.",
    "no",
    "Naïve café — 12 stripes, round and blue!",
    " ".join(CORPUS),
]
LIMIT = 40
"""Tokens that a text is cut to; there are positions for a few more."""


def write_tokenizer(architecture, folder):
    """Trains a WordPiece tokenizer and writes it as the published folders have it; returns the size of its vocabulary."""
    if architecture == "mpnet":
        first, last, special = "<s>", "</s>", ["<s>", "<pad>", "</s>", "[UNK]"]
        names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
    else:
        first, last, special = "[CLS]", "[SEP]", ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=160, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS + TEXTS[:3], trainer)
    size = tokenizer.get_vocab_size()
    ids = [(t, tokenizer.token_to_id(t)) for t in (first, last)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{first} $A {last}", special_tokens=ids)
    mask = "<mask>" if architecture == "mpnet" else "[MASK]"
    tokenizer.add_special_tokens([mask])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    rest = {"unk_token": "[UNK]", "mask_token": mask, "do_lower_case": True, "model_max_length": LIMIT + 8}
    kind = {"mpnet": "MPNetTokenizer", "bert": "BertTokenizer"}[architecture]
    write_json(folder / "tokenizer_config.json", names | rest | {"tokenizer_class": kind})
    return size


def sentence_encoder(architecture, seed, out):
    rng = random.Random(seed)
    if architecture == "mpnet":
        from transformers import MPNetConfig as Config
        from transformers import MPNetModel as Model
    else:
        from transformers import BertConfig as Config
        from transformers import BertModel as Model

    def write(folder):
        words = write_tokenizer(architecture, folder)
        heads, head = rng.choice([(2, 12), (3, 8), (4, 8)])
        config = Config(
            # None for the mask, which nobody looks up.
            vocab_size=words, hidden_size=heads * head, num_hidden_layers=rng.randint(2, 3), num_attention_heads=heads,
            intermediate_size=rng.choice([48, 64]), hidden_act="gelu", layer_norm_eps=1e-5, max_position_embeddings=LIMIT + 10,
        )
        randomise(Model(config).float(), seed).to(torch.bfloat16).save_pretrained(folder)
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": LIMIT, "do_lower_case": False})
        pooling = {"word_embedding_dimension": heads * head, "pooling_mode_mean_tokens": True}
        # Some models leave their prompt out of the mean.
        write_json(folder / "1_Pooling" / "config.json", pooling | ({"include_prompt": False} if seed > 2 else {}))
        prompts = {"prompts": {"query": "The question: ", "passage": ""}, "default_prompt_name": "query"}
        about = {"__version__": {"sentence_transformers": "2.2.0", "transformers": "4.20.0", "pytorch": "1.12.0"}}
        write_json(folder / "config_sentence_transformers.json", about | (prompts if architecture == "bert" and seed > 1 else {}))
        kind = "sentence_transformers.models."
        modules = [{"idx": 0, "name": "0", "path": "", "type": kind + "Transformer"}]
        modules.append({"idx": 1, "name": "1", "path": "1_Pooling", "type": kind + "Pooling"})
        if seed > 1:
            modules.append({"idx": 2, "name": "2", "path": "2_Normalize", "type": kind + "Normalize"})
            (folder / "2_Normalize").mkdir()
        write_json(folder / "modules.json", modules)

    with published(write) as folder:
        model = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.bfloat16})
        assert model.max_seq_length == LIMIT
        model.save_pretrained(str(out), create_model_card=False)
    model = SentenceTransformer(str(out), device="cpu", model_kwargs={"dtype": torch.float32, "attn_implementation": "eager"})
    assert model.max_seq_length == LIMIT
    vectors = []
    # Without the last module where that normalises: lengths count.
    for last in range(len(model) - 1, -1, -1):
        if type(model[last]).__name__ == "Normalize":
            del model[last]
    with torch.no_grad():
        for text in TEXTS:
            # The default prompt is put in front by `encode` itself.
            vectors.append(torch.from_numpy(model.encode(text, normalize_embeddings=False)).float())
    save_file({"embeddings": torch.stack(vectors)}, out / "reference.safetensors")
    made_by = versions() | {"sentence-transformers": sentence_transformers.__version__}
    write_json(out / "reference.json", {"architecture": architecture, "versions": made_by, "texts": TEXTS})


def mpnet(seed, out):
    sentence_encoder("mpnet", seed, out)


def bert(seed, out):
    sentence_encoder("bert", seed, out)
