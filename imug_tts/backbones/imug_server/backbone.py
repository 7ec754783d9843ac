"""A backbone behind the official /infer protocol (see `imug_tts.infer_protocol`).

Models that pin packages of their own run in a server of theirs, and this is the client. The engine
asks from as many threads as calls may be in flight; the pool finds each one a server.
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
"""Longer requests are sent image by image, so that many in flight fit into memory."""


@component
class ImugServerBackbone(Fleet):
    """Any model that one server or several offer over /infer.

    The protocol has no limit of tokens, and it does not say which model answers: `model` names it and its
    version, as a part of every call's identity. Without it the URLs stand for it. What the model can do
    (`outputs`, `reads_images`, `draws_from_images`) cannot be asked either. A server may announce at GET
    /health that it reads the seed, and that it answers yes/no questions with P(yes).
    """

    urls: Several[str] = knob(
        "Where the servers are, with or without /infer at the end; all offer the same model.",
        default=("http://127.0.0.1:8000",),
        min_length=1,
        runtime=True,
    )
    model: str | None = knob(
        "Name and version of the model, part of every call's identity; null: the URLs stand for it.",
        default=None,
        named=True,
    )
    # What the model can do tells nothing of an answer that `model` does not tell already.
    outputs: Several[Modality] = knob(
        "What the model outputs.", default=("text", "image"), min_length=1, named=True
    )
    reads_images: bool = knob(
        "Whether it understands images of the history when it answers in text.", default=True, named=True
    )
    draws_from_images: bool = knob(
        "Whether images of the history influence what it draws.", default=True, named=True
    )
    greedy_temperature: float = knob(
        "What is sent for a temperature of 0, by which some servers divide. The default is so low that the "
        "best token all but always wins; servers that take 0 for greedy may be sent 0.",
        default=_GREEDY,
        ge=0,
        named=True,
    )
    send_seed: bool = knob(
        "False for servers that refuse a key which is not in the protocol.", default=True, named=True
    )
    probe: bool = knob(
        "Whether a few small calls to each server show, before the first dialogue, whether seeds, images and "
        "the assistant's words count when it draws.",
        default=False,
        runtime=True,
    )

    route: ClassVar[str] = "infer"

    @property
    def identity(self) -> str:
        """Name and version of the model, or where it is served, and how it is asked if not as usual."""
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
        """What every server announces at GET /health beside the protocol; asked once."""
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
                f"the model was asked for {request.modality}; its knob outputs says {declared}"
            )
        [seed] = request.seeds
        asks_p_yes = request.form == "yes_no" and "p_yes" in self._announced
        body = RequestBody(
            history=request.history,
            modality=request.modality,
            temperature=request.sampling.temperature or self.greedy_temperature,
            seed=seed % 2**31 if self.send_seed else None,  # some servers keep seeds in 32 bits
            yes_no=asks_p_yes,
        )
        sent = b"".join(body) if len(body) <= _LARGE_BYTES else body
        return partial(self._infer, sent, request.modality, asks_p_yes)

    def _infer(self, body: bytes | RequestBody, modality: Modality, asks_p_yes: bool, url: str) -> Candidate:
        """One call to one server."""
        # With its length in the header it is not sent in HTTP chunks, which small servers cannot read.
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
