"""Measure a judge's agreement with human preferences on pairs of images, shown in both orders.

    python experiments/qualify.py judge=openai judge.base_url=URL judge.model=NAME pairs=pairs.jsonl
    python experiments/qualify.py judge=clip_score judge.folder=/models/PickScore_v1 pairs=pairs.csv
    python experiments/qualify.py ... into=runs/STUDY     adds the figure to the tables of that study

`pairs` is a JSONL or CSV file with the fields prompt, image_a, image_b (paths relative to the file) and
choice (a, b or tie). Agreement is in percent of the pairs without a human tie; chance is 50. The judge's
position bias is reported too. Calls are journaled: the same command again makes only the missing calls.

Exit status: 0 if every pair was compared, 1 if calls failed or the output cannot be written, 2 if the
configuration is invalid, 130 if interrupted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from experiments.command import Config, compose, guarded, leave
from imug_tts import assemble
from imug_tts.composition import check_judge
from imug_tts.contracts import Backbone, ConfigurationError, Judge, ModelRole, models_by_role
from imug_tts.knobs import Folder, component, knob

if TYPE_CHECKING:
    from analysis.inference import Estimate
    from analysis.qualified import Qualification
    from imug_tts.runs import Compared

_PEOPLE: Final = {"a": 1.0, "b": 0.0, "tie": 0.5}


@component
class QualifySettings:
    """The knobs of `qualify.py`."""

    pairs: Folder = knob("JSONL or CSV file of preference pairs.")
    into: Folder | None = knob(
        "Folder of the study whose tables will show the figure; null only prints it.",
        default=None,
        runtime=True,
    )
    journal: Folder = knob(
        "Journal folder, if `into` is null.",
        default=Path("runs", "qualify", "journal"),
        runtime=True,
    )


def main() -> int:
    return guarded(_main)


def _main() -> int:
    config = compose("qualify", __doc__ or "", sys.argv[1:], QualifySettings)
    return 0 if config is None else _qualify(config)


def _qualify(config: Config) -> int:
    from analysis.qualified import JudgedPair, qualify
    from imug_tts.runs import Journal, compare_pairs, read_pairs

    settings = assemble.build_settings(QualifySettings, config, ("backbone", "judge"))
    if settings.into is not None and not settings.into.is_dir():
        raise ConfigurationError(f"into: there is no folder {settings.into}; run the study first")
    judge = assemble.build_judge(config["judge"])
    models = models_by_role(assemble.build_backbone(config["backbone"]))
    check_judge(judge, models, ("image",))
    pairs = read_pairs(settings.pairs)
    journal = Journal(settings.into / "journal" if settings.into else settings.journal)
    try:
        compared = compare_pairs(judge, pairs, models, journal)
    finally:
        journal.close()
    asked = [JudgedPair(c.pair.prompt, _PEOPLE[c.pair.choice], c.a_first, c.b_first) for c in compared]
    found = qualify(asked)
    _say(judge, found)
    if settings.into is not None:
        _keep(settings.into, judge, models, found)
    return _say_failures(compared)


def _say(judge: Judge, found: Qualification) -> None:
    left_out = f", {found.num_unread} unread, {found.num_tied} with a human tie"
    print(f"{judge.name}: {found.num_pairs} pairs{left_out}")
    print(f"  agrees with people: {_percent(found.agreement, ' %')} (chance: 50)")
    place = _percent(found.place, " points", sign="+")
    print(f"  position bias (first image preferred): {place} (0: none)")
    print(f"  inconsistent between the two orders: {_percent(found.inconsistent, ' %')} of the pairs")


def _percent(estimate: Estimate, unit: str, sign: str = "") -> str:
    if not estimate.is_defined:
        return f"n/a ({estimate.reason or 'no reply could be parsed'})"
    value, low, high = (100 * each for each in (estimate.value, estimate.low, estimate.high))
    return f"{value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]{unit}"


def _keep(study: Path, judge: Judge, models: Mapping[ModelRole, Backbone], found: Qualification) -> None:
    from analysis.qualified import JUDGES, with_qualification
    from analysis.records import StudyError
    from imug_tts.files import write_atomically
    from imug_tts.runs import judge_identity

    known = {"judge": judge.name, "identity": judge_identity(judge, models)}
    try:
        lines = with_qualification(study / JUDGES, known, found)
    except StudyError as error:
        raise ConfigurationError(str(error)) from None
    write_atomically(study / JUDGES, lines.encode())
    print(f"written to {study / JUDGES}; python -m analysis {study} shows it in table T6b")


def _say_failures(compared: Sequence[Compared]) -> int:
    """Print the reasons of failed calls, each once; returns the exit status."""
    reasons = Counter(each.failure for each in compared if each.failure)
    for reason, count in reasons.most_common(5):
        print(f"{count} pairs failed: {reason}", file=sys.stderr)
    return 1 if reasons else 0


if __name__ == "__main__":
    leave(main())
