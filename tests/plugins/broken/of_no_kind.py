"""A strategy that does not say that it is one."""

from __future__ import annotations


class OfNoKind:
    """Lacks its base class."""

    name = "of_no_kind"
