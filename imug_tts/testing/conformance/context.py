"""Cases: declared inputs (messages, images, settings) change the output."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from imug_tts.contracts import Request, Scalar
from imug_tts.dialogue import Image, Message
from imug_tts.knobs import Knob, knobs_of
from imug_tts.testing.conformance.subject import Subject, demand, picture
from imug_tts.testing.conformance.values import other_values

__all__ = [
    "context_images_change_the_image",
    "images_change_the_text",
    "images_older_than_declared_change_nothing",
    "prompt_changes_the_output",
    "settings_change_the_output",
    "system_prompt_is_taken",
    "users_images_change_the_image",
]

_TRIED: Final = 3
"""Number of values of a setting to try before a case reports that the setting has no effect."""


def prompt_changes_the_output(subject: Subject) -> list[str]:
    """Case: another user message gives another answer to the same seed."""
    script = subject.script
    messages = {"image": (script.draw, script.draw_other), "text": (script.ask, script.ask_other)}
    for modality in subject.outputs:
        one, other = (subject.request(modality, parts=parts) for parts in messages[modality])
        demand(subject.changes(one, other), f"another prompt gives the same {modality}")
    return _chance(subject)


def _chance(subject: Subject) -> list[str]:
    """The reasons why an observed change may be random; empty if it is conclusive."""
    if subject.seeds != "none":
        return []
    return ["it declares seeds='none', so a change that was seen may be chance"]


def _declared(subject: Subject) -> int:
    """The number of images of a history of four that the model declares to use."""
    declared = subject.backbone.capabilities.context_images
    return 4 if declared is None else min(declared, 4)


def _with_another_image(subject: Subject, position: int) -> tuple[Request, Request]:
    """Two requests whose histories of four drawn images differ in one image, counted from the newest."""
    numbers = [4, 3, 2, 1]
    numbers[-1 - position] += 10
    histories = (subject.drawn(*map(picture, shown)) for shown in ((4, 3, 2, 1), numbers))
    one, other = (subject.request("image", before=history) for history in histories)
    return one, other


def context_images_change_the_image(subject: Subject) -> list[str]:
    """Case: each of the newest `context_images` assistant images changes the drawn image, if declared."""
    if "image" not in subject.outputs:
        return ["it draws no images"]
    if not subject.backbone.capabilities.draws_from_images:
        return _demand_kept(subject, 0, "draws_from_images is False, and an image changes the drawing")
    for position in range(_declared(subject)):
        seen = subject.changes(*_with_another_image(subject, position))
        demand(seen, f"image {position + 1} of the history, from the newest, does not change the drawing")
    return _chance(subject)


def images_older_than_declared_change_nothing(subject: Subject) -> list[str]:
    """Case: images older than the newest `context_images` do not change the drawn image."""
    can = subject.backbone.capabilities
    if "image" not in subject.outputs or not can.draws_from_images:
        return ["it declares to draw from no image of the history"]
    if can.context_images is None:
        return ["it declares that every image of the history counts"]
    if can.context_images > 3:
        return [f"it sees {can.context_images} images, all of a history of four"]
    complaint = f"context_images is {can.context_images}, and an image before those changes the drawing"
    older = range(can.context_images, 4)
    return sorted({reason for position in older for reason in _demand_kept(subject, position, complaint)})


def _demand_kept(subject: Subject, position: int, complaint: str) -> list[str]:
    if subject.seeds == "none":
        return ["it declares seeds='none', so it cannot be seen that an image changes nothing"]
    demand(subject.keeps(*_with_another_image(subject, position)), complaint)
    return []


def users_images_change_the_image(subject: Subject) -> list[str]:
    """Case: an image in the user's message changes the drawn image (editing)."""
    if "image" not in subject.outputs or not subject.backbone.capabilities.draws_from_images:
        return ["it declares to draw from no image of the history"]
    if not subject.script.user_images:
        return ["its users show no images (Script.user_images)"]
    one, other = (subject.request("image", parts=(picture(n), *subject.script.redraw)) for n in (1, 11))
    demand(subject.changes(one, other), "an image in the user's message does not change the drawing")
    return _chance(subject)


def images_change_the_text(subject: Subject) -> list[str]:
    """Case: images of the history change texts if and only if `reads_images` is declared."""
    if "text" not in subject.outputs:
        return ["it writes no text"]
    reads = subject.backbone.capabilities.reads_images
    if not reads and subject.seeds == "none":
        return ["it declares no seeds, so it cannot be seen that images leave its texts alone"]
    seen = _read(subject, picture(1), picture(11))
    words = "does not change its texts" if reads else "changes its texts"
    demand(seen == reads, f"reads_images is {reads}, and an image of the history {words}")
    return _chance(subject)


def _read(subject: Subject, image: Image, other: Image) -> bool:
    one, two = subject.drawn(image), subject.drawn(other)
    if subject.changes(subject.request("text", before=one), subject.request("text", before=two)):
        return True
    checks = (subject.request("text", before=history, form="yes_no") for history in (one, two))
    return subject.changes(*checks)


def system_prompt_is_taken(subject: Subject) -> list[str]:
    """Case: a history that begins with a system message is answered."""
    system = (Message("system", subject.script.ask),)
    for modality in subject.outputs:
        parts = subject.script.draw if modality == "image" else subject.script.ask
        [candidate] = subject.ask(subject.request(modality, parts=parts, before=system))
        demand(candidate.output is not None, f"with a system message it refuses: {candidate.reason}")
    return []


def settings_change_the_output(subject: Subject) -> list[str]:
    """Case: each declared setting of a call changes an image or a text."""
    declared = subject.backbone.settings
    if declared is None:
        return ["it declares no settings of a call"]
    reasons = []
    for knob in knobs_of(declared).values():
        now = subject.settings.get(knob.name, knob.default)
        values = list(islice(dict.fromkeys(other_values(knob, now, subject.others)), _TRIED))
        if not values:
            reasons.append(f"{knob.name}: no other value is known (Subject.others)")
        elif knob.name in subject.unseen:
            _answered(subject, {knob.name: values[0]})
            reasons.append(f"{knob.name}: {subject.unseen[knob.name]}")
        else:
            seen = any(_setting_seen(subject, knob, value) for value in values)
            demand(seen, f"none of {knob.name}={values} changes an image or a text")
    return reasons


def _setting_seen(subject: Subject, knob: Knob, value: Any) -> bool:
    """Return whether the value of a setting changes an answer of any modality.

    Both a history with an image and an empty one are tried, because an image in the history may fix the size.
    """
    sampling = subject.sampling(**{knob.name: value})
    return any(
        subject.changes(
            subject.request(modality, before=before),
            subject.request(modality, before=before, sampling=sampling),
        )
        for before in (subject.drawn(picture(1)), ())
        for modality in subject.outputs
    )


def _answered(subject: Subject, settings: dict[str, Scalar]) -> None:
    for modality in subject.outputs:
        subject.ask(subject.request(modality, sampling=subject.sampling(1.0, **settings)))
