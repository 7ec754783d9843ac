"""Asking a backbone so that one bad request fails alone, and nothing wrong gets into the journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from imug_tts.contracts import Backbone, BackboneError, Candidate, Request
from imug_tts.dialogue import Image
from imug_tts.images import BrokenImage, check_image

__all__ = ["attempt", "check_candidate"]


def attempt(backbone: Backbone, requests: Sequence[Request]) -> list[Candidate | BackboneError]:
    """One result for each seed of each request, in order.

    After any exception the batch is halved, and a request of several seeds too, until what fails stands
    alone. A batch that needs more memory than there is therefore passes in pieces.
    """
    try:
        made = backbone.generate(requests)
        _check_counts(requests, made)
    except Exception as error:  # whatever a model raises is a failed call
        halves = _halves(requests)
        if halves is None:
            return [_as_backbone_error(error)]
        return [result for half in halves for result in attempt(backbone, half)]
    return [
        _checked(request, candidate)
        for request, candidates in zip(requests, made, strict=True)
        for candidate in candidates
    ]


def check_candidate(request: Request, candidate: Candidate) -> None:
    """Raises BackboneError where a candidate is no answer to the request: another modality, or no image."""
    output = candidate.output
    if output is None:
        if candidate.finish != "refused":
            raise BackboneError("the model gave no output, and no refusal")
        return
    if output.modality != request.modality:
        raise BackboneError(f"the model was asked for {request.modality} and gave {output.modality}")
    if isinstance(output, Image):
        _check_image(output)
    if request.form == "reward" and candidate.reward is None:
        raise BackboneError("the model was asked for a reward and gave none")


def _check_counts(requests: Sequence[Request], made: Sequence[Sequence[Candidate]]) -> None:
    counts, wanted = [len(candidates) for candidates in made], [len(request.seeds) for request in requests]
    if counts != wanted:
        raise BackboneError(f"generate() gave {counts} candidates for requests of {wanted} seeds")


def _halves(requests: Sequence[Request]) -> Iterator[Sequence[Request]] | None:
    """The batch in two; None for one request of one seed."""
    if len(requests) > 1:
        half = len(requests) // 2
        return iter((requests[:half], requests[half:]))
    [request] = requests
    if len(request.seeds) > 1:
        half = len(request.seeds) // 2
        pieces = (request.seeds[:half], request.seeds[half:])
        return iter([[replace(request, seeds=seeds)] for seeds in pieces])
    return None


def _checked(request: Request, candidate: Candidate) -> Candidate | BackboneError:
    try:
        check_candidate(request, candidate)
    except BackboneError as error:
        return error
    return candidate


def _check_image(image: Image) -> None:
    if image.is_whole:
        return
    try:
        check_image(image.read())
    except (BrokenImage, OSError) as error:
        raise BackboneError(f"the model gave an image that {error}") from error


def _as_backbone_error(error: Exception) -> BackboneError:
    if isinstance(error, BackboneError):
        return error
    failure = BackboneError(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
