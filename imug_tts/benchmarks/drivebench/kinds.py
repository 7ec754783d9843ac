"""The kinds of questions, the kind of each record, and the image settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

__all__ = ["CAPABILITIES", "GRADED", "KINDS", "MULTIPLE_CHOICE", "Kind", "QuestionType", "Setting", "kind_of"]

QuestionType = Literal["perception", "prediction", "planning", "behavior"]
Kind = Literal[
    "perception_mcq", "perception_vqa", "prediction_mcq", "prediction_vqa", "planning_vqa", "behavior_mcq"
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

GRADED: Final[tuple[Kind, ...]] = tuple(kind for kind in KINDS if kind != "prediction_mcq")
"""The kinds that the official evaluation grades. It leaves out yes/no questions of prediction."""

MULTIPLE_CHOICE: Final[frozenset[Kind]] = frozenset(["perception_mcq", "behavior_mcq"])
"""The kinds that are answered with the letter of an option."""

CAPABILITIES: Final[Mapping[Kind, str]] = {
    "perception_mcq": "perception",
    "behavior_mcq": "reasoning",
    "planning_vqa": "planning",
}
"""The names in Drive-KD (arXiv 2601.21288) of the three kinds that it reports."""

Setting = Literal[
    "clean",
    "NoImage",
    "BitError",
    "CameraCrash",
    "Fog",
    "H256ABRCompression",
    "LowLight",
    "Rain",
    "Snow",
    "Brightness",
    "ColorQuant",
    "FrameLost",
    "LensObstacleCorruption",
    "MotionBlur",
    "Saturate",
    "ZoomBlur",
    "WaterSplashCorruption",
]
"""The 17 image settings: clean images, black images (NoImage), and 15 folders of corrupted images."""

_ROUTES: Final[Mapping[QuestionType, Mapping[int, Kind]]] = {
    "perception": {2: "perception_vqa", 0: "perception_mcq"},
    "prediction": {3: "prediction_vqa", 0: "prediction_mcq"},
    "planning": {1: "planning_vqa"},
    "behavior": {0: "behavior_mcq"},
}
"""The kind by question type and tag. If a record has several tags, the first of them in this table
decides.
"""


def kind_of(question_type: QuestionType, tags: Sequence[int]) -> Kind:
    """Return the kind of a question.

    Raises:
        ValueError: none of the tags belongs to the question type.
    """
    routes = _ROUTES[question_type]
    for tag, kind in routes.items():
        if tag in tags:
            return kind
    wanted = " or ".join(map(str, routes))
    raise ValueError(f"is {list(tags)}; a {question_type} question needs the tag {wanted}")
