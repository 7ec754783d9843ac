"""Images are identified by their bytes, in memory and in files."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from imug_tts.dialogue import Image


def test_an_image_of_a_file_equals_one_of_its_bytes(tmp_path: Path) -> None:
    in_memory = Image.from_pixels(np.zeros((2, 3, 3), np.uint8))
    file = tmp_path / "image.png"
    file.write_bytes(in_memory.read())
    on_disk = Image(None, file)
    assert on_disk == in_memory
    assert len({on_disk, in_memory}) == 1
    assert on_disk.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert on_disk != Image.from_bytes(b"another")
    assert on_disk.pixels().shape == (2, 3, 3)


def test_a_file_is_read_when_asked_for_and_its_name_hashed_once(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    image = Image(None, file)
    assert str(file) in repr(image)
    file.write_bytes(b"one")
    first = image.sha256
    file.write_bytes(b"two")
    assert image.sha256 == first == hashlib.sha256(b"one").hexdigest()
    assert first in repr(image)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG that says it is of that size, with hardly any pixels behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


@pytest.mark.parametrize("size", [(9_400, 9_500), (11_000, 11_000), (60_000, 60_000)])
def test_a_decompression_bomb_is_not_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="pixels"):
        Image.from_bytes(png_claiming(*size)).pixels()


def test_bytes_that_are_no_image_cannot_be_decoded() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        Image.from_bytes(b"no image").pixels()


def test_a_broken_chunk_is_an_image_that_cannot_be_decoded() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    encoded = bytearray(Image.from_pixels(noise).read())
    encoded[encoded.rindex(b"IDAT")] = 0xFF  # not the first of them, which `open` reads
    with pytest.raises(OSError, match="broken PNG"):
        Image.from_bytes(bytes(encoded)).pixels()


def encoded(picture: Pillow.Image, form: str = "PNG", **options: Any) -> Image:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return Image.from_bytes(buffer.getvalue())


def palette(picture: Pillow.Image) -> Pillow.Image:
    picture.putpalette([0, 0, 0, 255, 0, 0])
    return picture


CLEAR = [
    encoded(Pillow.new("RGBA", (3, 2), (0, 0, 0, 0))),
    encoded(Pillow.new("LA", (3, 2), (0, 0))),
    encoded(palette(Pillow.new("P", (3, 2), 0)), transparency=0),
    encoded(palette(Pillow.new("P", (3, 2), 1)), transparency=b"\xff\x00"),
    encoded(Pillow.new("L", (3, 2), 7), transparency=7),
    encoded(Pillow.new("1", (3, 2), 0), transparency=0),
    encoded(Pillow.new("RGB", (3, 2), (1, 2, 3)), transparency=(1, 2, 3)),
    encoded(Pillow.fromarray(np.full((2, 3), 300, np.uint16)), transparency=300),
]


@pytest.mark.parametrize("image", CLEAR)
def test_what_is_transparent_shows_a_white_page(image: Image) -> None:
    assert image.pixels().tolist() == np.full((2, 3, 3), 255).tolist()


@pytest.mark.parametrize(
    ("image", "color"),
    [
        (encoded(Pillow.new("RGBA", (3, 2), (0, 0, 0, 51))), (204, 204, 204)),
        (encoded(Pillow.fromarray(np.full((2, 3), 200 * 257, np.uint16))), (200, 200, 200)),
        (encoded(Pillow.new("CMYK", (3, 2), (0, 0, 0, 255)), "JPEG"), (0, 0, 0)),
        (encoded(palette(Pillow.new("P", (3, 2), 1))), (255, 0, 0)),
    ],
)
def test_every_kind_of_image_is_decoded_as_a_viewer_shows_it(
    image: Image, color: tuple[int, int, int]
) -> None:
    assert image.pixels().tolist() == np.full((2, 3, 3), color).tolist()


def test_a_photograph_is_turned_by_its_exif_tag() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    assert encoded(Pillow.new("RGB", (3, 2)), "JPEG", exif=exif).pixels().shape == (3, 2, 3)
