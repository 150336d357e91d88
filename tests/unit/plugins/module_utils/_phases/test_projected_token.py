# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import copy
import itertools
import json

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._clock import WaitOptions
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import (
    ApiError,
    CollectionError,
    CommandFailed,
    InvalidOption,
    Refused,
    WaitFailed,
    WaitTimedOut,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.projected_token import (
    PodRequest,
    apply_pod,
    remove_pod,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.projected_token import build_pod
from ansible_collections.bound_tokens.openshift.plugins.modules.projected_token_pod import (
    ARGUMENT_SPEC,
    check,
    spec_of,
)
from clocks import FakeClock

DEFAULTS = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
OLD, NEW = "https://old.example.com", "https://new.example.com"
TOKEN = "header.payload.signature"


def ask(**options):
    return spec_of({**DEFAULTS, "namespace": "demo", "image": "app:1", **options})


def api_error(status, words="no", verb="create", **more):
    return ApiError(verb=verb, target="pods demo/nginx", host="https://h", status=status, words=words, **more)


class FakeCluster:
    """A cluster with one place for a pod, behind the methods of Cluster that the phase uses.

    A pod is Ready at the second look after its creation, and gone at the second look after its deletion.
    """

    def __init__(self, *, accounts=("build-robot",), namespaces=("demo",), issuer=OLD, spec_issuer=OLD):
        self.accounts, self.namespaces = accounts, namespaces
        self.issuer, self.spec_issuer = issuer, spec_issuer
        self.pod = None
        self.becomes = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self.claims = {}
        self.lifetime = None
        self.writes, self.commands, self.probes = [], [], []
        self.own_uid = ""
        self.errors = {}
        self.uids = itertools.count(1)

    def fail(self, deed, *errors):
        """Have the next calls of ``deed`` end with these; None for one that succeeds."""
        self.errors[deed] = list(errors)

    def _maybe_fail(self, deed):
        error = self.errors[deed].pop(0) if self.errors.get(deed) else None
        if error:
            raise error

    def put(self, spec, **metadata):
        """Have the pod there, Ready, without a write."""
        self._make(build_pod(spec))
        self.pod["metadata"].update(metadata)
        self.pod["status"] = copy.deepcopy(self.becomes)
        return self.pod

    def _make(self, manifest):
        self.pod = copy.deepcopy(manifest)
        self.pod["metadata"].update(uid=f"uid-{next(self.uids)}", namespace="demo")
        self.pod["spec"]["nodeName"] = "worker-0"
        self.pod["status"] = {"phase": "Pending"}
        self.token_issuer = self.issuer

    def get(self, kind, name, namespace=None):
        self._maybe_fail("get " + kind)
        if kind == "ServiceAccount":
            return {} if name in self.accounts else None
        if kind == "Namespace":
            return {} if name in self.namespaces else None
        seen = copy.deepcopy(self.pod) if self.pod and self.pod["metadata"]["name"] == name else None
        if seen and seen["metadata"].get("deletionTimestamp"):
            self.pod = None
        elif seen and seen["status"] == {"phase": "Pending"}:
            self.pod["status"] = copy.deepcopy(self.becomes)
        return seen

    def require(self, kind, name):
        assert (kind, name) == ("Authentication", "cluster")
        self._maybe_fail("require")
        return {"spec": {"serviceAccountIssuer": self.spec_issuer}}

    def create(self, kind, body, namespace=None, *, dry_run=False):
        if kind == "SelfSubjectReview":
            return {"status": {"userInfo": {"extra": {"authentication.kubernetes.io/pod-uid": [self.own_uid]}}}}
        assert (kind, namespace) == ("Pod", "demo")
        deed = "try" if dry_run else "create"
        self.writes.append(deed)
        self._maybe_fail(deed)
        if dry_run:
            assert body["metadata"]["generateName"] == "nginx-"
            assert "name" not in body["metadata"]
            return body
        if self.pod:
            raise api_error(409, 'pods "nginx" already exists', reason="AlreadyExists")
        self._make(body)
        return copy.deepcopy(self.pod)

    def delete(self, kind, name, namespace, *, uid, grace_period=None):
        self.writes.append(f"delete {uid}" + ("" if grace_period is None else f" in {grace_period} s"))
        self._maybe_fail("delete")
        assert self.pod["metadata"]["uid"] == uid
        self.pod["metadata"]["deletionTimestamp"] = "2026-11-22T09:00:00Z"

    def request_token(self, service_account, namespace, *, audience, expiration_seconds):
        self.probes.append((service_account, namespace))
        self._maybe_fail("token")
        return {"iss": self.issuer}, None

    def run_in_container(self, pod, namespace, container, command):
        self.commands.append((pod, namespace, container, command))
        self._maybe_fail("exec")
        source = self.pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]
        claims = {
            "iss": self.token_issuer,
            "aud": [source["audience"]],
            "sub": f"system:serviceaccount:demo:{self.pod['spec']['serviceAccountName']}",
            "iat": 1000,
            "exp": 1000 + (self.lifetime or source["expirationSeconds"]),
            "kubernetes.io": {"pod": {"uid": self.pod["metadata"]["uid"]}},
            **self.claims,
        }
        return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + "\n"


def run(cluster, spec=None, *, check_mode=False, timeout=60, unauthorized_grace=0, **request):
    """The result of apply_pod, with the warnings, or the error that it raised."""
    warnings = []
    try:
        result = apply_pod(
            cluster,
            PodRequest(spec=spec or ask(), **request),
            check_mode=check_mode,
            options=WaitOptions(timeout=timeout, interval=2, unauthorized_grace=unauthorized_grace),
            clock=FakeClock(),
            warn=warnings.append,
        )
    except CollectionError as error:
        return error
    result["warnings"] = warnings
    return result


def remove(cluster, *, check_mode=False, **request):
    try:
        return remove_pod(
            cluster,
            PodRequest(spec=ask(image=None), **request),
            check_mode=check_mode,
            options=WaitOptions(timeout=60, interval=2),
            clock=FakeClock(),
        )
    except CollectionError as error:
        return error


def test_a_missing_pod_is_created_and_proven():
    cluster = FakeCluster()
    result = run(cluster)
    assert cluster.writes == ["create"]
    assert (result["changed"], result["action"], result["reason"]) == (True, "created", "Missing")
    assert result["pod"] == {
        "name": "nginx",
        "namespace": "demo",
        "uid": "uid-1",
        "node": "worker-0",
        "image": "app:1",
        "service_account": "build-robot",
        "phase": "Running",
        "ready": True,
        "started_at": None,
        "token": {
            "path": "/var/run/secrets/tokens/vault-token",
            "audience": "vault",
            "expiration_seconds": 7200,
            "verdict": "AsAsked",
        },
        "claims": {
            "iss": OLD,
            "aud": ["vault"],
            "sub": "system:serviceaccount:demo:build-robot",
            "iat": 1000,
            "exp": 8200,
            "kubernetes.io": {"pod": {"uid": "uid-1"}},
        },
    }
    assert result["diff"] == {"before": {}, "after": build_pod(ask())}
    assert result["warnings"] == []


def test_the_claims_are_read_inside_the_container_without_a_shell():
    cluster = FakeCluster()
    run(cluster, ask(container_name="main", token_path="a/b", mount_path="/t"))
    assert cluster.commands == [("nginx", "demo", "main", ["cut", "-s", "-d.", "-f2", "/t/a/b"])]


def test_a_second_run_changes_nothing():
    cluster = FakeCluster()
    first, second = run(cluster), run(cluster)
    assert cluster.writes == ["create"]
    assert (second["changed"], second["action"], second["reason"]) == (False, "kept", "AsAsked")
    assert second["pod"] == first["pod"]
    assert second["diff"]["before"] == second["diff"]["after"] == build_pod(ask())
    assert set(second) == set(first)


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("recreate", ["never", "when_changed", "when_issuer_changed"])
def test_check_mode_plans_and_writes_nothing(there, recreate):
    cluster, real = FakeCluster(spec_issuer=NEW), FakeCluster(spec_issuer=NEW, issuer=NEW)
    if there:
        cluster.put(ask())
        real.put(ask())
        real.token_issuer = OLD
    planned, done = run(cluster, check_mode=True, recreate=recreate), run(real, recreate=recreate)
    assert cluster.writes == []
    for key in ("changed", "action", "reason", "explanation", "diff"):
        assert planned[key] == done[key], key
    assert set(planned) == set(done)
    assert set(planned["pod"]) == set(done["pod"])
    assert set(planned["pod"]["token"]) == set(done["pod"]["token"])
    assert (planned["pod"]["claims"] is not None) is there


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("deed", ["require", "get Pod", "get ServiceAccount", "exec"])
def test_an_api_server_that_is_away_at_first_is_borne(there, check_mode, deed):
    cluster = FakeCluster()
    if there:
        cluster.put(ask())
    cluster.fail(deed, api_error(503), api_error(0, "Connection reset by peer"))
    result = run(cluster, recreate="when_issuer_changed", check_mode=check_mode)
    assert result["action"] == ("kept" if there else "created")
    cluster.fail("get Pod", api_error(503))
    assert remove(cluster, check_mode=check_mode)["changed"] is (there or not check_mode)


def test_check_mode_does_not_wait_for_a_pod_that_is_not_ready():
    cluster = FakeCluster()
    cluster.put(ask())
    cluster.becomes = cluster.pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    result = run(cluster, check_mode=True)
    assert (result["action"], result["pod"]["ready"], result["pod"]["claims"]) == ("kept", False, None)


def test_a_token_that_can_not_be_read_does_not_keep_check_mode_from_planning():
    cluster = FakeCluster()
    cluster.put(ask())
    cluster.fail("exec", CommandFailed(target="it", command="cut", words="not found"))
    result = run(cluster, ask(audience="x"), recreate="when_changed", check_mode=True)
    assert (result["action"], result["pod"]["claims"]) == ("recreated", None)


@pytest.mark.parametrize("recreate", ["when_changed", "when_issuer_changed"])
def test_a_changed_pod_is_tried_out_deleted_and_created_anew(recreate):
    cluster = FakeCluster()
    cluster.put(ask())
    result = run(cluster, ask(audience="storage"), recreate=recreate)
    assert cluster.writes == ["try", "delete uid-1", "create"]
    assert (result["action"], result["reason"], result["pod"]["uid"]) == ("recreated", "Changed", "uid-2")
    assert result["pod"]["claims"]["aud"] == ["storage"]
    assert result["diff"] == {"before": build_pod(ask()), "after": build_pod(ask(audience="storage"))}


def test_a_changed_pod_is_refused_where_it_may_not_be_recreated():
    cluster = FakeCluster()
    cluster.put(ask())
    error = run(cluster, ask(audience="storage"))
    assert isinstance(error, Refused)
    assert cluster.writes == []
    assert (error.progress["changed"], error.progress["action"]) == (False, "none")
    assert error.progress["pod"]["uid"] == "uid-1"


def test_the_grace_period_is_passed_on():
    cluster = FakeCluster()
    cluster.put(ask())
    run(cluster, ask(audience="storage"), recreate="when_changed", grace_period=0)
    assert "delete uid-1 in 0 s" in cluster.writes


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_grace_period_that_can_not_be_meant_is_refused(state):
    params = {**DEFAULTS, "namespace": "demo", "image": "app:1", "state": state}
    with pytest.raises(InvalidOption) as caught:
        check({**params, "terminate_grace_period": -1})
    assert caught.value.message == "The option terminate_grace_period is -1; give 0 or more seconds."
    for seconds in (None, 0, 1):
        check({**params, "terminate_grace_period": seconds})


def test_a_token_of_a_former_issuer_is_replaced_on_request_only():
    cluster = FakeCluster(issuer=NEW, spec_issuer=NEW)
    cluster.put(ask())
    cluster.token_issuer = OLD
    assert run(cluster, recreate="when_changed")["changed"] is False
    result = run(cluster, recreate="when_issuer_changed")
    assert cluster.writes == ["try", "delete uid-1", "create"]
    assert (result["action"], result["reason"]) == ("recreated", "IssuerChanged")
    assert result["explanation"] == f"The token in Pod demo/nginx names the issuer {OLD}, not {NEW}."
    assert result["pod"]["claims"]["iss"] == NEW
    assert (result["diff"]["before"]["issuer"], result["diff"]["after"]["issuer"]) == (OLD, NEW)
    assert run(cluster, recreate="when_issuer_changed")["changed"] is False


@pytest.mark.parametrize("check_mode", [True, False])
def test_the_pod_in_which_the_run_has_its_credentials_is_left_as_it_is(check_mode):
    cluster = FakeCluster()
    cluster.own_uid = cluster.put(ask())["metadata"]["uid"]
    cluster.token_issuer = OLD
    words = "The pod demo/nginx was left as it is, because this run is in it and would end with it"
    refused = run(cluster, recreate="when_issuer_changed", issuer=NEW, check_mode=check_mode)
    assert words in refused.message
    assert words in remove(cluster, check_mode=check_mode).message
    assert cluster.writes == []
    assert run(cluster, recreate="when_issuer_changed", issuer=OLD)["action"] == "kept"


def test_the_issuer_is_the_clusters_unless_one_is_given():
    cluster = FakeCluster(issuer=NEW, spec_issuer=OLD)
    cluster.put(ask())
    cluster.token_issuer = OLD
    assert run(cluster, recreate="when_issuer_changed")["changed"] is False
    assert run(cluster, recreate="when_issuer_changed", issuer=NEW)["reason"] == "IssuerChanged"


def test_the_default_issuer_is_named():
    cluster = FakeCluster(issuer="https://kubernetes.default.svc", spec_issuer="")
    cluster.put(ask())
    assert run(cluster, recreate="when_issuer_changed")["changed"] is False


def test_a_pod_made_while_api_servers_still_use_the_former_issuer_is_a_failure():
    cluster = FakeCluster(issuer=OLD, spec_issuer=NEW)
    error = run(cluster, recreate="when_issuer_changed")
    assert isinstance(error, WaitFailed)
    assert f"still names the issuer {OLD}, not {NEW}" in error.message
    assert error.progress["pod"]["token"]["verdict"] == "IssuerDiffers"
    assert (error.progress["changed"], error.progress["action"]) == (True, "created")


@pytest.mark.parametrize("spec", [ask(), ask(audience="x")])
def test_no_pod_is_deleted_while_new_tokens_name_the_former_issuer(spec):
    cluster = FakeCluster(issuer=OLD, spec_issuer=NEW)
    cluster.put(ask())
    error = run(cluster, spec, recreate="when_issuer_changed")
    assert isinstance(error, Refused)
    assert error.message == (
        "Pod demo/nginx was not re-created and the old one not touched, since a new token still names the issuer "
        f"{OLD}, not {NEW}; wait for the kube-apiservers with bound_tokens.openshift.kube_apiserver_rollout, then run "
        "this task again."
    )
    assert cluster.writes == []
    assert cluster.probes == [("build-robot", "demo")] * 3
    assert (error.progress["changed"], error.progress["pod"]["uid"]) == (False, "uid-1")


def test_one_api_server_of_the_former_issuer_is_enough_to_refuse():
    cluster = FakeCluster(issuer=NEW, spec_issuer=NEW)
    cluster.put(ask())
    cluster.token_issuer = OLD
    answers = iter([NEW, NEW, OLD])
    cluster.request_token = lambda *args, **more: ({"iss": next(answers)}, None)
    assert isinstance(run(cluster, recreate="when_issuer_changed"), Refused)
    assert cluster.writes == []


def test_a_hiccup_while_a_token_is_asked_for_is_borne():
    cluster = FakeCluster(issuer=NEW, spec_issuer=NEW)
    cluster.put(ask())
    cluster.token_issuer = OLD
    cluster.fail("token", None, api_error(503))
    assert run(cluster, recreate="when_issuer_changed")["action"] == "recreated"


def test_new_tokens_are_asked_for_only_where_the_issuer_counts_and_a_pod_is_deleted():
    cluster = FakeCluster(issuer=OLD, spec_issuer=NEW)
    cluster.put(ask())
    run(cluster, recreate="when_issuer_changed", check_mode=True)
    run(cluster, ask(audience="x"), recreate="when_changed")
    assert cluster.probes == []


def test_without_the_issuers_api_nothing_but_the_issuer_is_out_of_reach():
    cluster = FakeCluster()
    cluster.fail("require", api_error(404, "the server could not find the requested resource"))
    assert run(cluster, recreate="when_changed")["changed"] is True
    assert isinstance(run(cluster, recreate="when_issuer_changed"), ApiError)


@pytest.mark.parametrize("recreate", ["never", "when_changed"])
def test_a_pod_being_deleted_is_waited_for_and_created_anew(recreate):
    cluster = FakeCluster()
    cluster.put(ask(), deletionTimestamp="2026-11-22T09:00:00Z")
    # the look for the plan, one that still sees it, one that does not
    cluster.get = stretch(cluster, looks=2)
    result = run(cluster, recreate=recreate)
    assert cluster.writes == ["create"]
    assert (result["action"], result["reason"], result["pod"]["uid"]) == ("created", "Terminating", "uid-2")


def stretch(cluster, looks):
    """A get that keeps a pod in deletion there for ``looks`` looks."""
    plain, left = cluster.get, [looks]

    def get(kind, name, namespace=None):
        kept = cluster.pod
        seen = plain(kind, name, namespace)
        if kind == "Pod" and kept and cluster.pod is None and left[0] > 0:
            left[0] -= 1
            cluster.pod = kept
        return seen

    return get


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_missing_service_account_is_said_before_anything_is_written(check_mode):
    cluster = FakeCluster(accounts=())
    error = run(cluster, check_mode=check_mode)
    assert error.message == (
        "The service account build-robot does not exist in namespace demo; create it first, for example with "
        "'oc create serviceaccount build-robot -n demo', or check its name."
    )
    assert cluster.writes == []


def test_a_missing_service_account_does_not_cost_the_pod_that_is_there():
    cluster = FakeCluster(accounts=())
    cluster.put(ask())
    assert isinstance(run(cluster, ask(audience="x"), recreate="when_changed"), Refused)
    assert cluster.writes == []
    assert run(cluster)["action"] == "kept"


def test_a_missing_namespace_is_said():
    error = run(FakeCluster(accounts=(), namespaces=()))
    assert error.message == "The namespace demo does not exist; create it first, or check its name."


def test_who_may_not_read_namespaces_is_told_of_the_service_account():
    cluster = FakeCluster(accounts=())
    cluster.fail("get Namespace", api_error(403))
    assert run(cluster).message.startswith("The service account build-robot does not exist in namespace demo;")


def test_what_admission_refuses_does_not_cost_the_old_pod():
    cluster = FakeCluster()
    cluster.put(ask())
    cluster.fail("try", api_error(403, 'pods "nginx-x" is forbidden: violates PodSecurity "restricted:latest"'))
    error = run(cluster, ask(security_context="none", audience="x"), recreate="when_changed")
    assert isinstance(error, Refused)
    assert error.message.startswith(
        "Pod demo/nginx was not re-created and the old one not touched, since the new one would be refused: "
        'Could not create pods demo/nginx: pods "nginx-x" is forbidden: violates PodSecurity'
    )
    assert cluster.writes == ["try"]
    assert (error.progress["changed"], error.progress["pod"]["uid"]) == (False, "uid-1")


def test_a_hiccup_of_the_trial_is_no_objection():
    cluster = FakeCluster()
    cluster.put(ask())
    cluster.fail("try", api_error(0, "Connection reset by peer"), api_error(503), api_error(401))
    result = run(cluster, ask(audience="x"), recreate="when_changed", unauthorized_grace=10)
    assert cluster.writes == ["try"] * 4 + ["delete uid-1", "create"]
    assert result["action"] == "recreated"


def test_a_trial_that_gets_no_answer_in_time_costs_nothing():
    cluster = FakeCluster()
    cluster.put(ask())
    cluster.fail("try", *[api_error(503)] * 100)
    error = run(cluster, ask(audience="x"), recreate="when_changed")
    assert isinstance(error, WaitTimedOut)
    assert error.message.startswith("Waiting for the dry run of Pod demo/nginx did not end within 60 s; last seen: ")
    assert set(cluster.writes) == {"try"}
    assert error.progress["changed"] is False


def test_a_quota_that_the_old_pod_fills_is_no_obstacle():
    cluster = FakeCluster()
    cluster.put(ask())
    cluster.fail("try", api_error(403, 'pods "nginx-x" is forbidden: exceeded quota: q, requested: pods=1'))
    assert run(cluster, ask(audience="x"), recreate="when_changed")["action"] == "recreated"


def test_a_pod_that_is_lost_after_all_is_handed_over_as_a_manifest():
    cluster = FakeCluster()
    cluster.put(ask())
    cluster.fail("create", api_error(403, 'pods "nginx" is forbidden: exceeded quota: q'))
    error = run(cluster, ask(audience="x"), recreate="when_changed")
    assert error.message == (
        "Pod demo/nginx was deleted and could not be created again (Could not create pods demo/nginx: pods "
        '"nginx" is forbidden: exceeded quota: q; admission does not let it in, so change it or ask a cluster '
        "administrator); run this task "
        "again once that is mended, or create the pod from the manifest in this result."
    )
    manifest = build_pod(ask(audience="x"))
    assert error.progress["manifest"] == {**manifest, "metadata": {"name": "nginx", "namespace": "demo"}}
    assert (error.progress["changed"], error.progress["action"]) == (True, "deleted")
    assert error.progress["pod"]["uid"] is None


def test_a_pod_that_takes_too_long_to_go_is_handed_over_as_a_manifest():
    cluster = FakeCluster()
    cluster.put(ask())
    cluster.get = stretch(cluster, looks=1000)
    error = run(cluster, ask(audience="x"), recreate="when_changed")
    assert error.message == (
        "Pod demo/nginx was told to go and is not replaced yet (Waiting for Pod demo/nginx did not end within 60 s; last "
        "seen: Pod demo/nginx is being deleted); run this task again once that is mended, or create the pod from the "
        "manifest in this result."
    )
    assert error.progress["manifest"]["metadata"] == {"name": "nginx", "namespace": "demo"}
    assert (error.progress["changed"], error.progress["action"]) == (True, "deleted")
    assert cluster.writes == ["try", "delete uid-1"]


def test_an_error_while_the_old_pod_goes_is_handed_over_as_a_manifest_too():
    cluster = FakeCluster()
    cluster.put(ask())
    plain = cluster.delete

    def delete(*args, **more):
        plain(*args, **more)
        cluster.fail("get Pod", api_error(403, "somebody has changed the permissions"))

    cluster.delete = delete
    error = run(cluster, ask(audience="x"), recreate="when_changed")
    assert "somebody has changed the permissions" in error.message
    assert error.progress["manifest"]["spec"] == build_pod(ask(audience="x"))["spec"]


@pytest.mark.parametrize("status", [0, 503])
def test_a_deletion_whose_answer_was_lost_is_a_change(status):
    cluster = FakeCluster()
    cluster.put(ask())
    plain = cluster.delete

    def delete(*args, **more):
        plain(*args, **more)
        raise api_error(status, "the answer was lost")

    cluster.delete = delete
    cluster.fail("create", api_error(403, "no"))
    error = run(cluster, ask(audience="x"), recreate="when_changed")
    assert (error.progress["changed"], error.progress["action"]) == (True, "deleted")
    assert "manifest" in error.progress


def test_a_pod_that_went_by_itself_is_handed_over_as_a_manifest_too():
    cluster = FakeCluster()
    cluster.put(ask())
    plain = cluster.create

    def create(*args, dry_run=False, **more):
        found = plain(*args, dry_run=dry_run, **more)
        if dry_run:
            cluster.pod = None
            cluster.fail("create", api_error(403, "no"))
        return found

    cluster.create = create
    error = run(cluster, ask(audience="x"), recreate="when_changed")
    assert (error.progress["changed"], "manifest" in error.progress) == (False, True)


def test_a_deletion_that_is_not_permitted_costs_nothing():
    cluster = FakeCluster()
    cluster.put(ask())
    cluster.fail("delete", api_error(403, 'User "jane" cannot delete resource "pods"', verb="delete"))
    error = run(cluster, ask(audience="x"), recreate="when_changed")
    assert (error.status, error.progress["changed"]) == (403, False)
    assert "manifest" not in error.progress


def test_creation_has_time_of_its_own():
    cluster = FakeCluster()
    cluster.put(ask())
    cluster.get = stretch(cluster, looks=28)
    cluster.fail("create", *[api_error(503)] * 10)
    error = run(cluster, ask(audience="x"), recreate="when_changed")
    assert cluster.pod["metadata"]["uid"] == "uid-2"
    assert cluster.writes.count("create") == 11
    assert isinstance(error, WaitTimedOut)
    assert error.progress["action"] == "recreated"


PASSING = [api_error(0, "Connection refused"), api_error(503), api_error(409, "try again", reason="Conflict")]


@pytest.mark.parametrize("error", PASSING, ids=str)
@pytest.mark.parametrize("deed", ["create", "delete"])
def test_errors_that_pass_by_themselves_are_borne(deed, error):
    cluster = FakeCluster()
    cluster.put(ask())
    cluster.fail(deed, error)
    result = run(cluster, ask(audience="x"), recreate="when_changed")
    assert result["action"] == "recreated"
    assert cluster.writes.count("create") == (2 if deed == "create" else 1)


def test_a_pod_whose_creation_was_not_answered_is_found_again():
    cluster = FakeCluster()
    plain = cluster.create

    def create_and_hang(*args, **more):
        plain(*args, **more)
        cluster.create = plain
        raise api_error(0, "Read timed out")

    cluster.create = create_and_hang
    result = run(cluster)
    assert cluster.writes == ["create", "create"]
    assert (result["action"], result["pod"]["uid"]) == ("created", "uid-1")


def test_another_pod_that_took_the_name_meanwhile_is_not_taken_for_ours():
    cluster = FakeCluster()
    plain = cluster.create

    def be_late(*args, **more):
        cluster.put(ask(audience="x"))
        return plain(*args, **more)

    cluster.create = be_late
    error = run(cluster)
    assert (error.status, error.words) == (409, 'pods "nginx" already exists')


def test_a_namesake_that_takes_the_place_of_the_deleted_pod_is_not_deleted():
    cluster = FakeCluster()
    cluster.put(ask())
    cluster.fail("delete", api_error(409, "the UID in the precondition does not match", reason="Conflict"))
    plain = cluster.delete

    def delete(*args, **more):
        cluster.put(ask(audience="other"))
        plain(*args, **more)

    cluster.delete = delete
    error = run(cluster, ask(audience="x"), recreate="when_changed")
    assert isinstance(error, CollectionError)
    assert cluster.pod["metadata"]["uid"] == "uid-2"
    assert "deletionTimestamp" not in cluster.pod["metadata"]


def waiting(reason, message=""):
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": "nginx", "state": state}]}


def test_what_can_not_start_fails_at_once():
    cluster = FakeCluster()
    cluster.becomes = waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")
    error = run(cluster)
    assert isinstance(error, WaitFailed)
    assert error.message == (
        "Waiting for Pod demo/nginx ended: Pod demo/nginx can't start (CreateContainerConfigError: container has "
        "runAsNonRoot and image will run as root)."
    )
    assert (error.progress["changed"], error.progress["action"]) == (True, "created")
    assert error.progress["pod"]["uid"] == "uid-1"


def test_what_does_not_start_in_time_fails_with_the_nodes_words():
    cluster = FakeCluster()
    cluster.becomes = waiting("ImagePullBackOff", 'Back-off pulling image "app:1"')
    error = run(cluster)
    assert isinstance(error, WaitTimedOut)
    assert error.message == (
        "Waiting for Pod demo/nginx did not end within 60 s; last seen: Pod demo/nginx is not Ready yet "
        '(ImagePullBackOff: Back-off pulling image "app:1").'
    )


def test_the_time_limit_is_for_all_of_the_waiting():
    cluster, clock = FakeCluster(), FakeClock()
    cluster.put(ask())
    cluster.get = stretch(cluster, looks=15)
    cluster.becomes = waiting("ImagePullBackOff")
    with pytest.raises(WaitTimedOut):
        apply_pod(
            cluster,
            PodRequest(spec=ask(audience="x"), recreate="when_changed"),
            check_mode=False,
            options=WaitOptions(timeout=60, interval=2),
            clock=clock,
        )
    assert clock.now == 60


def test_the_time_limit_is_told_in_whole_seconds():
    class SlowClock(FakeClock):
        def monotonic(self):
            self.now += 0.001
            return self.now

    cluster = FakeCluster()
    cluster.becomes = waiting("ImagePullBackOff")
    with pytest.raises(WaitTimedOut, match="did not end within 60 s"):
        apply_pod(
            cluster,
            PodRequest(spec=ask()),
            check_mode=False,
            options=WaitOptions(timeout=60, interval=2),
            clock=SlowClock(),
        )


def test_a_pod_that_somebody_deletes_meanwhile_is_a_failure():
    cluster = FakeCluster()
    plain = cluster.create

    def create(*args, **more):
        created = plain(*args, **more)
        cluster.pod = None
        return created

    cluster.create = create
    assert run(cluster).message == "Waiting for Pod demo/nginx ended: Pod demo/nginx is gone: it was deleted."


def test_an_image_without_cut_is_one_sentence():
    cluster = FakeCluster()
    words = 'exec: "cut": executable file not found in $PATH: unknown'
    target = "container nginx of pods demo/nginx"
    cluster.fail("exec", CommandFailed(target=target, command="cut", words=words))
    error = run(cluster)
    assert error.message == (
        "Could not read the claims of the token /var/run/secrets/tokens/vault-token in container nginx of pods "
        'demo/nginx: exec: "cut": executable file not found in $PATH: unknown; use an image that has the program cut, '
        "or set verify: false."
    )
    assert error.progress["pod"]["ready"] is True
    assert run(cluster, verify=False)["pod"]["claims"] is None


def test_a_file_that_holds_no_token_is_one_sentence():
    cluster = FakeCluster()
    cluster.run_in_container = lambda *args: "s3cr3t\n"
    error = run(cluster)
    assert error.message == (
        "The file /var/run/secrets/tokens/vault-token in container nginx of pods demo/nginx holds no JSON Web Token; "
        "check that nothing else is mounted there."
    )


def test_an_exec_that_fails_for_the_moment_is_tried_again():
    cluster = FakeCluster()
    cluster.fail("exec", api_error(500, "container not found"), api_error(0, "Connection reset by peer"))
    assert run(cluster)["pod"]["token"]["verdict"] == "AsAsked"
    assert len(cluster.commands) == 3


def test_a_token_for_another_recipient_is_a_failure():
    cluster = FakeCluster()
    cluster.claims = {"aud": ["other"]}
    error = run(cluster)
    assert error.message == (
        "Waiting for Pod demo/nginx ended: The mounted token of Pod demo/nginx has the aud ['other'], not ['vault']."
    )
    assert error.progress["pod"]["token"]["verdict"] == "AudienceDiffers"


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_shortened_lifetime_is_a_warning(check_mode):
    cluster = FakeCluster()
    cluster.put(ask())
    cluster.lifetime = 3600
    result = run(cluster, check_mode=check_mode)
    assert result["pod"]["token"]["verdict"] == "LifetimeShortened"
    assert result["warnings"] == [
        "The API server shortened the lifetime of the mounted token of Pod demo/nginx from 7200 s to 3600 s."
    ]


def test_without_waiting_it_returns_what_was_created():
    cluster = FakeCluster()
    result = run(cluster, wait=False)
    assert (result["action"], result["pod"]["phase"], result["pod"]["claims"]) == ("created", "Pending", None)
    assert cluster.commands == []


def test_a_pod_that_is_not_ready_is_waited_for_before_its_issuer_is_judged():
    cluster = FakeCluster(issuer=NEW, spec_issuer=NEW)
    cluster.put(ask())
    cluster.pod["status"] = {"phase": "Pending"}
    cluster.token_issuer = OLD
    assert run(cluster, recreate="when_issuer_changed")["reason"] == "IssuerChanged"


def test_a_pod_is_removed_by_its_uid_and_waited_for():
    cluster = FakeCluster()
    cluster.put(ask())
    result = remove(cluster, grace_period=5)
    assert cluster.writes == ["delete uid-1 in 5 s"]
    assert cluster.pod is None
    assert (result["changed"], result["action"], result["reason"]) == (True, "deleted", "Present")
    assert (result["pod"]["uid"], result["pod"]["token"], result["pod"]["claims"]) == ("uid-1", None, None)
    names = {"metadata": {"name": "nginx", "namespace": "demo"}}
    assert result["diff"] == {"before": names, "after": {}}
    again = remove(cluster)
    assert (again["changed"], again["action"], again["pod"]) == (False, "none", None)
    assert set(again) == set(result)


def test_removal_in_check_mode_writes_nothing():
    cluster = FakeCluster()
    cluster.put(ask())
    assert remove(cluster, check_mode=True)["action"] == "deleted"
    assert cluster.writes == []


def test_removal_without_waiting():
    cluster = FakeCluster()
    cluster.put(ask())
    assert remove(cluster, wait=False)["action"] == "deleted"
    assert cluster.pod["metadata"]["deletionTimestamp"]


def test_removal_leaves_what_belongs_to_others():
    cluster = FakeCluster()
    cluster.put(ask(), ownerReferences=[{"kind": "ReplicaSet", "name": "web-5d4"}])
    error = remove(cluster)
    assert error.message == "Pod demo/nginx belongs to ReplicaSet web-5d4 and was not touched; give another name."
    assert cluster.writes == []
