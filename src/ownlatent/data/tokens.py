"""Sentences as numbers of tokens, by a byte-pair encoding learned from the data."""

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ownlatent.errors import UsageError

PAD, MASK = 0, 1
OFFSET = 2
"""The tokeniser's number 0 is this token: those before it are no text's."""
VOCABULARY = 4000
"""Tokens learned from the data, the two above included."""
LONGEST = 64
"""Tokens of a sentence that are kept, from its start."""


@dataclass(frozen=True)
class Tokens:
    """What an encoder stores of its sentences.

    Attributes:
        tokenizer: a byte-level BPE, as Hugging Face's ``tokenizers`` writes it in JSON. Only its
            vocabulary and its merges are read back, so that a file can make it do nothing else.
        weights: of each token its inverse document frequency ``1 + ln((1 + N) / (1 + n))`` over
            the data, for the baseline; 0 for the first two.
        length: L, the most tokens that are kept.
    """

    tokenizer: str
    weights: tuple[float, ...]
    length: int
    kind: str = "text"

    @property
    def vocabulary(self) -> int:
        """Number of tokens V, the two special ones included."""
        return len(self.weights)

    @cached_property
    def _reader(self) -> Any:
        model = json.loads(self.tokenizer)["model"]
        return _tokenizer(model["vocab"], [tuple(pair) for pair in model["merges"]])

    def check(self) -> None:
        """Raises KeyError, TypeError or UsageError where it is not what :func:`learn_tokens` makes:
        the library is only given what it can take."""
        try:
            model = json.loads(self.tokenizer)["model"]
        except (ValueError, RecursionError) as error:
            raise TypeError("tokenizer is no JSON") from error
        known, merges = model["vocab"], model["merges"]
        if not isinstance(known, dict) or not isinstance(merges, list):
            raise TypeError("the tokenizer has no vocabulary or no merges")
        numbers = known.values()
        if {type(n) for n in numbers} != {int} or sorted(numbers) != list(range(len(known))):
            raise TypeError("the tokenizer does not number its vocabulary from 0 on")
        if len(known) != self.vocabulary - OFFSET:
            raise TypeError("the tokenizer and the weights must be as many")
        if not set(_library().pre_tokenizers.ByteLevel.alphabet()) <= known.keys():
            raise TypeError("the tokenizer does not know every byte")
        for pair in merges:
            texts = isinstance(pair, list) and all(isinstance(part, str) for part in pair)
            if not texts or len(pair) != 2 or not {*pair, "".join(pair)} <= known.keys():
                raise TypeError("the tokenizer merges what it does not know")

    def encode(self, texts: Sequence[str], width: int | None = None) -> Tensor:
        """Texts to int64 ``[N, L]``, padded with 0; ``width`` is L, by default that of the longest.

        Raises:
            UsageError: one is no text, or empty.
        """
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise UsageError(f"Give sentences as texts; got {type(text).__name__}.")
            if not text.strip():
                raise UsageError(f"Sentence {place} is empty: leave it out.")
        read = self._reader.encode_batch([_valid(text) for text in texts])
        numbers = [each.ids[: self.length] for each in read]
        width = max(map(len, numbers), default=1) if width is None else width
        tokens = np.zeros((len(numbers), width), np.int64)
        for row, each in zip(tokens, numbers, strict=True):
            row[: len(each)] = np.asarray(each) + OFFSET
        return torch.from_numpy(tokens)


def learn_tokens(texts: Sequence[str]) -> Tokens:
    """A tokeniser for these texts: the same for the same texts, whatever the machine.

    Texts are brought to lower case and to Unicode's NFKC form and cut at spaces and punctuation;
    pairs of bytes are then merged, the most frequent first (Sennrich et al., 2016). A byte-level
    alphabet knows every text.

    Raises:
        UsageError: the package ``tokenizers`` is missing.
    """
    texts = [_valid(text) for text in texts]
    library, blank = _library(), _tokenizer({}, [])
    trainer = library.trainers.BpeTrainer(
        vocab_size=VOCABULARY - OFFSET,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
    )
    blank.train_from_iterator(texts, trainer)
    numbers = [each.ids for each in blank.encode_batch(texts)]
    found = np.zeros(blank.get_vocab_size(), np.int64)
    for each in numbers:
        found[list(set(each))] += 1
    weights = 1 + np.log((1 + len(texts)) / (1 + found))
    return Tokens(
        tokenizer=blank.to_str(),
        weights=(0.0,) * OFFSET + tuple(float(f"{weight:.4f}") for weight in weights),
        length=LONGEST,
    )


def _valid(text: str) -> str:
    """Without halves of characters, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def _tokenizer(vocabulary: dict[str, int], merges: list[tuple[str, ...]]) -> Any:
    library = _library()
    made = library.Tokenizer(library.models.BPE(vocab=vocabulary, merges=merges))
    parts = [library.normalizers.NFKC(), library.normalizers.Lowercase()]
    made.normalizer = library.normalizers.Sequence(parts)
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
    return made


def _library() -> Any:
    try:
        return importlib.import_module("tokenizers")
    except ImportError as error:
        raise UsageError(
            'Sentences need the package tokenizers: install it by pip install "ownlatent[text]".'
        ) from error
