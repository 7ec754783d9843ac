"""Prompts and rubrics of the official DriveBench repository, read from the user's clone of it.

The rubrics are in evaluate/prompts.py, the first sentence of the judge's message in evaluate/request.py, the
text for a missing description in evaluate/eval.py, and the instructions of the model in prompt.txt. The
Python files are parsed, not run.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Formatter
from typing import Final, NamedTuple

from imug_tts.benchmarks.drivebench.kinds import KINDS, Kind
from imug_tts.benchmarks.drivebench.rubrics import RUBRICS, Sheet
from imug_tts.contracts import ConfigurationError

__all__ = ["OfficialWords"]

_PROMPTS: Final = "evaluate/prompts.py"
_REQUEST: Final = "evaluate/request.py"
_EVALUATION: Final = "evaluate/eval.py"
_INSTRUCTIONS: Final = "prompt.txt"
_NEEDED: Final = frozenset(["QUESTION", "GT", "PRED"])
_FIELDS: Final = _NEEDED | {"DESC"}


class OfficialWords(NamedTuple):
    """The texts that the official code sends to the judge and to the model."""

    rubrics: Mapping[Kind, str]
    opening: str
    """The start of the judge's message, before the rubric."""
    no_description: str
    """The description for the judge if the question names no object."""
    instructions: str
    """The start of the model's prompt, before the question."""

    @classmethod
    def of(cls, clone: Path) -> OfficialWords:
        """Read a clone of https://github.com/worldbench/drivebench.

        Raises:
            ConfigurationError: a file is missing or has an unknown form; the message names the file.
        """
        texts = dict(_texts(clone / _PROMPTS))
        names = {kind: f"{kind.upper()}_PROMPT" for kind in KINDS}
        for kind, name in names.items():
            _check(clone / _PROMPTS, name, texts.get(name), shows_object=RUBRICS[kind].shows_object)
        return cls(
            rubrics={kind: texts[name] for kind, name in names.items()},
            opening=_text(clone / _REQUEST, "system_message"),
            no_description=_text(clone / _EVALUATION, "extract_visual_description"),
            instructions=_read(clone / _INSTRUCTIONS),
        )

    @property
    def sha256(self) -> str:
        parts = [
            self.opening,
            self.no_description,
            self.instructions,
            *(self.rubrics[kind] for kind in KINDS),
        ]
        return hashlib.sha256("\x1e".join(parts).encode()).hexdigest()

    def judge_message(self, kind: Kind, sheet: Sheet) -> str:
        """Return the message with which the official code asks the judge to grade an answer."""
        filled = self.rubrics[kind].format(
            QUESTION=sheet.question, GT=sheet.answer, PRED=sheet.prediction, DESC=sheet.description
        )
        return f"{self.opening}\n{filled}"


_ADVICE: Final = "give a clone: git clone https://github.com/worldbench/drivebench"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"official: {path} cannot be read ({error}); {_ADVICE}") from error


def _text(path: Path, name: str) -> str:
    text = dict(_texts(path)).get(name)
    if not text:
        raise ConfigurationError(f"official: {path} has no text {name}; {_ADVICE}")
    return text


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the string literals of a Python file that are assigned to a name or returned by a function.

    Each comes with that name, or with the name of the function.
    """
    try:
        tree = ast.parse(_read(path))
    except (SyntaxError, ValueError) as error:
        raise ConfigurationError(f"official: {path} is not valid Python ({error}); {_ADVICE}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            yield from (
                (t.id, text) for t in node.targets if isinstance(t, ast.Name) for text in _literal(node)
            )
        elif isinstance(node, ast.FunctionDef):
            returned = (inner for inner in ast.walk(node) if isinstance(inner, ast.Return))
            yield from ((node.name, text) for inner in returned for text in _literal(inner))


def _literal(node: ast.Assign | ast.Return) -> list[str]:
    """Return a list with the string literal that a node assigns or returns; empty if there is none."""
    value = node.value
    return [value.value] if isinstance(value, ast.Constant) and isinstance(value.value, str) else []


def _check(path: Path, name: str, text: str | None, *, shows_object: bool) -> None:
    if text is None:
        raise ConfigurationError(f"official: {path} has no text {name}; {_ADVICE}")
    try:
        fields = {field for _, field, _, _ in Formatter().parse(text) if field is not None}
    except ValueError as error:
        raise ConfigurationError(f"official: {path}, {name}: {error}; {_ADVICE}") from error
    wanted = _FIELDS if shows_object else _NEEDED
    if fields != wanted:
        raise ConfigurationError(
            f"official: {path}, {name}: its fields are {sorted(fields)}; they must be {sorted(wanted)}; "
            f"{_ADVICE}"
        )
