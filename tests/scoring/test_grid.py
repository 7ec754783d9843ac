"""Grid drawings: the official reading, the drawings that only the robust one reads, and the points."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from imug_tts.contracts import JudgeError
from imug_tts.dialogue import MAX_PIXELS, Image
from imug_tts.scoring import grid
from tests.scoring.drawings import Manner, draw, random_drawing, rows

DATA = Path(__file__).parent / "data" / "grid"
CASES: list[dict[str, Any]] = [
    json.loads(line) for line in (DATA / "official.jsonl").read_text().splitlines()
]
FULL = "1rg/g1r/rg1"

READINGS: list[tuple[str, str, Manner, str]] = [
    ("one-pixel lines", FULL, Manner(line=1), "000/000/000"),
    ("one-pixel lines, small", FULL, Manner(line=1, size=96), "000/000/000"),
    ("soft thin lines", FULL, Manner(line=1, smooth=3), "000/000/000"),
    ("grey lines", FULL, Manner(ink=(150, 150, 150), line=2), "000/000/000"),
    ("frame around a lone cell", "000/0r0/000", Manner(frame=4), "111/1r1/111"),
    ("frame around a corner", "000/000/00g", Manner(frame=4), "111/111/11g"),
    ("frame around a row", "1rg/000/000", Manner(frame=4), "1rg/111/111"),
    ("frame around two cells", "000/r00/001", Manner(frame=4, gap=10), "111/r11/111"),
    ("frame of another weight", "010/1r1/0g0", Manner(frame=1), "010/1r1/0g0"),
    ("empty frame", "000/000/000", Manner(frame=4), "111/111/111"),
    ("rotated by 8 degrees", FULL, Manner(angle=8, margin=0.2), "1rg/g1r/rg1"),
    ("rotated by 20 degrees", FULL, Manner(angle=20, margin=0.2), "1rg/g1r/rr1"),
    ("rotated by -30 degrees", "0r0/1g1/010", Manner(angle=-30, margin=0.25), "1rr/1g1/111"),
    ("caption on the right", FULL, Manner(caption="right"), "rg0/gr0/r10"),
    ("caption below", "0r0/1g1/010", Manner(caption="below"), "1r1/1g1/010"),
    ("one cell", "000/0r0/000", Manner(), "rrr/rrr/rrr"),
    ("one cell in a corner", "00g/000/000", Manner(), "ggg/ggg/ggg"),
    ("one column", "0r0/0g0/010", Manner(), "rrr/ggg/111"),
    ("left column", "r00/g00/100", Manner(), "rrr/ggg/111"),
    ("bottom row", "000/000/1rg", Manner(), "1rg/1rg/1rg"),
    ("diagonal", "000/100/00r", Manner(), "100/10r/00r"),
    ("gaps of 8", "000/r00/001", Manner(gap=8), "r00/r01/001"),
    ("gaps of 40", "0r0/001/000", Manner(gap=40), "r10/101/011"),
    ("gaps, thin lines", FULL, Manner(gap=8, line=1), "0r0/00r/r00"),
    ("lines of 16", "000/g10/000", Manner(line=16), "gg1/gg1/gg1"),
    ("lines of 24", FULL, Manner(line=24), "1rg/g1r/rg1"),
    ("jpeg of quality 10", FULL, Manner(jpeg=10), "1rg/g1r/rg1"),
    ("jpeg, thin lines", "rrr/rrr/rrr", Manner(jpeg=40, line=1), "000/000/000"),
    ("pastel colours", FULL, Manner(red=(255, 170, 170), green=(170, 230, 170)), "1r1/11r/r11"),
    ("dark colours", "rrr/0g0/000", Manner(red=(139, 0, 0), green=(0, 100, 0)), "rrr/rrr/0g0"),
    ("broken lines", FULL, Manner(breaks=3), "000/000/000"),
    ("guides beneath", "010/1r1/0g0", Manner(guide=1), "010/1r1/0g0"),
    ("thick guides beneath", "100/r00/00g", Manner(guide=2, line=6), "100/r00/00g"),
    ("noise", "000/0r0/000", Manner(noise=8), "000/0r0/000"),
    ("stretched", "100/r00/g11", Manner(stretch=1.4), "100/r00/g11"),
    ("blue lines", "000/0r1/000", Manner(ink=(0, 0, 200), line=12), "rr1/rr1/rr1"),
    ("grey page", "000/0r1/000", Manner(page=(200, 200, 200)), "rr1/rr1/rr1"),
    ("coloured insets", "000/0r1/000", Manner(inset=0.15), "r11/rr1/r11"),
    ("coloured disks", "000/0r1/000", Manner(inset=0.2, disk=True), "r11/r11/111"),
    ("large", "000/0r1/000", Manner(size=2000, line=8), "rr1/rr1/rr1"),
]
"""What is drawn, its truth, in which manner, and what the official rule takes it for."""


def read(matrix: str, manner: Manner, rule: grid.Rule) -> str:
    found = grid.analyse(draw(matrix, manner), rule).matrix
    return "/".join("".join(row) for row in found or [])


def png(picture: Pillow.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["file"]))
def test_answers_of_the_official_code(case: dict[str, Any]) -> None:
    image = Image.from_bytes((DATA / case["file"]).read_bytes())
    analysis = grid.analyse(grid.decode(image.read()), "official")
    assert (analysis.matrix, analysis.message) == (case["matrix"], case["message"])
    for truth in case["cases"]:
        score = grid.score_grid(image, truth["ground_truth"], truth["point_count"], "official")
        assert [list(pair) for pair in enumerate(score.detail["points"], 1)] == truth["scores"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["file"]))
def test_robust_agrees_where_the_official_rule_is_right(case: dict[str, Any]) -> None:
    pixels = grid.decode((DATA / case["file"]).read_bytes())
    assert grid.analyse(pixels, "robust").matrix == case["drawn"]


@pytest.mark.parametrize(("family", "truth", "manner", "official"), READINGS, ids=[r[0] for r in READINGS])
def test_robust_reads_what_is_drawn(family: str, truth: str, manner: Manner, official: str) -> None:
    assert read(truth, manner, "robust") == truth
    assert read(truth, manner, "official") == official


@pytest.mark.parametrize(
    ("matrix", "manner"),
    [
        ("r00/000/00g", Manner(page_size=(1000, 1000), place=(0.95, 0.1))),
        ("1rg/g1r/rg1", Manner(page_size=(900, 420), place=(0, 0))),
        ("1rg/000/rg1", Manner(size=300, page_size=(1200, 500), place=(1, 1))),
        ("1rg/g1r/rg1", Manner(noise=25)),
        ("1rg/g1r/rg1", Manner(size=300, stretch=2)),
        ("r0g/010/g0r", Manner(size=600, stretch=0.5, line=10)),
        ("1rg/g1r/rg1", Manner(ink=(80, 40, 0), line=3, size=300, margin=0.2)),
        ("11r/110/1r0", Manner(size=400, margin=0.2, line=3, guide=2)),
        ("000/010/000", Manner(size=300, guide=2)),
        ("0gr/010/g01", Manner(size=200, gap=20, guide=2)),
        ("r10/r00/010", Manner(line=8, frame=2)),
        ("11g/g0r/1gg", Manner(size=600, line=6, gap=10, page_size=(900, 1400))),
    ],
)
def test_robust_reads_what_the_official_rule_reads(matrix: str, manner: Manner) -> None:
    assert read(matrix, manner, "official") == matrix
    assert read(matrix, manner, "robust") == matrix


def test_robust_is_never_wrong_where_the_official_rule_is_right() -> None:
    """Over drawings of all manners: it reads them, or says that it cannot."""
    num_right = 0
    for seed in range(250):
        matrix, manner = random_drawing(seed)
        robust = read(matrix, manner, "robust")
        num_right += robust == matrix
        if robust not in (matrix, ""):
            assert read(matrix, manner, "official") != matrix, (seed, robust)
    assert num_right >= 238


def test_robust_does_not_read_a_drawing_of_which_it_misses_cells() -> None:
    pixels = draw("1rg/g10/rg0", Manner())
    round_cell = (np.indices((400, 400)) - 320).__pow__(2).sum(axis=0) < 40**2
    pixels[round_cell] = (220, 30, 30)
    assert grid.analyse(pixels, "robust").matrix is None


def test_a_coloured_page_is_no_missed_cell() -> None:
    assert read("rrr/rrr/rr0", Manner(page=(150, 230, 150)), "robust") == "rrr/rrr/rr0"


def test_robust_cannot_tell_a_closed_hole_from_a_blank_cell() -> None:
    """Nor can a person: a frame closes the corners of this cross to squares like the others."""
    assert read("010/1r1/0g0", Manner(frame=4), "robust") == "111/1r1/1g1"


matrices = st.lists(st.text("01rg", min_size=3, max_size=3), min_size=3, max_size=3)


@st.composite
def drawn_matrices(draw: st.DrawFn) -> str:
    """A matrix with a cube in it: one cell is set last, to something other than blank."""
    cells = list("/".join(draw(matrices)))
    cells[draw(st.sampled_from([at for at, cell in enumerate(cells) if cell != "/"]))] = draw(
        st.sampled_from("1rg")
    )
    return "".join(cells)


@settings(max_examples=40, deadline=None)
@given(
    drawn_matrices(),
    st.builds(
        Manner,
        size=st.integers(240, 600),
        margin=st.just(0.2),
        line=st.integers(1, 6),
        gap=st.integers(12, 20),
        angle=st.floats(-15, 15),
    ),
)
def test_robust_reads_any_matrix_with_gaps(matrix: str, manner: Manner) -> None:
    assert read(matrix, manner, "robust") == matrix


@given(matrices, st.integers(2, 6))
def test_a_drawing_equal_to_the_truth_earns_every_point_that_has_a_rule(matrix: list[str], n: int) -> None:
    assert grid.points(matrix, matrix, n) == ([5, 5, 5, 5] + [0] * n)[:n]


@pytest.mark.parametrize(
    ("detected", "truth", "num_points", "points"),
    [
        (FULL, FULL, 4, [5, 5, 5, 5]),
        (FULL, "1rg/g1r/rgr", 4, [5, 5, 0, 5]),
        (FULL, "1rg/g1r/rgg", 4, [5, 5, 5, 0]),
        (FULL, "1gr/r1g/gr1", 4, [5, 5, 0, 0]),
        (FULL, "0rg/g1r/rg1", 4, [5, 0, 0, 0]),
        (FULL, "1rg/g1r", 4, [5, 0, 0, 0]),
        (FULL, "1r/g1/rg", 4, [5, 0, 0, 0]),
        (FULL, "xrg/gxr/rgx", 4, [5, 5, 5, 5]),
        (FULL, FULL, 1, [5, 5]),
        (FULL, "0rg/g1r/rg1", 1, [5]),
        (None, FULL, 3, [0, 0, 0]),
    ],
)
def test_points(detected: str | None, truth: str, num_points: int, points: list[int]) -> None:
    assert grid.points(None if detected is None else rows(detected), rows(truth), num_points) == points


def test_the_score_is_the_mean_of_its_points_and_says_what_was_read() -> None:
    image = Image.from_pixels(draw(FULL, Manner()))
    score = grid.score_grid(image, rows("1rg/g1r/rgr"), 4, "robust")
    assert score.value == 0.75
    assert score.detail == {"points": [5, 5, 0, 5], "matrix": rows(FULL), "message": "OK", "rule": "robust"}
    assert json.loads(json.dumps(score.detail)) == score.detail


@pytest.mark.parametrize("rule", ["official", "robust"])
@pytest.mark.parametrize("encoded", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_an_unreadable_image_earns_nothing(encoded: bytes, rule: grid.Rule) -> None:
    score = grid.score_grid(Image.from_bytes(encoded), rows(FULL), 3, rule)
    assert (score.value, score.detail["message"]) == (0, "Image read failed")


@pytest.mark.parametrize("rule", ["official", "robust"])
@pytest.mark.parametrize("shape", [(200, 200), (1, 1), (1, 9000), (9000, 1)])
def test_an_empty_page_has_no_grid(shape: tuple[int, int], rule: grid.Rule) -> None:
    page = np.full((*shape, 3), 255, np.uint8)
    assert grid.analyse(page, rule) == grid.Analysis(None, "Grid not found")


def test_robust_refuses_a_grid_of_four_columns() -> None:
    pixels = draw(FULL, Manner(margin=0.01))
    assert grid.analyse(np.concatenate([pixels, pixels], axis=1), "robust").matrix is None


def test_a_drawing_that_is_too_large_is_not_decoded() -> None:
    bomb = png(Pillow.new("1", (8192, MAX_PIXELS // 8192 + 1), 1))
    assert len(bomb) < 2**16
    with pytest.raises(JudgeError, match=rf"8192x\d+ pixels; at most {MAX_PIXELS}"):
        grid.decode(bomb)


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "1", "LA"])
def test_every_kind_of_png_is_decoded_to_rgb(mode: str) -> None:
    pixels = grid.decode(png(Pillow.fromarray(draw("111/111/111", Manner())).convert(mode)))
    assert pixels is not None
    assert pixels.shape == (400, 400, 3)
    assert grid.analyse(pixels, "robust").matrix == rows("111/111/111")


def _on_transparent_page(mode: str) -> Pillow.Image:
    """Cells on a transparent page, with black hidden in it."""
    gray = Pillow.fromarray(draw("101/010/101", Manner())).convert("L")
    if mode == "P":
        flat = Pillow.fromarray(np.asarray(gray))
        flat.putpalette([value for level in range(255) for value in (level,) * 3] + [0, 0, 0])
        flat.info["transparency"] = 255
        return flat
    page = Pillow.new("RGBA", gray.size, (0, 0, 0, 0))
    page.paste(gray.convert("RGBA"), mask=gray.point(lambda value: 255 * (value < 255)))
    return page.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA"])
def test_robust_sees_a_transparent_page_as_white(mode: str) -> None:
    image = Image.from_bytes(png(_on_transparent_page(mode)))
    assert grid.score_grid(image, rows("101/010/101"), 4, "robust").value == 1
    assert grid.score_grid(image, rows("101/010/101"), 4, "official").value < 1


def test_robust_reads_faint_lines_that_the_official_decoder_shows_opaque() -> None:
    drawn = draw("101/010/101", Manner())
    faint = np.dstack([drawn, np.where(drawn[..., 0] < 255, 20, 0).astype(np.uint8)])
    image = Image.from_bytes(png(Pillow.fromarray(faint)))
    for rule in ("official", "robust"):
        assert grid.score_grid(image, rows("101/010/101"), 4, rule).value == 1


def test_16_bits_are_read_by_both_rules() -> None:
    gray = np.asarray(Pillow.fromarray(draw("101/010/101", Manner())).convert("L")).astype(np.uint16) * 257
    image = Image.from_bytes(png(Pillow.fromarray(gray)))
    for rule in ("official", "robust"):
        assert grid.score_grid(image, rows("101/010/101"), 4, rule).value == 1


def test_a_photograph_is_turned_by_its_exif_tag() -> None:
    exif, buffer = Pillow.Exif(), io.BytesIO()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Pillow.fromarray(draw("r00/000/00g", Manner(frame=1))).save(buffer, "JPEG", exif=exif)
    image = Image.from_bytes(buffer.getvalue())
    assert grid.score_grid(image, rows("00r/000/g00"), 4, "robust").value == 1
