# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Running commands as root of nodes, each through a privileged pod that is gone afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from .._client.cluster import Cluster
from .._clock import Clock, WaitOptions, poll, retry
from .._effects import ask_for_deletion, create_if_missing, provide_own_namespace
from .._errors import ApiError, CollectionError, InvalidOption, Refused
from .._facts import require_own_namespace
from .._model import Judgement, Outcome, is_ours, pod_facts
from .._plan.node_findings import NodeFinding
from .._plan.node_pod import (
    POD_DEADLINE,
    build_command_pod,
    build_namespace,
    build_role_binding,
    judge_command,
    read_image,
)
from .._plan.permissions import RESTART_NAMESPACE

#: Seconds in which the permissions and the service account of a new namespace must have come into force.
ADMISSION_PATIENCE = 60.0
#: Seconds beyond the pod's own deadline, which its kubelet counts from when it has seen the pod.
DEADLINE_GRACE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a command on a node ended, and all that it printed, errors among it."""

    exit_status: int
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCommands:
    """Runs commands on nodes, several at once if it is called in several threads. ``purpose`` begins the names of the pods;
    ``deadline`` is in seconds and for each command. Whoever is done with it calls remove_namespace."""

    cluster: Cluster
    clock: Clock
    image: str
    purpose: str
    deadline: int = POD_DEADLINE
    interval: float = 1.0

    def run(self, node: str, script: str, arguments: Sequence[str] = ()) -> CommandResult:
        """Run ``script`` (POSIX shell, in the host's root) on ``node`` once and return how it ended, be it with an error.

        Raises WaitTimedOut or WaitFailed when it did not run to its end, ApiError when the cluster refuses. No pod is left
        behind; what an end of this process leaves ends at the deadline.
        """
        pod = build_command_pod(
            node,
            purpose=self.purpose,
            nonce=secrets.token_hex(4),
            image=self.image,
            script=script,
            arguments=arguments,
            deadline=self.deadline,
        )
        name = pod["metadata"]["name"]
        retry(partial(require_own_namespace, self.cluster, RESTART_NAMESPACE), clock=self.clock)
        try:
            result = self._carry_out(pod, node)
        except CollectionError:
            with suppress(CollectionError):  # the first error tells more
                self._remove(name)
            raise
        self._remove(name)
        return result

    def _carry_out(self, pod: Mapping[str, Any], node: str) -> CommandResult:
        name = pod["metadata"]["name"]
        poll(
            partial(self._let_in, pod),
            _judge_admission,
            waiting_for=f"the pod {RESTART_NAMESPACE}/{name} to be let in",
            options=WaitOptions(timeout=ADMISSION_PATIENCE, interval=self.interval),
            clock=self.clock,
        )
        verdict = poll(
            partial(self.cluster.get, "Pod", name, RESTART_NAMESPACE),
            judge_command,
            waiting_for=f"the end of a command on the node {node} (pod {RESTART_NAMESPACE}/{name})",
            options=WaitOptions(timeout=self.deadline + DEADLINE_GRACE, interval=self.interval),
            clock=self.clock,
        )
        output = retry(partial(self.cluster.read_log, name, RESTART_NAMESPACE), clock=self.clock)
        return CommandResult(exit_status=verdict.exit_status, output=output)

    def _let_in(self, pod: Mapping[str, Any]) -> str:
        """Return why the pod is not let in yet; empty when it is there."""
        try:
            create_if_missing(self.cluster, "Pod", pod, RESTART_NAMESPACE)
        except ApiError as error:
            # 404, 409: there is no namespace, or one on its way out; 403: its permissions take a moment.
            if error.is_missing_api or error.status not in (403, 404, 409):
                raise
            self._provide_namespace()
            return error.words
        return ""

    def _provide_namespace(self) -> None:
        try:
            provide_namespace(self.cluster)
        except ApiError as error:
            if error.status != 409:
                raise

    def _remove(self, name: str) -> None:
        """See to it that the pod is gone, whether its creation was answered or not."""

        def attempt() -> None:
            found = self.cluster.get("Pod", name, RESTART_NAMESPACE)
            if found:
                ask_for_deletion(self.cluster, found, grace_period=0)

        retry(attempt, clock=self.clock, waiting_for=f"the deletion of the pod {RESTART_NAMESPACE}/{name}")


def _judge_admission(words: str) -> Judgement:
    if words:
        return Judgement(outcome=Outcome.WAITING, message=f"it is not let in yet: {words}")
    return Judgement(outcome=Outcome.DONE, message="it is let in")


def provide_namespace(cluster: Cluster) -> None:
    """Create the namespace of pods on nodes, and what lets them in; what is there already is left as it is.

    What admission refuses for now, such as a binding in a namespace on its way out, is tried again by the next call.
    """
    try:
        provide_own_namespace(cluster, build_namespace())
        create_if_missing(cluster, "RoleBinding", build_role_binding(), RESTART_NAMESPACE)
    except ApiError as error:
        if error.status != 403:
            raise


def remove_namespace(cluster: Cluster) -> None:
    """Remove the namespace of pods on nodes, if it is ours and none of them is at work, for whomever it may be.

    That it can't be removed is no reason to fail.
    """
    with suppress(CollectionError):
        found = cluster.get("Namespace", RESTART_NAMESPACE)
        if not found or not is_ours(found):
            return
        pods = cluster.list_at("Pod", RESTART_NAMESPACE, read=pod_facts)[1]
        if not any(p.phase in ("Pending", "Running") and not p.is_terminating for p in pods):
            cluster.delete("Namespace", RESTART_NAMESPACE, uid=found["metadata"]["uid"])


def find_image(cluster: Cluster) -> str:
    """Return the image of pods on nodes: the machine-config daemon's. Raises InvalidOption where there is none."""
    try:
        daemon = cluster.get("DaemonSet", "machine-config-daemon", "openshift-machine-config-operator")
    except ApiError as error:
        if error.status != 403:
            raise
        daemon = None
    image = read_image(daemon)
    if image is None:
        raise InvalidOption(
            "There is no machine-config daemon here whose image could be used for pods on the nodes; set image to one that every "
            "node has and that contains chroot."
        )
    return image


def find_obstacles(checks: Mapping[str, Callable[[], object]], clock: Clock) -> list[NodeFinding]:
    """Return what would be refused before anything is done on a node: by each of ``checks``, which are called, under its name."""
    found = []
    for name, check in checks.items():
        try:
            retry(check, clock=clock)
        except (Refused, InvalidOption) as error:
            found.append(NodeFinding(node="", check=name, message=error.message, is_blocking=True))
    return found
