"""Probes of image servers: a few calls that test whether seeds, images and assistant text have any effect.

Some servers accept requests but silently ignore parts of them. Then all candidates are the same image, or the
history has no effect. To detect that, a probe compares the image of one call with the images of calls that
change one thing each: the seed, an image or the text of the history.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from imug_tts.contracts import BackboneError, Cost, Findings, Remote, Request, Sampling
from imug_tts.dialogue import Image, Message, Text
from imug_tts.files import write_atomically
from imug_tts.knobs import knobs_of
from imug_tts.registry import model_identity

__all__ = ["PROBES", "Probed", "probe_models", "probe_server"]

PROBES: Final = "probes.json"
"""Name of the file in the journal's folder that caches findings, by server and model."""

_SAME: Final = 0.25
"""Images count as equal up to this mean difference of pixels (0 to 255), because GPU kernels are not
exact.
"""
_SIDE: Final = 256
_STEPS: Final = 10
"""Denoising steps of a probe, if the model accepts them per call."""


@dataclass(frozen=True, kw_only=True)
class Probed:
    """The findings of the probe of one server."""

    server: str
    findings: Findings
    is_new: bool = True
    """Whether this invocation made the calls; False if the findings were cached."""

    @property
    def cost(self) -> Cost:
        """The cost of the probes in this invocation."""
        return self.findings.cost if self.is_new else Cost()

    @property
    def has_failed(self) -> bool:
        """Whether the server returned no image at all."""
        return self.findings.seed_changes is None

    def __str__(self) -> str:
        answers = {
            "another seed changes the image": self.findings.seed_changes,
            "the same seed repeats the image": self.findings.seed_repeats,
            "the newest image of the history has an effect": self.findings.newest_image,
            "an older image has an effect": self.findings.older_image,
            "the assistant's text has an effect": self.findings.assistant,
        }
        said = "; ".join(f"{what}: {_WORDS[found]}" for what, found in answers.items())
        why = f" ({self.findings.reason})" if self.findings.reason else ""
        dollars = f", ${self.cost.dollars:.2f}" if self.cost.dollars else ""
        paid = f"{self.cost.calls} calls{dollars}" if self.is_new else "cached, no call was made"
        return f"probed {self.server}: {said}{why}; {paid}"


_WORDS: Final = {True: "yes", False: "no", None: "not known"}


def probe_models(models: Sequence[Remote], journal: Path | None) -> list[Probed]:
    """Probe the servers of the models; give each model the worst findings of its servers; return all
    findings.

    If a server does not respond, the model keeps its declared capabilities, and the reason is added to its
    limits.

    Args:
        journal: the folder that caches findings; None for no cache.
    """
    known = _read(journal)
    probed: list[Probed] = []
    for model in {id(model): model for model in models}.values():
        servers = model.to_probe()
        if not servers:
            continue
        found = _probe_servers(servers, known)
        model.learn(_worst([each.findings for each in found]))
        probed += found
    if journal is not None and any(each.is_new and not each.has_failed for each in probed):
        _write(journal, known)
    return probed


def probe_server(server: Remote) -> Findings:
    """Probe one server; return the findings. If a call fails, all findings are undecided, with the reason."""
    away = "; ".join(server.unreachable().values())
    if away:
        return Findings(reason=f"the server cannot be used: {away}")
    prober = _Prober(server)
    try:
        found = _found(prober)
    except (BackboneError, OSError, ValueError) as error:
        found = Findings(reason=f"a call failed: {error}")
    return replace(found, cost=prober.cost)


class _Prober:
    """Requests the images of a probe, and sums up their cost."""

    def __init__(self, server: Remote) -> None:
        self.cost = Cost()
        self._server = server
        settings = knobs_of(server.settings) if server.settings is not None else {}
        self._sampling = Sampling(settings=(("steps", _STEPS),) if "steps" in settings else ())

    def draw(
        self, *, seed: int = 1, older: str = "red", newest: str = "blue", said: str = "a calm sea"
    ) -> Image | None:
        """Return the image generated after a history with two images; None if the model refused."""
        history = (
            Message("user", (Text("Look at this picture, then draw something."), _picture(older))),
            Message("assistant", (Text(f"Here is {said}."), _picture(newest))),
            Message("user", (Text("Draw what you drew last, beside what I showed you."),)),
        )
        request = Request(history=history, modality="image", seeds=(seed,), sampling=self._sampling)
        with self._server.answered(request) as candidate:
            self.cost += candidate.cost
        return candidate.output if isinstance(candidate.output, Image) else None


def _found(prober: _Prober) -> Findings:
    first, again = prober.draw(), prober.draw()
    noise = _difference(first, again)
    others = [_difference(first, prober.draw(seed=2))]
    if noise is None or others[0] is None:
        return Findings(reason="the model refused to draw")
    if others[0] <= _SAME:  # two seeds may agree by chance
        others.append(_difference(first, prober.draw(seed=3)))
    between_seeds = max(other for other in others if other is not None)
    repeats = noise <= _SAME or 4 * noise <= between_seeds
    found = Findings(seed_changes=max(noise, between_seeds) > _SAME, seed_repeats=repeats)
    if not repeats:
        return replace(
            found, reason="equal calls give different images, so effects of the history cannot be measured"
        )
    changes = [prober.draw(newest="green"), prober.draw(older="yellow"), prober.draw(said="a dark wood")]
    counts = [_counts(_difference(first, changed), noise) for changed in changes]
    return replace(found, newest_image=counts[0], older_image=counts[1], assistant=counts[2])


def _counts(difference: float | None, noise: float) -> bool | None:
    return None if difference is None else difference > max(_SAME, 2 * noise)


def _difference(one: Image | None, other: Image | None) -> float | None:
    """Return the mean difference of two images in levels of 255; None if one was refused."""
    if one is None or other is None:
        return None
    first, second = (image.pixels().astype(np.float32) for image in (one, other))
    return float(np.abs(first - second).mean()) if first.shape == second.shape else 255.0


def _picture(colour: str) -> Image:
    """Return an image with a square of one colour on grey."""
    colours = {"red": (220, 40, 40), "blue": (40, 40, 220), "green": (40, 180, 40), "yellow": (230, 220, 40)}
    pixels = np.full((_SIDE, _SIDE, 3), 128, np.uint8)
    pixels[_SIDE // 4 : -_SIDE // 4, _SIDE // 4 : -_SIDE // 4] = colours[colour]
    return Image.from_pixels(pixels)


def _probe_servers(servers: Mapping[str, Remote], known: dict[str, Findings]) -> list[Probed]:
    """Probe all servers concurrently; return all findings, and add the new ones to `known`."""
    unknown = {url: server for url, server in servers.items() if _key(url, server) not in known}
    with ThreadPoolExecutor(max(1, len(unknown))) as threads:
        try:
            made = dict(zip(unknown, threads.map(probe_server, unknown.values()), strict=True))
        except KeyboardInterrupt:
            for server in unknown.values():
                server.interrupt()
            raise
    probed = [
        Probed(
            server=url, findings=made[url] if url in made else known[_key(url, server)], is_new=url in made
        )
        for url, server in servers.items()
    ]
    for each in probed:
        if not each.has_failed:  # the next invocation probes a failed server again
            known[_key(each.server, servers[each.server])] = each.findings
    return probed


def _worst(found: Sequence[Findings]) -> Findings:
    """Combine findings: a property fails if it fails on one server, and is undecided if undecided on one."""

    def worst(name: str) -> bool | None:
        answers = [getattr(each, name) for each in found]
        return False if False in answers else (None if None in answers else True)

    names = ("seed_changes", "seed_repeats", "newest_image", "older_image", "assistant")
    reasons = dict.fromkeys(each.reason for each in found if each.reason)
    cost = sum((each.cost for each in found), Cost())
    return Findings(**{name: worst(name) for name in names}, reason="; ".join(reasons), cost=cost)


def _key(url: str, server: Remote) -> str:
    return f"{url} {model_identity(server)}"


def _read(journal: Path | None) -> dict[str, Findings]:
    """Return the cached findings; none if the file is missing or damaged, because probes are cheap."""
    try:
        stored = json.loads((journal / PROBES).read_bytes()) if journal is not None else {}
        return {key: Findings(**{**found, "cost": Cost(**found["cost"])}) for key, found in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return {}


def _write(journal: Path, known: Mapping[str, Findings]) -> None:
    """Cache the findings. Findings that another process writes at the same time may be lost; the next
    invocation then probes those servers again.
    """
    stored = {key: asdict(found) for key, found in known.items()}
    write_atomically(journal / PROBES, json.dumps(stored, indent=1, sort_keys=True).encode())
