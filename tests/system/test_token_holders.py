# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit of a rotation that was done by hand: what is read in the containers agrees with every verdict."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path

import jwt
import pytest
import urllib3
from issuers import at_rest, fresh, new_token, wait
from labs import eventually
from modules import run_module

pytestmark = pytest.mark.slow

NAMESPACE = "holders"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
NODE_PODS = "/api/v1/namespaces/bound-tokens-node-restart"
IMAGE = "lab.local/shell:1"
AUTOMATIC = "/var/run/secrets/kubernetes.io/serviceaccount/token"
#: Where each pod's program finds its token.
PATHS = {
    "automatic": AUTOMATIC,
    "short": "/tokens/token",
    "hour": "/tokens/token",
    "several": "/tokens/vault",
    "sub-path": "/token",
    "sub-path-hour": "/token",
    "init-copy": "/work/token",
    "odd": "/tokens/a b\nend 1",
    "fresh": AUTOMATIC,
}
#: Of which kind of pods the kubelet's files are not what the program reads.
COPIES = ("sub-path", "sub-path-hour", "init-copy")
#: A token with all of its three parts.
TOKEN = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+")
WORK = {"name": "work", "mountPath": "/work"}


def container(*mounts, **more):
    return {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "1000000"],
        "volumeMounts": list(mounts),
        **more,
    }


def tokens(*sources):
    return {"name": "tokens", "projected": {"sources": [{"serviceAccountToken": s} for s in sources]}}


def pod(name, *mounts, volumes=(), init=(), automatic=False):
    return {
        "metadata": {"name": name},
        "spec": {
            "nodeName": "worker-0",
            "automountServiceAccountToken": automatic,
            "terminationGracePeriodSeconds": 0,
            "initContainers": list(init),
            "containers": [container(*mounts)],
            "volumes": list(volumes),
        },
    }


def make_pods(former):
    """The pods from before; the last asks for the issuer that is about to be the former one as its audience."""
    whole = {"name": "tokens", "mountPath": "/tokens"}
    one = {"name": "tokens", "mountPath": "/token", "subPath": "token"}
    copy = container(whole, WORK, name="copy", command=["cp", "/tokens/token", "/work/token"])
    short, hour = {"path": "token", "expirationSeconds": 600}, {"path": "token", "expirationSeconds": 3600}
    year = {"path": "token", "expirationSeconds": 3607}
    odd = {"path": "a b\nend 1", "expirationSeconds": 7200}
    vault = {"path": "vault", "audience": "vault", "expirationSeconds": 7200}
    return [
        pod("automatic", automatic=True),
        pod("short", whole, volumes=[tokens(short)]),
        pod("hour", whole, volumes=[tokens(hour)]),
        pod("several", whole, volumes=[tokens(vault, short)]),
        pod("odd", whole, volumes=[tokens(odd)]),
        pod("sub-path", one, volumes=[tokens(year)]),
        pod("sub-path-hour", one, volumes=[tokens(hour)]),
        pod("init-copy", WORK, volumes=[tokens(year), {"name": "work", "emptyDir": {}}], init=[copy]),
        pod(
            "secret",
            {"name": "secret", "mountPath": "/s"},
            volumes=[{"name": "secret", "secret": {"secretName": "robot"}}],
        ),
        pod("nothing"),
        pod("audience", whole, volumes=[tokens({**hour, "audience": former})]),
    ]


def text_secret(name, **values):
    return {"metadata": {"name": name}, "data": {k: base64.b64encode(v.encode()).decode() for k, v in values.items()}}


def is_running(lab, name):
    return lab.api.get(f"{PODS}/{name}")["status"].get("phase") == "Running"


def read_token(lab, name):
    """What a program in the container reads now; the pod's other process is that which holds its namespaces."""
    uid = lab.api.get(f"{PODS}/{name}")["metadata"]["uid"]
    return eventually(lambda: next(read_in_pod(uid, PATHS[name]), None), timeout=60)


def read_in_pod(uid, path):
    for group in Path("/proc").glob("[0-9]*/cgroup"):
        with contextlib.suppress(OSError):
            if uid in group.read_text():
                yield (group.parent / "root" / path.lstrip("/")).read_text()


def issuer_in(token):
    return jwt.decode(token, options={"verify_signature": False})["iss"]


def use(lab, token, agent="agent/1.4"):
    """Make a request with a token, as a program that keeps it does; that it may do nothing does not matter."""
    headers = {"Authorization": f"Bearer {token}", "User-Agent": agent}
    with urllib3.PoolManager(ca_certs=lab.ca) as pool:
        assert pool.request("GET", f"{lab.url}/api/v1/namespaces/{NAMESPACE}/configmaps", headers=headers).status == 403


def audit(lab, **more):
    result = run_module("token_holders_info", kubeconfig=lab.kubeconfig, all_pods=True, image=IMAGE, **more)
    assert not result.get("failed"), result
    assert not TOKEN.search(json.dumps(result))
    found = result["token_holders"]
    mine = {p["name"]: p for p in found["pods"] if p["namespace"] == NAMESPACE}
    return found, mine, result["explanation"]


@pytest.fixture(scope="module")
def rotated(lab):
    """The former and the new issuer, and the tokens that programs have read before; edited past all of the collection."""
    former, issuer = at_rest(lab), fresh("holders")
    lab.api.create_missing("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    eventually(lambda: lab.api.get(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"))
    robot = {
        "metadata": {"name": "robot", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token",
    }
    given_away = new_token(lab)
    secrets = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    for body in (robot, text_secret("given", kubeconfig=f"token: {given_away}"), text_secret("other", url="https://x")):
        lab.api.create_missing(secrets, body)
    vault = {"metadata": {"name": "vault"}, "data": {"auth.hcl": f'bound_issuer = "{former}"'}}
    lab.api.create_missing(f"/api/v1/namespaces/{NAMESPACE}/configmaps", vault)
    for body in make_pods(former):
        lab.api.create_missing(PODS, body)
        eventually(lambda name=body["metadata"]["name"]: is_running(lab, name))
    before = {name: read_token(lab, name) for name in PATHS if name != "fresh"}
    assert {issuer_in(t) for t in before.values()} == {former}
    time.sleep(1.1)  # what started in the second of the switch is unknown
    lab.set_issuer(issuer)
    wait(lab, issuer)
    time.sleep(1.1)
    lab.api.create_missing(PODS, pod("fresh", automatic=True))
    eventually(lambda: is_running(lab, "fresh"))
    yield former, issuer, {**before, "given away": given_away}
    lab.api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
    eventually(lambda: NAMESPACE not in {n["metadata"]["name"] for n in lab.api.items("/api/v1/namespaces")})


def test_every_verdict_by_the_specification(lab, rotated):
    former, issuer, _before = rotated
    found, mine, explanation = audit(lab)
    assert {name: (p["verdict"], p["reason"]) for name, p in mine.items()} == {
        "automatic": ("file_renews", "FileRenews"),
        "short": ("file_renews", "FileRenews"),
        "hour": ("file_renews", "FileRenews"),
        "several": ("file_renews", "FileRenews"),
        "odd": ("file_renews", "FileRenews"),
        "sub-path": ("old_until_restarted", "SubPath"),
        "sub-path-hour": ("old_until", "SubPath"),
        "init-copy": ("unknown", "InitCopy"),
        "secret": ("legacy", "LegacySecret"),
        "nothing": ("no_token", "NoToken"),
        "audience": ("file_renews", "FileRenews"),
        "fresh": ("renewed", "StartedAfter"),
    }
    assert (found["issuer"], found["former"][0]["name"], found["problems"]) == (issuer, former, [])
    assert issuer_in(read_token(lab, "fresh")) == issuer
    assert {issuer_in(read_token(lab, n)) for n in ("sub-path", "sub-path-hour", "init-copy")} == {former}
    assert {"namespace": NAMESPACE, "name": "robot", "service_account": "default", "pods": 1} in found["legacy"]
    assert explanation.startswith("Not yet: ")
    assert "of them not before a restart" in explanation
    static = [p for p in found["pods"] if p["reason"] == "Static"]
    assert len(static) >= 4 * len(lab.settings.masters)


def claims_of(lab, token):
    """The claims of a token whose signature is right."""
    pki = lab.settings.pki
    with urllib3.PoolManager(ca_certs=lab.ca, cert_file=pki / "admin.crt", key_file=pki / "admin.key") as pool:
        keys = jwt.PyJWKSet.from_dict(pool.request("GET", f"{lab.url}/openid/v1/jwks").json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=["RS256"], options={"verify_aud": False})


def leaves_nothing_on_nodes(lab):
    return not lab.api.items(f"{NODE_PODS}/pods") and all(
        n["metadata"]["name"] != NODE_PODS.rpartition("/")[2] for n in lab.api.items("/api/v1/namespaces")
    )


def compare_files(lab, issuers, **more):
    """Audit the token files, and hold what they prove against what is read in the containers; return the reasons."""
    former, issuer = issuers
    before = {name: read_token(lab, name) for name in PATHS}
    found, mine, explanation = audit(lab, verify=["files"], **more)
    after = {name: read_token(lab, name) for name in PATHS}
    assert found["problems"] == [], explanation
    assert "worker-0" in {n["name"] for n in found["nodes"]}
    assert {n["problem"] for n in found["nodes"]} == {None}
    for name in PATHS:
        if name in COPIES:
            assert mine[name]["source"] == "spec", mine[name]
        elif before[name] == after[name] and mine[name]["source"] == "files":
            claims = claims_of(lab, after[name])
            shows_new = mine[name]["reason"] == "FileShowsNew"
            assert claims["iss"] == (issuer if shows_new else former), mine[name]
            until = mine[name]["until"]
            moment = datetime.fromisoformat(until.replace("Z", "+00:00")).timestamp() if until else float("inf")
            assert (moment <= claims["iat"]) if shows_new else (moment <= claims["exp"] or not until), mine[name]
    output = json.dumps([found, explanation])
    assert not any(part in output for t in (*before.values(), *after.values()) for part in t.split("."))
    eventually(lambda: leaves_nothing_on_nodes(lab))
    return {name: p["reason"] for name, p in mine.items()}, mine


def test_the_token_files_show_what_containers_read(lab, rotated):
    reasons, mine = compare_files(lab, rotated[:2])
    assert {n: reasons[n] for n in ("automatic", "hour", "odd", "audience")} == dict.fromkeys(
        ("automatic", "hour", "odd", "audience"), "FileShowsOld"
    )
    assert {reasons["short"], reasons["several"]} <= {"FileShowsOld", "FileShowsNew"}
    assert (reasons["sub-path"], reasons["init-copy"]) == ("SubPath", "InitCopy")
    assert (mine["fresh"]["verdict"], reasons["fresh"]) == ("renewed", "StartedAfter")


def test_a_wrong_moment_is_found_out_by_the_files(lab, rotated):
    """By the specification every pod has started since; the files show another thing."""
    long_ago = "2020-01-01T00:00:00Z"
    _found, mine, _explanation = audit(lab, since=long_ago)
    assert mine["odd"]["reason"] == "StartedAfter"
    reasons, mine = compare_files(lab, rotated[:2], since=long_ago)
    assert (mine["odd"]["verdict"], reasons["odd"]) == ("old_until", "FileContradictsSpec")
    assert (mine["automatic"]["verdict"], reasons["automatic"]) == ("old_until_restarted", "FileContradictsSpec")
    assert reasons["fresh"] == "StartedAfter"


def test_check_mode_makes_no_pod_on_a_node(lab, rotated):
    given = {"kubeconfig": lab.kubeconfig, "verify": ["files"], "image": IMAGE}
    result = run_module("token_holders_info", check_mode=True, **given)
    (problem,) = result["token_holders"]["problems"]
    assert re.fullmatch(
        r"the token files are not read in check mode: this would make a privileged pod on each of \d nodes", problem
    )
    assert result["token_holders"]["may_go"] is False
    assert leaves_nothing_on_nodes(lab)


def test_what_is_to_be_changed_by_hand(lab, rotated):
    _former, _issuer, before = rotated
    found, _mine, _explanation = audit(lab)
    places = {(m["kind"], m["name"], m["where"], m["what"]) for m in found["manual"] if m["namespace"] == NAMESPACE}
    assert places == {
        ("ConfigMap", "vault", "data.auth.hcl", "issuer"),
        ("Secret", "given", "data.kubeconfig", "token"),
        ("Pod", "audience", "serviceAccountToken.audience", "audience"),
    }
    assert before["given away"] not in json.dumps(found)
    assert not any(m["namespace"] == "openshift-kube-apiserver" for m in found["manual"])


def test_what_programs_keep_is_found_in_the_audit_logs(lab, rotated):
    _former, _issuer, before = rotated
    for name in ("automatic", "init-copy", "sub-path", "given away"):
        use(lab, before[name])
    use(lab, read_token(lab, "fresh"))
    found, mine, explanation = audit(lab, verify=["use"])
    assert found["problems"] == [], explanation
    assert {n: (p["verdict"], p["reason"], p["source"]) for n, p in mine.items() if p["source"] == "use"} == {
        "automatic": ("file_renews", "OldTokenInUse", "use"),
        "init-copy": ("old_until_restarted", "OldTokenInUse", "use"),
        "sub-path": ("old_until_restarted", "OldTokenInUse", "use"),
    }
    ids = {jwt.decode(before[n], options={"verify_signature": False})["jti"]: n for n in before}
    used = {ids.get(u["token_id"], u["token_id"]): u for u in found["used"]}
    assert {"automatic", "init-copy", "sub-path", "given away"} <= used.keys()
    assert all(u["is_old"] for u in found["used"])
    assert (used["given away"]["pod"], used["given away"]["service_account"]) == (None, "default")
    assert used["automatic"]["pod"] == "automatic"
    # of what else is in use no token is a new one
    assert not {u["pod"] for u in found["used"]} & {"fresh"}
    assert "know of requests to these API servers only" in explanation


def test_logs_that_do_not_reach_back_leave_it_open(lab, rotated):
    found, mine, explanation = audit(lab, verify=["use"], max_bytes="20K")
    assert found["may_go"] is False
    assert all(p["source"] == "spec" for p in mine.values())
    assert not any(u["is_old"] for u in found["used"])
    assert "max_bytes allows to read the audit log of master-0 from" in explanation


def test_a_caller_with_few_rights_is_told_what_stays_open(lab, rotated):
    rules = [
        {"apiGroups": ["config.openshift.io"], "resources": ["authentications"], "verbs": ["get"]},
        {"apiGroups": ["operator.openshift.io"], "resources": ["kubeapiservers"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    ]
    lab.api.create_missing(f"{RBAC}/clusterroles", {"metadata": {"name": "auditor"}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "auditor"}
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "auditor"}
    binding = {"metadata": {"name": "auditor"}, "roleRef": role, "subjects": [user]}
    lab.api.create_missing(f"{RBAC}/clusterrolebindings", binding)
    found, mine, _explanation = audit(lab, impersonate_user="auditor", verify=["use"])
    assert mine["sub-path"]["verdict"] == "old_until_restarted"
    assert [p.partition(":")[0] for p in found["problems"]] == [
        "whether nodes are Ready may not be read",
        "CSI drivers may not be read",
        "Secrets may not be read",
        "ConfigMaps may not be read",
        *(f"could not list /var/log/kube-apiserver/ of nodes/{m.name}" for m in lab.settings.masters),
    ]
    assert found["manual"] == [m for m in found["manual"] if m["what"] == "audience"] != []
    assert mine["secret"]["verdict"] == "no_token"
    refused = run_module(
        "token_holders_info", kubeconfig=lab.kubeconfig, impersonate_user="auditor", verify=["files"], image=IMAGE
    )
    assert refused["msg"].startswith("No token file was read: you are not allowed to list nodes; create namespaces; ")
    assert refused["msg"].endswith("; ask a cluster administrator for this.")
    assert leaves_nothing_on_nodes(lab)


def test_the_permissions_that_are_asked_for_are_enough(lab, rotated):
    def rule(group, resources, *verbs, **more):
        return {"apiGroups": [group], "resources": resources, "verbs": list(verbs), **more}

    rules = [
        rule("config.openshift.io", ["authentications"], "get"),
        rule("operator.openshift.io", ["kubeapiservers"], "get"),
        rule("", ["configmaps"], "get"),
        rule("", ["nodes"], "list"),
        rule("", ["namespaces"], "get", "create", "delete"),
        rule("", ["pods"], "get", "list", "create", "delete"),
        rule("", ["pods/log"], "get"),
        rule("rbac.authorization.k8s.io", ["rolebindings"], "create"),
        rule("rbac.authorization.k8s.io", ["clusterroles"], "bind", resourceNames=["system:openshift:scc:privileged"]),
    ]
    lab.api.create_missing(f"{RBAC}/clusterroles", {"metadata": {"name": "file-auditor"}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "file-auditor"}
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "file-auditor"}
    binding = {"metadata": {"name": "file-auditor"}, "roleRef": role, "subjects": [user]}
    lab.api.create_missing(f"{RBAC}/clusterrolebindings", binding)
    found, mine, _explanation = audit(lab, impersonate_user="file-auditor", verify=["files"])
    assert mine["hour"]["source"] == "files"
    assert all(n["problem"] is None for n in found["nodes"])
    eventually(lambda: leaves_nothing_on_nodes(lab))


def test_the_playbook_shows_it_and_fails_on_request(lab, rotated, tmp_path):
    use(lab, rotated[2]["hour"], agent="we{{ 7 * 7 }}ird")
    given = {
        "token_audit_verify": "files,use",
        "token_audit_image": IMAGE,
        "token_audit_fail_when_not_yet": True,
        "token_audit_json_file": str(tmp_path / "audit.json"),
    }
    command = ["ansible-playbook", "bound_tokens.openshift.audit_tokens", "-e", json.dumps(given)]
    done = subprocess.run(command, env=lab.environment, capture_output=True, text=True, check=False, timeout=300)
    output = done.stdout + done.stderr
    assert done.returncode == 2, output[-3000:]
    assert "Not yet: " in output
    assert f"{NAMESPACE}/sub-path " in output
    assert "To change by hand:" in output
    assert "we{{ 7 * 7 }}ird" in output, output[-9000:]
    assert "its file still holds a token of a former issuer" in output
    assert not TOKEN.search(output)
    written = json.loads((tmp_path / "audit.json").read_text())
    assert written["token_holders"]["may_go"] is False
    assert written["token_holders"]["verify"] == ["files", "use"]


def test_until_the_short_tokens_are_renewed_the_files_agree_with_the_verdicts(lab, rotated):
    """Ten minutes: 80 % of the lifetime, and the time that a kubelet may take."""
    former, issuer, _before = rotated
    until = datetime.fromisoformat(audit(lab)[1]["short"]["until"].replace("Z", "+00:00"))
    looks = 0
    while True:
        _found, mine, _explanation = audit(lab)
        for name in PATHS:
            held, verdict = issuer_in(read_token(lab, name)), mine[name]["verdict"]
            if verdict.startswith("old_"):
                assert held == former, (name, mine[name])
            if verdict == "renewed":
                assert held == issuer, (name, mine[name])
        looks += 1
        if mine["short"]["verdict"] == "renewed":
            break
        assert (datetime.now(timezone.utc) - until).total_seconds() < 60, mine["short"]
        time.sleep(10)
    assert looks > 1
    assert mine["short"]["until"] == until.strftime("%Y-%m-%dT%H:%M:%SZ")
    reasons, _mine = compare_files(lab, rotated[:2])
    assert (reasons["short"], reasons["odd"]) == ("FileShowsNew", "FileShowsOld")


def test_when_all_are_renewed_the_former_issuer_may_go(lab, rotated):
    former = rotated[0]
    for body in make_pods(former):
        lab.api.request("DELETE", f"{PODS}/{body['metadata']['name']}")
    renewed = run_module("pod_restart", kubeconfig=lab.kubeconfig, wait_sleep=1)
    assert not renewed.get("failed"), renewed
    found, _mine, explanation = audit(lab, verify=["files"])
    assert found["problems"] == []
    assert [p for p in found["pods"] if p["verdict"] not in ("renewed", "no_token", "legacy")] == []
    assert found["may_go"] is True
    sentence = explanation.partition(". ")[0]
    assert sentence.startswith("The old issuer"), explanation
    assert sentence.endswith(" may go now"), explanation
    assert former in sentence
