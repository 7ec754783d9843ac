"""The composition root: builds the components of a run from plain dicts and lists; knows nothing of Hydra.

A component's node is `{name: NAME, knob: value, ...}`, only NAME, or an object. NAME is looked up in the
registry, and knobs are checked as the component's class declares them.
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
from imug_tts.files import FOLDER_NAME
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
    "ShareSettings",
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
"""The name for no judge and for no tracker."""
REQUIRED: Final = "???"
"""The placeholder value of a knob that must be set."""
RUN_PARTS: Final = ("backbone", "roles", "strategy", "judge", "benchmark", "scorer", "tracking")
SERVED_PARTS: Final = ("backbone", "roles", "strategy", "judge")
_ROLES: Final[tuple[ModelRole, ...]] = ("planner", "verifier")
"""Roles for which a configuration may name another model than the backbone under test."""


@component
class ShareSettings:
    """The knobs of a process that shares runs with others."""

    in_flight: int | None = knob(
        "Dialogues at a time; null for twice the calls that the models take at once, and at least 32.",
        default=None,
        ge=1,
        runtime=True,
    )
    shards: int = knob(
        "Processes that share the runs; each plays unclaimed dialogues, at most 1/shards of all at a time.",
        default=1,
        ge=1,
        runtime=True,
    )
    shard: int | None = knob(
        "Index of this process, from 0; it plays the dialogues of its shard first, or null for any.",
        default=None,
        ge=0,
        runtime=True,
    )

    @property
    def share(self) -> Share:
        """The shard of this process. Raises ConfigurationError if there is no such shard."""
        return Share(shard=self.shard, shards=self.shards)


@component
class RunSettings(ShareSettings):
    """The knobs of a run that belong to no component."""

    seed: int = knob(
        "Seed of the run; candidate i of a turn has the same random numbers in every arm.", default=0
    )
    history: History = knob(
        "Whose outputs of previous turns the history shows. own: the model's; gold: the reference outputs; "
        "swap: another run's.",
        default="own",
    )
    history_from: Folder | None = knob("For history=swap, the folder of the other run.", default=None)
    score_candidates: bool = knob(
        "Whether every output that a strategy considered is scored, and not only the answer.", default=True
    )
    scoring: Scoring = knob("The scoring rules that need no model.", default_factory=Scoring)
    budget: Budget = knob("Limits on calls per turn.", default_factory=Budget)
    study: str = knob(
        "Name of the study; its runs are in runs/STUDY.", default="default", runtime=True, pattern=FOLDER_NAME
    )
    output: Folder | None = knob(
        "Folder of the run, or with -m of the study; null for one in runs/.", default=None, runtime=True
    )


def build_arm(config: Node, shared: Shared | None = None) -> Arm:
    """Return the arm that a whole configuration describes.

    Args:
        config: plain dicts and lists in the form of `conf/config.yaml`.
        shared: cache of the components that the arms of a sweep share.

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
    """Return the settings of class `cls`: the knobs of a configuration that belong to no component.

    Args:
        parts: keys of the configuration that are components.

    Raises:
        ConfigurationError: an unknown key, a value that is not allowed, or a value that looks like a secret.
    """
    _refuse_unknown(config, (*knobs_of(cls), *parts), "the configuration", "knob")
    refuse_secrets(config)
    own = {key: value for key, value in config.items() if key in knobs_of(cls)}
    return cast(C, _Builder(Shared(), Scoring()).construct(cls, own, ""))


def build_backbone(node: Node) -> Backbone:
    """Return the backbone of a node; loads no weights. Raises ConfigurationError."""
    return cast(Backbone, _Builder(Shared(), Scoring()).part(Backbone, node, "backbone"))


def build_judge(node: Node) -> Judge:
    """Return the judge of a node, which must not be "none". Raises ConfigurationError."""
    return cast(Judge, _Builder(Shared(), Scoring()).part(Judge, node, "judge"))


def build_benchmark(node: Node, scoring: Scoring | None = None) -> Benchmark:
    """Return the benchmark of a node, scored by the rules of `scoring`. Raises ConfigurationError."""
    return cast(Benchmark, _Builder(Shared(), scoring or Scoring()).part(Benchmark, node, "benchmark"))


def build_scorer(
    node: object,
    shared: Shared | None = None,
    *,
    benchmark: Benchmark | None = None,
    where: Literal["scorer", "judge"] = "scorer",
) -> Backbone | None:
    """Return the model of a judge, to be used as the scoring model; None for the judge "none".

    Args:
        where: the configuration key of the judge, for messages.

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
            f"{choice}={judge.name} has no model of its own to use as the scorer; choose one that has, e.g. "
            f"{choice}=openai {where}.base_url=URL {where}.model=NAME, or {choice}=none"
        )
    return model


def build_trackers(node: object) -> list[Tracker]:
    """Return the trackers of one node, or of a mapping of nodes. Raises ConfigurationError."""
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
    """Return the service of a configuration in the form of `conf/serve.yaml`. Raises ConfigurationError."""
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
    """Return the names that a configuration can use for a kind of component."""
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
        """Return the component that a node describes; a node that is a component is returned as it is."""
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
        """Return an object of a class with knobs; messages call it by its place `where` and its `name`."""
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
        """Return the component or components of a field; the run's own one if the node names none."""
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
        # Layers with equal model nodes share one model, with its weights and its limit of calls in flight.
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
    """Return the models other than the backbone: those of `roles`, and the scorer."""
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
