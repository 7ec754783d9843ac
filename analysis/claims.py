"""What each arm's judges could read and choose among, and when no gain may be claimed.

If no verdict of a layer's judge could be read, or all candidates of the layer are one image, the layer had no
effect. The arm then equals the strategy without the layer, and its difference to the baseline says nothing
about the layer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from analysis.records import Judge, Study

__all__ = ["REPORTED_SHARE", "Basis", "Layer", "Use", "bases", "share"]

REPORTED_SHARE = 0.05
"""Shares of unread verdicts, identical pools and missing turns above this value are stated with the finding.
"""
_VERBS = {"selects": "selected by", "verifies": "verified by"}


class Use(NamedTuple):
    """A judge and how a layer uses it."""

    verb: str
    """ "selected by" or "verified by"."""
    judge: str
    """The judge's name, with its models if they differ from the backbone: "openai (openai_chat:1:MODEL)"."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Verdicts and candidate images of one layer, over the image turns on own and gold history."""

    layer: str
    judges: tuple[Use, ...]
    num_verdicts: int
    num_unread: int
    """Verdicts that could not be parsed from the judge's replies."""
    num_pools: int
    """How often the layer had two or more candidate images."""
    num_identical: int
    """Pools in which all images are the same image."""
    num_single: int
    """How often the layer drew a single candidate, e.g. because a verifier accepted the first one."""

    @property
    def is_unread(self) -> bool:
        return 0 < self.num_verdicts == self.num_unread

    @property
    def is_identical(self) -> bool:
        return 0 < self.num_pools == self.num_identical and not self.num_single


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What the claims about one arm are based on."""

    layers: tuple[Layer, ...]

    @cached_property
    def void(self) -> str:
        """The reason why nothing may be claimed about the arm; empty if claims are allowed."""
        unread = [layer for layer in self.layers if layer.is_unread]
        identical = [layer for layer in self.layers if layer.is_identical]
        if unread:
            return f"no verdict of its judge could be read{self._where(unread)}"
        return f"all candidates identical{self._where(identical)}" if identical else ""

    @cached_property
    def cautions(self) -> tuple[str, ...]:
        """Sentences on the shares of unread verdicts and identical pools that exceed `REPORTED_SHARE`."""
        verdicts = sum(layer.num_verdicts for layer in self.layers)
        unread = sum(layer.num_unread for layer in self.layers)
        pools = sum(layer.num_pools for layer in self.layers)
        identical = sum(layer.num_identical for layer in self.layers)
        said = {
            f"{share(unread, verdicts)} of its judge's verdicts could not be read": (unread, verdicts),
            f"{share(identical, pools)} of its candidate pools hold identical images": (identical, pools),
        }
        return tuple(
            text
            for text, (part, whole) in said.items()
            if part > REPORTED_SHARE * whole and not (part == whole and self.void)
        )

    def _where(self, layers: Iterable[Layer]) -> str:
        """The layers as " in ..."; empty if the arm has only one layer with verdicts or pools."""
        several = sum(bool(layer.num_verdicts or layer.num_pools) for layer in self.layers) > 1
        return f" in {' and '.join(layer.layer for layer in layers)}" if several else ""


def share(part: int, whole: int) -> str:
    """A share in whole percent, e.g. "12 %". "0 %" and "100 %" are exact: other shares are shown as 1 to 99
    %.
    """
    if not whole:
        return "0 %"
    return f"{part // whole * 100 if part in (0, whole) else min(99, max(1, round(100 * part / whole)))} %"


def bases(study: Study) -> dict[str, Basis]:
    """The basis of each arm, by the arm's name."""
    verdicts: dict[str, Counter[tuple[str, str, bool]]] = defaultdict(Counter)
    draws: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for record in study.records:
        verdicts[record.key.strategy].update(record.verdicts)
        draws[record.key.strategy].update(record.draws)
    return {
        strategy: _basis(
            study.judges.get(strategy, ()),
            study.backbones.get(strategy, study.backbone),
            verdicts[strategy],
            draws[strategy],
        )
        for strategy in {key.strategy for key in study.planned}
    }


def _basis(
    stated: Iterable[Judge],
    backbone: str,
    verdicts: Counter[tuple[str, str, bool]],
    draws: Counter[tuple[str, str]],
) -> Basis:
    judges: dict[str, list[Use]] = defaultdict(list)
    for judge in stated:
        judges[judge.layer.removeprefix("oracle_")].append(_use(judge, backbone))
    if not judges:  # manifests of version 0.1 do not state the judges
        for layer, name, _ in verdicts:
            judges[layer].append(Use("judged by", name))
    names = dict.fromkeys([*judges, *(layer for layer, _ in draws)])
    return Basis(layers=tuple(_layer(name, judges.get(name, ()), verdicts, draws) for name in names))


def _use(judge: Judge, backbone: str) -> Use:
    others = [model for model in judge.models if model != backbone]
    models = f" ({', '.join(others)})" if others else ""
    return Use(_VERBS.get(judge.use, judge.use), f"{judge.judge}{models}")


def _layer(
    name: str,
    judges: Iterable[Use],
    verdicts: Mapping[tuple[str, str, bool], int],
    draws: Mapping[tuple[str, str], int],
) -> Layer:
    own = [(is_read, count) for (layer, _, is_read), count in verdicts.items() if layer == name]
    varied, identical, single = (draws.get((name, kind), 0) for kind in ("varied", "identical", "single"))
    return Layer(
        layer=name,
        judges=tuple(dict.fromkeys(judges)),
        num_verdicts=sum(count for _, count in own),
        num_unread=sum(count for is_read, count in own if not is_read),
        num_pools=varied + identical,
        num_identical=identical,
        num_single=single,
    )
