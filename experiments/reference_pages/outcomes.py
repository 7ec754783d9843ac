"""The page of outcomes: how turns, answers and commands end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from imug_tts.contracts.record import FINAL_OUTCOMES, OUTCOME_MEANINGS, OUTCOMES

__all__ = ["EXIT_STATUSES", "outcomes_page"]

EXIT_STATUSES: Final = {
    0: "Everything that was asked for is there: every planned turn has a final outcome.",
    1: "Some of it is missing: turns failed, a server or model is away, or the output cannot be written.",
    2: "Nothing was begun: the configuration, the data or the command line cannot work as given.",
    130: "Interrupted by Ctrl-C, after the batch in flight was saved.",
}
"""The meaning of every command's exit status. The help of a command states what it adds to this."""

_HISTORY: Final = """## What a failed turn does to its dialogue

On own history a turn without an answer ends its dialogue, because later turns need its output. After a
failure the same command continues from that turn; after a refusal the rest is never asked. On gold or
swapped history the dialogue goes on. A missing score never ends a dialogue. A failed turn is never a
score of 0, and its error text never enters a history; tables count it as missing."""

_SERVE: Final = """The message on the terminal names the file, line, key or server, and what to do.

`experiments/serve.py` ends with 0 after SIGINT or SIGTERM, when the requests in hand are answered.
`experiments/speed.py` ends with 1 when a figure misses its target."""


def outcomes_page() -> str:
    """Return the page as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield from ["# Outcomes and exit statuses", "", "## How a turn ends", ""]
    yield from ["| outcome | meaning | tried again by the same command |", "|---|---|---|"]
    for outcome in OUTCOMES:
        again = "no" if outcome in FINAL_OUTCOMES else "yes"
        yield f"| `{outcome}` | {OUTCOME_MEANINGS[outcome]} | {again} |"
    yield from ["", _HISTORY, "", "## How a command ends", "", "| exit status | meaning |", "|---|---|"]
    yield from (f"| {status} | {meaning} |" for status, meaning in EXIT_STATUSES.items())
    yield from ["", _SERVE]
