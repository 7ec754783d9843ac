"""Read the total score in a judge's reply, strictly, and as the official code reads it."""

from __future__ import annotations

import re
from typing import Final

from imug_tts.final_text import final_text
from imug_tts.scoring.replies import UnreadableReply

__all__ = ["HIGHEST", "official_points", "read_points"]

HIGHEST: Final = 100

_OFFICIAL: Final = re.compile(r"Total Score:\s*(\d{1,3})\b")
_MARKUP: Final = re.compile(r"[*_`#]")
_TOTAL: Final = re.compile(r"[\s>\-•|]*total\s+score\s*(?:\([^()]*\)\s*)?[:：|](.*)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\s*([+-]?\d+)\s*(?:/\s*100|out of 100|points?)?[\s.|]*", re.IGNORECASE)


def official_points(reply: str) -> int | None:
    """Return the points that the official code reads: the first 1 to 3 digits after "Total Score:", else
    None.

    The number may be above 100. Of several totals the first counts. A sum ("50 + 5 = 55") is read as its
    first term, and "**Total Score:** 55" is not read. The official evaluation stops with an error if it reads
    None.
    """
    found = _OFFICIAL.search(reply.strip())
    return int(found[1]) if found else None


def read_points(reply: str) -> int:
    """Return the total score of a reply, 0 to 100.

    Bold type, headings, "Total Score (100 points):", "55/100" and "55 points" are understood. A reasoning
    model's thoughts before the reply are ignored.

    Raises:
        UnreadableReply: the reply has no total, different totals, or a total that is not a whole number from
            0 to 100.
    """
    lines = _MARKUP.sub("", final_text(reply)).splitlines()
    totals = [found[1] for line in lines if (found := _TOTAL.fullmatch(line))]
    if not totals:
        raise UnreadableReply('there must be a line "Total Score: N", and there is none')
    points = {_whole(total) for total in totals}
    if len(points) > 1:
        raise UnreadableReply(f"it has different total scores: {', '.join(map(str, sorted(points)))}")
    return points.pop()


def _whole(total: str) -> int:
    found = _NUMBER.fullmatch(total)
    if not found:
        raise UnreadableReply(f"the total score must be one whole number, not {total.strip()[:40]!r}")
    points = int(found[1])
    if not 0 <= points <= HIGHEST:
        raise UnreadableReply(f"the total score must be from 0 to {HIGHEST}, not {points}")
    return points
