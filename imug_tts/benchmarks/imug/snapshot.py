"""Downloads the data set from the Hugging Face hub, or finds it in the local cache."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from imug_tts.contracts import ConfigurationError

__all__ = ["download"]

_WANTED: Final = ["*.jsonl", "*images/*"]
"""Patterns of the data files, with or without data/."""


def download(repo: str, revision: str) -> Path:
    """The folder of a snapshot of the data set `repo`; cached files are not downloaded again.

    Raises:
        ConfigurationError: the download failed; says what to do instead.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=_WANTED))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigurationError(
            f"the data set {repo} (revision {revision}) cannot be downloaded from the Hugging Face hub: "
            f"{reason}\n"
            f"where there is a network, run: hf download {repo} --repo-type dataset --local-dir DIR\n"
            "then bring DIR here and set benchmark.root=DIR"
        ) from error
