"""What an arm's judges read and chose among, and what is claimed of an arm whose judge read nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import main
from analysis.ablation import Ablation, Arm, ablation
from analysis.claims import share
from analysis.records import load_study
from analysis.tables import tables
from tests.analysis.study_writer import turn_record, write_run

Json = dict[str, Any]
SAMPLES = 40


def leaf(image: str, score: float, said: float | None = None, *, kind: str = "probability") -> Json:
    """A candidate; its judge said nothing readable where `said` is None."""
    verdict = {"status": "unparsable" if said is None else "ok", "judge": "openai", "kind": kind}
    node: Json = {"strategy": "direct", "output": {"image": image}, "finish": "stop", "score": score}
    return node | {"verdict": verdict | {"score": said, "failed": [], "detail": ""}}


def picked(layer: str, chosen: int, *candidates: Json) -> Json:
    shared = {key: candidates[chosen][key] for key in ("output", "finish", "score")}
    return {"strategy": layer, **shared, "candidates": list(candidates), "chosen": chosen}


def write(study: Path, strategy: str, trees: Sequence[Json], judges: Sequence[Json] = ()) -> None:
    """A run of dialogues of one image turn each, answered by these trees."""
    about: Json = {"run": strategy, "strategy": strategy, "oracle": False, "history": "own", "seed": 0}
    about |= {"benchmark": "toy", "judges": list(judges)}
    samples: list[Json] = [
        {"class": "a", "domain": "d", "task": f"t{i}", "sample_id": str(i), "modalities": ["image"]}
        for i in range(len(trees))
    ]
    records = [
        turn_record(about, sample, 1, "image", score=tree["score"], response=tree, nfe=len(strategy))
        for sample, tree in zip(samples, trees, strict=True)
    ]
    write_run(study / strategy.replace("+", "_"), about | {"planned": samples}, records)


def stated(layer: str, use: str, *models: str) -> Json:
    """A judge as manifests state it."""
    asked = {f"verifier{number or ''}": model for number, model in enumerate(models)}
    return {
        "place": "strategy.judge", "layer": layer, "use": use, "judge": "openai", "kind": "probability",
        "models": asked,
    }  # fmt: skip


def write_direct(study: Path) -> None:
    write(study, "direct", [leaf(f"d{i}", 0.5) | {"verdict": None} for i in range(SAMPLES)])


def analyse(study: Path) -> Ablation:
    return ablation(load_study(study), resamples=100)


def arm(result: Ablation, strategy: str) -> Arm:
    return next(arm for arm in result.arms if arm.strategy == strategy)


def rows(result: Ablation, table: str) -> dict[str, tuple[str, ...]]:
    found = next(t for t in tables(result) if t.name == table)
    return {row[0]: row for row in found.rows}


def unread(number: int) -> Iterator[Json]:
    for i in range(number):
        yield picked("best_of_2", 0, leaf(f"a{i}", 0.5), leaf(f"b{i}", 0.9))


def read(number: int) -> Iterator[Json]:
    for i in range(number):
        yield picked("best_of_2", 1, leaf(f"a{i}", 0.5, 0.1), leaf(f"b{i}", 0.9, 0.8))


def identical(number: int) -> Iterator[Json]:
    for i in range(number):
        yield picked("best_of_2", 0, leaf(f"a{i}", 0.9, 0.8), leaf(f"a{i}", 0.9, 0.8))


def test_an_arm_whose_judge_read_nothing_claims_nothing(tmp_path: Path) -> None:
    write_direct(tmp_path)
    write(tmp_path, "best_of_2", list(unread(SAMPLES)), [stated("best_of_2", "selects", "openai_chat:1:m")])
    result = analyse(tmp_path)
    assert rows(result, "T1_main")["best_of_2"][4] == "n/a: no verdict of its judge could be read"
    assert rows(result, "T6_judges")["best_of_2"][2:4] == (
        "selected by openai (openai_chat:1:m)", "80 (100 % unread)",
    )  # fmt: skip
    assert rows(result, "T6_verification")["best_of_2"][3] == "80 (100 %)"
    found = arm(result, "best_of_2")
    assert "gain and reduction n/a: no verdict of its judge could be read" in found.finding.sentence
    assert found.finding.claims == ()
    assert found.estimates["mean_gain"].reason == found.void == "no verdict of its judge could be read"
    assert found.estimates["mean"].is_defined
    assert "best_of_2" not in result.pareto_front
    assert not [group for group in result.groups if group.strategy == "best_of_2"]


def test_an_arm_whose_candidates_are_all_one_image_claims_nothing(tmp_path: Path) -> None:
    write_direct(tmp_path)
    write(tmp_path, "best_of_2", list(identical(SAMPLES)))
    result = analyse(tmp_path)
    assert rows(result, "T1_main")["best_of_2"][4] == "n/a: all candidates identical"
    assert rows(result, "T6_judges")["best_of_2"][2:] == (
        "judged by openai", "80 (0 % unread)", "40 (100 % identical)",
    )  # fmt: skip
    assert arm(result, "best_of_2").finding.sentence.endswith("n/a: all candidates identical.")


def test_shares_above_five_percent_are_said_and_forbid_nothing(tmp_path: Path) -> None:
    write_direct(tmp_path)
    trees = [*unread(4), *identical(SAMPLES - 4)]
    write(tmp_path, "best_of_2", [*trees[:6], *list(read(SAMPLES))[6:]])
    write(tmp_path, "best_of_2[judge=openai]", [*list(unread(2)), *list(read(SAMPLES))[2:]])
    result = analyse(tmp_path)
    sentence = arm(result, "best_of_2").finding.sentence
    assert "10 % of its judge's verdicts could not be read" in sentence
    assert "5 % of its candidate pools" not in sentence
    assert "n/a" not in sentence
    assert arm(result, "best_of_2").estimates["mean_gain"].is_defined
    assert "could not be read" not in arm(result, "best_of_2[judge=openai]").finding.sentence


def test_a_verifier_that_accepts_the_first_drafts_has_no_void_for_a_few_equal_ones(tmp_path: Path) -> None:
    write_direct(tmp_path)
    accepted = [picked("self_verify", 0, leaf(f"a{i}", 0.9, 0.9)) for i in range(SAMPLES - 1)]
    again = picked("self_verify", 1, leaf("z", 0.4, 0.3), leaf("z", 0.4, 0.3))
    write(tmp_path, "self_verify", [*accepted, again], [stated("self_verify", "verifies", "pocket")])
    result = analyse(tmp_path)
    assert arm(result, "self_verify").void == ""
    assert rows(result, "T6_judges")["self_verify"][2:] == (
        "verified by openai", "41 (0 % unread)", "1 (100 % identical)",
    )  # fmt: skip


def test_of_two_judges_the_one_that_read_nothing_is_named_and_its_nesting_is_no_gain(tmp_path: Path) -> None:
    write_direct(tmp_path)
    inner = [picked("best_of_2", 1, leaf(f"a{i}", 0.5, 0.1), leaf(f"b{i}", 0.9, 0.8)) for i in range(SAMPLES)]
    verdict = {"status": "unparsable", "judge": "openai", "kind": "probability", "score": None}
    trees = [picked("self_verify", 0, node | {"verdict": verdict}) for node in inner]
    write(tmp_path, "best_of_2", inner)
    write(tmp_path, "self_verify+best_of_2", trees)
    result = analyse(tmp_path)
    reason = "no verdict of its judge could be read in self_verify"
    assert arm(result, "self_verify+best_of_2").void == reason
    (nesting,) = result.nestings
    assert (nesting.finding, nesting.difference.is_defined) == ("void", False)
    assert rows(result, "T3_nestings")["self_verify+best_of_2"][3] == f"n/a: {reason}"


def test_nothing_is_gained_over_a_baseline_whose_judge_read_nothing(tmp_path: Path) -> None:
    write_direct(tmp_path)
    write(tmp_path, "best_of_2", list(unread(SAMPLES)))
    result = ablation(load_study(tmp_path), baseline="best_of_2", resamples=100)
    assert arm(result, "direct").void == "best_of_2: no verdict of its judge could be read"
    assert not arm(result, "direct").estimates["mean_gain"].is_defined


def test_the_numbers_and_the_page_say_who_judged_and_what_was_read(tmp_path: Path) -> None:
    write_direct(tmp_path)
    for name, model in {"best_of_2": "pocket", "best_of_2[judge=openai]": "openai_chat:1:m"}.items():
        write(tmp_path, name, list(read(SAMPLES)), [stated("best_of_2", "selects", model)])
    verdicts = [picked("self_verify", 0, leaf(f"a{i}", 0.9, 0.9)) for i in range(SAMPLES)]
    write(tmp_path, "self_verify", verdicts, [stated("self_verify", "verifies", "pocket")])
    assert main([str(tmp_path), "--resamples", "100"]) == 0
    numbers = json.loads((tmp_path / "analysis" / "analysis.json").read_text())
    (layer,) = next(a["basis"]["layers"] for a in numbers["arms"] if a["strategy"] == "best_of_2")
    assert (layer["num_verdicts"], layer["num_unread"], layer["num_identical"]) == (80, 0, 0)
    page = (tmp_path / "analysis" / "report.html").read_text()
    told = "openai in best_of_2; openai (openai_chat:1:m) in best_of_2[judge=openai]"
    assert f"<dt>selected by</dt><dd>{told}</dd>" in page
    assert "<dt>verified by</dt><dd>openai in self_verify</dd>" in page


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(0, 0, "0 %"), (0, 9, "0 %"), (9, 9, "100 %"), (1, 999, "1 %"), (998, 999, "99 %"), (1, 8, "12 %")],
)
def test_none_and_all_are_never_rounded_to(part: int, whole: int, said: str) -> None:
    assert share(part, whole) == said
