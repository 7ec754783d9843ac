"""A figure of memory is that of what is measured, whatever the measuring process holds."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from experiments.speed_process import finish

HELD_MB = 400


def test_the_peak_of_a_command_leaves_out_what_the_measuring_process_holds() -> None:
    held = np.ones(HELD_MB << 17)  # 8 bytes each
    small = finish("-c", "print('done')")
    assert held.nbytes == HELD_MB << 20
    assert small.stdout == "done\n"
    assert 0 < small.peak_mb < HELD_MB / 4
    assert 0 < small.cpu_s < 10


def test_the_peak_of_a_command_holds_its_own_memory_and_that_of_its_children() -> None:
    taken = "bytearray(200 << 20)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{taken}'], check=True)"
    for program in (taken, child):
        assert 200 < finish("-c", program).peak_mb < 300


def test_a_command_that_fails_has_no_figures() -> None:
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        finish("-c", "raise SystemExit(3)")
