"""A data set of sentences, in memory as tokens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from ownlatent.data.fingerprint import content_digests, data_fingerprint, sample_ids
from ownlatent.data.held import Held
from ownlatent.data.opening import check_labels
from ownlatent.data.table import LABEL_NAMES, as_labels
from ownlatent.data.texts import read_texts
from ownlatent.data.tokens import Tokens, learn_tokens
from ownlatent.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Sentences(Held):
    """Sentences as tokens.

    Attributes:
        tokens: int64 ``[N, L]``, padded with 0; see :meth:`Tokens.encode`.
        meaning: of the tokens.
        digests: uint8 ``[N, 16]``, of the texts.
        skipped: name of and reason for each row without a sentence.
    """

    kind: ClassVar[str] = "text"

    tokens: Tensor
    meaning: Tokens

    @property
    def content(self) -> Tensor:
        return self.tokens

    def summary(self) -> str:
        """One line: how many, and how long."""
        longest, mean = self.tokens.shape[1], float((self.tokens > 0).sum(1).double().mean())
        skipped = f"; {len(self.skipped)} empty skipped" if self.skipped else ""
        return (
            f"{len(self):,} sentences of up to {longest} tokens ({mean:.1f} on average), "
            f"{self.meaning.vocabulary:,} different ones{skipped}"
        )


def open_sentences(
    data: Any, *, meaning: Tokens | None = None, label: str | None = None, labelled: bool = False
) -> Sentences:
    """The sentences in ``data``; rows without one are skipped.

    Args:
        data: see :func:`ownlatent.data.texts.read_texts`.
        meaning: an encoder's tokens; None: learned from these sentences.
        label: the column that holds the labels, by name or number; None: ``label``, ``class``,
            ``target`` or ``y``.
        labelled: labels are needed.

    Raises:
        UsageError: there is nothing there, no such column, no label where needed, or the package
            ``tokenizers`` is missing.
    """
    name = str(data) if isinstance(data, str | Path) else "the data"
    texts, answers = read_texts(data, name, label)
    for place, text in enumerate(texts):
        if text is not None and not isinstance(text, str):
            raise UsageError(
                f"Sentence {place} of {name} is of type {type(text).__name__}: give a text."
            )
    kept = [place for place, text in enumerate(texts) if text and text.strip()]
    if not kept:
        raise UsageError(f"{name} holds no sentence: give it some.")
    if labelled and answers is None:
        raise UsageError(
            f"{name} has no labels: give it a column that holds them, called one of "
            f"{', '.join(LABEL_NAMES)}, or say which it is by --label."
        )
    labels, classes = (None, None) if answers is None else as_labels(answers.take(kept))
    if labelled:
        check_labels(name, labels)
    sentences = [texts[place] for place in kept]
    known = learn_tokens(sentences) if meaning is None else meaning
    names = [f"row:{place}" for place in kept]
    ids = sample_ids(names)
    digests = content_digests(text.encode("utf-8", "surrogatepass") for text in sentences)
    there = set(kept)
    return Sentences(
        tokens=known.encode(sentences),
        meaning=known,
        ids=ids,
        labels=labels,
        classes=classes,
        names=names,
        digests=digests,
        fingerprint=data_fingerprint(ids.numpy(), digests),
        skipped=[(f"row:{at}", "it is empty") for at in range(len(texts)) if at not in there],
    )
