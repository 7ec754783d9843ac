"""Drawings of 3x3 grids with known truth, in many styles."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Manner", "draw", "random_drawing", "rows"]

Colour = tuple[int, int, int]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a grid is drawn. Lengths are in pixels, angles in degrees."""

    size: int = 400
    margin: float = 0.07
    """Share of `size` around the grid."""
    line: int = 4
    gap: int = 0
    """Between cells; their outlines lie half outside of them."""
    frame: int = 0
    """Thickness of a frame around all nine places."""
    guide: int = 0
    """Thickness of lines that rule all nine places, beneath the cells."""
    caption: Literal["right", "below"] | None = None
    angle: float = 0
    smooth: int = 1
    """Drawn so many times larger and scaled down, for soft edges."""
    jpeg: int | None = None
    noise: float = 0
    stretch: float = 1
    page_size: tuple[int, int] | None = None
    """Width and height of a page on which the picture is put; None for the picture itself."""
    place: tuple[float, float] = (0.5, 0.5)
    """Where on it: (0, 0) is the upper left corner, (1, 1) the lower right one."""
    ink: Colour = (0, 0, 0)
    page: Colour = (255, 255, 255)
    red: Colour = (220, 30, 30)
    green: Colour = (40, 170, 60)
    inset: float = 0
    """Share of a cell between its outline and its colour, on each side."""
    disk: bool = False
    """Colours are disks and not squares."""
    breaks: int = 0
    """Length of a break in each cell's upper side."""


def rows(matrix: str) -> list[list[str]]:
    """A matrix from its short form, e.g. "1rg/g1r/rg1"."""
    return [list(row) for row in matrix.split("/")]


def random_drawing(seed: int) -> tuple[str, Manner]:
    """A matrix that is not empty, and up to three ways in which its drawing is not plain."""
    draws = random.Random(seed)
    share = draws.choice([1, 1, 0.8, 0.6, 0.4])
    cells = [draws.choice("1rg") if draws.random() < share else "0" for _ in range(9)]
    if set(cells) == {"0"}:
        cells[draws.randrange(9)] = "r"
    size = draws.choice([200, 300, 400, 600])
    plain = {
        "size": size,
        "margin": draws.choice([0.02, 0.05, 0.1, 0.2]),
        "line": draws.choice([2, 3, 4, 6, 8, 10]),
    }
    oddities: dict[str, Any] = {}
    for odd in draws.sample(["page_size", "colours", "angle", *_CHOICES], draws.choice([0, 1, 2, 3])):
        oddities |= _oddity(draws, odd, size)
    if "angle" in oddities:
        plain["margin"] = max(0.1, plain["margin"])  # the corners stay on the page
    if "page_size" in oddities:
        oddities.pop("stretch", None)
    matrix = "/".join("".join(cells[row : row + 3]) for row in (0, 3, 6))
    return matrix, Manner(**plain | oddities)


def _oddity(draws: random.Random, odd: str, size: int) -> dict[str, Any]:
    if odd == "page_size":  # larger than the picture, which is anywhere on it
        page_size = round(size * draws.uniform(1, 2.5)), round(size * draws.uniform(1, 2.5))
        return {"page_size": page_size, "place": (draws.random(), draws.random())}
    if odd == "colours":
        pairs = [((255, 0, 0), (0, 255, 0)), ((180, 0, 0), (0, 120, 0)), ((255, 120, 120), (120, 220, 120))]
        red, green = draws.choice(pairs)
        return {"red": red, "green": green}
    return {odd: draws.uniform(-8, 8) if odd == "angle" else draws.choice(_CHOICES[odd])}


_CHOICES: dict[str, list[Any]] = {
    "gap": [5, 10],
    "jpeg": [20, 50, 75, 90],
    "noise": [5, 10, 15, 25],
    "stretch": [0.5, 0.7, 1.3, 1.6, 2, 2.5],
    "page": [(240, 240, 240), (200, 200, 200), (255, 255, 220), (220, 235, 255)],
    "ink": [(60, 60, 60), (0, 0, 120), (80, 40, 0), (120, 120, 120)],
    "smooth": [2],
}


def draw(matrix: str, manner: Manner) -> Pixels:
    """RGB pixels of shape (h, w, 3)."""
    image = _grid(rows(matrix), manner)
    if manner.angle:
        image = image.rotate(manner.angle, Image.Resampling.BICUBIC, fillcolor=manner.page)
    image = image.resize((round(manner.size * manner.stretch), manner.size), Image.Resampling.LANCZOS)
    return _worn(_on_page(_captioned(image, manner), manner), manner)


def _grid(matrix: list[list[str]], m: Manner) -> Image.Image:
    side = m.size * m.smooth
    image = Image.new("RGB", (side, side), m.page)
    pen = ImageDraw.Draw(image)
    start, cell = m.margin * side, (1 - 2 * m.margin) * side / 3
    if m.guide:
        for place in (start + i * cell for i in range(4)):
            pen.line((start, place, side - start, place), m.ink, m.guide * m.smooth)
            pen.line((place, start, place, side - start), m.ink, m.guide * m.smooth)
    if m.frame:
        _rectangle(pen, (start, start, side - start, side - start), None, m.ink, m.frame * m.smooth)
    for row in range(3):
        for column in range(3):
            if matrix[row][column] != "0":
                _cell(pen, matrix[row][column], start + column * cell, start + row * cell, cell, m)
    return image


def _cell(pen: ImageDraw.ImageDraw, kind: str, left: float, top: float, side: float, m: Manner) -> None:
    line, shrink = m.line * m.smooth, m.gap * m.smooth / 2
    fill = {"r": m.red, "g": m.green}.get(kind)
    box = (left + shrink, top + shrink, left + side - shrink, top + side - shrink)
    filled = m.inset == 0 and not m.disk
    _rectangle(pen, box, fill if filled else None, m.ink, line)
    if fill and not filled:
        inner = (
            box[0] + m.inset * side,
            box[1] + m.inset * side,
            box[2] - m.inset * side,
            box[3] - m.inset * side,
        )
        (pen.ellipse if m.disk else pen.rectangle)(inner, fill)
    if m.breaks:
        middle = left + side / 2
        pen.rectangle((middle, box[1] - line, middle + m.breaks * m.smooth - 1, box[1] + line), m.page)


def _rectangle(
    pen: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    fill: Colour | None,
    ink: Colour,
    line: int,
) -> None:
    """A rectangle whose outline lies astride the box."""
    left, top, right, bottom = box
    half = line / 2
    pen.rectangle(
        (round(left - half), round(top - half), round(right + half), round(bottom + half)), fill, ink, line
    )


def _captioned(image: Image.Image, m: Manner) -> Image.Image:
    if m.caption is None:
        return image
    right = m.caption == "right"
    page = Image.new("RGB", (m.size * 3 // 2, m.size) if right else (m.size, m.size * 4 // 3), m.page)
    page.paste(image)
    place = (m.size * 1.02, m.size * 0.4) if right else (m.size * 0.2, m.size * 1.08)
    ImageDraw.Draw(page).text(place, "Grid 3x3, BOD 80", m.ink, ImageFont.load_default(m.size * 0.06))
    return page


def _on_page(image: Image.Image, m: Manner) -> Image.Image:
    if m.page_size is None:
        return image
    page = Image.new("RGB", m.page_size, m.page)
    left, top = (
        round(at * (whole - own)) for at, whole, own in zip(m.place, page.size, image.size, strict=True)
    )
    page.paste(image, (left, top))
    return page


def _worn(image: Image.Image, m: Manner) -> Pixels:
    """After noise and compression."""
    if m.noise:
        noise = np.random.default_rng(0).normal(0, m.noise, (*image.size[::-1], 3))
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    if m.jpeg is not None:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=m.jpeg)
        image = Image.open(buffer).convert("RGB")
    return np.array(image, np.uint8)
