"""From plain configurations to objects, and to the identity of a run.

A component's node is `{name: NAME, knob: value, ...}`. NAME is looked up among the entry points of
its group (`imug_tts.strategies` and its siblings), ours and those of installed plugins, so that a
configuration can start nothing else. Knobs are checked against the component's dataclass. Knows
nothing of Hydra: plain dicts and lists in, objects out.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Union, cast, get_args, get_origin, get_type_hints

from imug_tts.contracts import Backbone, Benchmark, ConfigurationError, Judge, ModelRole, Strategy
from imug_tts.scoring import Scoring

if TYPE_CHECKING:
    from imug_tts.engine import Arm, Transcript
    from imug_tts.serving import Service
    from imug_tts.tracking import Tracker

__all__ = [
    "IDENTITY",
    "RUNTIME",
    "RunOptions",
    "build_arm",
    "build_backbone",
    "build_benchmark",
    "build_options",
    "build_scorer",
    "build_service",
    "build_tracker",
    "component",
    "component_names",
    "digest",
    "identity",
    "nearest",
    "refuse_secrets",
]

Node = Mapping[str, Any]

IDENTITY: Final = frozenset(
    [
        *["backbone", "benchmark", "budget", "history", "judge", "roles", "seed", "strategy", "name"],
        *["history_from", "score_candidates", "scorer", "grid", "mcq"],
        *["planner", "verifier", "folder"],
        *["images", "texts"],
        *["classes", "domains", "num_samples", "repo", "revision", "scoring", "split", "tasks", "turns"],
        *["applies_to", "inner", "keep_plan", "max_rounds", "n", "refine", "threshold"],
        *["image_temperature", "max_tokens", "plan_temperature", "plan_tokens", "text_temperature"],
        *["draws_from_images", "model", "outputs", "reads_images"],
        *["check_tokens", "checklist_tokens", "max_questions", "max_reasks", "reask_temperature"],
        *["compare_tokens", "send_seed", "send_temperature", "max_tokens_key", "greedy_temperature"],
    ]
)
"""Keys that make a run another run, wherever in the configuration they stand."""

RUNTIME: Final = frozenset(
    [
        *["in_flight", "interval_s", "output", "study", "tracking"],
        *["root"],
        *["max_attempts", "patience_s", "per_server", "timeout_s", "urls"],
        *["api_key_env", "base_url", "concurrency", "dollars_per_call"],
    ]
)
"""Keys that change how a run is done and never what comes out, wherever they stand."""

_GROUPS: Final[Mapping[Any, str]] = {
    Backbone: "backbones",
    Benchmark: "benchmarks",
    Judge: "judges",
    Strategy: "strategies",
}
_PLAIN: Final[Mapping[Any, tuple[tuple[type, ...], str]]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "text"),
}
_SECRET_KEY: Final = re.compile(
    r"(^|_)(secret|password|passwd|credentials?|authorization|bearer)$"
    r"|(^|_)(api|access|secret|private)_?key$"
    r"|^token$|(^|_)(access|api|auth|hf|hub|secret)_?token$",
    re.IGNORECASE,
)
_SECRET_VALUE: Final = re.compile(r"^(sk-|hf_|AIza|Bearer )[\w-]{8,}|://[^/@\s]+:[^/@\s]+@")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is done. Not a part of what it is."""

    output: Path | None = None
    """The folder of a run, or of a study with -m; null for `runs/<study>`."""
    study: str = "default"
    in_flight: int | None = None
    """Dialogues at a time; null for two batches' worth."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.+-]+", self.study) or self.study.startswith("."):
            raise ConfigurationError(
                f"study is {self.study!r}; it names a folder below runs/: use letters, digits and ._+-"
            )
        if self.in_flight is not None and self.in_flight < 1:
            raise ConfigurationError(f"in_flight is {self.in_flight}; it must be 1 or more, or null")


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What the nodes of a run may refer to: `judge: null`, a judge's benchmark, a benchmark's scoring."""

    judge: Judge | None = None
    benchmark: Benchmark | None = None
    scoring: Scoring | None = None


def build_arm(config: Node, shared: dict[str, Any] | None = None) -> Arm:
    """Build the arm that a whole configuration describes.

    Args:
        config: in the form of `conf/config.yaml`, as plain dicts and lists.
        shared: backbones and benchmarks that were built before, by their configuration; what is
            built is added, so that the arms of a sweep share models and data.

    Raises:
        ConfigurationError: an unknown name or knob, or a value that is not allowed.
    """
    from imug_tts.engine import Arm, Budget

    shared = {} if shared is None else shared
    _refuse_unknown(config, _TOP_LEVEL, "the configuration", "knob")
    refuse_secrets(config)
    benchmark = _shared_benchmark(shared, config)
    run = _Run(judge=_build_judge(config["judge"], "judge", benchmark), benchmark=benchmark)
    strategy = cast(Strategy, _build("strategies", config["strategy"], "strategy", run))
    return Arm(
        strategy=strategy,
        benchmark=benchmark,
        history=_value(config["history"], Literal["own", "gold", "swap"], "history", run),
        transcript=_transcript(shared, config),
        seed=_value(config["seed"], int, "seed", run),
        budget=_construct(Budget, config["budget"], "budget", run),
        score_candidates=_value(config["score_candidates"], bool, "score_candidates", run),
        backbone=_shared(shared, "backbones", config, "backbone"),
        roles=_roles(shared, config, strategy),
    )


def build_backbone(node: Node) -> Backbone:
    """Build a backbone; loads no weights. Raises ConfigurationError."""
    return cast(Backbone, _build("backbones", node, "backbone", _Run()))


def build_benchmark(node: Node, scoring: Node) -> Benchmark:
    """Build a benchmark, scored by the rules of `scoring`. Raises ConfigurationError."""
    rules = cast(Scoring, _construct(Scoring, scoring, "scoring", _Run()))
    return cast(Benchmark, _build("benchmarks", node, "benchmark", _Run(scoring=rules)))


def build_scorer(node: object) -> Backbone | None:
    """The model of a judge, to grade for the report; None for "none". Raises ConfigurationError."""
    if node is None:
        return None
    judge = _build_judge(node, "scorer", None)
    model = getattr(judge, "verifier", None)
    if judge is not None and model is None:
        raise ConfigurationError(
            f"scorer: the judge {judge.name!r} has no model of its own that could grade; "
            "choose judge@scorer=openai, or none"
        )
    return cast("Backbone | None", model)


def build_service(config: Node) -> Service:
    """Build what a whole configuration in the form of `conf/serve.yaml` serves. Raises ConfigurationError."""
    from imug_tts.engine import Budget

    try:
        from imug_tts.serving import Limits, Served, Service
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is missing; run: pip install 'imug_tts[serve]'") from error
    own = [f.name for f in fields(Service) if f.name != "served"]
    _refuse_unknown(config, (*_SERVED, *own), "the configuration", "knob")
    refuse_secrets(config)
    run = _Run(judge=_build_judge(config["judge"], "judge", None))
    strategy = cast(Strategy, _build("strategies", config["strategy"], "strategy", run))
    shared: dict[str, Any] = {}
    served = Served(
        backbone=_shared(shared, "backbones", config, "backbone"),
        strategy=strategy,
        roles=_roles(shared, {**config, "scorer": None}, strategy),
        budget=_construct(Budget, config["budget"], "budget", run),
        seed=_value(config["seed"], int, "seed", run),
    )
    options = {name: config[name] for name in own if name != "limits"}
    limits = _construct(Limits, config["limits"], "limits", run)
    checked = {
        name: _value(value, get_type_hints(Service)[name], name, run) for name, value in options.items()
    }
    return Service(served=served, limits=limits, **checked)


def build_tracker(node: Node) -> Tracker:
    """Build a tracker. Raises ConfigurationError."""
    return cast("Tracker", _build("tracking", node, "tracking", _Run()))


def build_options(config: Node) -> RunOptions:
    """Read the runtime part of a whole configuration. Raises ConfigurationError."""
    options = {f.name: config[f.name] for f in fields(RunOptions)}
    return cast(RunOptions, _construct(RunOptions, options, "", _Run()))


def identity(config: Node) -> dict[str, Any]:
    """The part of a configuration that makes a run what it is, without the keys in `RUNTIME`."""
    return {
        key: identity(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in RUNTIME
    }


def digest(value: Node) -> str:
    """SHA-256 over canonical JSON, as hexadecimal. 1 and 1.0 are the same; the order of keys is not seen."""
    text = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def refuse_secrets(config: Node, where: str = "") -> None:
    """Refuse what looks like a password or a key: configurations are written into results.

    Raises:
        ConfigurationError: with the name of the knob, never its value.
    """
    for key, value in config.items():
        place = f"{where}{key}"
        if isinstance(value, Mapping):
            refuse_secrets(value, f"{place}.")
        elif (value is not None and _SECRET_KEY.search(key)) or _holds_secret(value):
            raise ConfigurationError(
                f"{place} looks like a secret, and configurations are stored with the results; "
                "leave it out and set it in the environment (e.g. export OPENAI_API_KEY=...)"
            )


def component_names(group: str) -> list[str]:
    """The names that a configuration can use in `group`, e.g. "strategies"."""
    names = sorted(_entry_points(group))
    return [*names, "none"] if group == "judges" else names


def component(group: str, name: str, where: str) -> type:
    """The class behind a name.

    Raises:
        ConfigurationError: there is no such name, or its class cannot be loaded.
    """
    known = _entry_points(group)
    if not known:
        raise ConfigurationError("imug_tts is not installed; run: pip install -e . -c constraints.txt")
    if name not in known:
        raise ConfigurationError(f"{where}: there is no {name!r}; {nearest(name, component_names(group))}")
    try:
        found = known[name].load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"{where}: {name!r} ({known[name].value}) cannot be loaded: {error}"
        ) from error
    if not isinstance(found, type):
        raise ConfigurationError(f"{where}: {name!r} ({known[name].value}) is not a class")
    return found


def nearest(word: object, choices: Iterable[str]) -> str:
    """Advice on a wrong name: "did you mean x? Choose from: x, y"."""
    listed = list(choices)
    close = difflib.get_close_matches(str(word), listed, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"{guess}Choose from: {', '.join(listed)}"


_TOP_LEVEL: Final = (
    "backbone",
    "roles",
    "strategy",
    "judge",
    "benchmark",
    "scorer",
    "scoring",
    "score_candidates",
    "history",
    "history_from",
    "seed",
    "budget",
    *(f.name for f in fields(RunOptions)),
    "tracking",
)


_SERVED: Final = ("backbone", "roles", "strategy", "judge", "seed", "budget")


@cache
def _entry_points(group: str) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"imug_tts.{group}")}


def _shared(shared: dict[str, Any], group: str, parent: Node, key: str, prefix: str = "") -> Any:
    node, where = parent[key], f"{prefix}{key}"
    known_as = f"{group} {json.dumps(node, sort_keys=True, default=str)}"
    if known_as not in shared:
        shared[known_as] = _build(group, node, where, _Run())
    return shared[known_as]


def _shared_benchmark(shared: dict[str, Any], config: Node) -> Benchmark:
    known_as = digest({"benchmark": config["benchmark"], "scoring": config["scoring"]})
    if known_as not in shared:
        shared[known_as] = build_benchmark(config["benchmark"], config["scoring"])
    return cast(Benchmark, shared[known_as])


def _transcript(shared: dict[str, Any], config: Node) -> Transcript | None:
    from imug_tts.engine import Transcript

    if config["history_from"] is None:
        return None
    if config["history"] != "swap":
        raise ConfigurationError(f"history_from needs history=swap, and history is {config['history']!r}")
    folder = _path(config["history_from"], "history_from")
    known_as = f"transcript {folder}"
    if known_as not in shared:
        shared[known_as] = Transcript.of_run(folder)
    return cast("Transcript", shared[known_as])


def _roles(shared: dict[str, Any], config: Node, strategy: Strategy) -> dict[ModelRole, Backbone]:
    """The models other than the backbone: those of `roles`, a judge's own, the scorer."""
    from imug_tts.strategies import layers

    roles = config["roles"]
    _refuse_unknown(roles, ("planner", "verifier"), "roles", "role")
    models = {
        cast(ModelRole, role): cast(Backbone, _shared(shared, "backbones", roles, role, "roles."))
        for role, node in roles.items()
        if node is not None
    }
    judges = [getattr(layer, "judge", None) for layer in layers(strategy)]
    for model in (getattr(judge, "verifier", None) for judge in judges):
        if model is not None and models.setdefault("verifier", _once(shared, model)) != model:
            raise ConfigurationError("the judges of a run bring more than one model; let them share one")
    scorer = build_scorer(config["scorer"])
    return models if scorer is None else {**models, "scorer": _once(shared, scorer)}


def _once(shared: dict[str, Any], model: Backbone) -> Backbone:
    """The first of equal models: runs that share a model share its limit of calls in flight."""
    return cast(Backbone, shared.setdefault(f"model {model!r}", model))


def _build_judge(node: object, where: str, benchmark: Benchmark | None) -> Judge | None:
    if isinstance(node, Mapping) and node.get("name") == "none":
        _refuse_unknown([key for key in node if key != "name"], (), f"{where} none", "knob")
        return None
    return cast(Judge, _build("judges", node, where, _Run(benchmark=benchmark)))


def _build(group: str, node: object, where: str, run: _Run) -> Any:
    if not isinstance(node, Mapping) or not isinstance(node.get("name"), str):
        raise ConfigurationError(
            f"{where} is {node!r}; it must name a component and its knobs: {{name: NAME, ...}}, "
            f"with one of the names {', '.join(component_names(group))}"
        )
    name = node["name"]
    cls = component(group, name, where)
    knobs = {key: value for key, value in node.items() if key != "name"}
    return _construct(cls, knobs, where, run, called=f"{where} {name}")


def _construct(cls: type, knobs: Node, where: str, run: _Run, called: str = "") -> Any:
    """Build a dataclass from knobs, or a plain class from none; `called` is what messages call it."""
    wanted = {f.name: f for f in fields(cls) if f.init} if is_dataclass(cls) else {}
    hints = get_type_hints(cls)
    _refuse_unknown(knobs, wanted, called or where, "knob")
    prefix = f"{where}." if where else ""
    values = {knob: _value(value, hints[knob], prefix + knob, run) for knob, value in knobs.items()}
    given = {Benchmark: run.benchmark, Scoring: run.scoring}
    values |= {k: given[hints[k]] for k in wanted if given.get(hints[k]) is not None and k not in values}
    missing = [knob for knob, f in wanted.items() if knob not in values and _required(f)]
    if missing:
        raise ConfigurationError(f"{called or where}: {', '.join(missing)} must be set")
    try:
        return cls(**values)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}" if where else str(error)) from error


def _required(knob: Field[Any]) -> bool:
    return knob.default is MISSING and knob.default_factory is MISSING


def _refuse_unknown(given: Iterable[str], known: Iterable[str], owner: str, what: str) -> None:
    allowed = list(known)
    for key in given:
        if key not in allowed:
            advice = nearest(key, allowed) if allowed else "it has none"
            raise ConfigurationError(f"{owner} has no {what} {key!r}; {advice}")


def _value(value: object, hint: Any, where: str, run: _Run) -> Any:
    """Check a value against a type, and turn it into that type."""
    origin, members = get_origin(hint), get_args(hint)
    if hint in _GROUPS:
        return run.judge if hint is Judge and value is None else _build(_GROUPS[hint], value, where, run)
    if origin in (Union, types.UnionType):
        return _any_of(value, members, where, run)
    if origin is Literal:
        if value not in members:
            raise ConfigurationError(f"{where} is {value!r}; {nearest(value, map(str, members))}")
        return value
    if origin in (tuple, Sequence):
        return _sequence(value, members[0], where, run)
    if hint is Path:
        return _path(value, where)
    if hint in _PLAIN:
        _refuse_other_type(value, hint, where)
    return value


def _any_of(value: object, members: Sequence[Any], where: str, run: _Run) -> Any:
    if value is None and types.NoneType in members:
        return None
    problems = []
    for member in members:
        if member is not types.NoneType:
            try:
                return _value(value, member, where, run)
            except ConfigurationError as problem:
                problems.append(problem)
    raise problems[0]


def _sequence(value: object, member: Any, where: str, run: _Run) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigurationError(f"{where} is {value!r}; it must be a list: {where}=[{value}]")
    return tuple(_value(item, member, where, run) for item in value)


def _path(value: object, where: str) -> Path:
    if isinstance(value, Path):
        return value
    if isinstance(value, (str, int)) and not isinstance(value, bool):  # a folder may be called 3
        return Path(str(value))
    raise ConfigurationError(f"{where} is {value!r}; it must be a path")


def _refuse_other_type(value: object, hint: Any, where: str) -> None:
    allowed, words = _PLAIN[hint]
    if not isinstance(value, allowed) or (isinstance(value, bool) and hint is not bool):
        raise ConfigurationError(f"{where} is {value!r}; it must be {words}")


def _holds_secret(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_secret(item) for item in value)
    return isinstance(value, str) and _SECRET_VALUE.search(value) is not None


def _canonical(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
