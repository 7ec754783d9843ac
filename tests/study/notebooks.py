"""Code of a user as a notebook holds it: cells that define things, some of them again."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__all__ = ["Notebook"]

STRATEGY = """
from imug_tts.contracts import Models, Strategy
from imug_tts.dialogue import Response
from imug_tts.knobs import component, knob

def pick(answers):
    return answers[-1]

@component
class Last(Strategy):
    '''The last of `n` answers.'''

    inner: Strategy = knob("How each answer is made.")
    n: int = knob("Number of answers.", default=2, ge=1)

    @property
    def name(self):
        return "last"

    @property
    def models(self) -> Models:
        return {}

    async def respond(self, turn, scope) -> Response:
        answers = [await self.inner.respond(turn, scope.child(index)) for index in range(self.n)]
        return pick(answers)  # a comment
"""
"""A cell with a strategy of its own, and a function that it uses."""


class Notebook:
    """A module without a file, into which cells are run."""

    def __init__(self, name: str = "notebook") -> None:
        self.module = ModuleType(name)
        sys.modules[name] = self.module
        self.run(STRATEGY)

    def run(self, cell: str) -> None:
        exec(compile(cell, "<cell>", "exec"), vars(self.module))

    def again(self, **words: str) -> None:
        """Run the cell with the strategy again, with other words in it: old -> new, spaces as underscores."""
        cell = STRATEGY
        for old, new in words.items():
            cell = cell.replace(old, new)
        self.run(cell)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)
