"""Contexts: the immutable keys and values of a dialogue so far, shared by all continuations."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from imug_tts.backbones.bagel.layers import KeysValues

__all__ = ["EMPTY", "Context", "ContextCache"]


@dataclass(frozen=True, eq=False)
class Context:
    """One piece of a dialogue (a text, or an image block) after the pieces of its parent.

    Contexts with a common beginning share its tensors. Extending a context creates a new one, so guidance
    branches, candidates and the check of a draft branch off without copies.
    """

    parent: Context | None
    key: str
    """SHA-256 over the contents of all pieces, first to last."""
    layers: tuple[KeysValues, ...]
    """Keys and values of this piece alone, per layer."""
    tokens: int
    """Number of tokens up to and including this piece."""
    position: int
    """The rotary position of the next token; an image block takes one position."""

    def chain(self) -> list[Context]:
        """The pieces, first to last, without the empty context."""
        pieces, at = list[Context](), self
        while at.parent is not None:
            pieces.append(at)
            at = at.parent
        return pieces[::-1]

    def past(self, num_layers: int) -> list[list[KeysValues]]:
        """Per layer, the keys and values of all pieces."""
        chain = self.chain()
        return [[piece.layers[number] for piece in chain] for number in range(num_layers)]

    @property
    def nbytes(self) -> int:
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)

    def after(self, name: str) -> str:
        """The key of this context extended by the piece `name`."""
        return hashlib.sha256(f"{self.key}\x1f{name}".encode("utf-8", "surrogatepass")).hexdigest()


EMPTY: Final = Context(None, "", (), tokens=0, position=0)
"""The empty context."""


class ContextCache:
    """An LRU cache of contexts by content, limited to `limit_bytes` of keys and values."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes, self.nbytes = limit_bytes, 0
        self.served_tokens, self.computed_tokens = 0, 0
        self._kept: OrderedDict[str, Context] = OrderedDict()

    def extend(self, context: Context, name: str, compute: Callable[[], Context]) -> Context:
        """The context extended by one piece: the cached one, or the result of `compute`, which is then
        cached.
        """
        kept = self._kept.get(context.after(name))
        if kept is not None:
            self.served_tokens += kept.tokens - context.tokens
            return kept
        made = compute()
        self.computed_tokens += made.tokens - context.tokens
        self._kept[made.key] = made
        self.nbytes += made.nbytes
        return made

    def used(self, contexts: Sequence[Context]) -> None:
        """Mark contexts as just used, and drop the least recently used ones above the limit.

        A piece counts as used after the pieces that follow it, so a dropped piece has no cached successors
        and its memory is actually freed.
        """
        for context in contexts:
            for piece in reversed(context.chain()):
                if piece.key in self._kept:
                    self._kept.move_to_end(piece.key)
        for key in self._surplus():
            self.nbytes -= self._kept.pop(key).nbytes

    def clear(self) -> bool:
        """Drop all cached contexts; return whether there were any."""
        had_any = bool(self._kept)
        self._kept.clear()
        self.nbytes = 0
        return had_any

    def _surplus(self) -> list[str]:
        surplus, left = list[str](), self.nbytes
        for key, context in self._kept.items():
            if left <= self.limit_bytes:
                break
            surplus.append(key)
            left -= context.nbytes
        return surplus

    def __iter__(self) -> Iterator[Context]:
        return iter(self._kept.values())
