# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the stages of `make test`: one line each, a log file each, two lanes on two cores, no new stage after a failure.

Usage: stages.py [--keep-going] [GROUP...], groups: lint, unit, archive, sanity, lab, system, molecule, and random and slow,
which run only when they are named. The last line, also written to .cache/logs/summary, is "N passed, N failed".
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".cache" / "logs"
BIN = ROOT / ".venv" / "bin"
FIRST_LAB_PORT = 7543
TAIL_LINES = 60
HEARTBEAT_SECONDS = 60


@dataclass(frozen=True)
class Stage:
    """A command of one group; one that needs real nodes is skipped where the lab can't run them, and the summary says why.

    One with a lab gets a name and a port of its own, so that the tests leave a lab alone that somebody works with.
    """

    group: str
    name: str
    command: str
    lane: int = 0
    has_lab: bool = False
    timeout_minutes: int = 5

    def lab(self) -> dict[str, str]:
        """The settings of the stage's own lab."""
        return {"LAB_NAME": f"test-{self.name}", "LAB_PORT": str(FIRST_LAB_PORT + STAGES.index(self))}

    def find_obstacle(self) -> str | None:
        if not self.has_lab:
            return None
        check = subprocess.run(
            [BIN / "python", "-m", "lab", "check"],
            env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "lab")},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        return check.stderr.strip() if check.returncode else None


#: Rollouts with random reaction times, and rotations and restarts of nodes that are killed at random moments.
RANDOM = " ".join(f"tests/system/test_{name}.py" for name in ("wait_random", "interruptions", "node_kills"))
#: Tests that restart nodes, the longest of all.
NODES = " ".join(f"tests/system/test_node_{name}.py" for name in ("drain", "faults", "restart", "rotation", "traffic"))
LEAVE_OUT = " ".join(f"--ignore={file}" for file in f"{RANDOM} {NODES}".split())
#: Groups that run only when they are named, as `make ci` and `make slow` do.
EXTRA = {"random", "slow"}
STAGES = [
    Stage("lint", "ruff", "ruff check . && ruff format --check ."),
    Stage("lint", "mypy", "mypy && mypy scripts"),
    Stage("lint", "yamllint", "yamllint --strict ."),
    Stage("lint", "ansible-lint", "ansible-lint --offline"),
    Stage("lint", "docs", "antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self ."),
    Stage("lint", "changelog", "antsibull-changelog lint"),
    Stage("unit", "unit", "pytest -q tests/unit"),
    Stage("archive", "archive", "python scripts/archive.py --check"),
    Stage("sanity", "sanity", "scripts/sanity", timeout_minutes=20),
    Stage("random", "random", f"pytest -q -m slow {RANDOM}", has_lab=True, timeout_minutes=75),
    Stage("lab", "lab-logic", "pytest -q tests/lab/tests", lane=1, timeout_minutes=10),
    Stage("lab", "lab-operator", "pytest -q tests/lab/tests_operator", lane=1, timeout_minutes=10),
    Stage("lab", "lab-real", "pytest -q tests/lab/tests_real/test_lab.py", lane=1, has_lab=True, timeout_minutes=45),
    Stage("system", "system", "pytest -q -m 'not slow' tests/system", lane=1, has_lab=True, timeout_minutes=20),
    Stage(
        "molecule",
        "molecule",
        "molecule reset --all && molecule test --all --shared-state",  # else what a run before has prepared counts
        lane=1,
        has_lab=True,
        timeout_minutes=45,
    ),
    Stage("slow", "slow", f"pytest -q -m slow tests/system {LEAVE_OUT}", has_lab=True, timeout_minutes=120),
    Stage("slow", "slow-lab", "pytest -q tests/lab/tests_real", lane=1, has_lab=True, timeout_minutes=45),
    Stage("slow", "slow-nodes", f"pytest -q -m slow {NODES}", lane=1, has_lab=True, timeout_minutes=120),
]


@dataclass
class Run:
    """What the lanes share: results, the processes under way, and whether to go on."""

    keep_going: bool
    results: dict[str, str]
    running: dict[str, tuple[subprocess.Popen[bytes], float]] = field(default_factory=dict)
    stopping: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, result: str, name: str, text: str) -> None:
        print(f"{result:8} {name:14} {text}", flush=True)

    def perform(self, stage: Stage) -> None:
        if self.stopping:
            return
        if obstacle := stage.find_obstacle():
            self.results[stage.name] = "skipped"
            self.say("skipped", stage.name, obstacle)
            return
        log = LOGS / f"{stage.name}.log"
        started = time.monotonic()
        status = self._execute(stage, log, started)
        passed = status == 0
        with self.lock:
            self.results[stage.name] = "passed" if passed else "failed"
            self.say("passed" if passed else "FAILED", stage.name, f"{time.monotonic() - started:6.1f} s")
            if not passed:
                self.stopping = self.stopping or not self.keep_going
                show_tail(log, "timed out" if status is None else f"exit status {status}")

    def _execute(self, stage: Stage, log: Path, started: float) -> int | None:
        """The exit status, None after the time limit. The whole process group ends with the stage's time limit."""
        environment = {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            **(stage.lab() if stage.has_lab else {}),
            "NO_COLOR": "1",
            "ANSIBLE_NOCOLOR": "1",
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", stage.command],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running[stage.name] = (process, started)
        try:
            return process.wait(timeout=stage.timeout_minutes * 60)
        except subprocess.TimeoutExpired:
            end_group(process)
            return None
        finally:
            del self.running[stage.name]

    def perform_all(self, stages: list[Stage]) -> None:
        """Each lane takes its stages in order; the lanes run side by side."""

        def work(lane: int) -> None:
            for stage in stages:
                if stage.lane == lane:
                    self.perform(stage)

        threads = [threading.Thread(target=work, args=(lane,), daemon=True) for lane in (0, 1)]
        for thread in threads:
            thread.start()
        shown = time.monotonic()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.1)
            now = time.monotonic()
            if now - shown > HEARTBEAT_SECONDS and self.running:
                shown = now
                under_way = (f"{name} for {now - started:.0f} s" for name, (_process, started) in self.running.items())
                self.say("running", "", ", ".join(under_way))

    def abort(self) -> None:
        self.stopping = True
        for process, _started in list(self.running.values()):
            end_group(process)


def end_group(process: subprocess.Popen[bytes], patience: float = 30.0) -> None:
    """No process of the group is left; it is asked first and has `patience` seconds to tidy up."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)


def show_tail(log: Path, why: str) -> None:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    print(f"  {why}; the last lines of {log.relative_to(ROOT)} ({len(lines)} lines):")
    for line in lines[-TAIL_LINES:]:
        print(f"  | {line}")
    sys.stdout.flush()


def summarize(results: Iterable[str], seconds: float) -> bool:
    """The closing line is the last one printed; true when nothing failed and nothing was left out by a failure."""
    count = Counter(results)
    others = ", ".join(f"{count[name]} {name}" for name in ("skipped", "not run") if count[name])
    print(f"stages took {seconds:.0f} s{'; ' + others if others else ''}; logs in {LOGS.relative_to(ROOT)}")
    closing = f"{count['passed']} passed, {count['failed']} failed"
    (LOGS / "summary").write_text(closing + "\n")
    print(closing, flush=True)
    return not count["failed"] and not count["not run"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep-going", action="store_true", help="run the other stages after a failure")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help="only these groups, default all but random and slow")
    arguments = parser.parse_args()
    groups = {stage.group for stage in STAGES}
    if unknown := set(arguments.groups) - groups:
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    stages = [stage for stage in STAGES if stage.group in (arguments.groups or groups - EXTRA)]
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / "summary").unlink(missing_ok=True)
    started = time.monotonic()
    # a stage that no lane got to stays "not run", which is no success
    run = Run(keep_going=arguments.keep_going, results=dict.fromkeys((stage.name for stage in stages), "not run"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run.perform_all(stages)
    except KeyboardInterrupt:
        run.abort()
        return 130
    return 0 if summarize(run.results.values(), time.monotonic() - started) else 1


if __name__ == "__main__":
    sys.exit(main())
