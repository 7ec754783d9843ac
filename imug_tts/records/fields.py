"""What the fields of a run's files mean: declared here once, printed in the reference, checked on real files.

A place names keys from the outside in, joined by dots. `[]` stands for each item of a list, and a word in
capitals for any key: `cost.PAYER.calls` is `cost["judge"]["calls"]`, among others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from imug_tts.contracts.record import HISTORIES, OUTCOMES

__all__ = ["FILES", "MANIFEST_FIELDS", "RECORD_FIELDS", "SUMMARY_FIELDS", "Field", "undeclared"]


class Field(NamedTuple):
    """A field of a file."""

    place: str
    type: str
    """One or more of "text", "whole number", "number", "true or false", "null", "list", "mapping", joined by
    ", "; or "any value", which declares all that is below the place."""
    meaning: str


def _cost(place: str, whose: str) -> tuple[Field, ...]:
    return (
        Field(place, "mapping", whose),
        Field(f"{place}.calls", "whole number", "Calls of models."),
        Field(f"{place}.prompt_tokens", "whole number", "Prompt tokens that were computed."),
        Field(f"{place}.cached_tokens", "whole number", "Prompt tokens that an earlier call had computed."),
        Field(f"{place}.new_tokens", "whole number", "Generated tokens, of text and of images."),
        Field(f"{place}.denoise_steps", "whole number", "Denoising steps of diffusion models."),
        Field(f"{place}.nfe", "whole number", "Network evaluations of images, guidance branches included."),
        Field(f"{place}.images", "whole number", "Generated images."),
        Field(f"{place}.seconds", "number", "Seconds in the model; a batch's time is shared by its rows."),
        Field(f"{place}.dollars", "number", "US dollars, where prices are known; else 0."),
    )


def _score_detail(place: str) -> tuple[Field, ...]:
    said = (
        ("", "mapping, null", "How the score came about; which keys there are depends on the benchmark."),
        (".points", "list", "Grades of the evaluation points, from 0 to 5."),
        (".points[]", "whole number", "The grade of one point; the score is their mean over 5."),
        (".point_texts", "list", "The evaluation points."),
        (".point_texts[]", "text", "The text of one point."),
        (".step_score", "number", "Score of this turn's request alone, on the picture before it, in [0, 1]."),
        (".reasons", "list", "What the scorer says of each point."),
        (".reasons[]", "text", "What the scorer says of one point."),
        (".reply", "text", "The scorer's reply, word for word."),
        (".official", "number", "Score of a letter answer by the published rule."),
        (".corrected", "number", "Score of the same answer by the corrected rule."),
        (".expected", "text", "The right letters; empty where no letter is right."),
        (".dynamic", "true or false", "Whether the right letters depend on what the model itself drew."),
        (".official_letters", "text", "The right letters as the published code reads them, if they differ."),
        (".earlier", "mapping", "Right letters of earlier dynamic questions that this one depends on."),
        (".earlier.TURN", "text", "The right letters of that turn."),
        (".matrix", "list, null", "The cells that were read from a drawing of cubes; null if none were."),
        (".matrix[]", "any value", "One row of cells."),
        (".message", "text", "What reading the drawing says."),
        (".rule", "text", 'How the drawing was read: "official" or "robust".'),
    )
    return tuple(Field(f"{place}{key}", kind, meaning) for key, kind, meaning in said)


def _part(place: str, what: str, kind: str = "mapping") -> tuple[Field, ...]:
    return (
        Field(place, kind, f"{what}, as one of the two keys below."),
        Field(f"{place}.text", "text", "A text."),
        Field(f"{place}.image", "text", "An image: the SHA-256 of its file, images/<sha256>.png."),
    )


def _response(place: str) -> tuple[Field, ...]:
    """Return the fields of a response at a place. A candidate is itself a response, of the layer below."""
    return (
        Field(f"{place}.strategy", "text", "The layer that answered."),
        *_part(f"{place}.output", "The answer; null if the model refused", "mapping, null"),
        Field(f"{place}.finish", "text", 'How it ended: "stop", "length" (cut off) or "refused".'),
        Field(f"{place}.reason", "text", "What the provider says of a refusal."),
        Field(f"{place}.source", "text", "The provider's names of the model that answered and of the reply."),
        Field(f"{place}.plan", "text", "The plan that Chain-of-Thought wrote before the answer."),
        Field(f"{place}.thought", "text", "The model's own text before the answer."),
        Field(
            f"{place}.note", "text", "How the layer ended, if not as usual, e.g. at the end of its budget."
        ),
        Field(f"{place}.chosen", "whole number", "Which of `candidates` became the answer; counts from 0."),
        Field(f"{place}.verdict", "mapping", "What the layer's judge says of this response."),
        Field(f"{place}.verdict.status", "text", '"ok", or "unparsable": the judge could not be read.'),
        Field(f"{place}.verdict.judge", "text", "The judge."),
        Field(f"{place}.verdict.kind", "text", 'What the score is: "probability", "reward" or "rank".'),
        Field(f"{place}.verdict.score", "number, null", "The judge's score; null if it could not be read."),
        Field(f"{place}.verdict.failed", "list", "Points of the checklist that the judge found not met."),
        Field(f"{place}.verdict.failed[]", "text", "One point, as the next attempt is told of it."),
        Field(f"{place}.verdict.detail", "text", "How the verdict came about, e.g. P(yes) of each point."),
        Field(f"{place}.score", "number", "The scorer's score of this response, in [0, 1]."),
        *_score_detail(f"{place}.score_detail"),
    )


RECORD_FIELDS: Final = (
    Field("run", "text", "The name of the run's folder."),
    Field("arm", "text", "What the run is, apart from history, seed and dialogues: label and hash."),
    Field("strategy", "text", "The label of the strategy, outermost layer first."),
    Field("oracle", "true or false", "Whether a layer's judge is the scorer itself."),
    Field("seed", "whole number", "The random seed of the run."),
    Field("history", "text", f"Whose outputs earlier turns show: {', '.join(HISTORIES)}."),
    Field("history_from", "text, null", "Identity of the run whose outputs a swapped history shows."),
    Field("benchmark", "text", "Identity of the benchmark's data."),
    Field("models", "mapping", "The models that may be asked."),
    Field("models.ROLE", "text", "Identity of the model in a role, or of the model that a judge brings."),
    Field("class", "text", "Class of the dialogue."),
    Field("domain", "text", "Domain of the dialogue."),
    Field("task", "text", "Task of the dialogue."),
    Field("sample_id", "text", "Id of the dialogue within its domain and task."),
    Field("turn", "whole number", "Number of the turn, from 1."),
    Field("n_turns", "whole number", "Turns of the dialogue."),
    Field("modality", "text", 'What the turn asks for: "text" or "image".'),
    Field("outcome", "text", f"How the turn ended: {', '.join(OUTCOMES)}."),
    Field("score", "number, null", "Score of the answer in [0, 1]; null unless the outcome is `scored`."),
    *_score_detail("score_detail"),
    Field("error", "text, null", "Why there is no score, if a call failed or the model refused."),
    Field("nfe", "whole number", "Network evaluations of images, of generator and judge together."),
    Field("new_tokens", "whole number", "Generated tokens, of generator and judge together."),
    Field("images", "whole number", "Generated images, of generator and judge together."),
    Field("calls", "whole number", "Calls of models, of generator and judge together."),
    Field("seconds", "number", "Seconds in the models, of generator and judge together."),
    Field("num_candidates", "whole number", "Candidates of the outermost layer; 0 if there is no answer."),
    Field("cost", "mapping", "What the turn cost, journaled calls included."),
    *_cost("cost.PAYER", "Of `generator`, `judge` or `scorer`; scoring is no cost of answering."),
    Field("input", "list", "What the user said in this turn."),
    *_part("input[]", "A part of it"),
    *_part("reference", "The reference output; null where the benchmark has none", "mapping, null"),
    Field("response", "mapping, null", "The answer and what was considered; null after a failure."),
    *_response("response"),
    Field("response.candidates", "list", "What the layer considered, in the order of seeds."),
    Field("response.candidates[]", "mapping", "A response with the same fields, candidates included."),
)
"""Of a record, one line of `turns.jsonl`, as `imug_tts.records.read_turns` gives it."""

MANIFEST_FIELDS: Final = (
    *(field for field in RECORD_FIELDS if field.place in {"run", "arm", "strategy", "oracle", "seed"}),
    *(field for field in RECORD_FIELDS if field.place.startswith(("history", "benchmark", "models"))),
    Field("backbone", "text", "Identity of the model under test."),
    Field("judges", "list", "The judges inside the strategy."),
    Field("judges[]", "mapping", "One judge."),
    Field("judges[].place", "text", "Where it stands in the strategy."),
    Field("judges[].layer", "text", "The layer that asks it."),
    Field("judges[].use", "text", '"selects" or "verifies".'),
    Field("judges[].judge", "text", "Its name."),
    Field("judges[].kind", "text", 'What its scores are: "probability", "reward" or "rank".'),
    Field("judges[].identity", "text", "Hash of its knobs and models."),
    Field("judges[].models", "mapping", "The models that it asks."),
    Field("judges[].models.ROLE", "text", "Identity of one of them."),
    Field("caveats", "mapping", "What a reader must know of each model, by its identity."),
    Field("caveats.MODEL", "list", "The sentences for one model."),
    Field("caveats.MODEL[]", "text", "One sentence; the tables repeat it."),
    Field("training", "mapping", "What the training of each model has cost, by its identity."),
    Field("training.MODEL", "any value", "Method, start, seeds, steps, trained token positions and seconds."),
    Field("probes", "mapping", "What probing the servers of a model found, by the model's role."),
    Field("probes.ROLE", "any value", "The findings for one model."),
    Field("identity", "any value", "The configuration that makes the run this run; its hash ends the name."),
    Field("arm_identity", "any value", "The same without history, seed and dialogues; `arm` has its hash."),
    Field("selection", "any value", "The knobs that pick dialogues, if they are not at their defaults."),
    Field("versions", "mapping", "Versions of Python, our packages and those of the components."),
    Field("versions.PACKAGE", "text, null", "The version of one of them."),
    Field("earlier_versions", "list", "Where a run was continued under other versions: the earlier ones."),
    Field("earlier_versions[]", "mapping", "The versions of an earlier invocation, as in `versions`."),
    Field("earlier_versions[].PACKAGE", "text, null", "The version of one package."),
    Field("planned", "list", "The dialogues that the run is to answer, in order."),
    Field("planned[]", "mapping", "One dialogue."),
    Field("planned[].sample_id", "text", "Its id within its domain and task."),
    Field("planned[].class", "text", "Its class."),
    Field("planned[].domain", "text", "Its domain."),
    Field("planned[].task", "text", "Its task."),
    Field("planned[].modalities", "list", "What its turns ask for, in order."),
    Field("planned[].modalities[]", "text", '"text" or "image".'),
    Field("digest", "text", "Hash of all other fields: a manifest that was changed by hand is refused."),
)
"""Of `manifest.json`: what the run is. It is written before the first call and never changed."""

SUMMARY_FIELDS: Final = (
    Field("planned", "whole number", "Turns of the run."),
    Field("scored", "whole number", "Turns that have a score."),
    Field("missing", "whole number", "Turns that the same command would try again or has not reached."),
    Field("unasked", "whole number", "Turns after a refused turn that need its answer; never asked."),
    Field("outcomes", "mapping", "Turns by outcome."),
    Field("outcomes.OUTCOME", "whole number", "Turns with one outcome."),
    Field("failures", "mapping", "Turns without a score, by the reason."),
    Field("failures.REASON", "whole number", "Turns with one reason; similar reasons are counted together."),
    Field("scores", "mapping", "Mean scores."),
    Field("scores.MODALITY", "number", "Mean over the scored turns of `image` or `text`, in [0, 1]."),
    Field("verdicts", "mapping", "Verdicts of the judges inside the strategy."),
    Field("verdicts.read", "whole number", "Verdicts that could be read."),
    Field("verdicts.unread", "whole number", "Verdicts that could not be read; they ranked nothing."),
    Field("candidate_pools", "mapping", "Choices of a layer among two candidate images or more."),
    Field("candidate_pools.all", "whole number", "All of them."),
    Field("candidate_pools.identical", "whole number", "Those in which all images are the same image."),
    *_cost("intrinsic", "What the records cost, journaled calls included."),
    Field("last_start", "mapping", "The last invocation."),
    *_cost("last_start.spent", "What it really asked of the models; the rest came from the journal."),
    Field("last_start.seconds", "number", "Its seconds from the first dialogue to the last."),
)
"""Fields of `summary.json`: the state of the run. It is written again whenever a process leaves the run."""

FILES: Final[Mapping[str, tuple[Field, ...]]] = {
    "turns.jsonl": RECORD_FIELDS,
    "manifest.json": MANIFEST_FIELDS,
    "summary.json": SUMMARY_FIELDS,
}

_CANDIDATE: Final = re.compile(r"(\.candidates\[\])+(?=\.)")
_TYPES: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    list: "list",
    dict: "mapping",
    type(None): "null",
}


def undeclared(value: Mapping[str, Any], fields: Sequence[Field]) -> list[str]:
    """Return the places of a file that are not declared or have another type, e.g. "response.plan: list"."""
    return sorted(set(_undeclared(value, "", tuple(fields))))


def _undeclared(value: Any, place: str, fields: tuple[Field, ...]) -> Iterator[str]:
    for key, item in _inside(value):
        inner = f"{place}{key}".lstrip(".")
        allowed = _types_at(_CANDIDATE.sub("", inner), fields)
        kind = _TYPES[type(item)]
        if "any value" in allowed:
            continue
        if kind not in allowed and not (kind == "whole number" and "number" in allowed):
            yield f"{inner}: {kind}"
        yield from _undeclared(item, inner, fields)


@cache
def _types_at(place: str, fields: tuple[Field, ...]) -> list[str]:
    """Return the types that the longest matching declaration allows at a place; none if no declaration
    matches.
    """
    fitting = [field for field in fields if _is_at(field.place, place)]
    return max(fitting, key=lambda field: len(field.place)).type.split(", ") if fitting else []


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f".{key}", item) for key, item in value.items())
    elif isinstance(value, list):
        yield from (("[]", item) for item in value)


def _is_at(declared: str, seen: str) -> bool:
    """Return whether a declaration matches a place. A key in capitals matches any key, including its dots."""
    pattern = re.sub(r"(?<![A-Za-z_])[A-Z]+(?![A-Za-z_])", "\0", declared)
    return re.fullmatch(re.escape(pattern).replace("\0", ".+"), seen) is not None
