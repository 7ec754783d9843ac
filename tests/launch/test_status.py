"""What `experiments/status.py` says of jobs that are neither running nor waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import status
from imug_tts.launch import Jobs
from imug_tts.launch.jobs import Ended
from imug_tts.strategies import Direct
from imug_tts.testing.runs import run

GONE = "999999999"
"""The id of no process."""


def said_of(study: Path, how: Ended | None, capsys: pytest.CaptureFixture[str]) -> str:
    """The row of the arm `best`, whose job ended in this way; None: it died."""
    jobs = Jobs.planned(study, "local", [[("best", {})]])
    known = jobs.submitted(jobs.jobs[0], GONE)
    known.keep()
    known.jobs[0].begin(GONE, 0)
    if how is not None:
        known.jobs[0].end(how)
    status._look(study)
    [row] = [line for line in capsys.readouterr().out.splitlines() if GONE in line]
    return row


@pytest.mark.parametrize(
    ("how", "said"),
    [("queued again", "queued again and no longer in the queue"), ("stopped", "stopped"), (None, "died")],
)
def test_an_arm_that_others_completed_is_done_however_its_job_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: Ended | None, said: str
) -> None:
    (tmp_path / "best").mkdir()
    assert f"  {said}; log: " in said_of(tmp_path, how, capsys)
    run(tmp_path / "best", Direct(), journal=tmp_path / "journal")
    assert f"  done; this job: {said}; log: " in said_of(tmp_path, how, capsys)


def test_an_arm_whose_job_ended_well_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "best", Direct(), journal=tmp_path / "journal")
    assert "  done  " in said_of(tmp_path, "done", capsys)
