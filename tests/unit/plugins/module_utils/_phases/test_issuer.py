# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting the issuer against a small cluster in memory, whose operator reacts at the next look."""

from __future__ import annotations

import copy
from datetime import datetime, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError, Refused, WaitTimedOut
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import Probe
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.issuer import apply_issuer, describe_issuer
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.issuer import DocumentOptions, IssuerRequest
from clocks import FakeClock

A, B, POISON = "https://a.example", "https://b.example", "http://x y"
EXPIRY = "2026-11-23T07:00:00Z"


def failure(status, reason="NotFound"):
    return ApiError(verb="get", target="x", host="h", status=status, words="w", reason=reason)


class FakeCluster:
    """``writes`` are the patches in their order. The operator moves the active issuer when its status is read."""

    def __init__(self, spec=A, trusted=(A,), reacts=True):
        self.spec, self.reacts, self.writes, self.version = spec, reacts, [], 1
        self.entries = [{"name": trusted[0]}] + [{"name": n, "expirationTime": EXPIRY} for n in trusted[1:]]
        self.observed = [e["name"] for e in self.entries]
        self.conflicts = 0
        self.denied = set()
        self.reads = 0
        self.discovery, self.keys = {"issuer": A}, {"keys": [{"kid": "k1"}]}

    def react(self):
        names = [e.get("name") for e in self.entries]
        if self.entries and names[0] != self.spec:
            former = [{"name": names[0], "expirationTime": EXPIRY}, *self.entries[1:]]
            self.entries = [{"name": self.spec}, *(e for e in former if e["name"] != self.spec)]
        self.observed = [e.get("name", "") for e in self.entries]

    def kube_apiserver(self):
        if self.reacts:
            self.react()
        done = {"NodeInstallerProgressing": "False", "StaticPodsAvailable": "True", "NodeInstallerDegraded": "False"}
        return {
            "metadata": {"resourceVersion": str(self.version)},
            "spec": {"observedConfig": {"apiServerArguments": {"service-account-issuer": list(self.observed)}}},
            "status": {
                "serviceAccountIssuers": copy.deepcopy(self.entries),
                "latestAvailableRevision": 2,
                "nodeStatuses": [{"nodeName": f"master-{i}", "currentRevision": 2} for i in range(3)],
                "conditions": [{"type": kind, "status": status} for kind, status in done.items()],
            },
        }

    def require(self, kind, name):
        assert name == "cluster"
        self.reads += 1
        if kind == "KubeAPIServer":
            return self.kube_apiserver()
        assert kind == "Authentication"
        return {"spec": {"serviceAccountIssuer": self.spec}}

    def get(self, kind, name, namespace=None):
        self.reads += 1
        if kind == "ConfigMap":
            issuers = "".join(f'"{n}",' for n in self.observed).rstrip(",")
            config = f'{{"apiServerArguments": {{"service-account-issuer": [{issuers}]}}}}'
            return {"data": {"config.yaml": config}}
        return None

    def list(self, kind, namespace=None):
        return iter(())

    def create(self, kind, body):
        if kind == "SelfSubjectReview":
            return {"status": {"userInfo": {"username": "admin"}}}
        attributes = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": (attributes["resource"], attributes["subresource"]) not in self.denied}}

    def merge_patch(self, kind, name, patch, namespace=None, *, subresource=""):
        self.writes.append((kind, subresource))
        if kind == "Authentication":
            self.spec = patch["spec"]["serviceAccountIssuer"]
            return
        assert (kind, subresource) == ("KubeAPIServer", "status")
        if self.conflicts:
            self.conflicts -= 1
            self.version += 1
            raise failure(409, "Conflict")
        assert patch["metadata"]["resourceVersion"] == str(self.version)
        self.version += 1
        self.entries = patch["status"]["serviceAccountIssuers"]

    def server_time(self):
        return datetime(2026, 11, 22, 8, 0, tzinfo=timezone.utc)

    def own_token_claims(self):
        return {}

    def get_document(self, path):
        found = self.keys if path == "/openid/v1/jwks" else self.discovery
        if found is None:
            raise failure(404)
        return found

    def request_token(self, account, namespace, **options):
        return {"iss": self.spec}, "k1"


SET, STATUS = ("Authentication", ""), ("KubeAPIServer", "status")


def apply(cluster, wanted=B, check_mode=False, **more):
    request = IssuerRequest(wanted=wanted, documents=DocumentOptions(mode="skip"), **more)
    return apply_issuer(cluster, request, check_mode=check_mode, clock=FakeClock())


def test_the_one_field_is_written():
    cluster = FakeCluster()
    result = apply(cluster)
    assert (result["changed"], result["preflight"], result["removed"]) == (True, [], [])
    assert cluster.writes == [SET]
    assert apply(cluster)["changed"] is False
    assert cluster.writes == [SET]


def test_what_is_as_it_should_be_costs_two_reads():
    cluster = FakeCluster()
    assert apply(cluster, A)["changed"] is False
    assert cluster.reads == 2


def test_a_poisoned_former_issuer_goes_before_the_edit():
    cluster = FakeCluster(trusted=(A, POISON, "https://f.example"))
    result = apply(cluster, repair_trusted=True)
    assert [r["name"] for r in result["removed"]] == [POISON]
    assert result["removed"][0]["expires"] == EXPIRY
    assert cluster.writes == [STATUS, SET]
    assert [e["name"] for e in cluster.kube_apiserver()["status"]["serviceAccountIssuers"]] == [
        B,
        A,
        "https://f.example",
    ]


def test_a_poisoned_active_issuer_goes_right_after_the_edit():
    cluster = FakeCluster(spec=POISON, trusted=(POISON, A))
    result = apply(cluster, repair_trusted=True)
    assert [r["name"] for r in result["removed"]] == [POISON]
    assert cluster.writes == [SET, STATUS]
    assert [e["name"] for e in cluster.entries] == [B, A]


def test_a_repair_alone_leaves_the_field():
    cluster = FakeCluster(trusted=(A, POISON))
    planned = apply(cluster, wanted=A, repair_trusted=True, check_mode=True)
    assert (planned["changed"], [r["name"] for r in planned["removed"]], cluster.writes) == (True, [POISON], [])
    assert apply(cluster, wanted=A, repair_trusted=True)["changed"]
    assert cluster.writes == [STATUS]
    assert apply(cluster, wanted=A, repair_trusted=True)["changed"] is False


def test_an_operator_that_does_not_react_is_told():
    cluster = FakeCluster(spec=POISON, trusted=(POISON,), reacts=False)
    with pytest.raises(WaitTimedOut, match="the operator to take over the list of trusted issuers did not end"):
        apply(cluster, repair_trusted=True)


def test_an_operator_that_does_not_take_a_revocation_over_is_told():
    cluster = FakeCluster(trusted=(A, B), reacts=False)
    with pytest.raises(WaitTimedOut, match="did not end within 120 s"):
        apply(cluster, wanted=A, revoke_former=True)
    assert cluster.entries == [{"name": A}]


def test_poison_is_refused_without_the_option():
    cluster = FakeCluster(trusted=(A, POISON))
    with pytest.raises(Refused, match="repair_trusted: true") as caught:
        apply(cluster)
    assert cluster.writes == []
    assert caught.value.progress["changed"] is False
    assert caught.value.progress["removed"] == []
    assert [f["check"] for f in caught.value.progress["preflight"]] == ["poison"]


@pytest.mark.parametrize(("conflicts", "is_done"), [(0, True), (4, True), (5, False)])
def test_a_status_that_changes_meanwhile_is_read_again(conflicts, is_done):
    cluster = FakeCluster(trusted=(A, POISON))
    cluster.conflicts = conflicts
    if is_done:
        apply(cluster, wanted=A, repair_trusted=True)
    else:
        with pytest.raises(ApiError):
            apply(cluster, wanted=A, repair_trusted=True)
    assert len(cluster.entries) == (1 if is_done else 2)


def test_the_status_permission_is_asked_for_only_where_it_is_needed():
    cluster = FakeCluster(trusted=(A, POISON))
    cluster.denied = {("kubeapiservers", "status")}
    with pytest.raises(Refused, match=r"not allowed to patch kubeapiservers\.operator\.openshift\.io/status"):
        apply(cluster, repair_trusted=True)
    cluster = FakeCluster()
    cluster.denied = {("kubeapiservers", "status")}
    assert apply(cluster, repair_trusted=True)["changed"]


def test_former_issuers_are_revoked_when_the_wanted_one_is_everywhere():
    cluster = FakeCluster(trusted=(A, B, POISON))
    planned = apply(cluster, wanted=A, revoke_former=True, check_mode=True)
    assert (planned["changed"], [r["name"] for r in planned["removed"]]) == (True, [B, POISON])
    assert cluster.writes == []
    assert apply(cluster, wanted=A, revoke_former=True) == planned
    assert cluster.entries == [{"name": A}]
    assert apply(cluster, wanted=A, revoke_former=True)["changed"] is False
    assert cluster.writes == [STATUS]


def test_nothing_is_revoked_before_the_wanted_issuer_is_everywhere():
    cluster = FakeCluster(trusted=(A, B))
    with pytest.raises(Refused, match=f"No former issuer was revoked, because {B} is not the cluster's issuer yet"):
        apply(cluster, wanted=B, revoke_former=True)
    cluster.observed, cluster.reacts = [B], False
    with pytest.raises(Refused, match=f"No former issuer was revoked, because the rollout to the issuer {A} is not"):
        apply(cluster, wanted=A, revoke_former=True)
    assert cluster.writes == []


class Elsewhere(FakeCluster):
    """No OpenShift API; ``microshift`` is its ConfigMap."""

    def __init__(self, microshift):
        super().__init__()
        self.microshift = microshift

    def require(self, kind, name):
        raise failure(404, "")

    def get(self, kind, name, namespace=None):
        return self.microshift


@pytest.mark.parametrize(
    ("microshift", "words"), [({"data": {}}, "This is MicroShift"), (None, "--service-account-issuer")]
)
def test_without_openshift_the_place_is_told(microshift, words):
    with pytest.raises(Refused, match=words):
        apply(Elsewhere(microshift))


@pytest.mark.parametrize(
    ("keys", "discovery", "agree"),
    [
        ({"keys": [{"kid": "k1"}]}, {"issuer": A}, True),
        ({"keys": [{"kid": "k2"}]}, {"issuer": A}, False),
        ({"keys": [{"kid": "k1"}]}, {"issuer": B}, False),
        (None, None, None),
    ],
)
def test_the_window_and_the_keys_are_told(keys, discovery, agree):
    cluster = FakeCluster(trusted=(A, B))
    cluster.keys, cluster.discovery = keys, discovery
    found = describe_issuer(cluster, probe=Probe(), clock=FakeClock())
    assert found["keys_agree"] is agree
    assert found["former"] == [{"name": B, "expires": EXPIRY, "seconds_left": 23 * 3600}]
    assert (found["next_rollout_at"], found["seconds_left"], found["read_at"]) == (
        EXPIRY,
        82800,
        "2026-11-22T08:00:00Z",
    )
    assert (found["token_issuer"], found["token_key_id"], found["trusts_former"]) == (A, "k1", True)
    assert describe_issuer(cluster, probe=None, clock=FakeClock())["keys_agree"] is None


def test_a_release_without_former_issuers_is_told():
    cluster = FakeCluster()
    cluster.entries = []
    found = describe_issuer(cluster, probe=None, clock=FakeClock())
    assert (found["trusts_former"], found["former"], found["next_rollout_at"]) == (False, [], None)
    cluster.observed, cluster.reacts = [A], False
    assert [f["check"] for f in apply(cluster, check_mode=True)["preflight"]] == ["trust"]


class Faltering(FakeCluster):
    """Gives no answer to one request, by its number; a write is not counted."""

    def __init__(self, number, **more):
        super().__init__(**more)
        self.left = number

    def count(self):
        self.left -= 1
        if self.left == 0:
            raise failure(0)

    def require(self, *arguments):
        self.count()
        return super().require(*arguments)

    def get(self, *arguments):
        self.count()
        return super().get(*arguments)

    def server_time(self):
        self.count()
        return super().server_time()


@pytest.mark.parametrize("number", range(3, 8))
def test_the_issuer_is_told_although_an_api_server_goes_away(number):
    cluster = Faltering(number)
    assert describe_issuer(cluster, probe=None, clock=FakeClock()) == describe_issuer(
        FakeCluster(), probe=None, clock=FakeClock()
    )


@pytest.mark.parametrize("number", range(3, 12))
@pytest.mark.parametrize("change", [{}, {"wanted": A, "revoke_former": True}])
def test_the_issuer_is_set_although_an_api_server_goes_away(number, change):
    cluster, whole = Faltering(number, trusted=(A, "https://f.example")), FakeCluster(trusted=(A, "https://f.example"))
    assert apply(cluster, **change) == apply(whole, **change)
    assert cluster.writes == whole.writes != []


def test_a_cluster_that_never_answers_is_told_at_once():
    with pytest.raises(ApiError, match="no answer from h"):
        apply(Faltering(1))
    with pytest.raises(ApiError, match="no answer from h"):
        describe_issuer(Faltering(1), probe=None, clock=FakeClock())
