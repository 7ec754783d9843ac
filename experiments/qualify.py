"""How far does a judge agree with people? Put pairs of images that people compared to it, in both orders.

    python experiments/qualify.py judge=openai judge.base_url=URL judge.model=NAME pairs=pairs.jsonl
    python experiments/qualify.py judge=clip_score judge.folder=/models/PickScore_v1 pairs=pairs.csv
    python experiments/qualify.py ... into=runs/STUDY     the tables of that study then show the figure

`pairs` is a JSONL or CSV file with the fields prompt, image_a, image_b (paths relative to the file) and
choice (a, b or tie). Agreement is in percent of the pairs on which people are not tied; chance is 50. A judge
that prefers the first place, whatever stands there, is reported as well. Calls are kept in a journal: the
same command again asks only what is missing.

Exit status: 0 when every pair was compared, 1 when calls failed or the output cannot be written, 2 when it
cannot work as configured, 130 when interrupted.
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
    """The knobs of this command."""

    pairs: Folder = knob("The JSONL or CSV file of preference pairs.")
    into: Folder | None = knob(
        "The folder of the study whose tables are to show the figure; null: it is printed only.",
        default=None,
        runtime=True,
    )
    journal: Folder = knob(
        "Where finished calls are kept, if there is no study.",
        default=Path("runs", "qualify", "journal"),
        runtime=True,
    )


def main() -> int:
    return guarded(_main)


def _main() -> int:
    config = compose("qualify", __doc__ or "", sys.argv[1:], QualifySettings)
    return 0 if config is None else _qualify(config)


def _qualify(config: Config) -> int:
    from analysis.qualified import Asked, qualify
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
    asked = [Asked(c.pair.prompt, _PEOPLE[c.pair.choice], c.a_first, c.b_first) for c in compared]
    found = qualify(asked)
    _say(judge, found)
    if settings.into is not None:
        _keep(settings.into, judge, models, found)
    return _say_failures(compared)


def _say(judge: Judge, found: Qualification) -> None:
    left_out = f", {found.num_unread} unread, {found.num_tied} on which people are tied"
    print(f"{judge.name}: {found.num_pairs} pairs{left_out}")
    print(f"  agrees with people: {_percent(found.agreement, ' %')} (chance: 50)")
    place = _percent(found.place, " points", sign="+")
    print(f"  prefers the first place: {place} (0: no preference for a place)")
    print(f"  says another thing in the other order: {_percent(found.inconsistent, ' %')} of the pairs")


def _percent(estimate: Estimate, unit: str, sign: str = "") -> str:
    if not estimate.is_defined:
        return f"n/a ({estimate.reason or 'nothing could be read'})"
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
    print(f"kept in {study / JUDGES}; python -m analysis {study} shows it beside what the judge selected")


def _say_failures(compared: Sequence[Compared]) -> int:
    """Print why calls failed, each reason once; the exit status."""
    reasons = Counter(each.failure for each in compared if each.failure)
    for reason, count in reasons.most_common(5):
        print(f"{count} pairs failed: {reason}", file=sys.stderr)
    return 1 if reasons else 0


if __name__ == "__main__":
    leave(main())
