"""`python -m pytest tests/conformance` asks our backbones; with `--backbone` it asks one of yours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.conformance.chosen import chosen
from tests.conformance.subjects import SUBJECTS, Make, Subjects

Reasons = dict[tuple[str, str], list[str]]
"""The models of which something could not be seen, by case and reason."""
REASONS = pytest.StashKey[Reasons]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "the conformance suite of backbones")
    group.addoption(
        "--backbone",
        metavar="NAME or MODULE:CLASS",
        help="the backbone to ask instead of ours: a name that configurations use, or a class, an object or "
        "an imug_tts.testing.conformance.Subject",
    )
    group.addoption(
        "--backbone-knob",
        action="append",
        default=[],
        metavar="KNOB=VALUE",
        help="a knob of that backbone, e.g. folder=/models/mine; may be given several times",
    )
    group.addoption(
        "--backbone-setting",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of each of its calls, e.g. steps=4; may be given several times",
    )


def _makers(config: pytest.Config) -> Mapping[str, Make]:
    named = config.getoption("--backbone", default=None)
    if named is None:
        return SUBJECTS
    return {named: chosen(named, config.getoption("--backbone-knob"), config.getoption("--backbone-setting"))}


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REASONS] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "subject_name" in metafunc.fixturenames:
        metafunc.parametrize("subject_name", list(_makers(metafunc.config)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--backbone`, only its own cases."""
    if config.getoption("--backbone", default=None) is None:
        return
    own = [item for item in items if "subject_name" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in own])
    items[:] = own


@pytest.fixture(scope="session")
def subjects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subjects]:
    with ExitStack() as open_ones:
        yield Subjects(tmp_path_factory.mktemp("subjects"), _makers(request.config), open_ones)


@pytest.fixture
def reasons(request: pytest.FixtureRequest) -> Reasons:
    """What cases could not see on models; said at the end of the session."""
    return request.config.stash[REASONS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says what could not be seen, where the suite is what was asked for."""
    told = config.stash[REASONS]
    if told and any("conformance" in argument for argument in config.args):
        terminalreporter.section("conformance: what could not be seen, and why")
        for (case, reason), models in told.items():
            terminalreporter.line(f"{case}: {reason} ({', '.join(models)})")
