# SPDX-License-Identifier: GPL-3.0-or-later
"""From nothing to a cluster that is up, and back to nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from . import (
    balancer,
    base,
    binaries,
    cache,
    debian,
    gates,
    machine,
    manifests,
    nodes,
    objects,
    openshift,
    pki,
    preflight,
    supervisor,
    without_nodes,
)
from .api import Api
from .cgroups import Cgroups
from .errors import LabError
from .go import Go
from .progress import Progress, Say
from .settings import Settings

_REAL_SHUTDOWN_DELAY = 70.0
"""Seconds that OpenShift's kube-apiserver waits before it stops serving, where another one serves; the lab scales them."""


def up(settings: Settings, say: Progress) -> None:
    """The lab is up and healthy; if it was before, nothing is done."""
    lacks = preflight.missing(settings)
    if not lacks:
        preflight.provide_tools(say)
    with cache.locked(settings.cache / "run" / f".{settings.name}.lock", say):
        if pid := supervisor.running(settings):
            if not unhealthy(settings):
                say(f"lab {settings.name} is already up")
                return
            say(f"lab {settings.name} runs already (supervisor {pid}) but is not healthy yet; waiting")
        else:
            if lacks:
                say(f"no real nodes on this machine ({lacks}): only the control plane, without nodes and operator")
            _start(settings, say, with_nodes=not lacks)
        _settle(settings, say)
        say(f"lab {settings.name} is up")


def down(settings: Settings, say: Say) -> None:
    """No process, mount, cgroup, namespace, interface or state of the lab is left."""
    with cache.locked(settings.cache / "run" / f".{settings.name}.lock", say):
        existed = _clear(settings)
        with cache.locked(settings.cache / ".build.lock", say):
            if not any(run.is_dir() for run in settings.run.parent.iterdir()):  # this was the last lab
                machine.restore_inotify_limit(settings)
                cache.keep_newest(settings.cache / "base")
                cache.keep_newest(settings.cache / "golden")
    say(f"lab {settings.name} is down" if existed else f"lab {settings.name} was not up")


def unhealthy(settings: Settings) -> list[str]:
    """What is wrong with a running lab, in words."""
    api = Api(settings)
    checks: list[gates.Gate] = [
        lambda: [] if settings.bootstrapped.exists() else ["the first objects are not there"],
        lambda: gates.default_service_accounts(api),
    ]
    if not without_nodes.plan(settings):
        checks += [lambda: gates.nodes_ready(api, settings), lambda: gates.static_pods_ready(api, settings)]
        checks.append(lambda: gates.standins_reported(api, settings))
        checks.append(lambda: gates.operator_reported(api, settings))
    return [missing for check in checks for missing in gates.look(check)]


def _start(settings: Settings, say: Say, *, with_nodes: bool) -> None:
    """A supervisor has begun to boot new nodes, or to run the control plane alone."""
    if _clear(settings):
        say("removed what an earlier lab of this name had left")
    with contextlib.closing(_take_port(settings)) as listener:
        root = _prepare(settings, say, with_nodes=with_nodes)
        servers = f"{settings.master_count} API server{'s' * (settings.master_count > 1)}"
        say(f"booting {len(settings.nodes)} nodes" if with_nodes else f"starting etcd and {servers}")
        _wait_for_supervisor(settings, supervisor.start(settings, root, listener))


def _take_port(settings: Settings) -> socket.socket:
    """The lab's socket on loopback, taken first, since building for minutes and then failing would be unkind."""
    try:
        return balancer.listen("127.0.0.1", settings.port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise LabError(f"Port {settings.port} on 127.0.0.1 is in use; set LAB_PORT to a free one.") from None


def _prepare(settings: Settings, say: Say, *, with_nodes: bool) -> Path | None:
    """Everything that the lab is made of is there; the root file system that its nodes share is returned."""
    go = Go(settings.cache, say)
    with cache.locked(settings.cache / ".build.lock", say):
        if with_nodes:
            machine.raise_inotify_limit(settings, say)
        settings.run.mkdir(parents=True, mode=0o700)
        programs = binaries.provide(settings.cache, go, say)
        if with_nodes:
            shared = base.provide(settings.cache, programs, debian.provide(settings.cache, say), say)
        openshift.crds(settings.cache, go)
    inside = pki.INSIDE_URL if with_nodes else settings.server_url
    pki.create(settings.pki, settings.nodes, settings.server_url, settings.kubeconfig, inside)
    template = manifests.kube_apiserver_template(
        jwks_uri=f"{settings.server_url}/openid/v1/jwks",
        shutdown_delay=_REAL_SHUTDOWN_DELAY * settings.time_scale if settings.master_count > 1 else 0.0,
    )
    settings.pod_template.write_text(manifests.to_yaml(template), encoding="utf-8")
    if not with_nodes:
        without_nodes.prepare(settings, programs, template)
        return None
    for node in settings.nodes:
        nodes.prepare(settings, node, shared.store, template)
    return shared.root


def _wait_for_supervisor(settings: Settings, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while not supervisor.running(settings):
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError(f"The lab's supervisor did not start: {_last_lines(settings)}")
        time.sleep(0.05)


def _settle(settings: Settings, say: Say) -> None:
    """All gates are open."""
    api = Api(settings)
    crds = openshift.crds(settings.cache, Go(settings.cache, say))
    names = [crd["metadata"]["name"] for crd in crds]

    def alive() -> None:
        if not supervisor.running(settings):
            raise LabError(f"The lab's supervisor has ended: {_last_lines(settings)}")

    def wait(what: str, gate: gates.Gate, timeout: float = 180) -> None:
        gates.wait(what, gate, timeout, alive)
        say(what)

    def done(action: Callable[[], None]) -> gates.Gate:
        def gate() -> list[str]:
            action()
            return []

        return gate

    def served_by_all() -> list[str]:
        return gates.served_by_all(settings, {thing.collection for thing in objects.openshift(settings)})

    wait("a kube-apiserver answers", lambda: gates.api_ready(api))
    wait("namespaces and access to the kubelets are there", done(lambda: _create_basics(api)), 60)
    wait(f"{len(crds)} of OpenShift's CRDs are applied", done(lambda: _apply_crds(api, crds)), 60)
    wait("the CRDs are established", lambda: gates.crds_established(api, names), 60)
    wait("OpenShift's first objects are there", done(lambda: _create_all(api, objects.openshift(settings))), 60)
    if without_nodes.plan(settings):
        settings.bootstrapped.touch()
        wait("default service accounts are there", lambda: gates.default_service_accounts(api))
        wait("every API server serves OpenShift's objects", served_by_all, 60)
        return
    wait(f"{len(settings.nodes)} nodes are registered", lambda: gates.nodes_registered(api, settings))
    wait("the nodes have their roles", done(lambda: _label_nodes(api, settings)), 60)
    settings.bootstrapped.touch()
    wait("all nodes are Ready", lambda: gates.nodes_ready(api, settings))
    wait("default service accounts are there", lambda: gates.default_service_accounts(api))
    gates.look(served_by_all)  # to be asked once is what makes a server prepare its answers
    wait("all static pods are Ready", lambda: gates.static_pods_ready(api, settings))
    wait("every API server serves OpenShift's objects", served_by_all, 60)
    wait("the operator stand-in has reported its revision", lambda: gates.operator_reported(api, settings))
    wait("pools and guards are as they shall be", lambda: gates.standins_reported(api, settings))


def _create_basics(api: Api) -> None:
    _create_all(api, [*objects.namespaces(), objects.kubelet_access()])


def _create_all(api: Api, initial: list[objects.Initial]) -> None:
    """The objects exist; those that somebody has changed since are left as they are."""
    for thing in initial:
        api.create_missing(thing.collection, thing.body)
        if thing.status is not None:
            path = f"{thing.collection}/{thing.name}"
            present = api.get(path)
            if not present.get("status", {}).keys() >= thing.status.keys():
                api.request("PUT", f"{path}/status", present | {"status": thing.status})


def _apply_crds(api: Api, crds: list[dict[str, object]]) -> None:
    for crd in crds:
        metadata = crd["metadata"]
        assert isinstance(metadata, dict)
        api.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{metadata['name']}", crd)


def _label_nodes(api: Api, settings: Settings) -> None:
    for node in settings.nodes:
        api.merge(f"/api/v1/nodes/{node.name}", {"metadata": {"labels": objects.node_labels(node)}})


def _clear(settings: Settings) -> bool:
    """Ends a lab and removes its state; True if there was any."""
    pid = supervisor.running(settings)
    if pid:
        _end(settings, pid)
    cgroups = _cgroups(settings)
    existed = bool(pid or settings.run.exists() or (cgroups and cgroups.leftovers()))
    if cgroups and not cgroups.remove():
        left = ", ".join(str(path) for path in cgroups.leftovers())
        raise LabError(f"Some processes of lab {settings.name} do not end; see the cgroups {left}.")
    _remove_directory(settings.run)
    return existed


def _cgroups(settings: Settings) -> Cgroups | None:
    """None on a machine where no lab can have had nodes."""
    try:
        return Cgroups(settings.cgroup)
    except (LabError, OSError):
        return None


def _end(settings: Settings, pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if not supervisor.running(settings):
                return
            time.sleep(0.02)
    raise LabError(f"The supervisor of lab {settings.name} (process {pid}) does not end.")


def _remove_directory(directory: Path) -> None:
    """Gone, even if a program that is just ending writes a last line meanwhile."""
    for _unused in range(20):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.1)
    shutil.rmtree(directory)


def _last_lines(settings: Settings) -> str:
    try:
        lines = settings.log("supervisor").read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return "it wrote no log"
    return " | ".join(lines[-3:]) or "its log is empty"
