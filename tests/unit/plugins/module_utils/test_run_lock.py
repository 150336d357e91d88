# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease against a small API server, with faults and wrong wall clocks. Nothing here sleeps."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils import _run_lock
from ansible_collections.bound_tokens.openshift.plugins.module_utils._ancestors import ParentGone
from ansible_collections.bound_tokens.openshift.plugins.module_utils._clock import WaitOptions
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError, Refused, WaitTimedOut
from ansible_collections.bound_tokens.openshift.plugins.module_utils._guard import Guard
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import MANAGED_BY
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.lease import Holder
from ansible_collections.bound_tokens.openshift.plugins.module_utils._run_lock import RunLock
from clocks import FakeClock

OPTIONS = WaitOptions(timeout=300, interval=2)


def api_error(status, reason="x"):
    return ApiError(verb="try", target="it", host="h", status=status, words="no", reason=reason)


def fail(error):
    raise error


class FakeServer:
    """Keeps one lease under optimistic locking; ``faults`` are what goes wrong with the next requests."""

    host = "h"

    def __init__(self, *, has_namespace=True):
        self.lease = None
        self.version = 0
        self.has_namespace = has_namespace
        self.labels = MANAGED_BY
        self.faults = []  # an error before, ("after", error) an error instead of the answer, None for none
        self.before_write = []  # called once each, just before a write is looked at

    def answer(self, action, *, writes=True):
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, ApiError):
            fail(fault)
        if writes and self.before_write:
            self.before_write.pop(0)()
        found = action()
        if isinstance(fault, tuple):
            fail(fault[1])
        return copy.deepcopy(found)

    def get(self, kind, name, namespace=None):
        if kind == "Namespace":
            return {"metadata": {"name": name, "labels": self.labels}} if self.has_namespace else None
        return self.answer(lambda: self.lease, writes=False)

    def create(self, kind, body, namespace=None):
        def action():
            if kind == "Namespace":
                self.has_namespace = True
                return body
            if not self.has_namespace:
                raise api_error(404, "NotFound")
            if self.lease:
                raise api_error(409)
            return self.store(copy.deepcopy(body["spec"]))

        return self.answer(action)

    def merge_patch(self, kind, name, patch, namespace=None):
        def action():
            if not self.lease:
                raise api_error(404, "NotFound")
            if patch["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
                raise api_error(409)
            return self.store({**self.lease["spec"], **patch["spec"]})

        return self.answer(action)

    def store(self, spec):
        self.version += 1
        spec = {k: v for k, v in spec.items() if v is not None}
        self.lease = {"metadata": {"resourceVersion": str(self.version)}, "spec": spec}
        return self.lease

    def holder(self):
        return self.lease["spec"].get("holderIdentity")


#: The work of the thread, which the fixture takes away.
KEEP = RunLock._keep


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def server():
    return FakeServer()


@pytest.fixture
def lock(server, clock, monkeypatch):
    """Makes locks whose thread does nothing; a test renews when it wants to."""
    monkeypatch.setattr(RunLock, "_keep", lambda self: None)

    def make(run_id, pid=1):
        me = Holder(run_id=run_id, where="me@here", pid=pid, nonce="n")
        return RunLock(cluster=server, namespace="bound-tokens", me=me, clock=clock)

    return make


def test_a_lease_is_taken_renewed_and_released(server, clock, lock):
    mine = lock("r1")
    mine.acquire(OPTIONS)
    assert server.holder() == "r1/me@here/1/n"
    version = server.version
    clock.now = 25
    mine.ensure_held()
    assert server.version == version, "a fresh lease needs no request"
    clock.now = 26
    mine.ensure_held()
    assert server.version == version + 1
    mine.release()
    assert server.holder() is None
    lock("r2").acquire(OPTIONS)
    assert (server.holder(), clock.now) == ("r2/me@here/1/n", 26)


def test_the_namespace_is_made_when_it_is_missing(server, lock):
    server.has_namespace = False
    lock("r1").acquire(OPTIONS)
    assert server.holder() == "r1/me@here/1/n"


def test_a_namespace_that_somebody_else_makes_meanwhile_is_as_good(server, lock):
    server.has_namespace = False
    server.faults = [None, None, ("after", api_error(409, "AlreadyExists"))]
    lock("r1").acquire(OPTIONS)
    assert server.holder() == "r1/me@here/1/n"


def test_a_namespace_on_its_way_out_is_told(server, lock):
    server.has_namespace = False
    words = 'object is being deleted: namespaces "bound-tokens" already exists'
    server.faults = [None, None, ApiError(verb="create", target="t", host="h", status=409, words=words)]
    with pytest.raises(ApiError, match="object is being deleted"):
        lock("r1").acquire(OPTIONS)


def test_another_run_is_refused_with_the_holders_name(clock, lock):
    mine = lock("r1")
    mine.acquire(OPTIONS)
    clock.on_sleep.append(mine.ensure_held)
    with pytest.raises(Refused, match=r"run r1 of me@here \(process 1\) is at work on this cluster"):
        lock("r2").acquire(OPTIONS)
    assert clock.now < 60


def test_a_lease_whose_holder_is_gone_is_taken_after_its_time_whatever_the_wall_clocks_say(
    server, clock, lock, monkeypatch
):
    monkeypatch.setattr(_run_lock, "_now", lambda: "1999-01-01T00:00:00.000000Z")
    lock("r1").acquire(OPTIONS)
    monkeypatch.setattr(_run_lock, "_now", lambda: "2099-01-01T00:00:00.000000Z")
    lock("r2").acquire(OPTIONS)
    assert server.holder() == "r2/me@here/1/n"
    assert 60 <= clock.now <= 64


def test_of_two_that_see_a_free_lease_one_gets_it(server, clock, lock):
    first, second = lock("r1"), lock("r2")
    server.before_write.append(lambda: second.acquire(OPTIONS))
    clock.on_sleep.append(second.ensure_held)
    with pytest.raises(Refused, match="run r2"):
        first.acquire(OPTIONS)
    assert server.holder() == "r2/me@here/1/n"


def test_of_two_that_see_an_expired_lease_one_gets_it(server, clock, lock):
    lock("r0").acquire(OPTIONS)
    first, second = lock("r1"), lock("r2")
    server.before_write.append(lambda: second.acquire(OPTIONS))
    clock.on_sleep.append(lambda: second.ensure_held() if server.holder().startswith("r2") else None)
    with pytest.raises(Refused, match="run r2"):
        first.acquire(OPTIONS)


@pytest.mark.parametrize("exists", [False, True])
def test_a_lost_answer_to_the_taking_is_found_out(server, lock, exists):
    if exists:
        lock("r0").acquire(OPTIONS)
        server.store({"leaseDurationSeconds": 60})
    server.faults = [None, ("after", api_error(0))]
    mine = lock("r1")
    mine.acquire(OPTIONS)
    version = server.version
    mine.ensure_held()
    assert (server.holder(), server.version) == ("r1/me@here/1/n", version + 1), "nobody knew since when it was ours"


def test_a_lease_that_the_thread_finds_taken_is_lost_at_once(server, clock, lock):
    mine = lock("r1")
    mine.acquire(OPTIONS)
    server.store({"holderIdentity": "r2/you@there/3/c"})
    with pytest.raises(Refused):
        mine.renew()
    clock.now = 10
    with pytest.raises(Refused, match="run r2 of you@there"):
        mine.ensure_held()


def test_a_lost_answer_to_a_renewal_is_found_out(server, clock, lock):
    mine = lock("r1")
    mine.acquire(OPTIONS)
    server.faults = [("after", api_error(0))]
    clock.now = 30
    with pytest.raises(ApiError) as failure:
        mine.ensure_held()
    assert failure.value.is_transient
    assert failure.value.status not in (0, 404, 409, 429, 500, 503), "it must not look like an answer about a pod"
    mine.ensure_held()
    assert mine.renewed_at == 30


def test_no_deed_in_an_outage_and_on_after_it(server, clock, lock):
    mine = lock("r1")
    mine.acquire(OPTIONS)
    clock.now = 500
    server.faults = [api_error(0), api_error(503)]
    for _unused in range(2):
        with pytest.raises(ApiError):
            mine.ensure_held()
    mine.ensure_held()
    assert server.holder() == "r1/me@here/1/n"


def test_a_lease_that_another_has_taken_in_an_outage_is_not_taken_back(server, clock, lock):
    mine = lock("r1")
    mine.acquire(OPTIONS)
    clock.now = 500
    other = lock("r2", pid=7)
    other.acquire(OPTIONS)
    for _unused in range(2):
        with pytest.raises(Refused, match=r"run r2 of me@here \(process 7\) has taken"):
            mine.ensure_held()
    mine.release()
    assert server.holder() == "r2/me@here/7/n"
    other.release()
    with pytest.raises(Refused):
        mine.ensure_held()


@pytest.mark.parametrize("left", ["released", "deleted"])
def test_that_another_has_worked_meanwhile_is_noticed_also_when_it_has_gone(server, clock, lock, left):
    mine = lock("r1")
    mine.acquire(OPTIONS)
    clock.now = 500
    other = lock("r2")
    other.acquire(OPTIONS)
    other.release()
    if left == "deleted":
        server.lease = None
    with pytest.raises(Refused, match="another run, or a person, has taken"):
        mine.ensure_held()


def test_a_lease_is_not_waited_for_when_nobody_waits_for_us(server, clock, lock):
    lock("r1").acquire(OPTIONS)
    orphan, version = lock("r1", pid=2), server.version

    def require_parent():
        if clock.now >= 10:
            raise ParentGone("gone")

    orphan.require_parent = require_parent
    with pytest.raises(ParentGone):
        orphan.acquire(OPTIONS)
    assert (clock.now, server.version) == (10, version)


def test_a_lease_is_kept_while_somebody_waits_for_us(server, lock, monkeypatch):
    monkeypatch.setattr(_run_lock, "RENEW_SECONDS", 0)
    mine, looks = lock("r1"), iter([None, None, None, ParentGone("gone")])
    mine.acquire(OPTIONS)
    version = server.version

    def require_parent():
        if gone := next(looks):
            raise gone

    mine.require_parent = require_parent
    server.faults = [api_error(503)]
    server.before_write = [*[lambda: None] * 5, lambda: pytest.fail("it goes on for nobody")]
    KEEP(mine)
    assert server.version == version + 2, "an API server that is away for a moment ends nothing"
    mine.release()
    KEEP(mine)  # ends without asking anybody


def test_an_api_server_that_stays_away_is_given_up(server, lock):
    server.faults = [api_error(0)] * 1000
    with pytest.raises(WaitTimedOut, match="the lease of the run"):
        lock("r1").acquire(OPTIONS)


def test_no_lease_is_taken_in_a_namespace_that_a_user_may_have_made(server, lock):
    server.labels = {"team": "x"}
    with pytest.raises(Refused, match="namespace bound-tokens does not carry the label app"):
        lock("r1").acquire(OPTIONS)
    assert server.lease is None


def test_a_namespace_that_a_user_was_quicker_to_make_is_noticed(server, lock):
    server.has_namespace = False
    server.labels = {}
    server.before_write = [lambda: None, lambda: setattr(server, "has_namespace", True)]
    with pytest.raises(Refused, match="does not carry the label"):
        lock("r1").acquire(OPTIONS)


def test_the_guard_asks_for_the_lease_before_deeds_only(server, clock, lock):
    asked = []
    guard = Guard(require_parent=lambda: asked.append("parent"))
    guard.before_request(True)
    guard.acquire(lock("r1"), OPTIONS)
    clock.now, before = 100, server.version
    guard.before_request(False)
    assert server.version == before
    guard.before_request(True)
    assert server.version == before + 1
    assert asked == ["parent"] * 3
    guard.release()
    assert server.holder() is None
