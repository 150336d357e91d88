# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import yaml
from lab import manifests
from lab.shape import make_nodes

MASTERS = make_nodes(3)[:3]
OLD, NEW = "https://kubernetes.default.svc", "https://issuer.example.com"


def command(manifest: manifests.Manifest) -> list[str]:
    found: list[str] = manifest["spec"]["containers"][0]["command"]
    return found


def test_issuers_keep_their_order_and_audiences_equal_them() -> None:
    template = manifests.kube_apiserver_template([NEW, OLD], 7, jwks_uri=f"{NEW}/openid/v1/jwks")
    assert manifests.flag_values(template, "service-account-issuer") == [NEW, OLD]
    assert manifests.flag_values(template, "api-audiences") == [f"{NEW},{OLD}"]
    assert manifests.flag_values(template, "service-account-jwks-uri") == [f"{NEW}/openid/v1/jwks"]


def test_without_jwks_uri_there_is_no_such_flag() -> None:
    assert manifests.flag_values(manifests.kube_apiserver_template(), "service-account-jwks-uri") == []


def test_labels_are_those_of_openshift() -> None:
    metadata = manifests.kube_apiserver_template(revision=12)["metadata"]
    assert metadata["namespace"] == "openshift-kube-apiserver"
    assert metadata["labels"] == {"app": "openshift-kube-apiserver", "apiserver": "true", "revision": "12"}


def test_the_template_differs_between_masters_by_its_placeholders_only() -> None:
    template = manifests.kube_apiserver_template()
    text = manifests.to_yaml(template)
    assert manifests.NODE_IP in text
    for master in MASTERS:
        replaced = text.replace(manifests.NODE_NAME, master.name).replace(manifests.NODE_IP, master.address)
        assert yaml.safe_load(replaced) == manifests.render(template, master)
        assert f"--advertise-address={master.address}" in command(manifests.render(template, master))


def test_shutdown_fits_into_the_grace_period() -> None:
    template = manifests.kube_apiserver_template(shutdown_delay=70)
    assert "--shutdown-delay-duration=70s" in command(template)
    assert template["spec"]["terminationGracePeriodSeconds"] == 135


def test_the_audit_log_is_where_the_kubelet_serves_it() -> None:
    template = manifests.kube_apiserver_template()
    assert manifests.flag_values(template, "audit-log-path") == ["/var/log/kube-apiserver/audit.log"]
    paths = {volume["hostPath"]["path"] for volume in template["spec"]["volumes"]}
    assert "/var/log/kube-apiserver" in paths
    rules = manifests.audit_policy()["rules"]
    assert rules[-1] == {"level": "Metadata"}
    assert next(r["level"] for r in rules if "nodes" in r.get("resources", [{}])[0].get("resources", [])) == "Request"


@pytest.mark.parametrize("master", MASTERS, ids=lambda master: master.name)
def test_static_pods_become_the_expected_mirror_pods(master: manifests.Node) -> None:
    pods = manifests.static_pods(master, MASTERS, manifests.kube_apiserver_template()).values()
    found = {(pod["metadata"]["namespace"], f"{pod['metadata']['name']}-{master.name}") for pod in pods}
    assert found == set(manifests.mirror_pods(master))


def test_every_mount_has_its_volume() -> None:
    for pod in manifests.static_pods(MASTERS[0], MASTERS, manifests.kube_apiserver_template()).values():
        mounts = {mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
        assert mounts == {volume["name"] for volume in pod["spec"]["volumes"]}


def test_etcd_members_agree_on_the_cluster_and_use_their_own_address() -> None:
    members = [manifests.etcd(master, MASTERS) for master in MASTERS]
    assert len({tuple(manifests.flag_values(member, "initial-cluster")) for member in members}) == 1
    assert [manifests.flag_values(member, "name") for member in members] == [[master.name] for master in MASTERS]


def test_a_single_etcd_is_a_cluster_of_its_own() -> None:
    [master] = MASTERS[:1]
    assert manifests.flag_values(manifests.etcd(master, [master]), "initial-cluster") == [
        f"{master.name}=https://{master.address}:2380"
    ]
