"""The command line as a user meets it: the real process, with a backbone that is a plugin."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imug_tts.records import read_turns
from tests.experiments.shell import ROOT, Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def files_below(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["--cfg", "job", "strategy=cot"]])
def test_help_and_configuration_import_nothing_heavy(shell: Shell, arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", str(ROOT / "experiments" / "run.py"), *arguments]
    done = subprocess.run(command, cwd=shell.home, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "hydra" in imported
    assert not imported & {"torch", "transformers", "pandas", "PIL", "fastapi", "httpx2"}
    assert "strategy" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["strategy=bestofn"], ["strategy: there is no 'bestofn'", "did you mean best_of_n?"]),
        (["strategy=best_of_n", "strategy.nn=8"], ["strategy best_of_n has no knob 'nn'", "did you mean n?"]),
        (["strategy.n=8"], ["strategy direct has no knob 'n'"]),
        (["strategy=best_of_n", "n=8"], ["has no knob 'n'; did you mean strategy.n?"]),
        (["strategy=mine"], ["there is no 'mine'", "needs an entry point: docs/guides/own_components.md"]),
        (["+strategy.nn=8"], ["strategy direct has no knob 'nn'"]),
        (["stratgy=direct"], ["has no knob 'stratgy'", "did you mean strategy?"]),
        (["benchmark.num_sample=3"], ["benchmark pocket_world has no knob", "did you mean num_samples?"]),
        (["benchmark.classes=[hybird]"], ["benchmark.classes is 'hybird'", "did you mean hybrid?"]),
        (["benchmark.num_samples=0"], ["benchmark.num_samples is 0; it must be 1 or more"]),
        (["history=gld"], ["history is 'gld'", "did you mean gold?"]),
        (["judge=exat"], ["judge: there is no 'exat'", "did you mean exact?"]),
        (["judge.api_key=abc"], ["judge.api_key looks like a secret", "environment"]),
        (["strategy=self_verify", "judge=none"], ["self_verify needs a judge"]),
        (["strategy@strategy.inner=cot"], ["strategy.inner cannot be set", "no strategy 'inner'", "--help"]),
        (["strategy=direct,cot"], ["--multirun"]),
        (["experiment=demo"], ["experiment=demo is a study", "-m"]),
        (["experiment=dmo"], ["experiment: there is no 'dmo'", "did you mean demo?"]),
        (["-m", "strategy=direct,bestofn"], ["did you mean best_of_n?"]),
        (["-m", "history=own,gld"], ["did you mean gold?"]),
        (["-m", "sed=0,1"], ["has no knob 'sed'", "did you mean seed?"]),
        (
            ["strategy=majority_vote", "strategy@strategy.inner=x"],
            ["there is no 'x'; choose from: best_of_n"],
        ),
        (["~judge"], ["the configuration has no judge", "leave ~judge out"]),
        (["~strategy"], ["the configuration has no strategy", "leave ~strategy out"]),
        (["~benchmark", "benchmark.num_samples=null"], ["benchmark"]),
        (["-m", "~judge", "seed=0,1"], ["the configuration has no judge", "leave ~judge out"]),
        (["~roles"], ["the configuration has no roles", "leave ~roles out"]),
        (["~tracking"], ["Could not delete 'tracking'"]),
        (["judge=openai", "judge.base_url=http://127.0.0.1:80x0/v1"], ["base_url is", "80x0"]),
        (["hydra/launcher=elsewhere"], ["hydra/launcher: there is no 'elsewhere'", "basic"]),
        (
            ["hydra.launcher._target_=its.Launcher"],
            ["hydra.launcher is its.Launcher", "leave hydra/launcher out"],
        ),
        (["-m", "seed=0,1", "hydra.launcher._target_=its.Launcher"], ["hydra.launcher is its.Launcher"]),
        (["study=a=b"], ["'study=a=b' cannot be read", "'study=\"a=b\"'"]),
        (["judge=null"], ["judge cannot be null; write judge=none"]),
        (["strategy=null"], ["strategy cannot be null; leave strategy=null out"]),
        (["-m", "tracking=console,null"], ["tracking cannot be null; write tracking=none"]),
        (["hydra/launcher=null"], ["hydra/launcher cannot be null"]),
        (["--dry-run"], ["there is no flag --dry-run", "+dry_run=true"]),
        (["--seed=3"], ["there is no flag --seed", "seed=VALUE"]),
        (["-m", "seed=0,1", "--cfg", "job"], ["-m and --cfg exclude each other"]),
    ],
)
def test_what_cannot_work_is_one_clear_message(shell: Shell, arguments: list[str], words: list[str]) -> None:
    done = shell.paint(*arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert shell.calls_made() == []
    assert not (shell.home / "runs").exists()


@pytest.mark.parametrize("value", ["/data/a=b", "/data/数据", "/data/{a", 'a"b:c', "/data/a=b, c"])
def test_a_value_that_cannot_be_read_comes_with_one_that_can(shell: Shell, value: str) -> None:
    flags = ["backbone=pocket", "benchmark=imug", "tracking=none"]
    refused = shell.run(*flags, f"benchmark.root={value}")
    assert refused.returncode == 2
    [advised] = shlex.split(refused.stderr.rpartition("for the shell: ")[2])
    taken = shell.run(*flags, advised)
    assert taken.returncode == 2
    assert f"there is no benchmark.jsonl in {value}" in taken.stderr


def test_flags_stand_anywhere_among_the_overrides(shell: Shell) -> None:
    done = shell.run("+dry_run=true", "benchmark.num_samples=3", "-m", "seed=0,1", "tracking=none")
    assert done.returncode == 0, done.stderr
    assert "direct  seed=1:" in done.stdout


@pytest.mark.parametrize("choices", ["null,pocket", "pocket,null"])
def test_a_sweep_may_leave_a_role_to_the_model_under_test(shell: Shell, choices: str) -> None:
    arms = ("strategy=self_verify", "benchmark.num_samples=3", f"backbone@roles.verifier={choices}")
    done = shell.paint("-m", *arms, "+dry_run=true")
    assert done.returncode == 0, done.stderr
    calls = [line for line in done.stdout.splitlines() if "calls to" in line and "verifier" in line]
    assert sorted("painter" in line for line in calls) == [False, True]


def test_null_takes_a_choice_back(shell: Shell) -> None:
    role = "backbone@roles.verifier"
    chosen = ("strategy=self_verify", "benchmark.num_samples=3", f"{role}=pocket", f"{role}=null")
    done = shell.paint(*chosen, "+dry_run=true")
    assert done.returncode == 0, done.stderr
    assert "pocket:" not in done.stdout


def test_a_run_that_stands_twice_is_run_once(shell: Shell) -> None:
    shell.warnings = "default"
    done = shell.paint("-m", "seed=0,0", "output=study", "tracking=none")
    assert done.returncode == 0, done.stderr
    assert "direct occurs twice in the sweep" in done.stderr
    assert len([folder for folder in (shell.home / "study").iterdir() if folder.name != "journal"]) == 1


def test_a_run_writes_its_folder_and_nothing_beside_it(shell: Shell) -> None:
    before = files_below(shell.home)
    done = shell.paint("strategy=cot")
    assert done.returncode == 0, done.stderr
    assert files_below(shell.home) - before == {"runs", "calls.txt"}
    assert re.search(r"turns scored", done.stderr)
    [run] = (shell.home / "runs" / "default").glob("cot-????????")
    assert str(run.relative_to(shell.home)) in done.stdout
    assert (shell.home / "runs" / "default" / "journal").is_dir()
    assert {"config.yaml", "manifest.json", "turns.jsonl", "summary.json"} <= files_below(run)
    records = [line.record for line in read_turns(run)]
    assert {record["strategy"] for record in records} == {"cot"}
    manifest = json.loads((run / "manifest.json").read_text())
    assert len(records) == sum(len(sample["modalities"]) for sample in manifest["planned"])


def test_the_same_command_again_does_nothing_again(shell: Shell) -> None:
    shell.paint("output=here", "tracking=none")
    calls = shell.calls_made()
    records = (shell.home / "here" / "turns.jsonl").read_bytes()
    again = shell.paint("output=here")
    assert again.returncode == 0
    assert "nothing left to do" in again.stderr
    assert shell.calls_made() == calls
    assert (shell.home / "here" / "turns.jsonl").read_bytes() == records
    assert (shell.home / "here" / "journal").is_dir()


def test_a_study_runs_every_combination_in_one_process_with_one_backbone(shell: Shell) -> None:
    classes = "benchmark.classes=[hybrid],[static_spatial,temporal_causal]"
    done = shell.paint(
        "-m", "strategy=direct,best_of_n", classes, "history=own,gold", "seed=3", "output=study"
    )
    assert done.returncode == 0, done.stderr
    assert len(set(shell.calls_made())) == 1
    runs = [folder for folder in (shell.home / "study").iterdir() if folder.name != "journal"]
    manifests = [json.loads((run / "manifest.json").read_text()) for run in runs]
    arms = [(m["strategy"], m["history"], m["seed"], len(m["planned"])) for m in manifests]
    strategies, histories = ("direct", "best_of_4"), ("own", "gold")
    assert sorted(arms) == sorted((s, h, 3, n) for s in strategies for h in histories for n in (2, 4))
    last = "run 8/8  best_of_4  benchmark.classes=static_spatial,temporal_causal  history=gold"
    assert last in done.stderr
    assert "8 runs are in study" in done.stdout


def test_the_lists_of_an_experiment_can_be_replaced(shell: Shell) -> None:
    done = shell.paint(
        "-m", "experiment=demo", "strategy=direct,cot", "history=own", "benchmark.classes=[hybrid]"
    )
    assert done.returncode == 0, done.stderr
    assert "2 runs are in runs/demo" in done.stdout


def test_turns_that_fail_show_with_their_reasons_counted_and_the_status_is_1(shell: Shell) -> None:
    broken = shell.paint("backbone.broken=draw", "output=here", "tracking=none")
    assert broken.returncode == 1
    assert "Traceback" not in broken.stderr
    said = broken.stderr.splitlines()
    failed = [record for record in shell.records("here") if record["outcome"] == "model_error"]
    assert f"  {len(failed)} x model_error: BackboneError: RuntimeError: the paint is dry" in said
    missing = shell.summary("here")["missing"]
    assert re.fullmatch(
        rf"{missing} turns are missing, {missing - len(failed)} of them .*; the reasons:", said[0]
    )
    assert "fix the causes named above" in said[-1]
    assert shell.summary("here")["failures"] == {
        "model_error: BackboneError: RuntimeError: the paint is dry": len(failed)
    }
    log = (shell.home / "here" / "log.txt").read_text()
    assert 'raise RuntimeError("the paint is dry")' in log
    mended = shell.paint("output=here", "tracking=none")
    assert (mended.returncode, mended.stderr) == (0, "")


def test_a_model_that_never_answers_stops_the_run_with_its_error(shell: Shell) -> None:
    stopped = shell.paint("benchmark.num_samples=60", "backbone.broken=", "output=here", "tracking=none")
    assert stopped.returncode == 1
    [said] = stopped.stderr.splitlines()
    assert re.match(
        r"painter:255: \d+ calls failed one after the other, so the run stops; the last one: ", said
    )
    assert "the paint is dry" in said
    assert shell.summary("here")["scored"] == 0
    assert "the paint is dry" in (shell.home / "here" / "log.txt").read_text()
    again = shell.paint("benchmark.num_samples=60", "output=here", "tracking=none")
    assert (again.returncode, shell.summary("here")["missing"]) == (0, 0)


def test_a_refusal_is_final_and_says_so(shell: Shell) -> None:
    arguments = ("backbone.refused=draw", "output=here", "tracking=none")
    first = shell.paint(*arguments)
    calls = shell.calls_made()
    again = shell.paint(*arguments)
    assert shell.calls_made() == calls
    for done in (first, again):
        assert done.returncode == 0, done.stderr
        assert re.search(r"turns were refused by the model.*\n  \d+ x not in my studio\n", done.stderr)
        assert re.search(r"refusals? (is|are) final", done.stderr)
        assert "run the same command again" not in done.stderr
    refused = [record for record in shell.records("here") if record["outcome"] == "refused"]
    assert refused
    assert {record["error"] for record in refused} == {"not in my studio"}
    assert {record["response"]["reason"] for record in refused} == {"not in my studio"}
    assert shell.summary("here")["missing"] == 0


def test_an_interrupted_study_stops_and_the_same_command_goes_on(shell: Shell) -> None:
    arguments = ("-m", "seed=0,1", "output=here")
    process = shell.start_painting(*arguments, "backbone.seconds=0.2", "in_flight=1")
    while process.poll() is None and len(shell.calls_made()) < 3:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "run the same command again to resume" in err
    assert "Traceback" not in err
    assert shell.paint(*arguments, "backbone.seconds=0.2").returncode == 0


def test_a_folder_of_another_configuration_is_refused(shell: Shell) -> None:
    shell.paint("output=here")
    other = shell.paint("output=here", "seed=1")
    assert other.returncode == 2
    assert "another configuration" in other.stderr
    assert "Traceback" not in other.stderr


def test_an_output_that_cannot_be_written_is_said(shell: Shell) -> None:
    (shell.home / "file").write_text("in the way")
    done = shell.paint("output=file")
    assert done.returncode == 1
    assert "output=DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_oracle_without_the_model_that_scores_is_refused_before_any_call(shell: Shell) -> None:
    write = [sys.executable, str(ROOT / "experiments" / "write_imug.py"), "--out", "data", "--samples", "4"]
    subprocess.run(write, cwd=shell.home, check=True, capture_output=True)
    arguments = ("backbone=painter", f"backbone.calls={shell.calls}", "benchmark=imug", "benchmark.root=data")
    for choice in ("judge=exact", "judge@strategy.judge=exact"):
        refused = shell.run(*arguments, "strategy=best_of_n", choice)
        assert refused.returncode == 2, refused.stderr
        assert "scored by a model that the run does not have; choose one" in refused.stderr
    assert shell.calls_made() == []
    assert not (shell.home / "runs").exists()


def test_a_second_process_on_one_output_joins_the_first(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    slow = ("backbone.seconds=0.05", "in_flight=1", "tracking=none", "output=here")
    first, second = (shell.start_painting(*slow) for _ in range(2))
    for process in (first, second):
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert all("being answered by other processes" in line for line in said.splitlines())
    assert shell.summary("here")["missing"] == 0
    assert len({record["sample_id"] + record["task"] for record in shell.records("here")}) == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shards=0"], "shards"),
        (["shards=2", "shard=2"], "shard is 2 and shards is 2; shard must be 0 to 1"),
    ],
)
def test_a_shard_that_cannot_be_is_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    shell = Shell(tmp_path)
    done = shell.paint(*arguments, "output=here")
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "here").exists()


def test_a_dry_run_says_what_the_journal_has_and_what_the_disk_needs(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    before = shell.paint("+dry_run=true", "output=here")
    assert "in the journal" not in before.stdout
    assert re.search(r"^disk of here: up to \d+ image files, .* free: ", before.stdout, re.MULTILINE)
    assert re.search(r"^names in one folder: up to \d+ in a run's images/", before.stdout, re.MULTILINE)
    assert "a guess for 1024 x 1024 pixels, as the model declares no size" in before.stdout
    shell.paint("output=here", "tracking=none")
    made, files = len(shell.calls_made()), sorted((tmp_path / "here").rglob("*"))
    after = shell.paint("+dry_run=true", "output=here")
    assert re.search(r"already in the journal: [1-9]\d* calls", after.stdout)
    assert "the mean of this journal" in after.stdout
    pocket = shell.run("+dry_run=true", "output=pocket", "benchmark.num_samples=2")
    assert "a guess for 64 x 64 pixels, the size that the model declares" in pocket.stdout
    assert (len(shell.calls_made()), sorted((tmp_path / "here").rglob("*"))) == (made, files)
