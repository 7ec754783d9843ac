"""Images are what their bytes are, wherever the bytes lie."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

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
