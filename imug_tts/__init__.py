"""Test-time scaling of unified multimodal models on multi-turn image-text dialogue.

>>> from imug_tts import ChainOfThought, Conversation, Direct, load_backbone
>>> chat = Conversation(load_backbone("pocket"), ChainOfThought(inner=Direct()))  # doctest: +SKIP
>>> image = chat.say("draw a red star at b2", modality="image").output  # doctest: +SKIP

>>> from imug_tts import Study
>>> study = Study("runs/notebook")  # doctest: +SKIP

Names are imported when they are first used, so that `import imug_tts` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from analysis.shown import Analysis
    from imug_tts.backbones.pocket import PocketBackbone
    from imug_tts.benchmarks.pocket_world import PocketWorld
    from imug_tts.contracts import Backbone
    from imug_tts.judges import BackboneJudge, ExactJudge
    from imug_tts.runs import Conversation
    from imug_tts.strategies import BestOfN, ChainOfThought, Direct, MajorityVote, SelfVerification
    from imug_tts.study import Study

__all__ = [
    "Analysis",
    "BackboneJudge",
    "BestOfN",
    "ChainOfThought",
    "Conversation",
    "Direct",
    "ExactJudge",
    "MajorityVote",
    "PocketBackbone",
    "PocketWorld",
    "SelfVerification",
    "Study",
    "__version__",
    "load_backbone",
]

__version__ = "0.1.0"

_HOMES: Final = {
    "Analysis": "analysis.shown",
    "BackboneJudge": "imug_tts.judges",
    "BestOfN": "imug_tts.strategies",
    "ChainOfThought": "imug_tts.strategies",
    "Conversation": "imug_tts.runs",
    "Direct": "imug_tts.strategies",
    "ExactJudge": "imug_tts.judges",
    "MajorityVote": "imug_tts.strategies",
    "PocketBackbone": "imug_tts.backbones.pocket",
    "PocketWorld": "imug_tts.benchmarks.pocket_world",
    "SelfVerification": "imug_tts.strategies",
    "Study": "imug_tts.study",
}


def load_backbone(name: str, **knobs: Any) -> Backbone:
    """Return a backbone by its name in configurations. Its weights are loaded by the first call.

    Raises:
        ConfigurationError: an unknown backbone or knob, or a value that is not allowed.
    """
    from imug_tts.assemble import build_backbone
    from imug_tts.contracts import ConfigurationError

    if not isinstance(name, str):
        raise ConfigurationError(
            f"{name!r} is no name; give the knobs as keywords: load_backbone('pocket', folder=...)"
        )
    return build_backbone({"name": name, **knobs})


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
