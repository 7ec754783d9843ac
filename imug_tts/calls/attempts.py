"""Asking a backbone so that one bad request fails alone, and nothing wrong gets into the journal."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace

from imug_tts.calls.devices import DEVICES, Place
from imug_tts.calls.memory import is_out_of_memory
from imug_tts.contracts import Backbone, BackboneError, Candidate, Request
from imug_tts.dialogue import Image
from imug_tts.images import BrokenImage, check_image

__all__ = ["attempt", "check_candidate"]


def attempt(
    backbone: Backbone, requests: Sequence[Request], place: Place | None = None
) -> list[Candidate | BackboneError]:
    """One result for each seed of each request, in order.

    After any exception the batch is halved, and a request of several seeds too, until what fails stands
    alone. A batch that needs more memory than there is therefore passes in pieces; before that it is tried
    again with the other models on its device unloaded.

    Args:
        place: where the devices of the backbone are borrowed; by default those of this process.
    """
    place = place or DEVICES.place(backbone)
    made = _generate(backbone, requests, place)
    if is_out_of_memory(_error(made)) and place.has_company():
        made = _generate(backbone, requests, place, alone=True)
    if isinstance(made, Exception):
        halves = _halves(requests)
        if halves is None:
            return [_as_backbone_error(made, place)]
        return [result for half in halves for result in attempt(backbone, half, place)]
    return [
        _checked(request, candidate)
        for request, candidates in zip(requests, made, strict=True)
        for candidate in candidates
    ]


def _generate(
    backbone: Backbone, requests: Sequence[Request], place: Place, *, alone: bool = False
) -> list[list[Candidate]] | Exception:
    """What the backbone gives, or the exception that it raises."""
    try:
        with place.borrow(sum(len(request.seeds) for request in requests), alone=alone):
            made = backbone.generate(requests)
        _check_counts(requests, made)
        return made
    except Exception as error:  # whatever a model raises is a failed call
        failure = error
    if is_out_of_memory(failure):
        _let_go(failure)
        place.give_back_caches()
    return failure


def _let_go(error: BaseException | None) -> None:
    """Drop the variables that a traceback holds: tensors among them would keep their memory."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _error(made: list[list[Candidate]] | Exception) -> Exception | None:
    return made if isinstance(made, Exception) else None


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


def _as_backbone_error(error: Exception, place: Place) -> BackboneError:
    shortage = place.shortage() if is_out_of_memory(error) else ""
    if isinstance(error, BackboneError) and not shortage:
        return error
    said = str(error) if isinstance(error, BackboneError) else f"{type(error).__name__}: {error}"
    failure = BackboneError("; ".join(filter(None, [said, shortage])))
    failure.__cause__ = error
    return failure
