# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit of a small cluster that switched from 07:50 to 08:00, from the options to the module's result."""

from __future__ import annotations

import base64
import copy
import json
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._clock import WaitOptions
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import (
    ApiError,
    CollectionError,
    InvalidOption,
    WaitTimedOut,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import (
    MANAGED_BY,
    IssuerFacts,
    TrustedIssuer,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases import holders
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.holders import HolderAudit, holder_request
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.node_record import (
    NodeProgress,
    NodeRecord,
    Step,
    dump_nodes,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.run_record import RunRecord, dump_record
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.token_files import NodeFiles, TokenFile
from ansible_collections.bound_tokens.openshift.plugins.module_utils._run import RecordStore
from clocks import FakeClock

NEW, OLD = "https://new.example.com", "https://old.example.com"
ROLLOUT = {
    "complete": True,
    "issuer": NEW,
    "finished_at": "2026-11-22T08:00:00Z",
    "explanation": "All 1 run it.",
    "nodes": [
        {"name": "m0", "switched_not_before": "2026-11-22T07:50:00Z", "switched_not_after": "2026-11-22T08:00:00Z"}
    ],
}
ISSUER = IssuerFacts(
    spec_issuer=NEW,
    trusted=(
        TrustedIssuer(name=NEW),
        TrustedIssuer(name=OLD, expires=datetime(2026, 11, 23, 7, 45, tzinfo=timezone.utc)),
    ),
)


def pod(name, start, *, node="n0", namespace="shop", token=None, sub_path=None, volumes=()):
    mount = {"name": "t", "mountPath": "/t", **({"subPath": sub_path} if sub_path else {})}
    projected = {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3607, **(token or {})}}]}
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": f"uid-{name}"},
        "spec": {
            "nodeName": node,
            "serviceAccountName": "web",
            "containers": [{"name": "main", "volumeMounts": [mount]}],
            "volumes": [*volumes, *([] if token is False else [{"name": "t", "projected": projected}])],
        },
        "status": {
            "phase": "Running",
            "startTime": start,
            "containerStatuses": [{"name": "main", "state": {"running": {"startedAt": start}}}],
        },
    }


EARLY, LATE = "2026-11-22T06:00:00Z", "2026-11-22T08:05:00Z"
CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "c"}}
OBJECTS = {
    "Pod": [
        pod("plain", EARLY),
        pod("fresh", LATE),
        pod("stuck", EARLY, sub_path="token"),
        pod("vault", EARLY, token={"audience": OLD, "expirationSeconds": 600}),
        pod("mail", EARLY, token=False, namespace="post", volumes=[{"name": "s", "secret": {"secretName": "robot"}}]),
        pod("store", EARLY, token=False, volumes=[CLAIM]),
        pod("idle", EARLY, token=False),
    ],
    "Node": [
        {
            "metadata": {"name": "n0"},
            "status": {
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-01T00:00:00Z"}]
            },
        }
    ],
    "CSIDriver": [
        {
            "metadata": {"name": "csi.example.com"},
            "spec": {"tokenRequests": [{"audience": "x", "expirationSeconds": 90000}]},
        },
        {"metadata": {"name": "other.example.com"}, "spec": {}},
    ],
    "PersistentVolume": [
        {
            "metadata": {"name": "pv"},
            "spec": {"claimRef": {"namespace": "shop", "name": "c"}, "csi": {"driver": "csi.example.com"}},
        },
        {"metadata": {"name": "pv2"}, "spec": {"hostPath": {}}},
    ],
    "Secret": [
        {
            "metadata": {
                "namespace": "post",
                "name": "robot",
                "annotations": {"kubernetes.io/service-account.name": "robot"},
            },
            "type": "kubernetes.io/service-account-token",
        },
        {
            "metadata": {"namespace": "vault", "name": "login"},
            "type": "Opaque",
            "data": {"url": base64.b64encode(OLD.encode()).decode()},
        },
    ],
    "ConfigMap": [
        {"metadata": {"namespace": "vault", "name": "config"}, "data": {"a": OLD}},
        {"metadata": {"namespace": "openshift-kube-apiserver", "name": "config"}, "data": {"a": OLD}},
        {"metadata": {"namespace": "bound-tokens", "name": "bound-tokens-run"}, "data": {"a": OLD}},
    ],
}


class FakeCluster:
    host = "https://api.example.com:6443"

    def __init__(self, now="2026-11-22T08:30:00Z", data=None):
        self.now = now and datetime.fromisoformat(now.replace("Z", "+00:00"))
        self.data, self.denied, self.passed = data, set(), timedelta()
        self.log, self.audit, self.servers = b"", {}, []
        self.kubelets, self.asked, self.lists = {}, [], []  # when they started, which were asked, what was listed

    def list_at(self, kind, *, read=lambda o: o, **selection):
        return "1", [read(o) for o in self.list(kind)]

    def read_node_metric(self, node, name):
        assert name == "process_start_time_seconds"
        self.asked.append(node)
        if node not in self.kubelets:
            raise ApiError(verb="read", target="metrics", host="h", status=503, words="error trying to reach service")
        return self.kubelets[node].timestamp()

    def list(self, kind, namespace=None):
        if namespace:
            return self.servers
        self.lists.append(kind)
        if kind in self.denied:
            words = f'User "u" cannot list {kind}'
            raise ApiError(verb="list", target=kind, host="h", status=403, words=words, reason="Forbidden")
        return OBJECTS[kind]

    def get(self, kind, name, namespace=None):
        if kind == "APIServer":
            return {"spec": {"audit": self.audit}}
        if kind == "Namespace":
            return {"metadata": {"name": name, "labels": MANAGED_BY}}
        assert (kind, name, namespace) == ("ConfigMap", "bound-tokens-run", "bound-tokens")
        return {"metadata": {"resourceVersion": "1"}, "data": self.data} if self.data else None

    def get_document(self, path, query=None):
        if path == "/.well-known/openid-configuration":
            return {"issuer": NEW}
        if path == "/apis/example.com/v1":
            return {"resources": [{"name": "stores", "kind": "Store", "namespaced": False}]}
        return {"items": [{"metadata": {"name": "s"}, "spec": {"issuer": OLD}}]}

    def server_time(self):
        return self.now and self.now + self.passed

    def sleep(self, seconds):
        self.passed = timedelta(seconds=seconds)

    def list_node_files(self, node, folder):
        self.list("Node")
        return ["audit.log"]

    def measure_node_file(self, node, file):
        return len(self.log)

    def read_node_file(self, node, file, start, end):
        yield self.log[start:end]


@pytest.fixture
def audit(monkeypatch):
    def run(
        cluster=None, *, rollout=None, issuer=ISSUER, options=None, say=lambda line: None, check_mode=False, **more
    ):
        def look(cluster, issuer, *, probe, clock):
            if isinstance(rollout, Exception):
                raise rollout
            return rollout or ROLLOUT

        monkeypatch.setattr(holders, "look_at_rollout", look)
        monkeypatch.setattr(holders, "read_issuer", lambda cluster: issuer)
        cluster, clock = cluster or FakeCluster(), FakeClock()
        clock.on_sleep.append(lambda: cluster.sleep(clock.now))
        given = {
            "verify": ["spec"],
            "image": None,
            "used_since": None,
            "max_bytes": 10**9,
            "since": None,
            "former_issuers": [],
            "outside_tokens": [],
            "custom_resources": [],
            "all_pods": False,
            **more,
        }
        result = HolderAudit(
            cluster=cluster,
            clock=clock,
            request=holder_request(given, check_mode=check_mode),
            store=RecordStore(cluster=cluster, namespace="bound-tokens"),
            options=options,
            say=say,
        ).run()
        assert result["changed"] is False
        return result["token_holders"], result["explanation"]

    return run


def shown(found):
    return {p["name"]: (p["verdict"], p["reason"]) for p in found["pods"]}


def test_who_holds_what(audit):
    found, explanation = audit()
    assert shown(found) == {
        "plain": ("file_renews", "FileRenews"),
        "stuck": ("old_until_restarted", "SubPath"),
        "store": ("unknown", "CsiDriver"),
    }
    assert found["counts"] == {
        "old_until_restarted": 1,
        "old_until": 0,
        "unknown": 1,
        "file_renews": 1,
        "renewed": 2,
        "legacy": 1,
        "no_token": 1,
    }
    assert (found["switched_not_before"], found["switched_not_after"]) == (
        "2026-11-22T07:50:00Z",
        "2026-11-22T08:00:00Z",
    )
    assert found["former"] == [{"name": OLD, "expires": "2026-11-23T07:45:00Z"}]
    assert (found["may_go"], found["problems"]) == (False, [])
    assert explanation == (
        "Not yet: 3 pods, 1 of them not before a restart, the others by 2026-11-23T09:00:00Z. 3 places are to be changed by "
        "hand. Tokens that were given to people and systems outside can't be listed: they die at 2026-11-23T07:45:00Z at "
        "the latest."
    )


def test_what_is_apart(audit):
    found, _explanation = audit(
        custom_resources=[{"api_version": "example.com/v1", "kind": "Store", "namespace": None}]
    )
    assert found["legacy"] == [{"namespace": "post", "name": "robot", "service_account": "robot", "pods": 1}]
    assert [(m["kind"], m["name"], m["where"], m["what"]) for m in found["manual"]] == [
        ("ConfigMap", "config", "data.a", "issuer"),
        ("Pod", "vault", "serviceAccountToken.audience", "audience"),
        ("Secret", "login", "data.url", "issuer"),
        ("Store", "s", "spec.issuer", "issuer"),
    ]


def test_known_kinds_are_looked_at_where_the_cluster_has_them(audit):
    cluster, asked = FakeCluster(), []
    served = {
        "/apis/external-secrets.io/v1beta1": ("clustersecretstores", "ClusterSecretStore"),
        "/apis/cert-manager.io/v1": ("issuers", "Issuer"),
    }

    def get_document(path, query=None):
        asked.append(path)
        if path.endswith("/issuers"):
            raise ApiError(verb="list", target="issuers", host="h", status=500, words="no", reason="InternalError")
        if path.endswith("/clustersecretstores"):
            return {"items": [{"metadata": {"name": "s"}, "spec": {"issuer": OLD}}]}
        if path not in served:
            raise ApiError(verb="read", target=path, host="h", status=404, words="not found")
        plural, kind = served[path]
        return {"resources": [{"name": plural, "kind": kind, "namespaced": False}]}

    cluster.get_document = get_document
    found, _explanation = audit(cluster)
    assert [m["name"] for m in found["manual"] if m["kind"] == "ClusterSecretStore"] == ["s"]
    assert found["problems"] == ["Issuer could not be read: no"]
    assert "/apis/external-secrets.io/v1" in asked


def test_all_pods_on_request(audit):
    found, _explanation = audit(all_pods=True)
    assert len(found["pods"]) == len(OBJECTS["Pod"])
    assert found["service_accounts"][0]["verdicts"] == {
        "old_until_restarted": 1,
        "unknown": 1,
        "file_renews": 1,
        "renewed": 2,
        "no_token": 1,
    }


def test_a_program_that_may_have_read_once_is_told_beside_the_verdict(audit):
    found, explanation = audit(FakeCluster(now="2026-11-22T09:00:00Z"), all_pods=True)
    assert next(p for p in found["pods"] if p["name"] == "plain")["may_be_cached"] is True
    assert "In 1 pods something runs since before the file was rewritten" in explanation


def test_a_node_that_a_run_has_restarted(audit):
    progress = NodeProgress(step=Step.DONE, boot_id="b", restarted_at="2026-11-22T08:10:00Z")
    record = NodeRecord(run_id="r", begun_at="2026-11-22T08:05:00Z", nodes={"n0": progress})
    assert audit(FakeCluster(data=dump_nodes(record)))[0]["counts"]["renewed"] == 5


def test_the_record_of_a_run_tells_what_the_cluster_does_not(audit):
    forgotten = {**ROLLOUT, "finished_at": None, "nodes": []}
    found, explanation = audit(rollout=forgotten)
    assert found["counts"]["unknown"] == 5
    assert "When the last API server switched is not known any more; set since to that moment." in explanation
    record = RunRecord(
        run_id="r", issuer=NEW, former_issuer="https://older.example.com", finished_at="2026-11-22T08:00:00Z"
    )
    found, _explanation = audit(FakeCluster(data=dump_record(record)), rollout=forgotten)
    assert (found["counts"]["unknown"], found["switched_not_after"]) == (1, "2026-11-22T08:00:00Z")
    assert [f["name"] for f in found["former"]] == [OLD, "https://older.example.com"]


def test_while_a_rollout_runs(audit):
    found, explanation = audit(rollout={**ROLLOUT, "complete": False, "explanation": "0 of 1 nodes are at revision 3."})
    assert found["may_go"] is False
    assert "The rollout of the kube-apiservers is not finished: 0 of 1 nodes are at revision 3." in explanation


def test_a_cluster_without_the_operators(audit):
    missing = ApiError(verb="get", target="x", host="h", status=404, words="page not found")
    found, _explanation = audit(rollout=missing, since="2026-11-22T08:00:00Z", former_issuers=[OLD])
    assert (found["issuer"], found["switched_not_before"]) == (NEW, None)
    assert shown(found)["stuck"] == ("unknown", "SubPathUnsure")


def test_what_may_not_be_read_is_a_problem(audit):
    cluster = FakeCluster()
    cluster.denied = {"Node", "CSIDriver", "Secret", "ConfigMap"}
    found, _explanation = audit(cluster)
    assert [p.partition(":")[0] for p in found["problems"]] == [
        "whether nodes are Ready may not be read",
        "CSI drivers may not be read",
        "Secrets may not be read",
        "ConfigMaps may not be read",
    ]
    assert shown(found).keys() == {"plain", "stuck"}
    cluster.denied = {"Pod"}
    with pytest.raises(ApiError):
        audit(cluster)


@pytest.mark.parametrize("kind", ["Node", "CSIDriver", "PersistentVolume"])
def test_without_what_verdicts_rest_on_no_issuer_may_go(audit, monkeypatch, kind):
    monkeypatch.setitem(OBJECTS, "Pod", [pod("fresh", LATE), pod("idle", EARLY, token=False)])
    cluster = FakeCluster()
    cluster.denied = {"Secret", "ConfigMap"}
    found, _explanation = audit(cluster)
    assert (found["may_go"], len(found["problems"]), found["gaps"]) == (True, 2, [])
    cluster.denied = {kind}
    found, explanation = audit(cluster)
    assert (found["may_go"], found["gaps"]) == (False, found["problems"])
    assert explanation.startswith(f"Not yet: what was asked for can't be told, because {found['problems'][0]}.")


def test_tokens_of_the_users_own_list_count_while_they_live(audit, monkeypatch):
    monkeypatch.setitem(OBJECTS, "Pod", [])
    assert audit()[0]["may_go"] is True
    found, explanation = audit(outside_tokens=[{"name": "ci", "expires": "2026-11-22T09:00:00Z"}])
    assert found["outside"] == [
        {"name": "ci", "expires": "2026-11-22T09:00:00Z", "dies": "2026-11-22T09:00:00Z", "is_dead": False}
    ]
    assert (found["may_go"], explanation.startswith("Not yet: 1 token(s) on your own list.")) == (False, True)


def event(moment, **more):
    received = f"2026-11-22T{moment}.000000Z"
    found = {"requestReceivedTimestamp": received, "stageTimestamp": received, **more}
    return json.dumps(found, separators=(",", ":")).encode() + b"\n"


def use(moment, token_id, **bound):
    extra = {"authentication.kubernetes.io/credential-id": [f"JTI={token_id}"]}
    extra |= {f"authentication.kubernetes.io/pod-{name}": [value] for name, value in bound.items()}
    return event(moment, user={"username": "system:serviceaccount:shop:web", "extra": extra})


def log(*events):
    """A log that reaches back to before the switch, in which somebody gets a token."""
    issued = event("08:10:00", annotations={"authentication.kubernetes.io/issued-credential-id": "JTI=new"})
    return b"".join([event("07:00:00"), issued, *events, event("08:59:00")])


def test_a_program_that_keeps_its_old_token_is_found_by_its_use(audit):
    cluster = FakeCluster(now="2026-11-22T09:00:00Z")
    cluster.log = log(use("08:55:00", "old", name="plain", uid="uid-plain"), use("08:56:00", "new"))
    found, explanation = audit(cluster, verify=["use"])
    plain = next(p for p in found["pods"] if p["name"] == "plain")
    assert (plain["verdict"], plain["reason"], plain["source"]) == ("old_until_restarted", "OldTokenInUse", "use")
    assert [(u["token_id"], u["pod"], u["is_old"]) for u in found["used"]] == [("old", "plain", True)]
    assert found["servers"][0]["covered_since"] == "2026-11-22T07:50:00Z"
    assert "The audit logs of m0 know of requests to these API servers only" in explanation
    assert "In 1 pods something runs" not in explanation
    assert audit(cluster, verify=["use"], used_since="2026-11-22T08:56:00Z")[0]["used"] == []


NO_SPECIFICATION = "whether it has read the file again is not in a specification."
NOT_YET = "the audit logs can't show yet whether it has read the file again."


@pytest.mark.parametrize(
    ("now", "more", "cached", "told"),
    [
        ("09:00:00", {"verify": ["spec"]}, 1, NO_SPECIFICATION),
        # the file was rewritten by 08:50:05, and whoever reads it again has done so two minutes later
        ("08:51:00", {}, 1, NOT_YET),
        ("08:52:05", {}, 1, NOT_YET),
        (
            "09:00:00",
            {},
            0,
            "of them the logs show no use of an old token from 2026-11-22T08:52:05Z to 2026-11-22T09:00:00Z.",
        ),
        (
            "09:00:00",
            {"used_since": "2026-11-22T08:58:00Z"},
            0,
            "of them the logs show no use of an old token from 2026-11-22T08:58:00Z to 2026-11-22T09:00:00Z.",
        ),
        ("09:00:00", {"used_since": "2026-11-22T09:00:00Z"}, 1, NOT_YET),
    ],
)
def test_whether_an_old_token_may_be_kept_is_told_as_far_as_it_was_watched(audit, monkeypatch, now, more, cached, told):
    monkeypatch.setitem(OBJECTS, "Pod", [pod("plain", EARLY)])
    cluster = FakeCluster(now=f"2026-11-22T{now}Z")
    cluster.log = log()
    found, explanation = audit(cluster, **{"verify": ["use"], **more})
    assert (found["may_go"], found["may_be_cached"], found["problems"]) == (True, cached, [])
    kept = " as far as files tell; 1 pod(s) may keep an old token in memory, which verify: use tells" if cached else ""
    assert explanation.startswith(f"The old issuer {OLD} may go now{kept}. ")
    assert f"In 1 pods something runs since before the file was rewritten; {told}" in explanation


def test_who_holds_an_old_token_anyway_is_not_counted_among_those_that_may(audit):
    found, _explanation = audit(FakeCluster(now="2026-11-22T09:00:00Z"), all_pods=True)
    counted = [p["name"] for p in found["pods"] if p["may_be_cached"] and p["verdict"] == "renewed"]
    assert (counted, found["may_be_cached"]) == (["plain"], 1)


def test_an_old_token_of_nobody_in_the_cluster_counts(audit, monkeypatch):
    monkeypatch.setitem(OBJECTS, "Pod", [])
    cluster = FakeCluster(now="2026-11-22T09:00:00Z")
    cluster.log = log()
    assert audit(cluster, verify=["use"])[0]["may_go"] is True
    # that of a pod that is gone is refused
    cluster.log = log(use("08:55:00", "old", name="gone", uid="uid-gone"))
    assert audit(cluster, verify=["use"])[0]["may_go"] is True
    cluster.log = log(use("08:55:00", "old"))
    found, explanation = audit(cluster, verify=["use"])
    assert (found["may_go"], explanation.partition(". ")[0]) == (
        False,
        "Not yet: 1 old token(s) in use outside of running pods",
    )


def test_a_token_of_which_nobody_knows_whether_it_is_old_does_not_let_the_issuer_go(audit, monkeypatch):
    monkeypatch.setitem(OBJECTS, "Pod", [pod("plain", EARLY)])
    issued = event("07:55:00", annotations={"authentication.kubernetes.io/issued-credential-id": "JTI=either"})
    cluster = FakeCluster(now="2026-11-22T09:00:00Z")
    # its program reads the file again
    cluster.log = log(issued, use("08:05:00", "either", name="plain", uid="uid-plain"))
    assert audit(cluster, verify=["use"])[0]["may_go"] is True
    for bound in ({"name": "plain", "uid": "uid-plain"}, {}):
        cluster.log = log(issued, use("08:55:00", "either", **bound))
        found, explanation = audit(cluster, verify=["use"])
        assert [u["is_old"] for u in found["used"]] == [None]
        assert (found["may_go"], explanation.partition(". ")[0]) == (
            False,
            "Not yet: 1 token(s) in use of which it is unknown whether they are old",
        )


def test_what_the_logs_do_not_tell_is_not_taken_for_nothing(audit, monkeypatch):
    monkeypatch.setitem(OBJECTS, "Pod", [])
    cluster = FakeCluster(now="2026-11-22T09:00:00Z")
    cluster.log = log()
    cluster.denied = {"Node"}
    found, explanation = audit(cluster, verify=["use"])
    assert found["may_go"] is False
    assert explanation.startswith("Not yet: what was asked for can't be told, because whether nodes are Ready may not")
    assert "; could not list Node: User" in explanation
    cluster.denied, cluster.audit = set(), {"customRules": [{"group": "system:nodes", "profile": "None"}]}
    assert audit(cluster, verify=["use"])[0]["problems"] == ["the audit policy logs nothing of the group system:nodes"]
    cluster.audit = {"profile": "None"}
    assert "the audit profile" in audit(cluster, verify=["use"])[0]["problems"][0]
    unknown = {**ROLLOUT, "finished_at": None}
    assert "it is not known when the last" in audit(cluster, verify=["use"], rollout=unknown)[0]["problems"][0]
    nobody = {**ROLLOUT, "nodes": []}
    assert "does not tell which nodes" in audit(cluster, verify=["use"], rollout=nobody)[0]["problems"][0]


def test_the_time_is_the_clusters(audit):
    with pytest.raises(CollectionError, match="does not tell the time"):
        audit(FakeCluster(now=None))


def test_options_that_can_not_be_meant(audit):
    with pytest.raises(InvalidOption, match="The option since is 'yesterday', which is not a moment"):
        audit(since="yesterday")
    with pytest.raises(InvalidOption, match="The option used_since is 'today'"):
        audit(used_since="today")
    with pytest.raises(InvalidOption, match="The option max_bytes is 0"):
        audit(max_bytes=0)


def test_files_are_waited_for_until_the_last_one_is_rewritten(audit):
    cluster, lines = FakeCluster(now="2026-11-22T08:01:00Z"), []
    found, _sentence = audit(cluster, options=WaitOptions(timeout=86400, interval=60), say=lines.append)
    # the last switch was at 08:00, and the token with the longest life but one year lives an hour
    assert (found["read_at"], found["counts"]["file_renews"]) == ("2026-11-22T08:51:00Z", 0)
    assert lines == [
        "2 pod(s) with files that are to be rewritten, the last one by 2026-11-22T08:50:05Z",
        "1 pod(s) with files that are to be rewritten, the last one by 2026-11-22T08:50:05Z",
        "7 pods judged by their specifications",
    ]


def test_when_only_nodes_that_are_not_ready_are_left_they_are_waited_for_ten_minutes(audit):
    cluster, lines = FakeCluster(now="2026-11-22T08:01:00Z"), []
    plain, node = cluster.list, copy.deepcopy(OBJECTS["Node"][0])
    node["status"]["conditions"][0]["status"] = "False"
    cluster.list = lambda kind, namespace=None: [node] if kind == "Node" else plain(kind, namespace)
    found, _sentence = audit(cluster, options=WaitOptions(timeout=86400, interval=60), say=lines.append)
    assert found["read_at"] == "2026-11-22T08:11:00Z"
    assert lines[0].startswith("all files are rewritten, but for those of ")
    assert found["may_go"] is False


def test_who_waits_for_files_in_vain_is_told_what_is_known(audit):
    with pytest.raises(WaitTimedOut, match=r"did not end within 120 s; last seen: 2 pod\(s\) with files") as failed:
        audit(FakeCluster(now="2026-11-22T08:01:00Z"), options=WaitOptions(timeout=120, interval=60))
    assert failed.value.progress["token_holders"]["counts"]["file_renews"] == 2


def test_a_kubelet_that_started_after_the_switch_has_rewritten_the_files(audit):
    cluster = FakeCluster("2026-11-22T08:12:01Z")
    before, _explanation = audit(FakeCluster("2026-11-22T08:12:01Z"), all_pods=True)
    assert shown(before)["plain"] == ("file_renews", "FileRenews")
    cluster.kubelets = {"n0": datetime(2026, 11, 22, 8, 10, tzinfo=timezone.utc)}
    found, _explanation = audit(cluster, all_pods=True)
    (plain,) = [p for p in found["pods"] if p["name"] == "plain"]
    assert (plain["verdict"], plain["reason"], plain["until"]) == ("renewed", "FileRenewed", "2026-11-22T08:12:00Z")
    assert plain["may_be_cached"]
    assert {n: v for n, v in shown(found).items() if n not in ("plain", "vault")} == {
        n: v for n, v in shown(before).items() if n not in ("plain", "vault")
    }
    assert found["manual"] == before["manual"]
    assert (cluster.asked, cluster.lists.count("Pod")) == (["n0"], 2)


def test_kubelets_that_tell_nothing_new_change_nothing(audit):
    early = FakeCluster()
    early.kubelets = {"n0": datetime(2026, 11, 22, 7, 59, tzinfo=timezone.utc)}
    found, _explanation = audit(early, all_pods=True)
    silent = FakeCluster()
    assert audit(silent, all_pods=True)[0] == found
    assert (early.asked, silent.asked) == (["n0"], ["n0"])
    assert early.lists.count("Pod") == silent.lists.count("Pod") == 1
    assert found["problems"] == []


class FakeSearch:
    """Stands for the reading of token files; ``nodes`` are what it finds, ``asked`` the nodes that it was to read."""

    nodes, asked, images = (), None, []

    @classmethod
    def prepare(cls, *, cluster, clock, image, say):
        cls.images.append(image)
        return cls()

    def run(self, ready_since):
        FakeSearch.asked = ready_since
        return list(self.nodes)


@pytest.fixture
def files(monkeypatch):
    """Sets what is found of token files, by the names of pods; returns FakeSearch."""

    def find(problem="", **issuers):
        begun, ends = (datetime(2026, 11, 22, hour, 10, tzinfo=timezone.utc) for hour in (8, 9))
        held = {
            (f"uid-{name}", "t", "token"): TokenFile(issuer=issuer, issued=begun, expires=ends)
            for name, issuer in issuers.items()
        }
        FakeSearch.nodes, FakeSearch.asked = [NodeFiles(name="n0", files=held, problem=problem)], None
        return FakeSearch

    monkeypatch.setattr(holders, "FileSearch", FakeSearch)
    return find


def test_what_the_token_files_prove(audit, files):
    search = files(plain=NEW, fresh=NEW, vault=OLD)
    found, explanation = audit(verify=["files"], all_pods=True, image="tools:1")
    assert list(search.asked) == ["n0"]
    assert search.images[-1] == "tools:1"
    by_name = {p["name"]: (p["verdict"], p["reason"], p["source"]) for p in found["pods"]}
    assert by_name["plain"] == ("renewed", "FileShowsNew", "files")
    assert by_name["fresh"] == ("renewed", "StartedAfter", "spec")
    assert by_name["vault"] == ("old_until", "FileContradictsSpec", "files")
    assert by_name["stuck"] == ("old_until_restarted", "SubPath", "spec")
    assert by_name["store"] == ("unknown", "CsiDriver", "spec")
    assert (found["verify"], found["problems"]) == (["files"], [])
    assert found["nodes"] == [{"name": "n0", "files": 3, "problem": None}]
    assert explanation.startswith("Not yet: 3 pods")


def test_a_node_whose_files_can_not_be_read_leaves_it_open(audit, files):
    files(problem="it is not Ready")
    found, explanation = audit(FakeCluster(now="2026-11-24T09:00:00Z"), verify=["files"], former_issuers=["https://x"])
    assert found["may_go"] is False
    assert found["problems"] == ["the token files of 1 of 1 nodes could not be read (n0: it is not Ready)"]
    assert "what was asked for can't be told, because the token files of 1 of 1 nodes could not be read" in explanation
    assert found["nodes"] == [{"name": "n0", "files": None, "problem": "it is not Ready"}]


def test_check_mode_makes_no_pod_on_a_node(audit, files):
    search = files(plain=NEW)
    found, _explanation = audit(verify=["files"], check_mode=True)
    assert search.asked is None
    assert shown(found)["plain"] == ("file_renews", "FileRenews")
    assert found["problems"] == [
        "the token files are not read in check mode: this would make a privileged pod on each of 1 nodes"
    ]


def test_files_prove_nothing_before_the_switch_is_known(audit, files):
    search = files(plain=NEW)
    found, _explanation = audit(rollout={**ROLLOUT, "finished_at": None, "nodes": []}, verify=["files"])
    assert search.asked is None
    assert shown(found)["plain"] == ("unknown", "SwitchUnknown")
    assert "it is not known when the last API server switched" in found["problems"][0]


def test_both_proofs_together(audit, files):
    files(plain=NEW, vault=NEW)
    found, _explanation = audit(verify=["files", "use"])
    assert shown(found)["stuck"] == ("old_until_restarted", "SubPath")
    assert "plain" not in shown(found)
    assert found["verify"] == ["files", "use"]
    assert found["servers"]
    assert found["nodes"]
