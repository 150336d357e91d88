# SPDX-License-Identifier: GPL-3.0-or-later
"""Small parts: versions, cgroup hierarchies, images, caches, gates, objects."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest
from lab import cache, cgroups, gates, images, manifests, objects, versions, without_nodes
from lab.binaries import _program_name, _sources
from lab.errors import LabError
from lab.settings import Settings

V1 = """\
30 23 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
34 30 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset,clone_children
35 30 0:31 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
36 30 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
37 30 0:33 / /sys/fs/cgroup/net_cls rw - cgroup cgroup rw,net_cls
38 30 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""


def test_versions_come_from_the_pinned_modules() -> None:
    assert versions.kubernetes().startswith("v1.34.")
    assert versions.etcd().startswith("v3.5.")
    assert versions.openshift_api().startswith("v0.0.0-")


def test_programs_of_one_module_are_built_together() -> None:
    sources = _sources()
    assert len({source.key for source in sources.values()}) == 4
    assert {_program_name(source.package) for source in sources.values()} == {*sources, "server"} - {"etcd"}


def test_hierarchies_mounted_together_stay_together() -> None:
    found = {hierarchy.path.name: hierarchy.options for hierarchy in cgroups.hierarchies(V1)}
    assert found["cpu,cpuacct"] == "cpu,cpuacct"
    assert found["systemd"] == "none,name=systemd"
    assert found["cpuset"] == "cpuset"
    assert "net_cls" not in found


def test_a_missing_controller_is_named() -> None:
    without = "\n".join(line for line in V1.splitlines() if "memory" not in line)
    with pytest.raises(LabError, match="memory"):
        cgroups.hierarchies(without)


def test_an_image_is_the_same_each_time_and_names_its_user(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    image = images.Image("lab.local/x:1", ["sh"], {"bin/busybox": program}, {"bin/sh": "busybox"}, user="65534")
    for name in ("one.tar", "two.tar"):
        images.write_archive(image, tmp_path / name)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        index = json.load(archive.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
        config = json.load(archive.extractfile(index["Config"]))  # type: ignore[arg-type]
        layer = archive.extractfile(index["Layers"][0])
        assert layer
        assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer.read()).hexdigest()}"]
    assert index["RepoTags"] == ["lab.local/x:1"]
    assert config["config"]["User"] == "65534"


def test_a_cache_entry_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        (target / "half").touch()
        raise LabError("no")

    with pytest.raises(LabError):
        cache.directory(tmp_path / "entry", fail)
    assert list(tmp_path.iterdir()) == []
    made = cache.directory(tmp_path / "entry", lambda target: (target / "whole").touch())
    assert cache.directory(tmp_path / "entry", fail) == made


def test_a_gate_that_stays_shut_is_named() -> None:
    with pytest.raises(LabError, match=r"five nodes: not within 0 s, still missing: node x"):
        gates.wait("five nodes", lambda: ["node x"], 0, lambda: None)


def test_the_last_look_comes_after_the_deadline() -> None:
    answers = [["not yet"], []]
    gates.wait("it", lambda: answers.pop(0), 0.1, lambda: None)
    assert answers == []


@pytest.mark.parametrize(("masters", "topology"), [("3", "HighlyAvailable"), ("1", "SingleReplica")])
def test_objects_describe_the_shape(masters: str, topology: str) -> None:
    settings = Settings.from_environment({"HOME": "/h", "LAB_PORT": "7501", "LAB_MASTERS": masters})
    by_kind = {(thing.body["kind"], thing.name): thing for thing in objects.openshift(settings)}
    assert by_kind["Authentication", "cluster"].body["spec"] == {}
    assert by_kind["KubeAPIServer", "cluster"].status is None
    infrastructure = by_kind["Infrastructure", "cluster"].status
    assert infrastructure
    assert infrastructure["apiServerURL"] == "https://127.0.0.1:7501"
    assert infrastructure["controlPlaneTopology"] == topology
    pools = {name: thing.status for (kind, name), thing in by_kind.items() if kind == "MachineConfigPool"}
    machines = {name: status["machineCount"] for name, status in pools.items() if status}
    assert machines == {"master": int(masters), "worker": 2}


def test_cgroup_v2_is_one_hierarchy_with_all_controllers_needed() -> None:
    mountinfo = "31 30 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
    [found] = cgroups.hierarchies(mountinfo, "cpuset cpu io memory hugetlb pids rdma misc")
    assert found.is_v2
    with pytest.raises(LabError, match="memory"):
        cgroups.hierarchies(mountinfo, "cpuset cpu io pids")


def test_without_nodes_the_flags_are_those_of_the_static_pods(tmp_path: Path) -> None:
    template = manifests.kube_apiserver_template(["https://issuer.example.com"])
    command = without_nodes._relocate("/bin/program", template, tmp_path, {"secure_port": 1234, "v": None})
    assert command[0] == "/bin/program"
    assert "--secure-port=1234" in command
    assert "--secure-port=6443" not in command
    assert not any(argument.startswith("--v=") for argument in command)
    assert "--service-account-issuer=https://issuer.example.com" in command
    assert f"--client-ca-file={tmp_path}/upper/etc/kubernetes/pki/ca.crt" in command
    assert f"--audit-log-path={tmp_path}/var/log/kube-apiserver/audit.log" in command


def test_of_old_entries_the_newest_is_kept(tmp_path: Path) -> None:
    for age, name in enumerate(("newest", "older", "oldest")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    cache.keep_newest(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["newest"]
    cache.keep_newest(tmp_path / "nothing")
