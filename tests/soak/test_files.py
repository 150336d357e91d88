# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation that restarts nothing: it waits until the kubelets have rewritten every file. Fifty minutes: make soak."""

from __future__ import annotations

from issuers import fresh, wait
from strategies import compare_claims, pods, rotate, running_kinds
from token_pods import COPIES, HELD, IMAGE

#: Tokens of two hours would take twice as long.
KINDS = HELD.keys() - {"odd", "several"}
#: Of which kubelets rewrite the files, and not before the former issuer is distrusted.
LASTING = {*COPIES, "days"}


def test_when_the_kubelets_have_rewritten_every_file_the_former_issuer_may_go(lab):
    with running_kinds(lab, KINDS):
        former, issuer = lab.active_issuer(), fresh("waiting")
        lab.set_issuer(issuer)  # past all of the collection
        wait(lab, issuer)
        verdicts, before = compare_claims(lab, issuer, former), pods(lab, "kinds")
        assert "renewed" not in verdicts.values()
        status, output = rotate(
            lab,
            issuer,
            timeout=5400,
            rotation_strategy="wait",
            rotation_audit_verify=["files"],
            token_audit_image=IMAGE,
        )
        assert status == 0, output[-3000:]
        assert "Audit: The old issuer" in output
        assert dict(before & pods(lab, "kinds")).keys() == KINDS - LASTING
        assert compare_claims(lab, issuer, former) == {
            **dict.fromkeys(KINDS, "renewed"),
            "reads-once": "old_until_restarted",
        }
