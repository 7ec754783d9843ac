"""The tree is the architecture: who may import whom, and how long functions and files may be.

Every import counts: at the top of a module, in a function, and under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("imug_tts", "analysis", "experiments", "tests")
PACKAGE = "imug_tts"

LANGUAGE = {"dialogue", "contracts"}
UTILITIES = {
    "concurrency",
    "files",
    "final_text",
    "images",
    "infer_protocol",
    "json_images",
    "jsonl",
    "option_letters",
    "secrecy",
    "urls",
    "wandb_home",
}
COMPONENT = LANGUAGE | UTILITIES | {"endpoint", "knobs", "local_model", "reward_service"}
"""What every component may import: never another component."""
COMPONENTS = {"backbones", "benchmarks", "judges", "scoring", "strategies", "tracking"}
ENGINE = COMPONENT | {"composition", "prompts", "records", "registry"}
EVERYTHING = (
    ENGINE
    | COMPONENTS
    | {"assemble", "calls", "launch", "nodes", "runs", "serving", "study", "testing", "training", *UTILITIES}
)

# Each part of the package, and what it may import; a part may always import itself. Parts are named below
# `imug_tts.`; the longest name that fits a module is its row, and a name allows all that is below it.
ARROWS: dict[str, set[str]] = {
    "dialogue": set(),
    "contracts": {"dialogue"},
    **dict.fromkeys(UTILITIES, LANGUAGE | UTILITIES),
    "knobs": LANGUAGE,
    "endpoint": LANGUAGE | {"knobs", "secrecy", "urls"},
    "local_model": LANGUAGE | {"knobs"},
    "reward_service": LANGUAGE | {"endpoint", "knobs", "urls"},
    "own_code": LANGUAGE | {"knobs"},
    "registry": LANGUAGE | {"knobs", "own_code"},
    "nodes": LANGUAGE | {"knobs"},
    "prompts": COMPONENT | {"registry"},
    "records": COMPONENT,
    "composition": COMPONENT | {"prompts", "registry"},
    **dict.fromkeys(COMPONENTS, COMPONENT),
    "benchmarks": COMPONENT | {"scoring"},
    "judges": COMPONENT | {"registry"},  # a judge brings the model that it asks
    "training": COMPONENT | {"backbones", "benchmarks", "scoring"},
    "calls": COMPONENT | {"prompts", "registry"},
    "runs": ENGINE | {"calls"},
    "serving": COMPONENT | {"calls", "composition", "registry"},
    "launch": ENGINE | {"calls", "runs"},
    "assemble": EVERYTHING - {"testing", "study"},
    # A study from Python runs arms as experiments/ does, and shows what the analysis reads in their folders.
    "study": EVERYTHING - {"testing"} | {"analysis"},
    "testing": EVERYTHING - {"assemble", "study"},
    PACKAGE: EVERYTHING - {"testing"} | {"analysis"},  # its __init__, which names what users import
    "experiments": EVERYTHING | UTILITIES | {PACKAGE, "analysis"},
    "analysis": {"contracts.record", "records", "wandb_home"},  # the tracker and the analysis tell one wandb
}
EDGE = {"hydra", "omegaconf", "submitit", "wandb", "wandb_workspaces"}
"""Packages that only the edge may import, which is these modules and what is below them."""
EDGE_MODULES = (
    "experiments",
    "imug_tts.launch",
    "imug_tts.tracking.wandb",
    "analysis.wandb_push",
    "analysis.wandb_workspace",
)

MOST_LINES_OF_FILE, MOST_LINES_OF_FUNCTION, SHARE_OF_SHORT_FUNCTIONS, MEDIAN_LINES = 400, 20, 0.9, 10


@dataclass(frozen=True, order=True)
class Import:
    """A module imports another, in a line of its file."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}, imports {self.imported}"


def files_of(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> Mapping[str, Path]:
    """Every module of the repository by its dotted name."""
    return {module_of(path): path for path in files_of(*FOLDERS)}


@cache
def imports() -> tuple[Import, ...]:
    return tuple(sorted({found for name, path in modules().items() for found in imports_of(name, path)}))


def imports_of(name: str, path: Path) -> Iterator[Import]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (Import(name, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = absolute(node, name, path)
            for alias in node.names:
                submodule = f"{source}.{alias.name}"
                yield Import(name, submodule if submodule in modules() else source, node.lineno)


def absolute(node: ast.ImportFrom, name: str, path: Path) -> str:
    """The module after `from`, which may be relative to the package that the importer is in."""
    if not node.level:
        return node.module or ""
    depth = node.level - (path.name == "__init__.py")
    package = name.split(".")[: len(name.split(".")) - depth]
    return ".".join([*package, *filter(None, [node.module])])


def is_below(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")


def part_name(module: str) -> str:
    """The name of a module in the table: without `imug_tts.`, if it has that."""
    return module.removeprefix(f"{PACKAGE}.")


def row_of(module: str) -> str | None:
    """The longest row that fits a module."""
    return max((row for row in ARROWS if is_below(part_name(module), row)), key=len, default=None)


def is_allowed(found: Import) -> bool:
    row, imported = row_of(found.importer), part_name(found.imported)
    if row is None:
        return False
    is_own = imported != PACKAGE and imported.split(".")[0] == row.split(".")[0]
    return is_own or any(is_below(imported, name) for name in ARROWS[row])


def is_own_code(module: str) -> bool:
    return module.split(".")[0] in FOLDERS


def circles(graph: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """One circle for each module that a walk along the imports comes back to."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> Iterator[list[str]]:
        if module in path:
            yield [*path[path.index(module) :], module]
        elif module not in done:
            for imported in sorted(graph.get(module, ())):
                yield from walk(imported, [*path, module])
            done.add(module)

    for module in sorted(graph):
        yield from walk(module, [])


def assert_none(offenders: list[str]) -> None:
    """Fails with one offender a line."""
    assert not offenders, "\n".join(["", *offenders])


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("imug_tts.strategies.direct", "imug_tts.contracts.strategy", True),
        ("imug_tts.strategies.direct", "imug_tts.strategies._knobs", True),
        ("imug_tts.strategies.direct", "imug_tts.judges", False),
        ("imug_tts.benchmarks.imug.benchmark", "imug_tts.scoring.mcq", True),
        ("imug_tts.scoring.mcq", "imug_tts.benchmarks.imug", False),
        ("imug_tts.contracts.model", "imug_tts.files", False),
        ("imug_tts.calls.broker", "imug_tts.runs.player", False),
        ("imug_tts.runs.player", "imug_tts.calls.broker", True),
        ("imug_tts.runs.player", "imug_tts", False),
        ("imug_tts.runs.player", "experiments.run", False),
        ("imug_tts.new_part", "imug_tts.dialogue", False),
        ("analysis.records", "imug_tts.contracts.record", True),
        ("analysis.records", "imug_tts.contracts.model", False),
        ("experiments.run", "imug_tts.assemble", True),
        ("experiments.run", "tests.crash.killing", False),
    ],
)
def test_the_table_is_read_as_it_is_meant(importer: str, imported: str, allowed: bool) -> None:
    assert is_allowed(Import(importer, imported, 1)) is allowed


def test_a_circle_is_found_wherever_it_is_entered() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": set[str]()}
    assert list(circles(graph)) == [["b", "c", "b"]]
    assert not list(circles({"a": {"b", "c"}, "b": {"c"}}))


def test_no_module_imports_itself_through_others() -> None:
    graph: dict[str, set[str]] = {}
    for found in imports():
        if is_below(found.importer, PACKAGE) and is_below(found.imported, PACKAGE):
            graph.setdefault(found.importer, set()).add(found.imported)
    assert_none([" -> ".join(circle) for circle in circles(graph)])


def test_every_part_of_the_package_has_its_row_of_arrows() -> None:
    assert_none([name for name in modules() if not is_below(name, "tests") and row_of(name) is None])


def test_imports_follow_the_arrows() -> None:
    ours = [found for found in imports() if is_own_code(found.imported)]
    checked = [found for found in ours if not is_below(found.importer, "tests")]
    assert_none([str(found) for found in checked if not is_allowed(found)])


def test_only_the_edge_knows_hydra_submitit_and_wandb() -> None:
    inner = [
        found
        for found in imports()
        if not any(is_below(found.importer, edge) for edge in (*EDGE_MODULES, "tests"))
    ]
    assert_none([str(found) for found in inner if found.imported.split(".")[0] in EDGE])


def test_no_file_is_longer_than_a_reader_takes_in() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files_of(*FOLDERS)}
    assert_none([f"{path.relative_to(ROOT)}: {n}" for path, n in lines.items() if n > MOST_LINES_OF_FILE])


@pytest.mark.parametrize("folder", FOLDERS)
def test_functions_are_short(folder: str) -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in files_of(folder)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    long = [f"{name}: {n}" for name, n in lengths.items() if n > MOST_LINES_OF_FUNCTION]
    assert statistics.median(lengths.values()) <= MEDIAN_LINES
    assert_none(long if len(long) > (1 - SHARE_OF_SHORT_FUNCTIONS) * len(lengths) else [])
