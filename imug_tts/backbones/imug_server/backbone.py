"""A backbone that calls servers with the official /infer protocol (see `imug_tts.infer_protocol`).

Models that pin packages of their own run in a separate server, and this is the client. The engine calls it
from as many threads as calls may be in flight; the pool reserves a server for each call.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import ClassVar, Final

from imug_tts.backbones.fleet import HEALTH_S, Ask, Fleet
from imug_tts.backbones.http import HttpFailure
from imug_tts.backbones.retry import Transient
from imug_tts.contracts import BackboneError, Candidate, Capabilities, Cost, Request
from imug_tts.dialogue import Modality
from imug_tts.infer_protocol import ProtocolError, RequestBody, ResponseError, read_p_yes, read_response
from imug_tts.knobs import Several, component, knob

__all__ = ["ImugServerBackbone"]

_VERSION: Final = "1"
_GREEDY: Final = 0.01
_LARGE_BYTES: Final = 1 << 20
"""Larger requests are sent image by image, so that many requests in flight fit into memory."""


@component
class ImugServerBackbone(Fleet):
    """Any model that one or several servers offer over /infer.

    The protocol has no token limit, and does not state which model answers: the knob `model` names the model
    and its version, as part of every call's identity. Without it the URLs are used. The protocol does not
    state capabilities either, so they are knobs (`outputs`, `reads_images`, `draws_from_images`). At GET
    /health a server may announce that it uses the seed, and that it answers yes/no questions with P(yes).
    """

    urls: Several[str] = knob(
        "URLs of the servers, with or without /infer at the end; all serve the same model.",
        default=("http://127.0.0.1:8000",),
        min_length=1,
        runtime=True,
    )
    model: str | None = knob(
        "Name and version of the model, part of every call's identity; null uses the URLs instead.",
        default=None,
        named=True,
    )
    # Capabilities are not part of the identity of answers: `model` already is.
    outputs: Several[Modality] = knob(
        "Modalities that the model outputs.", default=("text", "image"), min_length=1, named=True
    )
    reads_images: bool = knob(
        "Whether images of the history influence its text answers.", default=True, named=True
    )
    draws_from_images: bool = knob(
        "Whether images of the history influence the images that it draws.", default=True, named=True
    )
    greedy_temperature: float = knob(
        "Temperature to send instead of 0, because some servers divide by it. At the default the most likely "
        "token is almost always sampled. Set 0 for servers that treat 0 as greedy.",
        default=_GREEDY,
        ge=0,
        named=True,
    )
    send_seed: bool = knob(
        "Whether to send the seed; false for servers that reject keys outside of the protocol.",
        default=True,
        named=True,
    )
    probe: bool = knob(
        "Whether to probe each server with a few small calls before the first dialogue, to see if seeds, "
        "images and the assistant's texts influence the images that it draws.",
        default=False,
        runtime=True,
    )

    route: ClassVar[str] = "infer"

    @property
    def identity(self) -> str:
        """Name and version of the model (or the URLs), and the call options that differ from their
        defaults.
        """
        greedy = "" if self.greedy_temperature == _GREEDY else f":greedy={self.greedy_temperature:g}"
        unseeded = "" if self.send_seed else ":unseeded"
        return f"imug_server:{_VERSION}:{self.model or '+'.join(sorted(self.urls))}{unseeded}{greedy}"

    @property
    def capabilities(self) -> Capabilities:
        announced = self._announced
        return self.proven(
            Capabilities(
                outputs=frozenset(self.outputs),
                reads_images=self.reads_images,
                draws_from_images=self.draws_from_images,
                seeds="best_effort" if self.send_seed and "seeds" in announced else "none",
                logits="p_yes" in announced,
                max_batch=1,
                concurrent_batches=self._calls_at_once,
            )
        )

    @cached_property
    def _announced(self) -> frozenset[str]:
        """The extensions that every server announces at GET /health; requested once."""
        with ThreadPoolExecutor(len(self.urls)) as threads:
            return frozenset.intersection(*threads.map(self._announced_by, self.urls))

    def _announced_by(self, url: str) -> frozenset[str]:
        try:
            health = json.loads(self._client.send("GET", f"{url}/health", timeout_s=HEALTH_S).body)
        except (HttpFailure, BackboneError, ValueError, RecursionError):
            return frozenset()
        return frozenset(
            key for key in ("seeds", "p_yes") if isinstance(health, dict) and health.get(key) is True
        )

    def _out_of_order(self, url: str) -> str | None:
        return self._says_of_health(url)

    def _prepared(self, request: Request) -> Ask:
        if request.modality not in self.outputs:
            declared = " and ".join(sorted(self.outputs))
            raise BackboneError(
                f"the request is for {request.modality}; the knob outputs declares {declared}"
            )
        [seed] = request.seeds
        asks_p_yes = request.form == "yes_no" and "p_yes" in self._announced
        body = RequestBody(
            history=request.history,
            modality=request.modality,
            temperature=request.sampling.temperature or self.greedy_temperature,
            seed=seed % 2**31 if self.send_seed else None,  # some servers store seeds in 32 bits
            yes_no=asks_p_yes,
        )
        sent = b"".join(body) if len(body) <= _LARGE_BYTES else body
        return partial(self._infer, sent, request.modality, asks_p_yes)

    def _infer(self, body: bytes | RequestBody, modality: Modality, asks_p_yes: bool, url: str) -> Candidate:
        """The candidate of one call to one server. Raises Transient, ServerFailure or BackboneError."""
        # With a Content-Length the body is not sent in HTTP chunks, which small servers cannot read.
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        started = time.perf_counter()
        response = self._post(url, "infer", body, headers)
        if response.status != 200:
            raise self._status_failure(url, response)
        seconds = time.perf_counter() - started
        try:
            output = read_response(response.body, modality)
            p_yes = read_p_yes(response.body) if asks_p_yes else None
        except ProtocolError as error:
            raise Transient(BackboneError(f"{url}: {error}")) from error
        except ResponseError as error:
            raise Transient(BackboneError(f"{url}: the model failed: {error}")) from error
        cost = Cost(images=int(output.modality == "image"), seconds=seconds)
        return Candidate(output=output, p_yes=p_yes, cost=cost)
