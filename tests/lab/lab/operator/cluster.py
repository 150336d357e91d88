# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's only contact with the API: reads the snapshot, carries out the writes, decides nothing."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient

from . import machine
from .manifests import NAMESPACE, OPERATOR_NAMESPACE, STATIC_POD

OPERATOR = "/apis/operator.openshift.io/v1/kubeapiservers"
AUTHENTICATION = "/apis/config.openshift.io/v1/authentications/cluster"
INFRASTRUCTURE = "/apis/config.openshift.io/v1/infrastructures/cluster"
CLUSTER_OPERATORS = "/apis/config.openshift.io/v1/clusteroperators"
IN_NAMESPACE = f"/api/v1/namespaces/{NAMESPACE}"
MASTER_LABELS = {"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}

Object = dict[str, Any]


class Refused(Exception):
    """The server answered, but not with a success."""

    def __init__(self, code: int, verb: str, path: str, message: str) -> None:
        super().__init__(f"{verb} {path}: {code} {message}")
        self.code = code


# What a server that goes away, and one that comes back, may do to a request. All of it is tried again in the next round.
PASSING = (Refused, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)


class Cluster:
    """A cluster by kubeconfig. No request lasts longer than five seconds."""

    def __init__(self, kubeconfig: str, say: Callable[[str], None]) -> None:
        self._api: ApiClient = config.new_client_from_config(kubeconfig)
        self._say = say
        self._snapshot: machine.Snapshot | None = None

    def request(self, verb: str, path: str, body: Object | None = None) -> Object:
        """The server's answer, parsed; Refused otherwise."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        request = self._api.param_serialize(verb, path, header_params=headers, body=body, auth_settings=["BearerToken"])
        response = self._api.call_api(*request, _request_timeout=5)
        text = response.read()
        if not 200 <= response.status < 300:
            raise Refused(response.status, verb, path, _message(text))
        answer: Object = json.loads(text)
        return answer

    def find(self, path: str) -> Object | None:
        """The object, or None if there is none."""
        try:
            return self.request("GET", path)
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def prepare(self) -> None:
        """The namespaces, the installer's account and kubeapiservers/cluster are there."""
        for namespace in (NAMESPACE, OPERATOR_NAMESPACE):
            self._ensure(
                "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            )
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "installer-sa", "namespace": NAMESPACE},
        }
        self._ensure(f"{IN_NAMESPACE}/serviceaccounts", account)
        operator = {
            "apiVersion": "operator.openshift.io/v1",
            "kind": "KubeAPIServer",
            "metadata": {"name": "cluster"},
            "spec": {"managementState": "Managed"},
        }
        self._ensure(OPERATOR, operator)

    def versions(self) -> tuple[str, str]:
        """Resource versions of the two objects that people edit: enough to see that nothing has happened."""
        return _version(self.request("GET", AUTHENTICATION)), _version(self.request("GET", f"{OPERATOR}/cluster"))

    def read(self) -> machine.Snapshot:
        """The cluster as it is now. The operator's own object comes first, so that a write upon older facts is refused."""
        operator = self.request("GET", f"{OPERATOR}/cluster")
        authentication = self.request("GET", AUTHENTICATION)
        infrastructure = self.find(INFRASTRUCTURE) or {}
        nodes = self.request("GET", "/api/v1/nodes")["items"]
        self._snapshot = machine.Snapshot(
            issuer=authentication["spec"].get("serviceAccountIssuer", ""),
            api_server_url=(infrastructure.get("status") or {}).get("apiServerURL", ""),
            operator=operator,
            cluster_operator=self.find(f"{CLUSTER_OPERATORS}/{STATIC_POD}"),
            config_maps=_by_name(self.request("GET", f"{IN_NAMESPACE}/configmaps")),
            pods=_by_name(self.request("GET", f"{IN_NAMESPACE}/pods")),
            masters=[node for node in nodes if MASTER_LABELS & (node["metadata"].get("labels") or {}).keys()],
        )
        return self._snapshot

    def carry_out(self, write: machine.Write) -> None:
        """The write has happened, or an exception says why not (events excepted: they are tried thrice)."""
        match write:
            case machine.PutStatus(status, note):
                self._replace(f"{OPERATOR}/cluster/status", "status", status)
                self._say(note)
            case machine.PutSpec(spec, note):
                self._replace(f"{OPERATOR}/cluster", "spec", spec)
                self._say(note)
            case machine.PutConfigMap():
                self._put_config_map(write)
                self._say(
                    f"ConfigMap {write.name} {' '.join(f'{k}={v}' for k, v in write.annotations.items())}".rstrip()
                )
            case machine.DeleteConfigMap(name):
                self._delete(f"{IN_NAMESPACE}/configmaps/{name}")
                self._say(f"ConfigMap {name} pruned")
            case machine.CreatePod(manifest, owner):
                manifest["metadata"]["ownerReferences"] = self._owner(owner)
                self._ensure(f"{IN_NAMESPACE}/pods", manifest)
                self._say(f"pod {manifest['metadata']['name']} created")
            case machine.DeletePod(name):
                self._delete(f"{IN_NAMESPACE}/pods/{name}")
                self._say(f"pod {name} deleted")
            case machine.PutClusterOperator(status):
                self._put_cluster_operator(status)
            case machine.Event():
                self._emit(write)
            case machine.Say(text):
                self._say(text)

    def _replace(self, path: str, part: str, value: Object) -> None:
        """Replace one half of kubeapiservers/cluster, provided that it is still as in the snapshot.

        When the answer is lost the object itself tells whether the write happened, so that no event is lost with it.
        """
        if self._snapshot is None:
            raise ValueError("nothing has been read")
        before = self._snapshot.operator
        for attempt in range(4):
            try:
                self.request("PUT", path, {**before, part: value})
                return
            except PASSING as problem:
                if isinstance(problem, Refused) and problem.code in (400, 403, 404, 422):
                    raise
                if not isinstance(problem, Refused):
                    time.sleep(0.2 * attempt)
                now = self.request("GET", f"{OPERATOR}/cluster")
                if _version(now) != _version(before):
                    if now.get(part) == value:
                        return
                    raise
        raise TimeoutError(f"PUT {path}: no answer in four attempts")

    def _put_config_map(self, write: machine.PutConfigMap) -> None:
        collection = f"{IN_NAMESPACE}/configmaps"
        former = self.find(f"{collection}/{write.name}")
        metadata: Object = {"name": write.name, "namespace": NAMESPACE, "annotations": dict(write.annotations)}
        if write.owner:
            metadata["ownerReferences"] = self._owner(write.owner)
        wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(write.data)}
        if former is None:
            self._ensure(collection, wanted)
        else:
            self.request("PUT", f"{collection}/{write.name}", wanted)

    def _owner(self, config_map: str) -> list[Object]:
        uid = self.request("GET", f"{IN_NAMESPACE}/configmaps/{config_map}")["metadata"]["uid"]
        return [{"apiVersion": "v1", "kind": "ConfigMap", "name": config_map, "uid": uid}]

    def _put_cluster_operator(self, status: Object) -> None:
        wanted: Object = {
            "apiVersion": "config.openshift.io/v1",
            "kind": "ClusterOperator",
            "metadata": {"name": STATIC_POD},
            "spec": {},
        }
        path = f"{CLUSTER_OPERATORS}/{STATIC_POD}"
        former = self._snapshot.cluster_operator if self._snapshot else None
        former = former or self.find(path) or self.request("POST", CLUSTER_OPERATORS, wanted)
        self.request("PUT", f"{path}/status", {**former, "status": status})

    def _emit(self, event: machine.Event) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{OPERATOR_NAMESPACE}.{uuid.uuid4().hex[:16]}", "namespace": OPERATOR_NAMESPACE},
            "involvedObject": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": "kube-apiserver-operator",
                "namespace": OPERATOR_NAMESPACE,
            },
            "reason": event.reason,
            "message": event.message[:1024],
            "type": "Warning" if event.warning else "Normal",
            "source": {"component": f"kube-apiserver-operator-{event.component}"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        for attempt in range(3):
            try:
                self._ensure(f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/events", body)
                return
            except PASSING as problem:
                if attempt == 2:
                    self._say(f"event {event.reason} lost: {problem}")
                time.sleep(0.2)

    def _ensure(self, collection: str, body: Object) -> None:
        try:
            self.request("POST", collection, body)
        except Refused as refused:
            if refused.code != 409:
                raise

    def _delete(self, path: str) -> None:
        try:
            self.request("DELETE", path)
        except Refused as refused:
            if refused.code != 404:
                raise


def _by_name(answer: Object) -> dict[str, Object]:
    return {item["metadata"]["name"]: item for item in answer["items"]}


def _version(thing: Object) -> str:
    version: str = thing["metadata"]["resourceVersion"]
    return version


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text).get("message", ""))
    except (ValueError, AttributeError):
        return text[:200].decode(errors="replace")
