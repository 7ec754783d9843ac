"""How the property tests find their examples, which warning is no mistake of a test, and threads.

Examples are the same ones every time, or random with `make fuzz`.
"""

import os

# Several processes test at once, and each starts others: with one thread in each, the machine is not crowded.
# The variable is read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

# Machines differ and are shared: how long an example takes is no property of the code.
any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("imug_tts", any_speed, derandomize=True, database=None)
settings.register_profile("fuzz", any_speed, derandomize=False, max_examples=1000, print_blob=True)
settings.load_profile("imug_tts")  # --hypothesis-profile=fuzz is read later and replaces it


def pytest_configure(config: pytest.Config) -> None:
    """Let tests run models that have limits; that a run warns of them is tested by itself."""
    config.addinivalue_line("filterwarnings", "ignore::imug_tts.runs.limits.ModelLimitsWarning")


def pytest_xdist_auto_num_workers() -> int:
    """One process more than processors, since many tests wait for servers, schedulers and other processes."""
    return min(8, 1 + (os.cpu_count() or 1))
