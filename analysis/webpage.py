"""Writes HTML pages that work offline: one document with its style, script and packed data inside."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

__all__ = ["EMBED_LIMIT", "data_uri", "embedded_image", "pack", "packed_script", "write_page"]

EMBED_LIMIT = 16 * 1024 * 1024
"""Maximum bytes of images embedded in a page; with more, the page refers to image files beside it."""


def write_page(
    path: Path,
    package: str,
    *,
    title: str,
    slots: Mapping[str, str],
    data: Iterable[str],
    scripts: Sequence[str] = ("page.js",),
) -> Path:
    """Write `page.html` of `package` with its style and scripts, after those common to all pages, and `data`.

    The content security policy in the page's head allows only these scripts and this style, by their hashes,
    and only requests to files beside the page. `slots` are HTML fragments whose creators have escaped them;
    `data` are script elements of a non-executable type. Returns `path`.
    """
    style = _read("analysis", "webpage.css") + _read(package, "page.css")
    script = "".join([_read("analysis", "webpage.js"), *(_read(package, name) for name in scripts)])
    frame = Template(_read(package, "page.html")).substitute(
        slots, title=html.escape(title), policy=_policy(style, script), style=style, script=script
    )
    head, _, tail = frame.partition("<!--data-->")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".page-")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(head)
            file.writelines(data)
            file.write(tail)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def pack(data: bytes) -> str:
    """The data deflated and base64-encoded; `unpack` in webpage.js is the inverse."""
    return base64.b64encode(zlib.compress(data, 6)).decode()


def packed_script(element: str, value: Any) -> str:
    """A script element with the id `element` that holds `value` as packed JSON."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return f'<script type="text/plain" id="{element}">{pack(text.encode())}</script>\n'


def embedded_image(sha256: str, encoded: bytes) -> str:
    """A script element with an image, under the id that the page's script looks up."""
    return f'<script type="text/plain" id="image-{sha256}">{base64.b64encode(encoded).decode()}</script>\n'


def data_uri(path: Path) -> str:
    """The PNG file as a data URI."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; img-src 'self' file: data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
