"""The output of `+dry_run=true`: the planned calls of each model, and whether the models can be reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.command import complain
from experiments.model_facts import facts
from experiments.space import disk_summary, image_bytes
from imug_tts.composition import judges
from imug_tts.contracts import Backbone, Remote
from imug_tts.files import size
from imug_tts.runs import (
    Journal,
    Plan,
    Rescoring,
    Run,
    check_and_probe,
    count_journaled,
    plan_arm,
    plan_scoring,
)

__all__ = ["print_plans", "print_scoring_plan"]


def print_plans(runs: Sequence[Run], journal: Path | None = None) -> int:
    """Print the plan of each run; returns the exit status, which is 1 if a model cannot be reached.

    With the folder of the runs' journal, also print its number of calls and the disk space of the images.
    """
    _probe(runs, journal)
    print("nothing is run; ranges are from the minimum to the maximum of the strategies, without any journal")
    drawn: list[int] = []
    for run in runs:
        least, most = plan_arm(run.arm)
        turns = sum(len(sample.questions) for sample in run.arm.benchmark.samples())
        images = _range(least.images, most.images)
        price = f"; cost: ${_range(least.dollars, most.dollars, '.2f')}" if most.dollars else ""
        print(f"{run.title}: {turns:,} turns; images: {images}{price}")
        for line in (*_asked(least, most), *_judges(run), *_sent(run, most, journal), *_known(run, journal)):
            print(f"  {line}")
        drawn.append(most.images)
    if journal is not None:
        sides = [run.arm.backbone.capabilities.image_px for run in runs]
        side_px = None if None in sides else max(side for side in sides if side)
        print(disk_summary(journal, sum(drawn), max(drawn), side_px))
    models = [model for run in runs for model in run.arm.all_models.values()]
    status = _check_models(models)
    for line in facts(models):
        print(line)
    return status


def _probe(runs: Sequence[Run], journal: Path | None) -> None:
    """Probe the image servers (the only calls of a dry run), and check the runs against the findings."""
    for each in check_and_probe(runs, journal if journal is not None and journal.is_dir() else None):
        print(each)
    for run in runs:
        run.check()


def print_scoring_plan(work: Rescoring, journal: Path) -> int:
    """Print the planned calls of the judge; returns the exit status, which is 1 if the judge cannot be
    reached.
    """
    plan = plan_scoring(work, Journal(journal if journal.is_dir() else None))
    turns = sum(len(sample.questions) for sample in work.samples)
    price = f"; cost: ${plan.dollars:,.2f}" if plan.dollars else ""
    print(
        "nothing is scored; each call is counted once, but a reply that cannot be parsed is requested again"
    )
    print(f"{work.title}: {turns:,} turns", *facts(work.models.values()), sep="\n")
    for model in work.models.values():
        known = f", of which {journal} has {plan.journaled:,}" if plan.journaled else ""
        print(f"  calls to {model.identity}: scorer {plan.calls:,}{known}{price}")
    return _check_models(list(work.models.values()))


def _asked(least: Plan, most: Plan) -> list[str]:
    """One line for each model: its number of calls by role."""
    lines: dict[str, list[str]] = {}
    for asked, count in most.calls.items():
        if count:
            lines.setdefault(asked.model, []).append(f"{asked.role} {_range(least.calls[asked], count)}")
    return [f"calls to {model}: {', '.join(roles)}" for model, roles in lines.items()]


def _sent(run: Run, most: Plan, journal: Path | None) -> Iterator[str]:
    """One line for each server that gets images: their number and, if known, their size."""
    each = image_bytes(journal) if journal else None
    remote = {model.identity for model in run.arm.all_models.values() if isinstance(model, Remote)}
    for model in sorted(remote & most.sent.keys()):
        if images := most.sent[model]:
            as_text = f", {size(images * each * 4 / 3)}" if each else ""
            yield f"sent to {model}: {images:,} images or more{as_text}"


def _known(run: Run, journal: Path | None) -> Iterator[str]:
    if journal is not None and (journal / "calls").is_dir():
        known = count_journaled(run.arm, Journal(journal))
        yield f"already in the journal: {known:,} calls, not counting those that depend on a missing one"


def _judges(run: Run) -> list[str]:
    use = {"selects": "selected", "verifies": "verified", "judges": "judged"}
    return [
        f"{place.layer.name}: {use[place.use]} by {place.judge.name}" for place in judges(run.arm.strategy)
    ]


def _check_models(models: Sequence[Backbone]) -> int:
    remote = list({id(model): model for model in models if isinstance(model, Remote)}.values())
    if any(not model.dollars_per_call for model in remote):
        print("costs do not include calls to servers without dollars_per_call")
    away = [each for model in remote for each in model.unreachable().items()]
    for server, reason in away:
        complain(f"{server} cannot be used: {reason}", 1)
    return 1 if away or any(map(_draws_nothing, remote)) else 0


def _draws_nothing(model: Remote) -> bool:
    """Whether the model was probed, and one of its servers returned no image."""
    return model.findings is not None and model.findings.seed_changes is None


def _range(least: float, most: float, form: str = "") -> str:
    return f"{least:,{form}}" if least == most else f"{least:,{form}} to {most:,{form}}"
