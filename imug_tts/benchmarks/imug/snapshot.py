"""The data set from the Hugging Face hub, or from its cache on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from imug_tts.contracts import ConfigurationError

__all__ = ["download"]

_WANTED: Final = ["*.jsonl", "*images/*"]
"""Patterns of the data files, whether or not they lie in data/."""


def download(repo: str, revision: str) -> Path:
    """The folder of a snapshot of the data set `repo`; what is in the cache already is not fetched again.

    Raises:
        ConfigurationError: it cannot be had; says how to go on.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=_WANTED))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigurationError(
            f"the data set {repo} (revision {revision}) cannot be had from the Hugging Face hub: {reason}\n"
            f"where there is a network, run: hf download {repo} --repo-type dataset --local-dir DIR\n"
            "then bring DIR here and set benchmark.root=DIR"
        ) from error
