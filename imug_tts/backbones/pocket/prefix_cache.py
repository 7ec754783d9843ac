"""An LRU cache of the keys and values of token prefixes, shared between calls and limited in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Span:
    """Keys and values of the last piece of a prefix (layers, 2, heads, tokens, head width), and the span
    before it.
    """

    parent: Span | None
    values: Tensor
    end: int
    """Number of tokens of the prefix up to and including this piece."""

    def chain(self) -> list[Span]:
        """The pieces of the whole prefix, first to last."""
        pieces, at = list[Span](), self
        while True:
            pieces.append(at)
            if at.parent is None:
                return pieces[::-1]
            at = at.parent


class PrefixCache:
    """An LRU cache of prefixes. A dropped prefix stays in memory as long as a cached piece extends it."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes, self._bytes = limit_bytes, 0
        self._spans: OrderedDict[tuple[int, ...], Span] = OrderedDict()

    def get(self, prefix: Sequence[int]) -> Span | None:
        """The span that ends this prefix; None if it is not cached."""
        key = tuple(prefix)
        if key in self._spans:
            self._spans.move_to_end(key)
        return self._spans.get(key)

    def put(self, prefix: Sequence[int], span: Span) -> None:
        """Cache a span, and drop the least recently used ones above the limit."""
        self._spans[tuple(prefix)] = span
        self._bytes += span.values.nbytes
        while self._bytes > self._limit_bytes and len(self._spans) > 1:
            _, dropped = self._spans.popitem(last=False)
            self._bytes -= dropped.values.nbytes
