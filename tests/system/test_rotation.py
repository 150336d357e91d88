# SPDX-License-Identifier: GPL-3.0-or-later
"""The rotation with everything around the trust window: refused when short, revoked when asked, verified a day later."""

from __future__ import annotations

import json
import subprocess

import pytest
from issuers import at_rest, fresh, new_token, trusted, try_token

pytestmark = pytest.mark.slow


def rotate(lab, issuer, *arguments, **variables):
    """The exit status and the output, in one line, as people read it."""
    given = {
        "rotation_issuer": issuer,
        "service_account_issuer_documents": "skip",
        "service_account_issuer_wait_sleep": 1,
        "pod_restart_namespaces": ["shop"],
        **variables,
    }
    command = ["ansible-playbook", "bound_tokens.openshift.rotate", "-e", json.dumps(given), *arguments]
    done = subprocess.run(command, env=lab.environment, capture_output=True, text=True, check=False, timeout=900)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def shop(lab):
    lab.command("apply", "tests/demo/workloads.yml")
    return at_rest(lab)


def test_a_window_that_is_too_short_stops_the_run_before_the_edit(lab, shop):
    status, output = rotate(lab, issuer := fresh("short"), rotation_seconds_per_pod=100_000)
    assert status != 0
    assert "The issuer was not changed, because" in output, output[-3000:]
    assert "s would be needed and the former issuer is trusted for 86400 s" in output
    status, output = rotate(lab, issuer, "--check", rotation_seconds_per_pod=100_000, rotation_short_window="warn")
    assert status == 0, output[-3000:]
    assert "WARNING: the renewal is expected to take" in output
    assert issuer not in trusted(lab)


def test_leaked_tokens_are_dead_at_the_end_and_the_day_after_is_verified(lab, shop):
    leaked, issuer = new_token(lab), fresh("leaked")
    status, output = rotate(lab, issuer, "--tags", "verify")
    assert status != 0
    assert f"The rotation to {issuer} is not complete:" in output, output[-3000:]
    assert issuer not in trusted(lab), "looking has changed something"
    report = lab.settings.run / "report.txt"
    status, output = rotate(lab, issuer, rotation_revoke_former=True, rotation_report_file=str(report))
    assert status != 0
    assert "No former issuer was revoked, because" in output, output[-3000:]
    assert try_token(lab, leaked) == [200, 200, 200]
    everywhere = {"pod_restart_namespaces": ["*"], "rotation_revoke_former": True, "rotation_report_file": str(report)}
    status, output = rotate(lab, issuer, **everywhere)
    assert status == 0, output[-3000:]
    text = report.read_text(encoding="utf-8")
    assert f"Still trusted:  no former issuer (revoked: {shop}" in text
    assert "Signing keys:   published" in text
    assert trusted(lab) == [issuer]
    assert try_token(lab, leaked) == [401, 401, 401]
    finished_at = text.partition("complete since ")[2].partition(")")[0]
    status, output = rotate(lab, issuer, "--tags", "verify", pod_restart_started_before=finished_at)
    assert status == 0, output[-3000:]
    assert f"The rotation to {issuer} is complete: it is the only issuer that is trusted" in output
    status, output = rotate(lab, issuer, "--tags", "verify", pod_restart_started_before="2036-11-22T08:00:00Z")
    assert status != 0
    assert "Pods left: 5." in output, output[-3000:]
