# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit of a rotation that was done by hand: what is read in the containers agrees with every verdict."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from datetime import datetime, timezone

import jwt
import pytest
import token_pods
import urllib3
from csi_driver import CsiDriver
from issuers import at_rest, fresh, new_token, wait
from labs import eventually
from modules import run_module
from token_pods import AUTOMATIC, IMAGE, WHOLE, issuer_in, read_in_pod, spec, specs, tokens, unverified

pytestmark = pytest.mark.slow

NAMESPACE = "holders"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
NODE_PODS = "/api/v1/namespaces/bound-tokens-node-restart"
#: Where each pod's program finds its token.
PATHS = {**token_pods.PATHS, "csi-once": "/csi/token", "csi-again": "/csi/token", "fresh": AUTOMATIC}
#: Of which kind of pods the kubelet's files are not what the program reads.
COPIES = (*token_pods.COPIES, "csi-once", "csi-again")
#: The CSI drivers of the pods with these names: how long the tokens live for which they ask, and whether again and again.
DRIVERS = {"csi-once": (3600, False), "csi-again": (600, True)}
CSI_DRIVERS = "/apis/storage.k8s.io/v1/csidrivers"
#: A token with all of its three parts.
TOKEN = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+")


def pod(name, spec):
    return {"metadata": {"name": name}, "spec": {"nodeName": "worker-0", **spec}}


def driver_name(name):
    return f"{name}.lab.local"


def csi_pod(name):
    volume = {"name": "csi", "csi": {"driver": driver_name(name)}}
    return pod(name, spec({"name": "csi", "mountPath": "/csi"}, volumes=[volume]))


def make_pods(lab, former):
    """The pods from before; the last asks for the issuer that is about to be the former one as its audience."""
    legacy = {"name": "secret", "secret": {"secretName": "robot"}}
    audience = {"path": "token", "expirationSeconds": 3600, "audience": former}
    return [
        *(pod(name, found) for name, found in specs(lab, NAMESPACE).items()),
        *map(csi_pod, DRIVERS),
        pod("secret", spec({"name": "secret", "mountPath": "/s"}, volumes=[legacy])),
        pod("nothing", spec()),
        pod("audience", spec(WHOLE, volumes=[tokens(audience)])),
    ]


def text_secret(name, **values):
    return {"metadata": {"name": name}, "data": {k: base64.b64encode(v.encode()).decode() for k, v in values.items()}}


def is_running(lab, name):
    return lab.api.get(f"{PODS}/{name}")["status"].get("phase") == "Running"


def read_token(lab, name):
    """What a program in the container reads now."""
    uid = lab.api.get(f"{PODS}/{name}")["metadata"]["uid"]
    return eventually(lambda: next(read_in_pod(uid, PATHS[name]), None), timeout=60)


def moment(text):
    """Seconds since the epoch."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


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
def drivers(lab):
    """The CSI drivers by the names of their pods; the test starts them."""
    home, found = lab.settings.node("worker-0"), {}
    for name, (seconds, is_republished) in DRIVERS.items():
        spec = {
            "attachRequired": False,
            "volumeLifecycleModes": ["Ephemeral"],
            "requiresRepublish": is_republished,
            "tokenRequests": [{"audience": "", "expirationSeconds": seconds}],
        }
        lab.api.create_missing(CSI_DRIVERS, {"metadata": {"name": driver_name(name)}, "spec": spec})
        found[name] = CsiDriver(home, "worker-0", driver_name(name))
    yield found
    for name, driver in found.items():
        driver.stop()
        lab.api.request("DELETE", f"{CSI_DRIVERS}/{driver_name(name)}")


def start_late(lab, drivers):
    """Start the drivers when their pods have been waiting for them: a pod may start long before it is given its token."""
    for name in DRIVERS:
        eventually(lambda name=name: lab.api.get(f"{PODS}/{name}")["status"].get("startTime"))
    time.sleep(3)
    for driver in drivers.values():
        driver.start()


def received(lab, drivers, name):
    """The tokens that a pod's driver was given, one after the other."""
    return drivers[name].received[lab.api.get(f"{PODS}/{name}")["metadata"]["uid"]]


@pytest.fixture(scope="module")
def rotated(lab, drivers):
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
    pods = make_pods(lab, former)
    for body in pods:
        lab.api.create_missing(PODS, body)
    start_late(lab, drivers)
    for body in pods:
        eventually(lambda name=body["metadata"]["name"]: is_running(lab, name))
    before = {name: read_token(lab, name) for name in PATHS if name != "fresh"}
    assert {issuer_in(t) for t in before.values()} == {former}
    time.sleep(1.1)  # what started in the second of the switch is unknown
    lab.set_issuer(issuer)
    wait(lab, issuer)
    time.sleep(1.1)
    lab.api.create_missing(PODS, pod("fresh", spec(automatic=True)))
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
        "days": ("file_renews", "FileRenews"),
        "reads-once": ("file_renews", "FileRenews"),
        "reads-again": ("file_renews", "FileRenews"),
        "csi-once": ("unknown", "CsiDriver"),
        "csi-again": ("file_renews", "FileRenews"),
        "sub-path": ("old_until_restarted", "SubPath"),
        "sub-path-hour": ("old_until", "SubPath"),
        "init-copy": ("unknown", "InitCopy"),
        "secret": ("legacy", "LegacySecret"),
        "nothing": ("no_token", "NoToken"),
        "audience": ("file_renews", "FileRenews"),
        "fresh": ("renewed", "StartedAfter"),
    }
    assert (found["issuer"], found["former"][0]["name"], found["problems"]) == (issuer, former, [])
    # after a day, although four fifths of its life are a day too, and the former issuer is trusted for a day only
    assert moment(mine["days"]["until"]) - moment(found["switched_not_after"]) == 24 * 3600 + 120
    assert moment(mine["days"]["until"]) > moment(found["former"][0]["expires"])
    assert issuer_in(read_token(lab, "fresh")) == issuer
    assert {issuer_in(read_token(lab, n)) for n in ("sub-path", "sub-path-hour", "init-copy")} == {former}
    assert {"namespace": NAMESPACE, "name": "robot", "service_account": "default", "pods": 1} in found["legacy"]
    assert explanation.startswith("Not yet: ")
    assert "of them not before a restart" in explanation
    static = [p for p in found["pods"] if p["reason"] == "Static"]
    assert len(static) >= 4 * len(lab.settings.masters)


def test_what_a_csi_driver_was_given_agrees_with_the_verdict(lab, rotated, drivers):
    _found, mine, _explanation = audit(lab)
    for name in DRIVERS:
        given = received(lab, drivers, name)
        assert given == [read_token(lab, name)] == [rotated[2][name]]
        claims = claims_of(lab, given[0])
        assert claims["kubernetes.io"]["pod"]["name"] == name
        assert claims["exp"] - claims["iat"] == DRIVERS[name][0]
        assert claims["iat"] - moment(mine[name]["started_at"]) >= 3, "the driver was not late"
    # for as long as a token from before may be in use it is not said to be over
    assert moment(mine["csi-once"]["until"]) >= unverified(rotated[2]["csi-once"])["exp"]


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
            if shows_new:
                assert moment(until) <= claims["iat"], mine[name]
            else:
                assert not until or moment(until) <= claims["exp"], mine[name]
    output = json.dumps([found, explanation])
    assert not any(part in output for t in (*before.values(), *after.values()) for part in t.split("."))
    eventually(lambda: leaves_nothing_on_nodes(lab))
    return {name: p["reason"] for name, p in mine.items()}, mine


def test_the_token_files_show_what_containers_read(lab, rotated):
    reasons, mine = compare_files(lab, rotated[:2])
    old = ("automatic", "hour", "odd", "days", "audience", "reads-once", "reads-again")
    assert {n: reasons[n] for n in old} == dict.fromkeys(old, "FileShowsOld")
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
        # while the file is what it was, both programs do the same
        "reads-once": ("file_renews", "OldTokenInUse", "use"),
        "reads-again": ("file_renews", "OldTokenInUse", "use"),
        "init-copy": ("old_until_restarted", "OldTokenInUse", "use"),
        "sub-path": ("old_until_restarted", "OldTokenInUse", "use"),
    }
    ids = {unverified(before[n])["jti"]: n for n in before}
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
        {"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["get"]},
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


def find_verdicts(lab, are_wanted, **more):
    """The verdicts about these pods as they are now; None while they are not what is wanted."""
    mine = audit(lab, **more)[1]
    return mine if are_wanted(mine) else None


def test_a_program_that_reads_once_is_told_from_one_that_reads_again_by_its_use(lab, rotated, drivers):
    """A kubelet that is restarted rewrites every file; what a program does with that shows in the audit logs only."""
    _former, issuer, _before = rotated
    lab.run_on("worker-0", "systemctl restart kubelet")
    files = sorted(PATHS.keys() - set(COPIES))
    for name in files:
        eventually(lambda name=name: issuer_in(read_token(lab, name)) == issuer, timeout=120)
    mine = eventually(lambda: find_verdicts(lab, lambda mine: mine["days"]["verdict"] == "renewed"), timeout=200)
    for name in ("reads-once", "reads-again", "days"):
        assert (mine[name]["verdict"], mine[name]["reason"]) == ("renewed", "FileRenewed")
        assert mine[name]["may_be_cached"], mine[name]

    # every driver was called anew; what one does with that, which asks for tokens once, nobody can tell
    for name in DRIVERS:
        assert issuer_in(received(lab, drivers, name)[-1]) == issuer
        assert issuer_in(read_token(lab, name)) == issuer
    assert (mine["csi-once"]["verdict"], mine["csi-once"]["reason"]) == ("unknown", "CsiDriver")
    # when all tests run, its old token has died by now
    lives = time.time() - moment(audit(lab)[0]["switched_not_after"]) < DRIVERS["csi-again"][0]
    assert (mine["csi-again"]["verdict"], mine["csi-again"]["may_be_cached"]) == ("renewed", lives)

    def keeps_it(mine):
        return mine["reads-once"]["verdict"] == "old_until_restarted"

    mine = eventually(lambda: find_verdicts(lab, keeps_it, verify=["use"]), timeout=200)
    assert (mine["reads-once"]["source"], mine["reads-once"]["reason"]) == ("use", "OldTokenInUse")
    assert (mine["reads-again"]["verdict"], mine["reads-again"]["source"]) == ("renewed", "spec")


def test_when_all_are_renewed_the_former_issuer_may_go(lab, rotated):
    former = rotated[0]
    for body in make_pods(lab, former):
        lab.api.request("DELETE", f"{PODS}/{body['metadata']['name']}")
    renewed = run_module("pod_restart", kubeconfig=lab.kubeconfig, wait_sleep=1)
    assert not renewed.get("failed"), renewed
    found, _mine, explanation = audit(lab, verify=["files"])
    assert found["problems"] == []
    assert [p for p in found["pods"] if p["verdict"] not in ("renewed", "no_token", "legacy")] == []
    assert found["may_go"] is True
    sentence = explanation.partition(". ")[0]
    assert sentence.startswith("The old issuer"), explanation
    assert " may go now" in sentence, explanation
    assert former in sentence
