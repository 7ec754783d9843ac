"""A sample of a run's dialogues, the same in every run, as table rows and image panels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from imug_tts.contracts import PlannedRun, Record

__all__ = ["COLUMNS", "SampledDialogues"]

COLUMNS: Final = (
    *("class", "sample", "turn", "request", "place", "strategy", "chosen", "image", "text", "score"),
    *("verdict", "verdict_score", "judge", "verdict_detail", "reference_image", "reference_text"),
)
_LONGEST_TEXT: Final = 2000

Key = tuple[str, str, str]
"""Class, task and id of a dialogue."""


class SampledDialogues:
    """Keeps the dialogues with the smallest name digests: a sample that is independent of event order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[str, list[Record]] = {}
        """Records by the digest of their dialogue's name."""

    def take(self, record: Record) -> None:
        """Keep a record if its dialogue is in the sample."""
        name = "/".join((record["class"], record["task"], record["sample_id"]))
        digest = hashlib.sha256(name.encode()).hexdigest()
        self._kept.setdefault(digest, []).append(record)
        if len(self._kept) > self._most:
            del self._kept[max(self._kept)]

    def rows(self, run: PlannedRun) -> list[list[Any]]:
        """Return a table row for each answer and each candidate; images are given as {"image": path}."""
        return [_row(run, record, node) for record in self._records() for node in _nodes(record)]

    def panels(self, run: PlannedRun) -> dict[str, list[dict[str, str]]]:
        """Return the captioned images of each dialogue in order, by panel name."""
        panels: dict[str, list[dict[str, str]]] = {}
        for record in self._records():
            images = [_captioned(run, record, node) for node in _nodes(record) if node.image is not None]
            if images:
                sample = record["sample_id"].replace("/", "_")  # wandb would turn slashes into folders
                panels.setdefault(f"dialogues/{record['class']}/{sample}", []).extend(images)
        return panels

    def _records(self) -> Iterator[Record]:
        for digest in sorted(self._kept):
            yield from sorted(self._kept[digest], key=lambda record: record["turn"])


class _Node(NamedTuple):
    """A response in the tree of a record."""

    place: str
    """"answer", or "candidate 0.1" for the second candidate of the first."""
    chosen: bool
    response: Mapping[str, Any]

    @property
    def output(self) -> Mapping[str, str]:
        return self.response["output"] or {}

    @property
    def image(self) -> str | None:
        """The SHA-256 of the output image; None for text."""
        return self.output.get("image")


def _nodes(record: Record) -> Iterator[_Node]:
    if record["response"] is not None:
        yield _Node("answer", True, record["response"])
        yield from _candidates(record["response"], "")


def _candidates(response: Mapping[str, Any], above: str) -> Iterator[_Node]:
    for number, candidate in enumerate(response.get("candidates", ())):
        place = f"{above}{number}"
        yield _Node(f"candidate {place}", number == response.get("chosen"), candidate)
        yield from _candidates(candidate, f"{place}.")


def _row(run: PlannedRun, record: Record, node: _Node) -> list[Any]:
    verdict, reference = node.response.get("verdict") or {}, record["reference"] or {}
    request = "\n".join(part.get("text", "(an image)") for part in record["input"])
    return [
        *(record["class"], record["sample_id"], record["turn"], request[:_LONGEST_TEXT], node.place),
        *(node.response["strategy"], node.chosen, _image(run, node.image), _text(node.output)),
        *(node.response.get("score"), verdict.get("status"), verdict.get("score"), verdict.get("judge")),
        *(verdict.get("detail"), _image(run, reference.get("image")), _text(reference)),
    ]


def _captioned(run: PlannedRun, record: Record, node: _Node) -> dict[str, str]:
    verdict = node.response.get("verdict") or {}
    facts = [f"turn {record['turn']}", node.place]
    facts += ["chosen"] if node.chosen and node.place != "answer" else []
    facts += [f"score {node.response['score']:.2f}"] if node.response.get("score") is not None else []
    facts += [f"verdict {verdict['status']}"] if verdict else []
    facts += [f"judged {verdict['score']:.2f}"] if verdict.get("score") is not None else []
    return {"image": str(run.image(str(node.image)).resolve()), "caption": ", ".join(facts)}


def _image(run: PlannedRun, sha256: str | None) -> dict[str, str] | None:
    return None if sha256 is None else {"image": str(run.image(sha256).resolve())}


def _text(output: Mapping[str, str]) -> str | None:
    return output["text"][:_LONGEST_TEXT] if "text" in output else None
