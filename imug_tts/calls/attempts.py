"""Calls a backbone so that a failing request fails alone, and checks candidates before they are journaled."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace

from imug_tts.calls.devices import DEVICES, DeviceClaim
from imug_tts.calls.memory import is_out_of_memory
from imug_tts.contracts import Backbone, BackboneError, Candidate, Request
from imug_tts.dialogue import Image
from imug_tts.images import BrokenImage, check_image

__all__ = ["attempt", "check_candidate"]


def attempt(
    backbone: Backbone, requests: Sequence[Request], claim: DeviceClaim | None = None
) -> list[Candidate | BackboneError]:
    """Call the backbone; return one candidate or error for each seed of each request, in order.

    After an exception the batch is halved, and so is a request of several seeds, until the failing request
    and seed are alone. A batch that runs out of memory thus succeeds in smaller batches. Before it is halved,
    it is retried with the other models on its devices unloaded. The model's caches are dropped, and one
    seed that ran out of memory alone is retried without them.

    Args:
        claim: reserves the devices of the backbone; by default a new claim on this process's devices.
    """
    claim = claim or DEVICES.claim(backbone)
    made, halves = _generate(backbone, requests, claim), _halves(requests)
    if is_out_of_memory(_error(made)):
        dropped = claim.drop_caches()
        if claim.shares_devices() or (dropped and halves is None):
            made = _generate(backbone, requests, claim, alone=True)
    if isinstance(made, Exception):
        if halves is None:
            return [_as_backbone_error(made, claim)]
        return [result for half in halves for result in attempt(backbone, half, claim)]
    return [
        _checked(request, candidate)
        for request, candidates in zip(requests, made, strict=True)
        for candidate in candidates
    ]


def _generate(
    backbone: Backbone, requests: Sequence[Request], claim: DeviceClaim, *, alone: bool = False
) -> list[list[Candidate]] | Exception:
    """Call the backbone once; return its candidates, or the exception that it raised."""
    try:
        with claim.reserve(sum(len(request.seeds) for request in requests), alone=alone):
            made = backbone.generate(requests)
        _check_counts(requests, made)
        return made
    except Exception as error:  # a model may raise anything; each exception is a failed call
        failure = error
    if is_out_of_memory(failure):
        _clear_frames(failure)
        claim.free_caches()
    return failure


def _clear_frames(error: BaseException | None) -> None:
    """Drop the local variables of a traceback: tensors among them would keep their memory allocated."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _error(made: list[list[Candidate]] | Exception) -> Exception | None:
    return made if isinstance(made, Exception) else None


def check_candidate(request: Request, candidate: Candidate) -> None:
    """Check that a candidate answers its request.

    Raises:
        BackboneError: it has no output though the model did not refuse, another modality, a broken image, or
            no reward where one was requested.
    """
    output = candidate.output
    if output is None:
        if candidate.finish != "refused":
            raise BackboneError("the model returned neither an output nor a refusal")
        return
    if output.modality != request.modality:
        raise BackboneError(f"the model was asked for {request.modality} and returned {output.modality}")
    if isinstance(output, Image):
        _check_image(output)
    if request.form == "reward" and candidate.reward is None:
        raise BackboneError("the model was asked for a reward and returned none")


def _check_counts(requests: Sequence[Request], made: Sequence[Sequence[Candidate]]) -> None:
    counts, wanted = [len(candidates) for candidates in made], [len(request.seeds) for request in requests]
    if counts != wanted:
        raise BackboneError(f"generate() returned {counts} candidates for requests of {wanted} seeds")


def _halves(requests: Sequence[Request]) -> Iterator[Sequence[Request]] | None:
    """Return the batch in two halves; None for one request of one seed, which cannot be halved."""
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
        raise BackboneError(f"the model returned an image that {error}") from error


def _as_backbone_error(error: Exception, claim: DeviceClaim) -> BackboneError:
    shortage = claim.shortage() if is_out_of_memory(error) else ""
    if isinstance(error, BackboneError) and not shortage:
        return error
    said = str(error) if isinstance(error, BackboneError) else f"{type(error).__name__}: {error}"
    failure = BackboneError("; ".join(filter(None, [said, shortage])))
    failure.__cause__ = error
    return failure
