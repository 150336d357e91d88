# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole rotation with the nodes restarted instead of the pods renewed."""

from __future__ import annotations

import subprocess

import pytest
from interruptions import now, play
from issuers import fresh
from node_runs import Members, as_role, boot_ids, check, make_whole, plan, read_record

pytestmark = pytest.mark.slow


def test_a_rotation_that_restarts_the_nodes(lab):
    make_whole(lab)
    lab.command("apply", "tests/demo/workloads.yml", stdout=subprocess.DEVNULL)
    lab.trust_only({"name": lab.active_issuer()})
    issuer, since, before = fresh("nodes"), now(), boot_ids(lab)
    with Members(lab) as members:
        run = play(
            lab,
            "rotate",
            rotation_issuer=issuer,
            rotation_strategy="nodes",
            service_account_issuer_documents="skip",
            service_account_issuer_wait_sleep=1,
            **as_role(),
        )
        output = run.finish(timeout=1800)
    assert lab.issuers_of_each_server() == [issuer] * 3
    conditions = {c["type"]: c for c in lab.kube_apiserver()["status"]["conditions"]}
    proven_at = conditions["NodeInstallerProgressing"]["lastTransitionTime"].rstrip("Z")
    check(lab, since, before, list(before), plan(lab, proven_at=proven_at))
    assert members.fewest == 2
    record = read_record(lab)  # of a run that bears the rotation's name, so it stays
    assert {name: node["step"] for name, node in record["nodes"].items()} == dict.fromkeys(before, "done")
    assert f"Issuer after:   {issuer}" in output, output[-4000:]
    run.log.unlink()
