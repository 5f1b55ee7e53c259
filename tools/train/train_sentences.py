"""Trains the sentence encoder (MPNet architecture, 1.0 M parameters) on the world's sentence pairs.

InfoNCE on cosine similarity with the given hard negatives as further columns; rows with the same key count as neither positive nor
negative. The service uses the mean-pooled output without normalising it, under Euclidean distance, so a small penalty keeps the norm near
``NORM``: then distance and cosine order sentences alike.
"""

import argparse
import json
import math
import os
import random
import time

import torch
import torch.nn.functional as F
from textcodec import WordEncoder

WIDTH = 160
NORM = math.sqrt(WIDTH)
TEMPERATURE = 0.05
MAX_TOKENS = 126
HELD_SHARE = 0.02


def build_encoder(vocabulary):
    """A randomly initialised `MPNetModel` of the demo size."""
    from transformers import MPNetConfig, MPNetModel

    config = MPNetConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=5,
        intermediate_size=480,
        max_position_embeddings=130,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        relative_attention_num_buckets=32,
    )
    return MPNetModel(config, add_pooling_layer=False)


def encode_batch(encode, texts):
    """Token ids (n, longest) with <|im_start|> and <|im_end|> around each text, and their mask."""
    ids = [[1, *encode(t)[:MAX_TOKENS], 2] for t in texts]
    longest = max(map(len, ids))
    out = torch.zeros(len(ids), longest, dtype=torch.long)
    for i, one in enumerate(ids):
        out[i, : len(one)] = torch.tensor(one)
    return out, (out != 0).long()


def embed(model, encode, texts):
    """Mean-pooled output of ``texts``: (n, 160), not normalised."""
    ids, mask = encode_batch(encode, texts)
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def contrast(a, b, negatives, keys, texts_b, texts_n):
    """InfoNCE both ways between ``a`` and ``b`` (n, d); ``negatives`` (m, d) are further columns of a; same keys are masked out."""
    a, b, negatives = F.normalize(a, dim=-1), F.normalize(b, dim=-1), F.normalize(negatives, dim=-1)
    number = {k: i for i, k in enumerate(dict.fromkeys(keys))}
    key = torch.tensor([number[k] for k in keys])
    same = (key[:, None] == key[None, :]) & ~torch.eye(len(keys), dtype=torch.bool)
    between = (a @ b.T / TEMPERATURE).masked_fill(same, -1e4)
    meaning = {t: number[k] for t, k in zip(texts_b, keys)}
    of_negative = torch.tensor([meaning.get(t, -1) for t in texts_n])
    clash = (of_negative[None, :] == key[:, None]) & (of_negative[None, :] >= 0)
    target = torch.arange(len(keys))
    first = torch.cat([between, (a @ negatives.T / TEMPERATURE).masked_fill(clash, -1e4)], 1)
    second = torch.cat([between.T, (b @ negatives.T / TEMPERATURE).masked_fill(clash, -1e4)], 1)
    return (F.cross_entropy(first, target) + F.cross_entropy(second, target)) / 2


@torch.no_grad()
def evaluate(model, encode, rows):
    """Recall at 1 among other keys, and how often the pair is nearer than its own hard negative, both by Euclidean distance; norms."""
    model.eval()
    a = embed(model, encode, [r["a"] for r in rows])
    b = embed(model, encode, [r["b"] for r in rows])
    distance = torch.cdist(a, b)
    keys = [r["k"] for r in rows]
    same = torch.tensor([[x == y for y in keys] for x in keys]) & ~torch.eye(len(rows), dtype=torch.bool)
    recall = (distance.masked_fill(same, 1e9).argmin(1) == torch.arange(len(rows))).float().mean().item()
    with_negative = [(i, n) for i, r in enumerate(rows) for n in r["n"][:1]]
    where = torch.tensor([i for i, _ in with_negative])
    to_negative = (a[where] - embed(model, encode, [n for _, n in with_negative])).norm(dim=-1)
    own = distance.diag()
    unrelated = distance[~torch.eye(len(rows), dtype=torch.bool) & ~same]
    norm = torch.cat([a, b]).norm(dim=-1)
    model.train()
    return {
        "recall_at_1": round(recall, 3),
        "nearer_than_hard_negative": round((own[where] < to_negative).float().mean().item(), 3),
        "distance_pair": round(own.mean().item(), 2),
        "distance_hard_negative": round(to_negative.mean().item(), 2),
        "distance_other": round(unrelated.mean().item(), 2),
        "norm_mean": round(norm.mean().item(), 2),
        "norm_deviation": round(norm.std().item(), 3),
    }


def read_rows(path, limit):
    """At most ``limit`` pairs of sentences.jsonl."""
    rows = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            rows.append(json.loads(line))
            if len(rows) >= limit:
                break
    return rows


def main():
    """Train for the given minutes and write the checkpoint."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--sentences", required=True, help="sentences.jsonl of the training episodes")
    p.add_argument("--held", help="sentences.jsonl of held-out episodes; else a part of the training pairs")
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--minutes", type=float, default=5.0)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--batch", type=int, default=192)
    p.add_argument("--rate", type=float, default=1.5e-3)
    p.add_argument("--limit", type=int, default=400_000, help="pairs read")
    args = p.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    encode = WordEncoder(args.tokenizer)
    rows = read_rows(args.sentences, args.limit)
    shuffle = random.Random(1)
    shuffle.shuffle(rows)
    if args.held:
        held = read_rows(args.held, 600)
    else:
        cut = min(600, int(len(rows) * HELD_SHARE))
        held, rows = rows[:cut], rows[cut:]
    model = build_encoder(encode.tokenizer.get_vocab_size())
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=0.01, fused=True)
    start, shown, step, place = time.time(), 0.0, 0, 0
    print(json.dumps({"pairs": len(rows), "parameters": sum(q.numel() for q in model.parameters()), **evaluate(model, encode, held)}), flush=True)
    while (fraction := (time.time() - start) / 60 / args.minutes) < 1:
        if place + args.batch > len(rows):
            shuffle.shuffle(rows)
            place = 0
        part = rows[place : place + args.batch]
        place += args.batch
        # a and b change places half of the time: the pairs have no direction
        turned = [(r["b"], r["a"]) if shuffle.random() < 0.5 else (r["a"], r["b"]) for r in part]
        texts_a, texts_b = [t[0] for t in turned], [t[1] for t in turned]
        texts_n = [shuffle.choice(r["n"]) for r in part if r["n"]] or ["nothing"]
        out = embed(model, encode, texts_a + texts_b + texts_n)
        n = len(part)
        loss = contrast(out[:n], out[n : 2 * n], out[2 * n :], [r["k"] for r in part], texts_b, texts_n)
        penalty = ((out.norm(dim=-1) - NORM) / NORM).pow(2).mean()
        (loss + penalty).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = args.rate * min(1.0, (step + 1) / 50) * max(0.03, min(1.0, (1 - fraction) / 0.6))
        optimiser.step()
        optimiser.zero_grad()
        step += 1
        if time.time() - shown > 40:
            shown = time.time()
            line = {"minute": round((shown - start) / 60, 2), "step": step, "loss": round(loss.item(), 3), **evaluate(model, encode, held)}
            print(json.dumps(line), flush=True)
    print(json.dumps({"final": step, **evaluate(model, encode, held)}), flush=True)
    torch.save({"model": model.state_dict()}, args.out + ".partial")
    os.replace(args.out + ".partial", args.out)


if __name__ == "__main__":
    main()
