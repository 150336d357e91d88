# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import Outcome
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.lease import (
    Holder,
    LeaseFacts,
    describe_holder,
    judge_lease,
    lease_facts,
    lease_spec,
    watch_lease,
)

ME = Holder(run_id="r1", where="me@here", pid=1, nonce="a")
TWIN, OTHER = "r1/me@here/2/b", "r2/you@there/3/c"
TAKE, WAIT, HELD, REFUSE = "take", "wait", "held", "refuse"

#: (seconds, holder, version) at each look; None for no lease.
CASES = [
    ("there is none", [None], TAKE),
    ("it was released", [(0, "", "1")], TAKE),
    ("it is ours", [(0, str(ME), "1")], HELD),
    ("another one, at the first look", [(0, OTHER, "1")], WAIT),
    ("another one renews it", [(0, OTHER, "1"), (16, OTHER, "2")], REFUSE),
    ("a minute without a sign", [(0, OTHER, "1"), (59, OTHER, "1")], WAIT),
    ("and it has expired", [(0, OTHER, "1"), (60, OTHER, "1")], TAKE),
    ("the minute counts from the last sign", [(0, TWIN, "1"), (50, TWIN, "2"), (100, TWIN, "2")], WAIT),
    ("a holder that came meanwhile is new", [(0, TWIN, "1"), (30, OTHER, "2"), (80, OTHER, "2")], WAIT),
    ("our own run may be about to notice its end", [(0, TWIN, "1"), (15, TWIN, "2")], WAIT),
    ("our own run is alive all the time", [(0, TWIN, "1"), (45, TWIN, "2"), (90, TWIN, "3")], REFUSE),
    ("a name that begins like ours", [(0, "r10/x@y/1/a", "1"), (15, "r10/x@y/1/a", "2")], REFUSE),
]


@pytest.mark.parametrize(("name", "looks", "wanted"), CASES, ids=[c[0] for c in CASES])
def test_who_may_work_is_told_by_observed_change(name, looks, wanted):
    watch, now = None, 1000.0
    for look in looks:
        now = 1000.0 + (look[0] if look else 0)
        watch = watch_lease(watch, LeaseFacts(holder=look[1], version=look[2]) if look else None, now)
    verdict = judge_lease(watch, ME, now)
    said = {Outcome.DONE: HELD, Outcome.FAILED: REFUSE, Outcome.WAITING: TAKE if verdict.may_take else WAIT}
    assert said[verdict.outcome] == wanted


def test_the_holder_is_named_for_people():
    assert describe_holder(OTHER) == "run r2 of you@there (process 3)"
    assert describe_holder("kube-scheduler") == "the holder kube-scheduler"


def test_a_lease_is_read_as_it_was_written():
    lease = {"metadata": {"resourceVersion": "7"}, "spec": lease_spec(ME, "2026-11-22T07:52:08.000000Z", 3)}
    assert lease_facts(lease) == LeaseFacts(holder=str(ME), version="7", seconds=60, transitions=3)
    assert lease_facts({"metadata": {"resourceVersion": "7"}}) == LeaseFacts(holder="", version="7")
    assert lease_facts(None) is None
