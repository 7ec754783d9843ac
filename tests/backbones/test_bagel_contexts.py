"""The cache of contexts stays within its limit, and dropped contexts are freed."""

from __future__ import annotations

from imug_tts.backbones.bagel.context import EMPTY, Context, ContextCache


def grown(cache: ContextCache, context: Context, name: str) -> Context:
    import torch

    def compute() -> Context:
        piece = torch.zeros(1, 2, 8)  # 64 bytes
        key = context.after(name)
        return Context(context, key, ((piece, piece),), context.tokens + 2, context.position + 2)

    return cache.extend(context, name, compute)


def test_equal_beginnings_are_one_context() -> None:
    cache = ContextCache(1 << 20)
    first, again = (grown(cache, grown(cache, EMPTY, "a"), "b") for _ in range(2))
    other = grown(cache, grown(cache, EMPTY, "a"), "c")
    assert first is again
    assert other.parent is first.parent
    assert (cache.computed_tokens, cache.served_tokens) == (6, 6)


def test_the_order_of_pieces_makes_another_context() -> None:
    assert EMPTY.after("ab") != EMPTY.after("a")
    cache = ContextCache(1 << 20)
    assert grown(cache, grown(cache, EMPTY, "a"), "b").key != grown(cache, grown(cache, EMPTY, "b"), "a").key


def test_the_least_recently_used_ends_go_first_and_beginnings_last() -> None:
    cache = ContextCache(limit_bytes=3 * 128)
    beginning = grown(cache, EMPTY, "beginning")
    ends = [grown(cache, beginning, name) for name in ("old", "used", "new")]
    cache.used([ends[0], ends[2], ends[1]])
    kept = set(cache)
    assert kept == {beginning, ends[1], ends[2]}
    assert cache.nbytes == sum(context.nbytes for context in kept) == 3 * 128


def test_nothing_is_kept_where_there_is_no_room() -> None:
    cache = ContextCache(limit_bytes=0)
    context = grown(cache, grown(cache, EMPTY, "a"), "b")
    cache.used([context])
    assert list(cache) == []
    assert cache.nbytes == 0
    assert context.tokens == 4


def test_a_piece_that_was_dropped_is_computed_again() -> None:
    cache = ContextCache(limit_bytes=0)
    cache.used([grown(cache, EMPTY, "a")])
    grown(cache, EMPTY, "a")
    assert (cache.computed_tokens, cache.served_tokens) == (4, 0)
