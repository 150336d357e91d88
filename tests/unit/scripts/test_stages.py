# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "stages.py"


@pytest.fixture
def stages(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("stages_under_test", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "LOGS", tmp_path / "logs")
    (tmp_path / "galaxy.yml").touch()
    return module


@pytest.fixture
def run(stages, monkeypatch, capsys):
    def run(commands, *arguments):
        monkeypatch.setattr(stages, "STAGES", [stages.Stage("unit", name, **what) for name, what in commands.items()])
        monkeypatch.setattr(sys, "argv", ["stages.py", *arguments])
        status = stages.main()
        return status, capsys.readouterr().out.splitlines()

    return run


def test_all_passed(run, stages):
    status, lines = run({"one": {"command": "echo text"}, "two": {"command": "true"}})
    assert status == 0
    assert lines[-1] == "2 passed, 0 failed"
    assert (stages.LOGS / "summary").read_text() == "2 passed, 0 failed\n"
    assert (stages.LOGS / "one.log").read_text() == "text\n"


def test_nothing_starts_after_a_failure_whose_log_is_shown(run, stages):
    status, lines = run({"one": {"command": "echo why; false"}, "two": {"command": "true"}})
    assert status == 1
    assert lines[-1] == "0 passed, 1 failed"
    assert "  | why" in lines
    assert "1 not run" in lines[-2]
    assert not (stages.LOGS / "two.log").exists()


def test_keep_going(run):
    status, lines = run({"one": {"command": "exit 3"}, "two": {"command": "true"}}, "--keep-going")
    assert status == 1
    assert lines[-1] == "1 passed, 1 failed"


def test_a_skipped_stage_says_why(run, stages, monkeypatch, tmp_path):
    lab = tmp_path / "python"
    lab.write_text("#!/bin/sh\necho lab: no real nodes on this machine: not root >&2; exit 1\n")
    lab.chmod(0o755)
    monkeypatch.setattr(stages, "BIN", tmp_path)
    status, lines = run({"one": {"command": "true", "has_lab": True}})
    assert status == 0
    assert lines[0].split(maxsplit=2) == ["skipped", "one", "lab: no real nodes on this machine: not root"]


def test_the_time_limit_ends_what_the_stage_started(run, tmp_path):
    status, lines = run({"one": {"command": "sleep 60 & echo $! > child; wait", "timeout_minutes": 0.005}})
    assert status == 1
    assert any("timed out" in line for line in lines)
    stat = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    assert not stat.exists() or stat.read_text().split()[2] == "Z"


def test_a_lane_that_breaks_is_no_success(run, stages, monkeypatch):
    monkeypatch.setattr(stages.Stage, "find_obstacle", lambda stage: 1 / 0)
    monkeypatch.setattr(stages.threading, "excepthook", lambda details: None)
    status, lines = run({"one": {"command": "true"}})
    assert status == 1
    assert "1 not run" in lines[-2]
