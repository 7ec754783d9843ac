"""Token ids of the pocket model: special tokens, words, and one id for every (cell, code) of an image."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

PAD, BOS, USER, DRAW, PLAN, CHECK, ASK, ANSWER, END = range(9)
SPECIALS: Final = ("<pad>", "<bos>", "<user>", "<draw>", "<plan>", "<check>", "<ask>", "<answer>", "<end>")


class UnknownWord(ValueError):
    """A text contains a word without a token."""


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Words as whole tokens (a token may be several words, such as "red star"), followed by image ids cell by
    cell.

    `ignored` words carry no meaning here and get no token; `cells` are the cell names in image order;
    `plan_words` are the words of plans.
    """

    words: tuple[str, ...]
    ignored: frozenset[str]
    cells: tuple[str, ...]
    plan_words: tuple[str, ...]
    num_codes: int

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read the JSON file that `save` wrote."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            words=tuple(stored["words"]),
            ignored=frozenset(stored["ignored"]),
            cells=tuple(stored["cells"]),
            plan_words=tuple(stored["plan_words"]),
            num_codes=int(stored["num_codes"]),
        )

    def save(self, path: Path) -> None:
        """Write the vocabulary as a readable JSON file."""
        stored = {
            "words": self.words,
            "ignored": sorted(self.ignored),
            "cells": self.cells,
            "plan_words": self.plan_words,
            "num_codes": self.num_codes,
        }
        path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")

    @cached_property
    def id_of(self) -> Mapping[str, int]:
        """The id of each word and special token."""
        return {word: number for number, word in enumerate((*SPECIALS, *self.words))}

    @cached_property
    def _longest(self) -> int:
        return max(len(word.split()) for word in self.words)

    @property
    def num_cells(self) -> int:
        """Number of image tokens per image."""
        return len(self.cells)

    @property
    def num_words(self) -> int:
        """Number of special tokens and words; image ids begin here."""
        return len(SPECIALS) + len(self.words)

    @property
    def size(self) -> int:
        """Number of all ids."""
        return self.num_words + self.num_cells * self.num_codes

    def first_id(self, cell: int) -> int:
        """The id of code 0 in a cell; the codes of a cell are consecutive."""
        return self.num_words + cell * self.num_codes

    def image_ids(self, codes: Sequence[int]) -> list[int]:
        """The ids of an image from its codes in cell order."""
        return [self.first_id(cell) + code for cell, code in enumerate(codes)]

    def encode(self, text: str) -> list[int]:
        """The ids of a text by longest match. Raises UnknownWord."""
        return list(self._encoded(text))

    @cached_property
    def _encoded(self) -> Callable[[str], tuple[int, ...]]:
        """`_match` with a cache of results, because every call encodes all texts of its history."""
        return lru_cache(maxsize=1 << 16)(self._match)

    def _match(self, text: str) -> tuple[int, ...]:
        pieces, ids, at = text.split(), list[int](), 0
        while at < len(pieces):
            for length in range(min(self._longest, len(pieces) - at), 0, -1):
                word = " ".join(pieces[at : at + length])
                if word in self.id_of or (length == 1 and word in self.ignored):
                    break
            else:
                raise UnknownWord(f"the pocket model has no word {pieces[at]!r} (in {text!r})")
            ids += [] if word in self.ignored else [self.id_of[word]]
            at += length
        return tuple(ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The words of a sequence of ids, without special tokens and image ids."""
        return " ".join(self.words[i - len(SPECIALS)] for i in ids if len(SPECIALS) <= i < self.num_words)
