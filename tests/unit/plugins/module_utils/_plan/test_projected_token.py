# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import InvalidOption
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.projected_token import (
    build_pod,
    build_trial,
    compare_pod,
    is_objection,
    judge_mounted_token,
    judge_readiness,
    plan_pod,
    plan_removal,
    select_pod,
    validate_name,
    validate_spec,
)
from ansible_collections.bound_tokens.openshift.plugins.modules.projected_token_pod import ARGUMENT_SPEC, spec_of

TABLES = next(p for p in Path(__file__).parents if p.name == "unit") / "fixtures/projected_token"
DEFAULTS = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
UID = "6f1c5a52-32e1-4e5e-8d27-0b1d3b6a8a55"


def load(name):
    return yaml.safe_load((TABLES / name).read_text(encoding="utf-8"))


def ask(**options):
    """The pod that a task with these options asks for; the other ones have the module's own defaults."""
    return spec_of({**DEFAULTS, "namespace": "demo", "image": "nginx", **options})


def put(obj, changes):
    """A copy of ``obj`` with values at dotted paths; ':' in a path stands for '.' in a key, null removes."""
    obj = copy.deepcopy(obj)
    for path, value in (changes or {}).items():
        *parents, last = (int(p) if p.isdigit() else p.replace(":", ".") for p in path.split("."))
        place = obj
        for parent in parents:
            place = place[parent]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return obj


def table(name, key=None):
    cases = load(name) if key is None else load(name)[key]
    return pytest.mark.parametrize("case", cases, ids=[c["name"] for c in cases])


@pytest.mark.parametrize("security_context", ["restricted", "none"])
def test_with_the_defaults_it_is_the_documented_pod(security_context):
    assert build_pod(ask(security_context=security_context)) == load("documented.yml")[security_context]


def test_every_option_has_its_place():
    pod = build_pod(
        ask(
            name="app",
            container_name="main",
            command=["sleep"],
            args=["60"],
            labels={"a": "b"},
            annotations={"c": "d"},
            run_as_user=1234,
            image_pull_policy="Never",
            restart_policy="OnFailure",
            token_path="aws/Token_1",
            mount_path="/tokens/",
        )
    )
    container = pod["spec"]["containers"][0]
    assert pod["metadata"] == {"name": "app", "labels": {"a": "b"}, "annotations": {"c": "d"}}
    assert pod["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1234,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["spec"]["restartPolicy"] == "OnFailure"
    assert pod["spec"]["volumes"][0]["name"] == "aws-token-1"
    assert pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["path"] == "aws/Token_1"
    del container["securityContext"]
    assert container == {
        "image": "nginx",
        "name": "main",
        "command": ["sleep"],
        "args": ["60"],
        "imagePullPolicy": "Never",
        "volumeMounts": [{"mountPath": "/tokens/", "name": "aws-token-1"}],
    }


def test_a_user_is_set_also_without_a_security_context():
    pod = build_pod(ask(security_context="none", run_as_user=0))
    assert pod["spec"]["securityContext"] == {"runAsUser": 0}
    assert "securityContext" not in pod["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("mount_path", "token_path", "file"),
    [
        ("/var/run/secrets/tokens", "vault-token", "/var/run/secrets/tokens/vault-token"),
        ("/tokens/", "a/b", "/tokens/a/b"),
        ("/", "token", "/token"),
    ],
)
def test_the_file_as_the_container_sees_it(mount_path, token_path, file):
    assert ask(mount_path=mount_path, token_path=token_path).token_file == file


@pytest.mark.parametrize(
    ("token_path", "volume"), [("...", "token"), ("x" * 80, "x" * 63), ("A/" + "b" * 60 + "/c", "a-" + "b" * 60)]
)
def test_the_volume_has_a_name_that_can_be_one(token_path, volume):
    assert ask(token_path=token_path).volume == volume


BOUNDS = "is refused by the API; give at least 600 (10 minutes) and at most 4294967296."
NO_NAME = "is not a name that Kubernetes takes; use lower case letters, digits, '-'"
ENDS = "with a letter or digit at both ends."
ROOT = "A run_as_user of 0 can't start under security_context: restricted, which demands another user than root;"
ANEW = "set recreate: when_changed to have it deleted and created anew."
SOURCE = "spec.volumes[vault-token].projected.sources[0].serviceAccountToken"

BAD = [
    (
        {"expiration_seconds": 599},
        f"An expiration_seconds of 599 {BOUNDS}",
    ),
    (
        {"expiration_seconds": 2**32 + 1},
        f"An expiration_seconds of 4294967297 {BOUNDS}",
    ),
    (
        {"audience": " "},
        "The audience is empty; give the one that the token's recipient expects, such as vault.",
    ),
    (
        {"mount_path": "tokens"},
        "The mount_path 'tokens' is not an absolute path without ':', such as /var/run/secrets/tokens.",
    ),
    (
        {"mount_path": "/a:b"},
        "The mount_path '/a:b' is not an absolute path without ':', such as /var/run/secrets/tokens.",
    ),
    ({"token_path": ""}, "The token_path '' is not a relative path without '..', such as vault-token."),
    ({"token_path": "/token"}, "The token_path '/token' is not a relative path without '..', such as vault-token."),
    ({"token_path": "a/../b"}, "The token_path 'a/../b' is not a relative path without '..', such as vault-token."),
    ({"image": ""}, "The image is empty; give one that runs as another user than root."),
    (
        {"run_as_user": 0},
        f"{ROOT} give another user, or set security_context: none.",
    ),
    ({"labels": {"replica": 1}}, "The value 1 of replica in labels is not a string; put it in quotes."),
    ({"annotations": {"on": True}}, "The value True of on in annotations is not a string; put it in quotes."),
    (
        {"name": "Nginx"},
        f"The name 'Nginx' {NO_NAME}, '.', {ENDS}",
    ),
    (
        {"namespace": ""},
        f"The namespace '' {NO_NAME}, {ENDS}",
    ),
    (
        {"service_account": "a/b"},
        f"The service_account 'a/b' {NO_NAME}, '.', {ENDS}",
    ),
    (
        {"name": "a.b"},
        f"The container_name 'a.b' {NO_NAME}, {ENDS}",
    ),
]


@pytest.mark.parametrize(("options", "sentence"), BAD, ids=[str(options)[:40] for options, _sentence in BAD])
def test_what_can_not_be_meant_is_refused(options, sentence):
    with pytest.raises(InvalidOption) as caught:
        validate_spec(ask(**options))
    assert caught.value.message == sentence


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"expiration_seconds": 600},
        {"expiration_seconds": 2**32},
        {"token_path": "a/b..c"},
        {"name": "a.b", "container_name": "b"},
        {"run_as_user": 0, "security_context": "none"},
        {"namespace": "a" * 63},
    ],
    ids=str,
)
def test_what_can_be_meant_is_taken_unchanged(options):
    spec = ask(**options)
    assert validate_spec(spec) is spec


def test_for_absence_only_the_names_count():
    spec = ask(image=None, audience="", expiration_seconds=1)
    assert validate_name(spec) is spec
    with pytest.raises(InvalidOption):
        validate_name(ask(name="A"))


def test_the_trial_differs_in_its_name_only():
    pod = build_pod(ask(labels={"a": "b"}))
    assert build_trial(pod) == {**pod, "metadata": {"generateName": "nginx-", "labels": {"a": "b"}}}
    assert pod["metadata"]["name"] == "nginx"


@pytest.mark.parametrize(
    ("status", "words", "counts"),
    [
        (403, 'pods "nginx-x" is forbidden: violates PodSecurity "restricted:latest"', True),
        (403, "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1", False),
        (403, "exceeded quota: q, requested: pods=1, used: pods=12, limited: pods=1", True),
        (403, "exceeded quota: q, requested: count/pods=1, used: count/pods=3, limited: count/pods=2", True),
        (403, "exceeded quota: q, requested: cpu=1,pods=1, used: cpu=9,pods=3, limited: cpu=9,pods=2", True),
        (403, "exceeded quota: q, requested: cpu=1,pods=1, used: cpu=9,pods=3, limited: cpu=9,pods=3", False),
        (403, "exceeded quota: q, requested: limits.cpu=1, used: limits.cpu=9, limited: limits.cpu=9", False),
        (400, 'admission webhook "a.example.com" does not support dry run', False),
        (400, "invalid pod", True),
        (422, "spec.containers[0].image: Required value; dry run", True),
        (0, "Connection refused", True),
    ],
)
def test_which_errors_of_the_trial_count(status, words, counts):
    assert is_objection(status, words) is counts


@table("comparisons.yml")
def test_compare_pod(case):
    found = put(load("found.yml"), case.get("has"))
    assert sorted(compare_pod(build_pod(ask(**case.get("asked", {}))), found)) == sorted(case["differing"])


@table("comparisons.yml")
def test_the_diff_shows_a_difference_where_there_is_one(case):
    wanted, found = build_pod(ask(**case.get("asked", {}))), put(load("found.yml"), case.get("has"))
    assert (select_pod(wanted, found) == wanted) is (case["differing"] == [])


@table("readiness.yml")
def test_judge_readiness(case):
    verdict = judge_readiness(ask(), put(load("found.yml"), case.get("has")), UID)
    assert (verdict.outcome.value, verdict.reason, verdict.message) == (
        case["outcome"],
        case["reason"],
        case["message"],
    )


def test_a_pod_that_is_not_there_is_gone():
    verdict = judge_readiness(ask(), None, UID)
    assert (verdict.outcome.value, verdict.message) == ("failed", "Pod demo/nginx is gone: it was deleted.")


@table("claims.yml", "cases")
def test_judge_mounted_token(case):
    claims = put(load("claims.yml")["claims"], case.get("has"))
    verdict = judge_mounted_token(ask(), claims, UID, case.get("issuer"))
    assert (verdict.outcome.value, verdict.reason) == (case["outcome"], case["reason"])
    assert verdict.message == case.get("message", verdict.message)


OWNED = {"metadata.ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d4", "uid": "x", "controller": True}]}
FINISHED = {"status.phase": "Succeeded"}
DELETED = {"metadata.deletionTimestamp": "2026-11-22T09:00:00Z"}
NEVER, CHANGED, ISSUER = "never", "when_changed", "when_issuer_changed"

#: (what is asked for, what the pod has; None: no pod), and for each value of recreate the action and the reason.
PLANS = [
    ("missing", {}, None, {NEVER: "create", CHANGED: "create", ISSUER: "create"}, "Missing"),
    ("as asked for", {}, {}, {NEVER: "keep", CHANGED: "keep"}, "AsAsked"),
    ("old issuer", {}, {}, {ISSUER: "recreate"}, "IssuerChanged"),
    ("changed", {"audience": "x"}, {}, {NEVER: "refuse", CHANGED: "recreate", ISSUER: "recreate"}, "Changed"),
    ("finished", {}, FINISHED, {NEVER: "refuse", CHANGED: "recreate", ISSUER: "recreate"}, "Finished"),
    ("failed", {}, {"status.phase": "Failed"}, {NEVER: "refuse", CHANGED: "recreate"}, "Finished"),
    ("owned", {}, OWNED, {NEVER: "refuse", CHANGED: "refuse", ISSUER: "refuse"}, "Owned"),
    (
        "owned, changed, finished",
        {"audience": "x"},
        {**OWNED, **FINISHED},
        {NEVER: "refuse", CHANGED: "refuse", ISSUER: "refuse"},
        "Owned",
    ),
    (
        "being deleted",
        {"audience": "x"},
        DELETED,
        {NEVER: "create", CHANGED: "create", ISSUER: "create"},
        "Terminating",
    ),
    ("owned, being deleted", {}, {**OWNED, **DELETED}, {NEVER: "refuse", CHANGED: "refuse"}, "Owned"),
]
ROWS = [
    (name, asked, has, recreate, action, reason)
    for name, asked, has, actions, reason in PLANS
    for recreate, action in actions.items()
]


@pytest.mark.parametrize(
    ("asked", "has", "recreate", "action", "reason"), [r[1:] for r in ROWS], ids=[f"{r[0]}, {r[3]}" for r in ROWS]
)
def test_plan_pod(asked, has, recreate, action, reason):
    spec = ask(**asked)
    found = None if has is None else put(load("found.yml"), has)
    plan = plan_pod(
        spec, build_pod(spec), found, recreate=recreate, claims={"iss": "https://old"}, issuer="https://new"
    )
    assert (plan.action, plan.reason) == (action, reason)
    assert plan.is_change is (action in ("create", "recreate"))


@pytest.mark.parametrize("claims", [None, {"iss": "https://new"}])
def test_a_token_that_names_the_issuer_or_is_not_known_is_no_cause(claims):
    plan = plan_pod(ask(), build_pod(ask()), load("found.yml"), recreate=ISSUER, claims=claims, issuer="https://new")
    assert plan.action == "keep"


@pytest.mark.parametrize(
    ("asked", "has", "sentence"),
    [
        (
            {"audience": "x"},
            {},
            f"Pod demo/nginx differs from what is asked for in {SOURCE}.audience; {ANEW}",
        ),
        (
            {},
            FINISHED,
            f"Pod demo/nginx has finished (Succeeded); {ANEW}",
        ),
        ({}, OWNED, "Pod demo/nginx belongs to ReplicaSet web-5d4 and was not touched; give another name."),
    ],
)
def test_refusals_say_what_to_do(asked, has, sentence):
    spec = ask(**asked)
    assert plan_pod(spec, build_pod(spec), put(load("found.yml"), has), recreate=NEVER).message == sentence


@pytest.mark.parametrize(
    ("has", "action", "reason"),
    [
        (None, "none", "Missing"),
        ({}, "delete", "Present"),
        (FINISHED, "delete", "Present"),
        (OWNED, "refuse", "Owned"),
        (DELETED, "none", "Terminating"),
    ],
)
def test_plan_removal(has, action, reason):
    plan = plan_removal(ask(), None if has is None else put(load("found.yml"), has))
    assert (plan.action, plan.reason, plan.is_change) == (action, reason, action == "delete")
