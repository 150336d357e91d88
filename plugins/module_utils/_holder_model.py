# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Plain facts about pods as holders of service account tokens. API objects enter as mappings."""

from __future__ import annotations

import enum
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from sys import intern
from typing import Any

from ._model import PodFacts, parse_time, pod_facts

#: Seconds that a token lives when its source does not say (pkg/apis/core/v1/defaults.go).
DEFAULT_SECONDS = 3600
#: Volumes that a container can't write to.
_READ_ONLY = frozenset({"configMap", "downwardAPI", "image", "projected", "secret"})
_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


class Delivery(enum.Enum):
    """How a token gets to programs."""

    #: A file that the kubelet rewrites, or a CSI driver that is called again and again.
    FILE = "file"
    #: A subPath mount: the container keeps the file that was there when it started.
    SUB_PATH = "subPath"
    #: A subPathExpr, which only the kubelet can resolve, or a subPath of which nobody knows what it holds.
    SUB_PATH_EXPR = "subPathExpr"
    #: An init container can read the token and write where a container that can't read it looks.
    INIT_COPY = "init copy"
    #: A CSI driver that is given the token when it mounts the volume, and not again but for a restart of its kubelet.
    DRIVER = "driver"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSource:
    """One token of a pod, and one way of getting it. ``audience`` is empty for that of the API servers.

    ``started`` is since when the first of the containers runs that take it; None when none does, or it is not known. ``taken``
    is by when the last of what keeps it has taken it, None where that is not known.
    ``place`` is the projected volume and the path in it where the kubelet writes it; None for that of a CSI driver.
    """

    audience: str = ""
    seconds: int = DEFAULT_SECONDS
    delivery: Delivery = Delivery.FILE
    started: datetime | None = None
    taken: datetime | None = None
    place: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDriver:
    """A CSI driver that asks for tokens of the pods that use it: their audiences and lifetimes in seconds."""

    tokens: tuple[tuple[str, int], ...]
    is_republished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderPod:
    """What the verdict about a pod needs.

    ``ended_at`` is when the last of its containers has ended; None where that is not told of all.
    ``legacy`` are the names of the Secrets with service account tokens that it uses.
    """

    pod: PodFacts
    service_account: str = "default"
    sources: tuple[TokenSource, ...] = ()
    legacy: tuple[str, ...] = ()
    ended_at: datetime | None = None

    @property
    def deleted_at(self) -> datetime | None:
        """The moment at which it is to be gone, None where it stays."""
        return self.pod.changed_at if self.pod.is_terminating else None


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderContext:
    """What a pod's own object does not tell: CSI drivers with tokens by name, the drivers of persistent volume claims by
    namespace and name, and the Secrets, by namespace and name, that hold service account tokens."""

    drivers: Mapping[str, TokenDriver] = field(default_factory=dict)
    claims: Mapping[tuple[str, str], str] = field(default_factory=dict)
    legacy: Collection[tuple[str, str]] = ()


def token_driver(driver: Mapping[str, Any]) -> TokenDriver | None:
    """Return what a CSIDriver says of tokens, None when it asks for none."""
    spec = driver.get("spec") or {}
    tokens = tuple(
        (t.get("audience") or "", t.get("expirationSeconds") or DEFAULT_SECONDS)
        for t in spec.get("tokenRequests") or ()
    )
    return TokenDriver(tokens=tokens, is_republished=bool(spec.get("requiresRepublish"))) if tokens else None


def holder_pod(pod: Mapping[str, Any], context: HolderContext) -> HolderPod:
    """Return the facts of a pod as the API shows it."""
    facts, spec, status = pod_facts(pod), pod.get("spec") or {}, pod.get("status") or {}
    mounts = _Mounts(spec, status)
    sources = [s for v in spec.get("volumes") or () for s in _projected_sources(v, mounts)]
    sources += [s for v in spec.get("volumes") or () for s in _driver_sources(v, facts, mounts, context)]
    legacy = {n for n in _secrets_of(spec) if (facts.namespace, n) in context.legacy} if context.legacy else ()
    return HolderPod(
        pod=facts,
        service_account=intern(spec.get("serviceAccountName") or "default"),
        sources=tuple(dict.fromkeys(sources)),
        legacy=tuple(sorted(legacy)),
        ended_at=_find_end(status),
    )


class _Mounts:
    """Who mounts what in a pod. Init containers that are always restarted run beside the others (sidecars)."""

    def __init__(self, spec: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        init = spec.get("initContainers") or ()
        self.before = [c for c in init if c.get("restartPolicy") != "Always"]
        self.running = [c for c in init if c.get("restartPolicy") == "Always"]
        self.running += [*(spec.get("containers") or ()), *(spec.get("ephemeralContainers") or ())]
        self.writable = {v["name"] for v in spec.get("volumes") or () if not _READ_ONLY & v.keys()}
        self._started = dict(_moments(status, "startedAt"))
        self._ended = dict(_moments(status, "finishedAt"))

    def started(self, containers: Iterable[Mapping[str, Any]]) -> datetime | None:
        """Return when the first of the containers was started that were."""
        return min((s for c in containers if (s := self._started.get(c["name"]))), default=None)

    def taken(self, delivery: Delivery, containers: Collection[Mapping[str, Any]]) -> datetime | None:
        """Return by when all of the containers had what they keep: a mount from the start, a copy at the end."""
        moments = self._ended if delivery is Delivery.INIT_COPY else self._started
        found = [m for c in containers if (m := moments.get(c["name"]))]
        return max(found) if found and len(found) == len(containers) else None

    def readers(self, volume: str) -> list[Mapping[str, Any]]:
        """Return the containers that mount the whole volume, in which the file changes."""
        return [c for c in self.running if not all(_is_part(m) for m in _mounts_of(c, volume))]

    def keepers(self, volume: str, path: str) -> list[Mapping[str, Any]]:
        """Return the containers that mount by subPath what holds the token."""
        return [c for c in self.running if any(_holds(m, path) for m in _mounts_of(c, volume))]

    def strays(self, volume: str, paths: Collection[str]) -> list[Mapping[str, Any]]:
        """Return the containers that mount a part of the volume which holds none of its tokens, as far as can be told."""
        return [
            c
            for c in self.running
            if any(_is_part(m) and not any(_holds(m, p) for p in paths) for m in _mounts_of(c, volume))
        ]

    def parts(self, volume: str) -> list[Mapping[str, Any]]:
        """Return the containers that mount a part of the volume, whichever."""
        return [c for c in self.running if any(_is_part(m) for m in _mounts_of(c, volume))]

    def resolvers(self, volume: str) -> list[Mapping[str, Any]]:
        return [c for c in self.running if any(m.get("subPathExpr") for m in _mounts_of(c, volume))]

    def copiers(self, volume: str) -> list[Mapping[str, Any]]:
        """Return the init containers that can hand the token on to a container that does not mount it itself."""
        others = {m["name"] for c in self.running if not _mounts_of(c, volume) for m in c.get("volumeMounts") or ()}
        shared = others & self.writable
        return [c for c in self.before if _mounts_of(c, volume) and any(_writes(m, shared) for m in c["volumeMounts"])]


def _mounts_of(container: Mapping[str, Any], volume: str) -> list[Mapping[str, Any]]:
    return [m for m in container.get("volumeMounts") or () if m["name"] == volume]


def _writes(mount: Mapping[str, Any], volumes: Collection[str]) -> bool:
    return mount["name"] in volumes and not mount.get("readOnly")


def _is_part(mount: Mapping[str, Any]) -> bool:
    """Tell whether a mount keeps what was there when its container started. Of the whole volume the kubelet mounts the folder,
    in which it changes a link; so it does for the subPath "." and its like."""
    return bool(mount.get("subPathExpr")) or posixpath.normpath(mount.get("subPath") or ".") != "."


def _holds(mount: Mapping[str, Any], path: str) -> bool:
    """Tell whether a subPath, however it is written, holds what is at this path of a volume."""
    part = posixpath.normpath(mount.get("subPath") or ".")
    if part == ".":
        return False
    first, _slash, rest = part.partition("/")
    if first.startswith(".."):
        # ..data, or the folder that it leads to: the files of the whole volume as they were then
        part = rest
    return not part or f"{path}/".startswith(f"{part}/")


def _find_end(status: Mapping[str, Any]) -> datetime | None:
    """Return when the last container has ended; None where that is not told of each, as when its node was lost."""
    containers = [c for kind in _STATUSES for c in status.get(kind) or ()]
    ended = dict(_moments(status, "finishedAt"))
    return max(ended.values()) if ended and all(c["name"] in ended for c in containers) else None


def _moments(status: Mapping[str, Any], key: str) -> Iterator[tuple[str, datetime]]:
    for kind in _STATUSES:
        for container in status.get(kind) or ():
            state = container.get("state") or {}
            moment = parse_time((state.get("running") or state.get("terminated") or {}).get(key))
            if moment:
                yield container["name"], moment


def _projected_sources(volume: Mapping[str, Any], mounts: _Mounts) -> Iterator[TokenSource]:
    projections = (volume.get("projected") or {}).get("sources") or ()
    # a kubelet writes files to their paths in the shortest form
    tokens = [(t, posixpath.normpath(t["path"])) for p in projections if (t := p.get("serviceAccountToken"))]
    for token, path in tokens:
        name = volume["name"]
        ways = {
            Delivery.SUB_PATH: mounts.keepers(name, path),
            Delivery.SUB_PATH_EXPR: mounts.resolvers(name),
            Delivery.INIT_COPY: mounts.copiers(name),
        }
        readers = mounts.readers(name)
        if not readers and not any(ways.values()):
            ways[Delivery.SUB_PATH_EXPR] = mounts.strays(name, [p for _token, p in tokens])
        if readers or not any(ways.values()):
            ways[Delivery.FILE] = readers
        for delivery, containers in ways.items():
            if containers or delivery is Delivery.FILE:
                yield TokenSource(
                    audience=intern(token.get("audience") or ""),
                    seconds=token.get("expirationSeconds") or DEFAULT_SECONDS,
                    delivery=delivery,
                    started=mounts.started(containers),
                    taken=None if delivery is Delivery.FILE else mounts.taken(delivery, containers),
                    place=(name, path),
                )


def _driver_sources(
    volume: Mapping[str, Any], pod: PodFacts, mounts: _Mounts, context: HolderContext
) -> Iterator[TokenSource]:
    """Yield the tokens of a CSI volume. When the kubelet mounted it, and whether again since, a pod does not tell: a pod may wait
    for its volume, and a kubelet that was restarted calls the driver anew. Nor does it tell which file has the token."""
    claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
    if "ephemeral" in volume:
        claim = f"{pod.name}-{volume['name']}"
    name = (volume.get("csi") or {}).get("driver") or context.claims.get((pod.namespace, claim or ""))
    driver = context.drivers.get(name or "")
    if driver is None:
        return
    started: dict[Delivery, datetime | None] = {Delivery.DRIVER: None}
    if driver.is_republished:
        readers, copiers = mounts.readers(volume["name"]), mounts.copiers(volume["name"])
        started = {Delivery.SUB_PATH: None} if mounts.parts(volume["name"]) else {}
        started |= {Delivery.INIT_COPY: mounts.started(copiers)} if copiers else {}
        started |= {Delivery.FILE: mounts.started(readers)} if readers or not started else {}
    for audience, seconds in driver.tokens:
        for delivery, moment in started.items():
            yield TokenSource(audience=audience, seconds=seconds, delivery=delivery, started=moment)


def _secrets_of(spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the Secrets that a pod mounts or takes its environment from."""
    for volume in spec.get("volumes") or ():
        yield (volume.get("secret") or {}).get("secretName") or ""
        for projection in (volume.get("projected") or {}).get("sources") or ():
            yield (projection.get("secret") or {}).get("name") or ""
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        for variable in container.get("env") or ():
            yield ((variable.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name") or ""
        for source in container.get("envFrom") or ():
            yield (source.get("secretRef") or {}).get("name") or ""
