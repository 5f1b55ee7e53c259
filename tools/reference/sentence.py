"""MPNet and BERT sentence encoders."""

import random

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from .common import CORPUS, randomise, save_weights, write_json

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


def mpnet(seed, out):
    sentence_encoder("mpnet", seed, out)


def bert(seed, out):
    sentence_encoder("bert", seed, out)
