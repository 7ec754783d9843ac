"""The composition root: from plain configurations to objects.

A component's node is `{name: NAME, knob: value, ...}`; NAME is looked up in the registry, and knobs are
checked as their class declares them. A name alone will do, and so will an object. Knows nothing of Hydra.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

from imug_tts.calls import Budget
from imug_tts.contracts import (
    Backbone,
    Benchmark,
    ConfigurationError,
    History,
    Judge,
    ModelRole,
    Strategy,
    Tracker,
)
from imug_tts.knobs import Folder, Knob, component, knob, knobs_of, nearest
from imug_tts.nodes import COMPOSITIONS, Shared, first_choice, node_of
from imug_tts.registry import GROUPS, component_class, describe, in_a_line, names
from imug_tts.runs import Arm, Share, Transcript
from imug_tts.scoring import Scoring
from imug_tts.secrecy import refuse_secrets

if TYPE_CHECKING:
    from imug_tts.serving import Service

__all__ = [
    "NONE",
    "REQUIRED",
    "RUN_PARTS",
    "Node",
    "RunSettings",
    "Shared",
    "build_arm",
    "build_backbone",
    "build_benchmark",
    "build_judge",
    "build_scorer",
    "build_service",
    "build_settings",
    "build_trackers",
    "choices",
]

Node = Mapping[str, Any]
C = TypeVar("C")

NONE: Final = "none"
"""The name that stands for no judge and no tracker."""
REQUIRED: Final = "???"
"""What stands in a configuration for a knob that must be set."""
RUN_PARTS: Final = ("backbone", "roles", "strategy", "judge", "benchmark", "scorer", "tracking")
SERVED_PARTS: Final = ("backbone", "roles", "strategy", "judge")
_ROLES: Final[tuple[ModelRole, ...]] = ("planner", "verifier")
"""Roles for which a configuration may name another model than the backbone under test."""


@component
class RunSettings:
    """The knobs of one run that belong to no component."""

    seed: int = knob(
        "Seed of the run; candidate i of a turn has the same random numbers in every arm.", default=0
    )
    history: History = knob(
        "What earlier turns show. own: the model's own outputs; gold: the reference outputs; swap: another "
        "run's outputs.",
        default="own",
    )
    history_from: Folder | None = knob("For history=swap, the folder of that run.", default=None)
    score_candidates: bool = knob(
        "Whether every output that a strategy considered is scored, and not the answer alone.", default=True
    )
    scoring: Scoring = knob("The rules of scores that need no judge.", default_factory=Scoring)
    budget: Budget = knob("Caps per turn.", default_factory=Budget)
    study: str = knob(
        "Name of the study; runs/STUDY holds its runs and their journal.",
        default="default",
        runtime=True,
        pattern=r"^[A-Za-z0-9_+-][A-Za-z0-9_.+-]*$",
    )
    output: Folder | None = knob(
        "Instead: the folder of the run, or with -m the folder of the study.", default=None, runtime=True
    )
    in_flight: int | None = knob(
        "Dialogues at a time; null for twice what the models take at once, and 32 or more.",
        default=None,
        ge=1,
        runtime=True,
    )
    shards: int = knob(
        "Processes that are to work on the same runs: each takes dialogues that no other has, and about this "
        "part of them at a time.",
        default=1,
        ge=1,
        runtime=True,
    )
    shard: int | None = knob(
        "Number of this process, from 0, whose share it begins with; null: it takes whatever is free.",
        default=None,
        ge=0,
        runtime=True,
    )

    @property
    def share(self) -> Share:
        """Which dialogues this process begins with. Raises ConfigurationError when there is no such shard."""
        return Share(shard=self.shard, shards=self.shards)


def build_arm(config: Node, shared: Shared | None = None) -> Arm:
    """Build the arm that a whole configuration describes.

    Args:
        config: in the form of `conf/config.yaml`, as plain dicts and lists.
        shared: what the arms of a sweep have in common.

    Raises:
        ConfigurationError: an unknown name or knob, or a value that is not allowed.
    """
    settings = build_settings(RunSettings, config, RUN_PARTS)
    builder = _Builder(Shared() if shared is None else shared, settings.scoring)
    builder.benchmark = builder.shared_part(Benchmark, _given(config, "benchmark"), "benchmark")
    builder.judge = builder.judge_or_none(_given(config, "judge"), "judge")
    return Arm(
        backbone=builder.shared_part(Backbone, _given(config, "backbone"), "backbone"),
        strategy=builder.part(Strategy, _given(config, "strategy"), "strategy"),
        benchmark=builder.benchmark,
        roles=_roles(builder, config),
        history=settings.history,
        transcript=_transcript(builder.shared, settings),
        seed=settings.seed,
        budget=settings.budget,
        score_candidates=settings.score_candidates,
    )


def build_settings(cls: type[C], config: Node, parts: Sequence[str] = ()) -> C:
    """The knobs of a configuration that belong to no component.

    Args:
        parts: keys of the configuration that are components.

    Raises:
        ConfigurationError: an unknown key, a value that is not allowed, or what looks like a secret.
    """
    _refuse_unknown(config, (*knobs_of(cls), *parts), "the configuration", "knob")
    refuse_secrets(config)
    own = {key: value for key, value in config.items() if key in knobs_of(cls)}
    return cast(C, _Builder(Shared(), Scoring()).construct(cls, own, ""))


def build_backbone(node: Node) -> Backbone:
    """Build a backbone; loads no weights. Raises ConfigurationError."""
    return cast(Backbone, _Builder(Shared(), Scoring()).part(Backbone, node, "backbone"))


def build_judge(node: Node) -> Judge:
    """Build a judge, which cannot be none. Raises ConfigurationError."""
    return cast(Judge, _Builder(Shared(), Scoring()).part(Judge, node, "judge"))


def build_benchmark(node: Node, scoring: Scoring | None = None) -> Benchmark:
    """Build a benchmark, scored by the rules of `scoring`. Raises ConfigurationError."""
    return cast(Benchmark, _Builder(Shared(), scoring or Scoring()).part(Benchmark, node, "benchmark"))


def build_scorer(
    node: object,
    shared: Shared | None = None,
    *,
    benchmark: Benchmark | None = None,
    where: Literal["scorer", "judge"] = "scorer",
) -> Backbone | None:
    """The model of a judge, to grade for the report; None for "none".

    Args:
        where: the key of the configuration under which the judge stands.

    Raises:
        ConfigurationError: the judge cannot be built, or has no model of its own; says what to choose.
    """
    builder = _Builder(Shared() if shared is None else shared, Scoring())
    builder.benchmark = benchmark
    judge = None if node is None else builder.judge_or_none(node, where)
    if judge is None:
        return None
    model = judge.models.get("verifier")
    if model is None:
        choice = "judge" if where == "judge" else f"judge@{where}"
        raise ConfigurationError(
            f"{choice}={judge.name} has no model of its own that could grade; choose one that has, e.g. "
            f"{choice}=openai {where}.base_url=URL {where}.model=NAME, or {choice}=none"
        )
    return model


def build_trackers(node: object) -> list[Tracker]:
    """Build trackers from one node, or from a mapping of several. Raises ConfigurationError."""
    if not isinstance(node, Mapping):
        raise ConfigurationError(f"tracking is {node!r}; name trackers: tracking=[console]")
    nodes = {"tracking": node} if "name" in node else {f"tracking.{key}": each for key, each in node.items()}
    builder = _Builder(Shared(), Scoring())
    return [
        builder.part(Tracker, each, where)
        for where, each in nodes.items()
        if not (isinstance(each, Mapping) and each.get("name") == NONE)
    ]


def build_service(config: Node) -> Service:
    """Build what a whole configuration in the form of `conf/serve.yaml` serves. Raises ConfigurationError."""
    from imug_tts.serving import Served, Service, ServiceSettings

    settings = build_settings(ServiceSettings, config, SERVED_PARTS)
    builder = _Builder(Shared(), Scoring())
    builder.judge = builder.judge_or_none(_given(config, "judge"), "judge")
    served = Served(
        backbone=builder.shared_part(Backbone, _given(config, "backbone"), "backbone"),
        strategy=builder.part(Strategy, _given(config, "strategy"), "strategy"),
        roles=_roles(builder, {**config, "scorer": None}),
        budget=settings.budget,
        seed=settings.seed,
    )
    return Service(served=served, settings=settings)


def choices(kind: type) -> list[str]:
    """The names that a configuration can use for a kind of component."""
    more = COMPOSITIONS if kind is Strategy else [NONE] if kind in (Judge, Tracker) else []
    return sorted({*names(GROUPS[kind]), *more})


class _Builder:
    """Builds the components of one configuration."""

    def __init__(self, shared: Shared, scoring: Scoring) -> None:
        self.shared = shared
        self.judge: Judge | None = None
        """The run's judge, for layers that name none."""
        self.benchmark: Benchmark | None = None
        self._scoring = scoring

    def judge_or_none(self, node: object, where: str) -> Judge | None:
        node = node_of(Judge, node)
        if isinstance(node, Mapping) and node.get("name") == NONE:
            _refuse_unknown([key for key in node if key != "name"], (), f"{where} {NONE}", "knob")
            return None
        return cast(Judge, self.part(Judge, node, where))

    def shared_part(self, kind: type, node: object, where: str) -> Any:
        node = node_of(kind, node)
        key = [node, describe(self._scoring)] if kind is Benchmark else node
        return self.shared.once(kind.__name__, key, lambda: self.part(kind, node, where))

    def part(self, kind: type, node: object, where: str) -> Any:
        """The component that a node describes, or that stands in its place."""
        if isinstance(node, kind):
            return node
        node = node_of(kind, node)
        if not isinstance(node, Mapping) or not isinstance(node.get("name"), str):
            raise ConfigurationError(
                f"{where} is {node!r}; it must name a component and its knobs: {{name: NAME, ...}}, "
                f"with one of the names {', '.join(choices(kind))}"
            )
        name = node["name"]
        if name == NONE and NONE not in names(GROUPS[kind]):
            raise ConfigurationError(
                f"{where} is none, and it must be a component: {', '.join(choices(kind))}"
            )
        if kind is Strategy and name not in choices(Strategy):
            raise ConfigurationError(f"{where}: there is no {name!r}; {nearest(name, choices(Strategy))}")
        cls = component_class(kind, name, where)
        return self.construct(cls, {k: v for k, v in node.items() if k != "name"}, where, name)

    def construct(self, cls: type, values: Node, where: str, name: str = "") -> Any:
        """An object of a class with knobs; `name` is what messages call it beside its place."""
        known = knobs_of(cls)
        called = f"{where} {name}".strip() or "the configuration"
        _refuse_unknown(values, known, called, "knob")
        prefix = f"{where}." if where else ""
        given = {
            key: self._value(each, values.get(key, MISSING), prefix + key, name)
            for key, each in known.items()
        }
        missing = [key for key, value in given.items() if value is MISSING and known[key].default is MISSING]
        if missing:
            meanings = " ".join(f"{key}: {known[key].meaning}" for key in missing if known[key].meaning)
            raise ConfigurationError(f"{called}: {', '.join(missing)} must be set. {meanings}".strip())
        try:
            return cls(**{key: value for key, value in given.items() if value is not MISSING})
        except ConfigurationError as error:
            said = str(error).removeprefix(f"{cls.__name__}: ")
            raise ConfigurationError(f"{where}: {said}" if where else said) from error
        except Exception as error:  # a plugin's constructor may fail in any way
            raise ConfigurationError(f"{called} cannot be made: {in_a_line(error)}") from error

    def _value(self, knob: Knob, value: object, where: str, owner: str) -> Any:
        value = MISSING if value == REQUIRED else value
        if knob.part is not None:
            return self._part_value(knob, value, where, owner)
        if _is_settings(knob.hint):
            if value is MISSING or value is None:
                return self._scoring if knob.hint is Scoring else MISSING
            if not isinstance(value, Mapping):
                raise ConfigurationError(f"{where} is {value!r}; it must be a mapping: {{knob: value}}")
            return self.construct(knob.hint, value, where)
        if value is MISSING:
            return MISSING
        try:
            return knob.check(value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where} {error}") from None

    def _part_value(self, knob: Knob, value: object, where: str, owner: str) -> Any:
        """The component, or the components, of a field; the run's own where the node names none."""
        assert knob.part is not None
        if isinstance(value, (list, tuple)):
            return tuple(self._one_part(knob.part, each, f"{where}[{i}]") for i, each in enumerate(value))
        if value is not MISSING and value is not None:
            return self._one_part(knob.part, value, where)
        if knob.is_optional:
            return None
        if knob.is_list:
            return MISSING
        if knob.part is Benchmark and self.benchmark is not None:
            return self.benchmark
        if knob.part is Judge:
            return self._run_judge(owner)
        first = first_choice(knob)
        return MISSING if first is None else self._one_part(knob.part, first, where)

    def _one_part(self, kind: type, node: object, where: str) -> Any:
        # Layers that name equal models share one, with its weights and its limit of calls in flight.
        return self.shared_part(kind, node, where) if kind is Backbone else self.part(kind, node, where)

    def _run_judge(self, owner: str) -> Judge:
        if self.judge is None:
            advice = f"set judge=backbone, or leave {owner} out"
            raise ConfigurationError(f"{owner} needs a judge, and the run has none (judge=none); {advice}")
        return self.judge


def _given(config: Node, key: str) -> Any:
    if key not in config:
        raise ConfigurationError(
            f"the configuration has no {key}; leave ~{key} out, or take conf/ of this version"
        )
    return config[key]


def _is_settings(hint: Any) -> bool:
    return isinstance(hint, type) and bool(knobs_of(hint))


def _roles(builder: _Builder, config: Node) -> dict[ModelRole, Backbone]:
    """The models other than the backbone: those of `roles`, and the scorer."""
    roles = _given(config, "roles") or {}
    _refuse_unknown(roles, _ROLES, "roles", "role")
    models = {
        cast(ModelRole, role): cast(Backbone, builder.shared_part(Backbone, node, f"roles.{role}"))
        for role, node in roles.items()
        if node is not None
    }
    node = config.get("scorer")
    scorer = builder.shared.once(
        "scorer", node, lambda: build_scorer(node, builder.shared, benchmark=builder.benchmark)
    )
    return models if scorer is None else {**models, "scorer": scorer}


def _transcript(shared: Shared, settings: RunSettings) -> Transcript | None:
    folder = settings.history_from
    if folder is None:
        return None
    if settings.history != "swap":
        raise ConfigurationError(f"history_from needs history=swap, and history is {settings.history!r}")
    return cast(Transcript, shared.once("transcript", str(folder), lambda: Transcript.of_run(Path(folder))))


def _refuse_unknown(given: Iterable[str], known: Iterable[str], owner: str, what: str) -> None:
    allowed = list(known)
    for key in given:
        if key not in allowed:
            advice = nearest(key, allowed) if allowed else "it has none"
            raise ConfigurationError(f"{owner} has no {what} {key!r}; {advice}")
