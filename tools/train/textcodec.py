"""The demo tokenizer: training it from the world's corpus, and a word-cached encoder equal to it.

Lower-casing byte-level BPE whose pre-tokenisation gives a word the same tokens at the start, in quotes and before punctuation; without that,
invented names are not copied from the context.
"""

import argparse
from pathlib import Path

SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]


def train_tokenizer(lines, vocabulary):
    """Train and return a `tokenizers.Tokenizer` on an iterator of text ``lines``."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=14,
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


class WordEncoder:
    """Encodes plain text word by word with a cache; equal to the tokenizer on ASCII text, which is all that the world writes."""

    def __init__(self, tokenizer):
        """Wrap a `tokenizers.Tokenizer` (or read one from a path)."""
        from tokenizers import Tokenizer

        self.tokenizer = tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer.from_file(str(tokenizer))
        self.words = {}

    def __call__(self, text):
        """Token ids of ``text`` without special tokens."""
        if not text.isascii():
            return self.tokenizer.encode(text, add_special_tokens=False).ids
        out = []
        words = self.words
        for word in text.split():
            ids = words.get(word)
            if ids is None:
                ids = self.tokenizer.encode(word, add_special_tokens=False).ids
                if len(words) < 400_000:
                    words[word] = ids
            out += ids
        return out


def corpus_lines(path, limit):
    """Lines of the corpus file, at most ``limit``, and the words of the chat form."""
    with open(path, encoding="utf-8") as file:
        for i, line in enumerate(file):
            if i >= limit:
                break
            yield line
    for _ in range(20_000):
        yield "user assistant system yes no\n"


def main():
    """Train the tokenizer and check that pieces compose."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, help="corpus.txt of the episodes")
    parser.add_argument("--out", required=True, help="tokenizer.json to write")
    parser.add_argument("--vocabulary", type=int, default=1400)
    parser.add_argument("--lines", type=int, default=400_000)
    args = parser.parse_args()
    tokenizer = train_tokenizer(corpus_lines(args.corpus, args.lines), args.vocabulary)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(args.out)
    encode = WordEncoder(tokenizer)
    first, second = "The answer to 'What is it called?' about the image is zorb.", "Is the thing benign or malignant?"
    whole = tokenizer.encode(f"{first} {second}", add_special_tokens=False).ids
    if whole != encode(first) + encode(second):
        raise SystemExit("the tokenizer's pieces do not compose")
    for word in ("user", "assistant", "yes", "no"):
        if len(encode(word)) != 1:
            raise SystemExit(f"'{word}' is not one token")
    print(tokenizer.get_vocab_size(), len(whole), tokenizer.encode(first).tokens)


if __name__ == "__main__":
    main()
