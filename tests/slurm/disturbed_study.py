"""A study of 12 arms x 2 shards on a real SLURM whose jobs are disturbed; and time limits far below the work.

    python -m tests.slurm.disturbed_study                      disturbs until 40 disturbances have hit
    python -m tests.slurm.disturbed_study --seed 1 --hits 60
    python -m tests.slurm.disturbed_study --limits             jobs that need several time limits

It takes 5 to 20 minutes, starts a SLURM of its own (slurm/local_cluster.sh; needs root), and fails unless the
records and tables are those of the same study in one process, byte for byte apart from times.

Exit status: 0, 1 when it fails.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from imug_tts.launch import known_jobs
from tests.experiments.shell import Shell
from tests.launch.studies import job_states, records_of, tables_of, wait_until
from tests.slurm.disturbances import WAYS, ask, cluster_in, disturb, no_job_is_left, restarts_of

ARMS = ("-m", "strategy=direct,cot,best_of_n", "seed=0,1,2,3", "shards=2", "tracking=none")
SLURM = "hydra/launcher=submitit_slurm"
PATIENCE_S = 1800
LEAST_STARTS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the disturbances")
    parser.add_argument("--hits", type=int, default=40, help="disturbances that must have hit")
    parser.add_argument("--limits", action="store_true", help="time limits in place of disturbances")
    chosen = parser.parse_args()
    os.environ["SLURM_CPUS"] = "6"
    began = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="disturbed_study_"))
    print(f"everything is in {home}", flush=True)
    shell = Shell(home)
    shell.warnings = "default"  # those of submitit are not ours
    with cluster_in(home / "slurm"):
        problems = _limits(shell) if chosen.limits else _storm(shell, chosen.seed, chosen.hits)
    print("\n".join(problems) or f"passed after {time.monotonic() - began:.0f} s")
    return 1 if problems else 0


def _storm(shell: Shell, seed: int, hits: int) -> list[str]:
    study = shell.home / "jobs"
    submitting = shell.start_painting(*ARMS, "backbone.seconds=1.5", "in_flight=1", "output=jobs", SLURM)
    wait_until(lambda: len(job_states(study)) >= 2, PATIENCE_S)
    submitting.kill()
    submitting.communicate()
    print("the submitting process is killed, and its jobs are disturbed", flush=True)
    happened = disturb(study, random.Random(seed), hits)
    print(f"{happened.total()} disturbances hit: {dict(happened)}", flush=True)
    released = _wait_for_jobs()
    print(f"{_starts(study)}; {released} jobs were held by SLURM and released", flush=True)
    again = shell.paint(*ARMS, "output=jobs", SLURM)
    problems = [] if happened.total() >= hits else [f"{happened.total()} disturbances hit, and not {hits}"]
    problems += [f"no job was {way}" for way in WAYS if not happened[way]]
    problems += [] if again.returncode == 0 else [f"the same command again failed: {again.stderr}"]
    return problems + _differences(shell, ARMS, "jobs")


def _limits(shell: Shell) -> list[str]:
    """Jobs that are warned before each limit, and jobs that reach it because they are warned too early."""
    arms = ("-m", "seed=0,1", "tracking=none")
    slow = (*arms, "in_flight=1", "backbone.seconds=6", SLURM, "hydra.launcher.wait=false")
    warned = ("output=warned", "hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=80")
    # SLURM looks every 30 s: the only warning comes while the job's script sleeps, and nobody hears it.
    unwarned = ("output=unwarned", "hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=59")
    late = "hydra.launcher.setup=[sleep 32]"
    for chosen in ((*slow, *warned), (*slow, *unwarned, late)):
        launched = shell.paint(*chosen)
        if launched.returncode:
            return [launched.stderr]
    _wait_for_jobs()
    problems: list[str] = []
    for study in ("warned", "unwarned"):
        print(f"{study}: {_starts(shell.home / study)}", flush=True)
        states = job_states(shell.home / study)
        problems += [f"{study}: a job ended {s['end']}" for s in states if s["end"] != "done"]
        problems += [f"{study}: only {s['starts']} starts" for s in states if s["starts"] < LEAST_STARTS]
        problems += _differences(shell, arms, study)
    return problems


def _differences(shell: Shell, arms: tuple[str, ...], study: str) -> list[str]:
    alone = shell.home / "alone"
    own = tuple(argument for argument in arms if not argument.startswith("shards="))
    done = shell.paint(*own, "output=alone")
    if done.returncode:
        return [f"the study in one process failed: {done.stderr}"]
    jobs = shell.home / study
    alike = {
        "records": (json.dumps(records_of(jobs)), json.dumps(records_of(alone))),
        "tables": (json.dumps(tables_of(jobs)), json.dumps(tables_of(alone))),
    }
    for name, (one, _) in alike.items():
        print(f"{study}: {len(one):,} bytes of {name} compared", flush=True)
    return [f"{study}: the {name} differ" for name, (one, other) in alike.items() if one != other]


def _wait_for_jobs() -> int:
    """Wait until no job is left; returns how many SLURM held after a failed launch, and were let go."""
    released: set[str] = set()

    def is_over() -> bool:
        for line in ask("squeue", "--noheader", "--array", "--format=%i|%r").splitlines():
            id, _, reason = line.partition("|")
            if "held" in reason:
                released.add(id)
                ask("scontrol", "release", id)
        return no_job_is_left()

    wait_until(is_over, PATIENCE_S)
    return len(released)


def _starts(study: Path) -> str:
    """How often SLURM began each job, and how the jobs stand."""
    own = {job.id: job for jobs in known_jobs(study)[0].values() for job in jobs}
    starts = Counter(1 + restarts_of(job) for job in own)
    ends = Counter(job.outcome() for job in own.values())
    return f"starts: jobs {dict(sorted(starts.items()))}; ends: {dict(ends)}"


if __name__ == "__main__":
    sys.exit(main())
