"""Measures a model folder on fresh dialogues: every strategy with the model's own plans and checks.

A compact stand-in for the engine, used to choose and describe weights: `python -m
experiments.pocket_training.evaluate FOLDER --dialogues 300`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.pocket_training.on_policy import Played
from experiments.pocket_training.trees import Language, marks
from imug_tts.backbones.pocket import layout
from imug_tts.backbones.pocket.folder import load_speaker
from imug_tts.backbones.pocket.image_tokenizer import ImageTokenizer
from imug_tts.backbones.pocket.speaker import Options, Prompt, Sampled, Speaker
from imug_tts.benchmarks.pocket_world import operations, questions, scoring, world
from imug_tts.benchmarks.pocket_world.dialogues import Dialogue, ImageTurn, McqTurn, Split, make_dialogue
from imug_tts.benchmarks.pocket_world.streams import Stream
from imug_tts.benchmarks.pocket_world.world import Scene

NUM_CANDIDATES, MAX_ROUNDS = 4, 3


@dataclass
class Drawn:
    """One image turn of one arm: dialogue number, 1-based image turn, class, score of the headline (0-1)."""

    dialogue: int
    turn: int
    task_class: str
    score: float
    right: bool
    """Right against the picture it started from."""
    p_yes: float | None = None


@dataclass
class Case:
    """One turn to answer: the played dialogue so far and how to judge a picture."""

    number: int
    played: Played
    reference: Scene = world.BLANK
    verifier_plan: str = ""
    p_yes: dict[Scene, float] = field(default_factory=dict)

    @property
    def turn(self) -> ImageTurn:
        """The image turn in hand."""
        return self.played.turns[len(self.played.scenes)]

    def oracle(self, scene: Scene) -> float:
        """The headline score of a picture."""
        after = operations.apply(self.turn.operations, self.reference, scene)
        return sum(scoring.points(self.reference, after, scene, opening=not self.played.scenes)) / 15


class Arms:
    """Strategies over many dialogues at once, with one speaker in every role."""

    def __init__(self, speaker: Speaker, language: Language, run: int, temperature: float) -> None:
        self.speaker, self.language, self.temperature = speaker, language, temperature
        self.stream = Stream("pocket_evaluate", run)

    def _seed(self) -> int:
        return self.stream.below(1 << 40)

    def draw(self, prompts: Sequence[Prompt]) -> list[Scene]:
        """One picture behind each prompt, at temperature 1."""
        codes = self.speaker.draw([Sampled(prompt, (self._seed(),), 1.0) for prompt in prompts])
        return [self.language.scene(each[0]) for each in codes]

    def plans(self, cases: Sequence[Case], temperature: float) -> list[str]:
        """One plan for each case."""
        jobs = [Sampled(case.played.prompt, (self._seed(),), temperature) for case in cases]
        return [self.speaker.vocabulary.decode(plans[0]) for plans in self.speaker.plan(jobs)]

    def direct(self, cases: Sequence[Case], attempt: int = 0) -> list[Scene]:
        """A picture straight away."""
        return self.draw([case.played.prompt for case in cases])

    def cot(self, cases: Sequence[Case], attempt: int = 0) -> list[Scene]:
        """A sampled plan, then the picture behind it; another attempt has another plan."""
        plans = self.plans(cases, self.temperature)
        vocabulary = self.speaker.vocabulary
        pairs = zip(cases, plans, strict=True)
        return self.draw([[*case.played.prompt, layout.plan(vocabulary, plan)] for case, plan in pairs])

    def check(self, cases: Sequence[Case], scenes: Sequence[Scene]) -> list[float]:
        """P(all cells right), each check behind the verifier's own greedy plan."""
        vocabulary = self.speaker.vocabulary
        fresh = [case for case in cases if not case.verifier_plan]
        for case, plan in zip(fresh, self.plans(fresh, 0.0) if fresh else [], strict=True):
            case.verifier_plan = plan
        prompts = [[*case.played.prompt, layout.check(vocabulary, case.verifier_plan)] for case in cases]
        checks = [layout.marked(vocabulary, self.language.codes(scene)) for scene in scenes]
        shares = self.speaker.mark(prompts, checks)
        verdicts = [float(np.prod(cells)) for cells in shares]
        for case, scene, verdict in zip(cases, scenes, verdicts, strict=True):
            case.p_yes[scene] = verdict
        return verdicts

    def best_of(self, inner: Inner, oracle: bool) -> Inner:
        """Best of four by the model's own check, or by the scorer."""

        def respond(cases: Sequence[Case], attempt: int = 0) -> list[Scene]:
            drawn = [inner(cases, number) for number in range(NUM_CANDIDATES)]
            if oracle:
                ranks = [[c.oracle(s) for c, s in zip(cases, scenes, strict=True)] for scenes in drawn]
            else:
                ranks = [self.check(cases, scenes) for scenes in drawn]
            return [drawn[int(np.argmax([rank[i] for rank in ranks]))][i] for i in range(len(cases))]

        return respond

    def verified(self, inner: Inner, rounds: int = MAX_ROUNDS) -> Inner:
        """Draw, check, draw again while rejected; the first accepted, else the best."""

        def respond(cases: Sequence[Case], attempt: int = 0) -> list[Scene]:
            best: list[tuple[float, Scene]] = [(-1.0, world.BLANK)] * len(cases)
            for number in range(rounds):
                todo = [i for i, (verdict, _) in enumerate(best) if verdict < 0.5]
                if not todo:
                    break
                some = [cases[i] for i in todo]
                scenes = inner(some, number)
                for i, scene, verdict in zip(todo, scenes, self.check(some, scenes), strict=True):
                    best[i] = max(best[i], (verdict, scene), key=lambda pair: pair[0])
            return [scene for _, scene in best]

        return respond


Inner = Callable[..., list[Scene]]


def play_arm(
    arms: Arms, dialogues: Sequence[Dialogue], arm: Inner, gold: bool, checked: bool = False
) -> list[Drawn]:
    """Every image turn of every dialogue, with the arm's own pictures (or gold ones) as history."""
    cases, results = [Case(n, Played(arms.language, d)) for n, d in enumerate(dialogues)], list[Drawn]()
    while cases:
        for case in cases:
            case.played.ask()
            case.verifier_plan = ""
        scenes = arm(cases)
        verdicts = arms.check(cases, scenes) if checked else [None] * len(cases)
        for case, scene, verdict in zip(cases, scenes, verdicts, strict=True):
            right = all(marks(case.turn.operations, case.played.before, scene))
            at, task_class = len(case.played.scenes) + 1, dialogues[case.number].task_class
            results.append(Drawn(case.number, at, task_class, case.oracle(scene), right, verdict))
            turn = case.turn
            case.reference = turn.gold if gold else operations.apply(turn.operations, case.reference, scene)
            case.played.take(turn.gold if gold else scene)
        cases = [case for case in cases if len(case.played.scenes) < len(case.played.turns)]
    return results


def answer_mcqs(arms: Arms, dialogues: Sequence[Dialogue]) -> dict[str, dict[str, float]]:
    """Share of right letters on questions behind gold and behind the model's own pictures."""
    shares: dict[str, dict[str, float]] = {}
    for gold in (True, False):
        jobs, wanted = _mcq_jobs(arms, dialogues, gold)
        said = [arms.speaker.vocabulary.decode([a.letter]) for a in arms.speaker.answer(jobs)]
        for dynamic in (False, True):
            hits = [s == w for s, (w, d) in zip(said, wanted, strict=True) if d == dynamic]
            kind = "dynamic" if dynamic else "static"
            shares.setdefault(kind, {})["gold" if gold else "own"] = float(np.mean(hits))
            shares[kind]["n"] = len(hits)
    return shares


def _mcq_jobs(
    arms: Arms, dialogues: Sequence[Dialogue], gold: bool
) -> tuple[list[Options], list[tuple[str, bool]]]:
    vocabulary, jobs, wanted = arms.speaker.vocabulary, list[Options](), list[tuple[str, bool]]()
    cases = {n: Played(arms.language, d) for n, d in enumerate(dialogues)}
    for at in range(max(len(d.turns) for d in dialogues)):
        turns = {n: d.turns[at] for n, d in enumerate(dialogues) if len(d.turns) > at}
        drawing = [n for n, turn in turns.items() if isinstance(turn, ImageTurn)]
        for n in drawing:
            cases[n].ask()
        own = [] if gold else arms.draw([cases[n].prompt for n in drawing])
        for i, n in enumerate(drawing):
            turn = turns[n]
            assert isinstance(turn, ImageTurn)
            cases[n].take(turn.gold if gold else own[i])
        for n, asked in turns.items():
            letter = asked.mcq.answer(cases[n].before) if isinstance(asked, McqTurn) else None
            if not isinstance(asked, McqTurn) or letter is None:
                continue
            prompt = cases[n].prompt
            question = layout.question(vocabulary, asked.mcq.words())[:-1]
            values = [vocabulary.encode(value)[0] for value in asked.mcq.options]
            letters = [vocabulary.id_of[each] for each in questions.LETTERS]
            offered = tuple(zip(values, letters, strict=True))
            jobs.append(Options([*prompt[:-1], [*prompt[-1], *question]], offered))
            wanted.append((letter if asked.dynamic else asked.gold, asked.dynamic))
    return jobs, wanted


def area_under_curve(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Probability that a right picture is ranked above a wrong one."""
    ranks = np.sign(np.subtract.outer(np.array(positive), np.array(negative)))
    return float((ranks.mean() + 1) / 2)


def _by_dialogue(results: Sequence[Drawn], count: int, keep: Callable[[Drawn], bool]) -> tuple[Any, Any]:
    total, number = np.zeros(count), np.zeros(count)
    for each in results:
        if keep(each):
            total[each.dialogue] += each.score
            number[each.dialogue] += 1
    return total, number


def difference(
    arm: Sequence[Drawn], base: Sequence[Drawn], count: int, keep: Callable[[Drawn], bool] = lambda _: True
) -> list[float]:
    """Mean paired difference in points and its 95 % interval (bootstrap over dialogues)."""
    (a, number), (b, _) = _by_dialogue(arm, count, keep), _by_dialogue(base, count, keep)
    picks = np.random.default_rng(0).integers(0, count, (2000, count))
    sampled = (a - b)[picks].sum(1) / np.maximum(number[picks].sum(1), 1)
    return [round(100 * v, 2) for v in ((a - b).sum() / number.sum(), *np.quantile(sampled, [0.025, 0.975]))]


def mean_score(results: Sequence[Drawn], keep: Callable[[Drawn], bool] = lambda _: True) -> float:
    """Mean headline score in points."""
    return round(100 * float(np.mean([each.score for each in results if keep(each)])), 2)


def evaluate(
    folder: Path, num_dialogues: int, seed: int, split: Split = "validation", temperature: float = 0.3
) -> dict[str, Any]:
    """The whole table as plain json values."""
    speaker = load_speaker(folder, torch.float32, cache_bytes=1 << 30)
    tokenizer = ImageTokenizer.load(folder / "image_tokenizer.safetensors")
    arms = Arms(speaker, Language.of(speaker.vocabulary, tokenizer), seed, temperature)
    dialogues = [make_dialogue(split, seed, index) for index in range(num_dialogues)]
    runs = {
        "direct": play_arm(arms, dialogues, arms.direct, gold=False, checked=True),
        "direct_gold": play_arm(arms, dialogues, arms.direct, gold=True),
        "cot": play_arm(arms, dialogues, arms.cot, gold=False, checked=True),
        "cot_gold": play_arm(arms, dialogues, arms.cot, gold=True),
        "sv": play_arm(arms, dialogues, arms.verified(arms.direct), gold=False),
        "best_of_4": play_arm(arms, dialogues, arms.best_of(arms.direct, oracle=False), gold=False),
        "best_of_4_oracle": play_arm(arms, dialogues, arms.best_of(arms.direct, oracle=True), gold=False),
        "cot_sv": play_arm(arms, dialogues, arms.verified(arms.cot), gold=False),
        "best_of_4_cot": play_arm(arms, dialogues, arms.best_of(arms.cot, oracle=False), gold=False),
    }
    return {
        "dialogues": num_dialogues,
        "seed": seed,
        **_table(runs, num_dialogues),
        "mcq": answer_mcqs(arms, dialogues),
    }


def _table(runs: dict[str, list[Drawn]], count: int) -> dict[str, Any]:
    base = runs["direct"]
    classes = sorted({each.task_class for each in base})
    table: dict[str, Any] = {}
    for name, results in runs.items():
        turns = [mean_score(results, lambda d, t=t: d.turn == t) for t in range(1, 7)]  # type: ignore[misc]
        table[name] = {
            "score": mean_score(results),
            "turns": turns,
            "minus_direct": difference(results, base, count),
        }
        table[name]["by_class"] = {
            c: difference(results, base, count, lambda d, c=c: d.task_class == c)  # type: ignore[misc]
            for c in classes
        }
        judged = [d for d in results if d.p_yes is not None]
        if judged:
            yes, no = (
                [d.p_yes for d in judged if d.right == right and d.p_yes is not None]
                for right in (True, False)
            )
            table[name]["verifier"] = {
                "auc": round(area_under_curve(yes, no), 4),
                "tpr": round(float(np.mean(np.array(yes) >= 0.5)), 3),
                "tnr": round(float(np.mean(np.array(no) < 0.5)), 3),
                "right": round(len(yes) / len(judged), 3),
            }
    table["gap"] = {
        f"turn_{t}": difference(runs["direct_gold"], base, count, lambda d, t=t: d.turn == t)  # type: ignore[misc]
        for t in range(1, 7)
    }
    table["gap"]["turns_2+"] = difference(runs["direct_gold"], base, count, lambda d: d.turn >= 2)
    table["cot_sv_minus_cot"] = difference(runs["cot_sv"], runs["cot"], count)
    table["cot_bo4_minus_cot"] = difference(runs["best_of_4_cot"], runs["cot"], count)
    return table


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dialogues", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=["validation", "test"], default="validation")
    parser.add_argument("--temperature", type=float, default=0.3, help="of plans")
    arguments = parser.parse_args()
    started = time.process_time()
    table = evaluate(
        arguments.folder, arguments.dialogues, arguments.seed, arguments.split, arguments.temperature
    )
    for name, value in table.items():
        print(name, json.dumps(value))
    print("cpu_seconds", round(time.process_time() - started, 1))


if __name__ == "__main__":
    main()
