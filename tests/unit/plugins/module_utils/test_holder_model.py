# SPDX-License-Identifier: GPL-3.0-or-later
"""How tokens get to programs, by what pods and CSI drivers say."""

from __future__ import annotations

import copy
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml
from ansible_collections.bound_tokens.openshift.plugins.module_utils._holder_model import (
    Delivery,
    HolderContext,
    TokenDriver,
    TokenSource,
    holder_pod,
    token_driver,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import parse_time

PODS = yaml.safe_load((Path(__file__).parents[2] / "fixtures/holders.yml").read_text())
STARTED = datetime(2026, 11, 22, 6, 1, tzinfo=timezone.utc)
CONTEXT = HolderContext(
    drivers={
        "secrets-store.csi.k8s.io": TokenDriver(tokens=(("vault", 3600),)),
        "again.example.com": TokenDriver(tokens=(("a", 600), ("b", 7200)), is_republished=True),
    },
    claims={("web", "data-0"): "again.example.com", ("web", "web-1-scratch"): "again.example.com"},
    legacy={("web", "builder-token"), ("shop", "tls")},
)


def sources_of(name):
    return holder_pod(PODS[name], CONTEXT).sources


def copy_of(name):
    return copy.deepcopy(PODS[name])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("automatic", [("", 3607, Delivery.FILE)]),
        ("several", [("vault", 600, Delivery.FILE), ("backup", 108000, Delivery.FILE), ("", 3600, Delivery.FILE)]),
        ("sub_path", [("", 3607, Delivery.SUB_PATH)]),
        ("sub_path_folder", [("vault", 7200, Delivery.SUB_PATH)]),
        ("sub_path_expression", [("", 3600, Delivery.SUB_PATH_EXPR)]),
        ("init_copy", [("", 3607, Delivery.INIT_COPY)]),
        ("init_needless", [("", 3607, Delivery.FILE)]),
        ("driver_once", [("vault", 3600, Delivery.DRIVER)]),
        ("driver_of_claim", [("a", 600, Delivery.FILE), ("b", 7200, Delivery.FILE)]),
        ("driver_of_ephemeral_claim", [("a", 600, Delivery.FILE), ("b", 7200, Delivery.FILE)]),
        ("secret", []),
        ("nothing", []),
    ],
)
def test_the_tokens_of_a_pod(name, wanted):
    assert [(s.audience, s.seconds, s.delivery) for s in sources_of(name)] == wanted


def mounting(part, *tokens):
    """Return a pod with these paths of tokens in a volume, of which its one container mounts this part."""
    pod = copy_of("sub_path")
    pod["spec"]["containers"][1:] = []
    pod["spec"]["containers"][0]["volumeMounts"][0]["subPath"] = part
    sources = [{"serviceAccountToken": {"path": path, "expirationSeconds": 3607}} for path in tokens]
    pod["spec"]["volumes"][0]["projected"]["sources"] = sources
    return pod


@pytest.mark.parametrize(
    ("token", "part", "wanted"),
    [
        ("token", "./token", Delivery.SUB_PATH),
        ("token", "token/", Delivery.SUB_PATH),
        ("token", "..data/token", Delivery.SUB_PATH),
        ("token", "..2026_11_22_08_00_00.1//token", Delivery.SUB_PATH),
        ("token", "..data", Delivery.SUB_PATH),
        ("token", "./..data/.", Delivery.SUB_PATH),
        ("./deep//token", "deep", Delivery.SUB_PATH),
        ("deep/token", "..data/deep/", Delivery.SUB_PATH),
        # the folder of the whole volume is mounted, in which the file changes
        ("token", ".", Delivery.FILE),
        ("token", ".//", Delivery.FILE),
        # nobody knows what is there
        ("token", "tok", Delivery.SUB_PATH_EXPR),
        ("token", "..data/tok", Delivery.SUB_PATH_EXPR),
        ("deep/token", "token", Delivery.SUB_PATH_EXPR),
    ],
)
def test_a_sub_path_may_be_written_in_many_ways(token, part, wanted):
    (source,) = holder_pod(mounting(part, token), CONTEXT).sources
    assert (source.delivery, source.started) == (wanted, STARTED)


def test_a_part_that_holds_another_token_is_no_riddle():
    sources = holder_pod(mounting("token", "token", "other"), CONTEXT).sources
    assert [(s.place[1], s.delivery, s.started) for s in sources] == [
        ("token", Delivery.SUB_PATH, STARTED),
        ("other", Delivery.FILE, None),
    ]


def test_the_place_of_a_token_is_where_the_kubelet_writes_it():
    pod = copy_of("automatic")
    pod["spec"]["volumes"][0]["projected"]["sources"] = [{"serviceAccountToken": {"path": "./deep//token"}}]
    assert holder_pod(pod, CONTEXT).sources[0].place[1] == "deep/token"


def test_who_takes_a_token_is_asked_since_when_it_runs():
    place = ("kube-api-access-4zq8d", "token")
    assert sources_of("automatic") == (TokenSource(seconds=3607, started=STARTED, place=place),)
    assert sources_of("sub_path")[0].started == STARTED
    # the copy is of when the init container ran
    assert sources_of("init_copy")[0].started == STARTED.replace(minute=0, second=30)
    assert (sources_of("driver_once")[0].started, sources_of("driver_once")[0].place) == (None, None)


def test_by_when_what_is_kept_was_taken():
    pod = copy_of("init_copy")
    ended = {"startedAt": "2026-11-22T06:00:30Z", "finishedAt": "2026-11-22T07:00:30Z", "exitCode": 0}
    pod["status"]["initContainerStatuses"][0]["state"]["terminated"] = ended
    assert holder_pod(pod, CONTEXT).sources[0].taken == STARTED.replace(hour=7, minute=0, second=30)
    pod["status"]["initContainerStatuses"][0]["state"] = {"running": {"startedAt": "2026-11-22T06:00:30Z"}}
    assert holder_pod(pod, CONTEXT).sources[0].taken is None
    # of several containers the one that was restarted has the latest token
    pod = copy_of("sub_path")
    pod["spec"]["containers"].append({**pod["spec"]["containers"][0], "name": "again"})
    again = {"name": "again", "state": {"running": {"startedAt": "2026-11-22T07:30:00Z"}}}
    pod["status"]["containerStatuses"].append(again)
    (source,) = holder_pod(pod, CONTEXT).sources
    assert (source.started, source.taken) == (STARTED, STARTED.replace(hour=7, minute=30))
    again["state"] = {"waiting": {}}
    assert holder_pod(pod, CONTEXT).sources[0].taken is None
    assert sources_of("driver_once")[0].taken is None


def test_who_reads_what_a_driver_writes_again_is_asked_since_when_it_runs():
    pod = copy_of("driver_of_claim")
    assert {s.started for s in holder_pod(pod, CONTEXT).sources} == {None}
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    assert {s.started for s in holder_pod(pod, CONTEXT).sources} == {STARTED}


def test_the_sub_path_of_the_whole_is_no_part_of_what_a_driver_writes_again():
    pod = copy_of("driver_of_claim")
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data", "subPath": "./"}]
    assert {(s.delivery, s.started) for s in holder_pod(pod, CONTEXT).sources} == {(Delivery.FILE, STARTED)}


@pytest.mark.parametrize("key", ["subPath", "subPathExpr"])
def test_a_part_of_what_a_driver_writes_again_stays_as_it_was_when_the_container_started(key):
    pod = copy_of("driver_of_claim")
    part = {"name": "data", "mountPath": "/token", key: "token"}
    pod["spec"]["containers"][0]["volumeMounts"] = [part]
    assert {(s.delivery, s.started) for s in holder_pod(pod, CONTEXT).sources} == {(Delivery.SUB_PATH, None)}
    pod["spec"]["containers"][0]["volumeMounts"].append({"name": "data", "mountPath": "/data"})
    found = {(s.delivery, s.started) for s in holder_pod(pod, CONTEXT).sources}
    assert found == {(Delivery.SUB_PATH, None), (Delivery.FILE, STARTED)}


def test_an_init_container_may_copy_what_a_driver_writes_again():
    pod = copy_of("init_copy")
    pod["spec"]["volumes"][1] = {"name": "tokens", "csi": {"driver": "again.example.com"}}
    assert {s.delivery for s in holder_pod(pod, CONTEXT).sources} == {Delivery.INIT_COPY}


def test_a_read_only_mount_is_no_place_for_a_copy():
    pod = copy_of("init_copy")
    pod["spec"]["initContainers"][0]["volumeMounts"][1]["readOnly"] = True
    assert [s.delivery for s in holder_pod(pod, CONTEXT).sources] == [Delivery.FILE]


def test_who_mounts_the_whole_volume_sees_the_file_change_beside_a_sub_path():
    pod = copy_of("sub_path")
    pod["spec"]["containers"].append({"name": "third", "volumeMounts": [{"name": "tokens", "mountPath": "/tokens"}]})
    assert [s.delivery for s in holder_pod(pod, CONTEXT).sources] == [Delivery.SUB_PATH, Delivery.FILE]


def test_secrets_with_tokens_are_told_from_others():
    assert holder_pod(PODS["secret"], CONTEXT).legacy == ("builder-token",)
    assert holder_pod(PODS["secret"], HolderContext()).legacy == ()
    assert holder_pod(PODS["automatic"], CONTEXT).legacy == ()


def test_account_and_end():
    pod = copy_of("automatic")
    pod["metadata"]["deletionTimestamp"] = "2026-11-22T06:01:00Z"
    found = holder_pod(pod, CONTEXT)
    assert (found.service_account, found.deleted_at, found.pod.is_terminating) == ("web", STARTED, True)
    assert holder_pod(PODS["nothing"], CONTEXT).service_account == "default"


def test_drivers_that_ask_for_tokens():
    requests = [{"audience": "vault"}, {"audience": "", "expirationSeconds": 600}]
    wanted = TokenDriver(tokens=(("vault", 3600), ("", 600)), is_republished=True)
    assert token_driver({"spec": {"tokenRequests": requests, "requiresRepublish": True}}) == wanted
    assert token_driver({"spec": {"tokenRequests": []}}) is None


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        ([], None),
        ([{"terminated": {"finishedAt": "2026-11-22T07:00:30Z"}}], "2026-11-22T07:00:30Z"),
        ([{"terminated": {"finishedAt": f"2026-11-22T0{hour}:00:30Z"}} for hour in (8, 9, 7)], "2026-11-22T09:00:30Z"),
        # a node that was lost
        ([{"terminated": {"finishedAt": None, "reason": "ContainerStatusUnknown"}}], None),
        ([{"terminated": {"finishedAt": "2026-11-22T07:00:30Z"}}, {"running": {}}], None),
    ],
)
def test_when_a_pod_has_ended_is_known_when_it_is_of_each_container(states, wanted):
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {}}
    pod["status"] = {"containerStatuses": [{"name": f"c{n}", "state": s} for n, s in enumerate(states)]}
    assert holder_pod(pod, HolderContext()).ended_at == parse_time(wanted)
