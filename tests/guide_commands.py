"""The commands of a page of the documentation, and a process that carries them out."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

__all__ = ["ROOT", "Block", "Done", "Runner", "blocks", "commands", "pages"]

ROOT = Path(__file__).parents[1]
_STARTERS = ("python ", "pip ", "make ", "hf ", "vllm ", "wandb ", "export ", "source ")


class Block(NamedTuple):
    """A code block: its language ("" where it states none) and its content."""

    language: str
    content: str


class Done(NamedTuple):
    """How a command ended."""

    status: int
    output: str


def pages() -> list[Path]:
    """README, the guide to SLURM, and every page below docs/ that is not printed from the code."""
    below = [path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "reference"]
    return [ROOT / "README.md", ROOT / "slurm" / "README.md", *sorted(below)]


def blocks(page: Path) -> Iterator[Block]:
    """The code blocks of a page; an indented one that begins with a command counts as bash."""
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "code_block":
            yield Block("bash" if token.content.startswith(_STARTERS) else "text", token.content)
        elif token.type == "fence" and not token.info.startswith("{"):
            yield Block(token.info.split(" ")[0], token.content)


def commands(page: Path) -> list[str]:
    """The lines of the bash blocks, each whole and without its comment."""
    lines = "\n".join(block.content.rstrip() for block in blocks(page) if block.language == "bash")
    stripped = (_without_comment(line) for line in lines.replace("\\\n", " ").splitlines())
    return [line for line in stripped if line]


def _without_comment(line: str) -> str:
    code = line.partition("  #")[0].strip()
    return "" if code.startswith("#") else " ".join(code.split())


class Runner:
    """Carries out commands. Python is started once, with its libraries imported, and forks for each.

    Args:
        modules: what to import before the forks, besides what all commands need.
    """

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forked.py")), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str, folder: Path) -> Done:
        """The outcome of a command in a folder; one that does not start with python is given to bash."""
        if not command.startswith("python "):
            done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
            return Done(done.returncode, done.stdout + done.stderr)
        return self._python(shlex.split(command)[1:], folder)

    def run_code(self, program: str, folder: Path) -> Done:
        """The outcome of a program in a folder; a warning is an error."""
        return self._python(["-W", "error", "-c", program], folder)

    def _python(self, arguments: Sequence[str], folder: Path) -> Done:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(folder), arguments]) + "\n")
        self._process.stdin.flush()
        return Done(*json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
