"""The six rubrics of 100 points in our own words, and the message that asks a judge to grade.

Criteria and points are those of DriveBench (arXiv 2501.04003); the wording is ours. Other wording can lead a
judge to other points. To use the official wording, set the benchmark's knob `official` to a clone of the
official repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from imug_tts.benchmarks.drivebench.kinds import Kind

__all__ = ["RUBRICS", "Criterion", "Rubric", "Sheet", "judge_message"]


class Criterion(NamedTuple):
    """One criterion of a rubric, with its maximum of points."""

    title: str
    points: int
    guide: str
    """What the points are given for."""


class Rubric(NamedTuple):
    """How answers to one kind of question are graded."""

    criteria: tuple[Criterion, ...]
    shows_object: bool = False
    """Whether the judge is given the description of the object that the question names."""
    rule: str = ""
    """A rule about several criteria; empty for none."""

    @property
    def points(self) -> int:
        return sum(criterion.points for criterion in self.criteria)


class Sheet(NamedTuple):
    """The answer to grade, with what the judge needs to grade it."""

    question: str
    answer: str
    """The reference answer."""
    prediction: str
    description: str
    """The visual description of the object that the question names; empty if the rubric does not show it."""


_CLARITY: Final = "Short, ordered and unambiguous wording earns the points; padding and vagueness lose them."
_GRAMMAR: Final = "Half for a readable, logical order, half for correct grammar."
_NO_EXPLANATION: Final = "An answer without any explanation earns 0 points for every criterion but the first."

RUBRICS: Final[Mapping[Kind, Rubric]] = {
    "perception_mcq": Rubric(
        (
            Criterion(
                "Answer Correctness",
                50,
                "50 if the predicted option is the correct one, else 0, however good the explanation is.",
            ),
            Criterion(
                "Object Recognition",
                10,
                "5 for naming every object that matters and no other, 5 for describing them rightly (colour, "
                "material, size, shape).",
            ),
            Criterion(
                "Object Location and Orientation",
                15,
                "5 for place and heading relative to the ego vehicle, 5 for what affects how well the object "
                "is seen, 5 for the situation around it: obstacles, traffic, hazards.",
            ),
            Criterion(
                "Environmental Condition Awareness",
                15,
                "Weather, light and limits of the sensor are taken into account where they matter.",
            ),
            Criterion("Clarity of Reasoning", 10, "5 for a clear line of reasoning, 5 for grammar."),
        ),
        shows_object=True,
        rule=_NO_EXPLANATION,
    ),
    "perception_vqa": Rubric(
        (
            Criterion(
                "Action Alignment",
                20,
                "The predicted action (ahead, left, right, ...) is that of the answer; 0 without one.",
            ),
            Criterion(
                "Motion Precision",
                20,
                "The predicted motion (faster, slower, ...) agrees in type and strength; 0 without one.",
            ),
            Criterion(
                "Driving Context Appropriateness",
                15,
                "The answer fits the driving situation that the correct answer implies.",
            ),
            Criterion(
                "Situational Awareness",
                15,
                "Road users and obstacles that bear on the action are noticed; a miss that would be unsafe "
                "weighs most.",
            ),
            Criterion("Conciseness and Clarity", 20, _CLARITY),
            Criterion("Grammar", 10, _GRAMMAR),
        )
    ),
    "prediction_mcq": Rubric(
        (
            Criterion(
                "Answer Correctness",
                40,
                "40 if the predicted yes or no is the correct one, else 0, however good the explanation is.",
            ),
            Criterion("Object Category Identification", 15, "The category of the object is named rightly."),
            Criterion(
                "Object Visual Appearance",
                15,
                "Colour, material, size and shape are described rightly, as far as the question needs them.",
            ),
            Criterion(
                "Object Position and Motion",
                15,
                "Place, heading and motion of the object relative to the ego vehicle are right.",
            ),
            Criterion(
                "Explanation Clarity and Justification",
                15,
                "The explanation is clear and really supports the yes or no.",
            ),
        ),
        rule=_NO_EXPLANATION,
    ),
    "prediction_vqa": Rubric(
        (
            Criterion(
                "Object Identification and Priority Order",
                20,
                "The right objects in the order of priority that the question asks for.",
            ),
            Criterion(
                "Object Category and Visual Description Accuracy",
                20,
                "Category and looks of every object are right and specific.",
            ),
            Criterion(
                "State of the Object", 15, "What each object is doing, e.g. moving or standing, is right."
            ),
            Criterion(
                "Recommended Action for Ego Vehicle",
                15,
                "The ego vehicle's reaction to each object is that of the correct answer, in enough detail.",
            ),
            Criterion(
                "Logical Flow and Reasonableness of Prediction",
                20,
                "The whole answer is consistent, and each step follows from the one before.",
            ),
            Criterion("Clarity and Grammar", 10, _GRAMMAR),
        )
    ),
    "planning_vqa": Rubric(
        (
            Criterion(
                "Action Prediction Accuracy",
                40,
                "The planned action of the ego vehicle agrees with the correct answer; differences that "
                "would be unsafe weigh most.",
            ),
            Criterion(
                "Reasoning and Justification",
                20,
                "The reason for the action is clear, free of contradictions, and rests on safety and "
                "surroundings.",
            ),
            Criterion(
                "Probability or Confidence Level",
                15,
                "A probability or confidence is given, is plausible, and fits action and reason.",
            ),
            Criterion(
                "Contextual Awareness and Safety Considerations",
                15,
                "Obstacles, road users and the risks of the situation are taken into account.",
            ),
            Criterion("Conciseness and Clarity", 10, f"{_CLARITY} 0 without an explanation."),
        ),
        shows_object=True,
    ),
    "behavior_mcq": Rubric(
        (
            Criterion(
                "Answer Correctness",
                50,
                "50 if the predicted option is the correct one, else 0, however good the explanation is.",
            ),
            Criterion(
                "Behavioral Understanding and Detail",
                15,
                "Direction and speed of the ego vehicle are described as in the correct answer.",
            ),
            Criterion(
                "Reasoning and Justification",
                15,
                "The explanation shows why, from the course of the road, the traffic and other cues.",
            ),
            Criterion(
                "Contextual Relevance",
                10,
                "The explanation speaks of the conditions and objects that bear on the behavior.",
            ),
            Criterion("Clarity and Grammar", 10, _GRAMMAR),
        )
    ),
}


def judge_message(kind: Kind, sheet: Sheet) -> str:
    """Return the message that asks a judge to grade an answer to a question of this kind."""
    rubric = RUBRICS[kind]
    listed = "\n".join(f"{n}. {c.title} ({c.points} points): {c.guide}" for n, c in enumerate(_of(kind), 1))
    form = "\n".join(f"{n}. {c.title} ({c.points} points): <points>" for n, c in enumerate(_of(kind), 1))
    shown = [
        f"Question:\n{sheet.question}",
        f"What the object in question looks like:\n{sheet.description}" if rubric.shows_object else "",
        f"Correct answer:\n{sheet.answer}",
        f"Predicted answer:\n{sheet.prediction}",
    ]
    parts = [
        "You grade an answer about a driving scene by how near it comes to the correct answer. Grade from 0 "
        "to 100 and strictly: full marks only where nothing is wrong, missing or unclear.",
        f"The criteria and their full marks:\n{listed}",
        rubric.rule,
        *shown,
        f"Reply in this form, with the sum of the points in the line of the total:\n{form}\nTotal Score: "
        "<sum>\n\nBrief Summary: <why>",
    ]
    return "\n\n".join(filter(None, parts))


def _of(kind: Kind) -> tuple[Criterion, ...]:
    return RUBRICS[kind].criteria
