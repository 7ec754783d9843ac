"""Drawings of 3x3 grids whose truth is known, in many manners."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Manner", "draw", "rows"]

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
