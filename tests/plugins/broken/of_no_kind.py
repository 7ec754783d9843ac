"""A strategy that does not derive from Strategy."""

from __future__ import annotations


class OfNoKind:
    """Lacks its base class."""

    name = "of_no_kind"
