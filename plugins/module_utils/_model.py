# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Plain facts and verdicts. API objects enter as mappings and leave as frozen dataclasses."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from ._errors import InvalidOption

#: What an empty ``spec.serviceAccountIssuer`` means (openshift/api, config/v1/types_authentication.go).
DEFAULT_ISSUER = "https://kubernetes.default.svc"
#: In a pod template: when kubectl rollout restart was called last. A new value makes new pods.
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
#: Longest text of unknown origin that is shown, in characters.
MAX_TEXT = 300
#: Labels of what this collection makes.
MANAGED_BY = {"app.kubernetes.io/managed-by": "bound_tokens.openshift"}
#: What a run may be called: it becomes part of labels and sentences.
RUN_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
#: Later moments than this are nobody's; to what comes before it a duration can be added.
LAST_MOMENT = datetime(9000, 1, 1, tzinfo=timezone.utc)
_ROLLED_OUT = ("Deployment", "StatefulSet", "DaemonSet")


#: The Job controller puts it on every pod of a Job, and takes it away as soon as the pod has ended.
_JOB_FINALIZER = "batch.kubernetes.io/job-tracking"
_FRACTION = re.compile(r"\.\d+")


class Outcome(enum.Enum):
    """What a judgement says about waiting on."""

    DONE = "done"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether to wait on, why in a word for programs (empty where none asks), and in words for people."""

    outcome: Outcome
    message: str
    reason: str = ""


def parse_time(text: str | None) -> datetime | None:
    """Return an API timestamp (RFC 3339, UTC) as an aware datetime; None for None or an empty text."""
    if not text:
        return None
    # Python 3.10 knows neither Z nor a fraction of other than three or six digits.
    moment = datetime.fromisoformat(_FRACTION.sub(lambda m: f"{m[0]:0<7}"[:7], text).replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def printable(text: str) -> str:
    """Return a text of unknown origin on one line, without what a terminal would obey and what no file takes."""
    return "".join(c if c.isprintable() else " " for c in text)


def one_line(text: str) -> str:
    """Return a text of unknown origin as printable does, of a reasonable length."""
    shown = printable(text)
    return f"{shown[:MAX_TEXT]}..." if len(shown) > MAX_TEXT else shown


def read_moment(text: str | None, title: str) -> datetime | None:
    """Return the moment that a user has given for ``title``, such as "The option since". Raises InvalidOption."""
    try:
        return parse_time(text)
    except ValueError:
        raise InvalidOption(
            f"{title} is {text!r}, which is not a moment in RFC 3339; give one such as 2026-11-22T08:02:31Z."
        ) from None


def format_time(moment: datetime | None) -> str | None:
    """Return ``moment`` as the API writes it, in whole seconds; None for None."""
    return None if moment is None else moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuer:
    """An issuer whose tokens the API servers accept; ``expires`` is None for the active one."""

    name: str
    expires: datetime | None = None

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "expires": format_time(self.expires)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A status condition; ``status`` is True, False or Unknown as text."""

    status: str
    reason: str = ""
    message: str = ""
    last_transition: datetime | None = None


#: A condition that nobody has reported.
NO_CONDITION = Condition(status="Unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRevision:
    """Where one control-plane node stands: zero and absent mean the same (typed clients leave out zeros).

    ``failed_*`` tell of the last failure, which the operator does not clear when a later try succeeds.
    """

    name: str
    current: int = 0
    target: int = 0
    failed_revision: int = 0
    failed_count: int = 0
    failed_errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPod:
    """The static pod of one kube-apiserver, as its mirror shows it."""

    name: str
    node: str
    revision: int = 0
    is_ready: bool = False
    #: It has ended with an error and is started again and again; ``words`` are the kubelet's and its own.
    is_crashing: bool = False
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerFacts:
    """The issuer as wanted (``authentications.config.openshift.io/cluster``) and as the operator took it over.

    ``trusted`` is None on releases whose operator does not report trusted issuers.
    """

    spec_issuer: str
    trusted: tuple[TrustedIssuer, ...] | None

    @property
    def wanted(self) -> str:
        """The issuer that the specification asks for, with the default named."""
        return self.spec_issuer or DEFAULT_ISSUER

    @property
    def active(self) -> str | None:
        """The issuer that the operator has made active, None when it does not report any."""
        return next((i.name for i in self.trusted or () if i.expires is None), None)

    @property
    def former(self) -> tuple[TrustedIssuer, ...]:
        """The issuers that are still trusted for a while."""
        return tuple(i for i in self.trusted or () if i.expires is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutFacts:
    """All that one judgement of a rollout needs, read in one go.

    ``revision_at_start`` and ``revision`` are ``status.latestAvailableRevision`` at the first and the last read;
    ``revision_issuers`` is the issuer list in the ConfigMap of the first, None when it does not exist.
    """

    issuer: IssuerFacts
    observed_issuers: tuple[str, ...]
    revision_at_start: int
    revision: int
    revision_issuers: tuple[str, ...] | None
    nodes: tuple[NodeRevision, ...]
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    management_state: str = "Managed"
    #: The issuers in tokens made over several new connections; None when none was asked for.
    token_issuers: tuple[str, ...] | None = None
    #: The static pods and the conditions of ClusterOperators by name; None when they were not read.
    servers: tuple[ServerPod, ...] | None = None
    operators: Mapping[str, Mapping[str, Condition]] | None = None

    def condition(self, name: str) -> Condition:
        return self.conditions.get(name, NO_CONDITION)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutVerdict:
    """A judgement with its reason, one of the names documented in kube_apiserver_rollout."""

    outcome: Outcome
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchTime:
    """When one API server took over the issuer, as two bounds in cluster time; None where it is not known."""

    not_before: datetime | None = None
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One thing the caller must be allowed to do (a SelfSubjectAccessReview's attributes); without ``name`` to any object.

    ``instead`` is another one that is as good.
    """

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    instead: Permission | None = None

    def __str__(self) -> str:
        what = (
            self.resource
            + (f".{self.group}" if self.group else "")
            + (f"/{self.subresource}" if self.subresource else "")
            + (f" {self.name}" if self.name else "")
        )
        return f"{self.verb} {what}" + (f" in namespace {self.namespace}" if self.namespace else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The service account for which tokens are made, to see which issuer they name."""

    service_account: str = "default"
    namespace: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result of a preflight check; ``is_blocking`` findings forbid the write."""

    check: str
    message: str
    is_blocking: bool = True

    def record(self) -> dict[str, Any]:
        return {"check": self.check, "blocking": self.is_blocking, "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who the cluster takes us for. The pod is known only for a token that is bound to one.

    ``token_issuer`` and ``token_expires`` are those of a service account's token; None where the credential is
    something else, such as a client certificate.
    """

    username: str = ""
    namespace: str = ""
    pod: str = ""
    pod_uid: str = ""
    token_issuer: str | None = None
    token_expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedDocuments:
    """What relying parties read at an issuer's address. ``problem`` tells why something could not be read."""

    is_required: bool
    problem: str = ""
    issuer: Any = None
    jwks_uri: Any = None
    key_ids: frozenset[str] = frozenset()
    #: The keys that the cluster's tokens are signed with; None when the cluster does not tell.
    cluster_key_ids: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightFacts:
    """All that the checks before the edit need. A condition, an object or a time that could not be read is None."""

    rollout: RolloutVerdict
    now: datetime | None
    caller: Caller = field(default_factory=Caller)
    denied: tuple[Permission, ...] = ()
    #: The condition Degraded of each ClusterOperator, and Progressing of the ClusterVersion.
    degraded: Mapping[str, Condition | None] = field(default_factory=dict)
    progressing: Condition | None = None
    #: The conditions of each MachineConfigPool.
    pools: Mapping[str, Mapping[str, Condition]] = field(default_factory=dict)
    management_state: str = "Managed"
    #: Names of the kube-apiservers' arguments in spec.unsupportedConfigOverrides.
    overridden: frozenset[str] = frozenset()
    topology: str = "HighlyAvailable"
    control_plane_nodes: int = 3
    #: None when nobody asked for them, or the issuer is one that the cluster itself publishes.
    documents: PublishedDocuments | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The controller of an object: the one of its owners that creates it anew."""

    api_version: str
    kind: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceFacts:
    """A namespace; in one that is being deleted nothing can be created any more."""

    name: str
    is_terminating: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """What the decisions about a pod need to know of it."""

    namespace: str
    name: str
    uid: str
    node: str = ""
    phase: str = "Pending"
    start_time: datetime | None = None
    #: When it was created or, where it was told to go, is to be gone.
    changed_at: datetime | None = None
    is_terminating: bool = False
    #: A static pod's mirror: deleting it restarts nothing.
    is_static: bool = False
    #: Some volume holds a service account token.
    has_token: bool = False
    is_ready: bool = False
    #: Its containers are not started again for ever, so it is not meant to run for ever.
    runs_to_completion: bool = False
    owner: Owner | None = None
    #: No owner at all, not even one that is not its controller.
    is_bare: bool = False
    #: Whoever put them there must remove them before it is gone.
    finalizers: tuple[str, ...] = ()
    #: How many seconds after its start it became Ready last; None when it is not.
    ready_after: float | None = None
    #: Why its token is no reason to renew it, where that was asked for; see find_reason_to_stay.
    reason_to_stay: str = ""

    @property
    def turn(self) -> str:
        """What pods share that must not be evicted at the same moment, being one owner's: one budget covers them if any does, and
        of concurrent evictions of one budget the API server lets all but one wait for half a second (its EvictionsRetry)."""
        return self.owner.uid if self.owner else self.uid

    @property
    def held_by(self) -> list[str]:
        """The finalizers that nobody takes away by himself when the pod has ended."""
        return [f for f in self.finalizers if f != _JOB_FINALIZER]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPod:
    """A pod without a controller that goes, or has gone, and the manifest from which it is created anew.

    ``uid`` is that of the pod that goes, ``secret_uid`` of the Secret in which it is kept. An earlier run may have
    deleted it already.
    """

    uid: str
    manifest: Mapping[str, Any]
    was_ready: bool
    secret_uid: str = ""
    is_earlier: bool = False

    @property
    def namespace(self) -> str:
        return str(self.manifest["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Who has an IP address: a pod with one of its own, or a node, whose address its processes and host-network pods share."""

    node: str = ""
    namespace: str = ""
    pod: str = ""
    started: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerFacts:
    """How many pods an owner wants now (None: not known for its kind), and how many of them may be down at a time.

    ``keeper`` is what a rollout restarts, the Deployment, StatefulSet or DaemonSet; None where there is none. All ReplicaSets of
    a Deployment share one allowance, see ``family``.
    """

    desired: int | None = None
    allowance: int = 1
    #: How many pods all those are to have together that share the allowance, see ``family``; None as for ``desired``.
    whole: int | None = None
    #: For how many seconds a pod is to be Ready before it counts (minReadySeconds), and how many are; None where it says nothing.
    min_ready: int = 0
    available: int | None = None
    keeper: Owner | None = None
    #: Why a rollout would not replace every pod: Paused, OnDelete or Partition.
    no_rollout: str = ""
    #: Who keeps the keeper, and may put its template back.
    operator: str = ""
    #: A rollout brings a new pod before an old one goes.
    surges: bool = False
    #: When a rollout was asked for last, as kubectl does; and whether the controller is through with all it was asked for.
    restarted_at: datetime | None = None
    is_rolled_out: bool = False
    #: Why no pods can be created, in the controller's words.
    trouble: str = ""
    #: Those of the pods, by which budgets cover them.
    labels: Mapping[str, str] = field(default_factory=dict)

    def family(self, uid: str) -> str:
        """Return what owners have in common that share an allowance; ``uid`` is this one's."""
        return self.keeper.uid if self.keeper and self.keeper.kind == "Deployment" else uid


def is_ours(obj: Mapping[str, Any]) -> bool:
    """Tell whether an API object carries this collection's label."""
    return MANAGED_BY.items() <= (obj["metadata"].get("labels") or {}).items()


def conditions_of(obj: Mapping[str, Any]) -> dict[str, Condition]:
    """Return ``status.conditions`` of an API object by type."""
    return {
        c["type"]: Condition(
            status=c.get("status") or "Unknown",
            reason=c.get("reason") or "",
            message=c.get("message") or "",
            last_transition=parse_time(c.get("lastTransitionTime")),
        )
        for c in (obj.get("status") or {}).get("conditions") or ()
    }


def trusted_issuers_of(kube_apiserver: Mapping[str, Any]) -> tuple[TrustedIssuer, ...] | None:
    """Return ``status.serviceAccountIssuers``; None where this release of the operator does not report it."""
    entries = (kube_apiserver.get("status") or {}).get("serviceAccountIssuers")
    if not entries:
        return None
    return tuple(TrustedIssuer(name=e.get("name", ""), expires=parse_time(e.get("expirationTime"))) for e in entries)


def key_ids_of(jwks: Any) -> frozenset[str]:
    """Return the key IDs in a JSON Web Key Set (RFC 7517); none when it is not one."""
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    found = (key.get("kid") for key in keys if isinstance(key, Mapping)) if isinstance(keys, list) else ()
    return frozenset(kid for kid in found if isinstance(kid, str))


def caller_of(review: Mapping[str, Any], claims: Mapping[str, Any]) -> Caller:
    """Return the caller from a SelfSubjectReview and the claims of the token that is used (empty: none is)."""
    user = (review.get("status") or {}).get("userInfo") or {}
    extra, username = user.get("extra") or {}, user.get("username") or ""
    parts = username.split(":")
    is_account = parts[:2] == ["system", "serviceaccount"] and len(parts) == 4
    exp, issuer = claims.get("exp"), claims.get("iss")
    return Caller(
        username=username,
        namespace=parts[2] if is_account else "",
        pod=next(iter(extra.get("authentication.kubernetes.io/pod-name") or ()), ""),
        pod_uid=next(iter(extra.get("authentication.kubernetes.io/pod-uid") or ()), ""),
        token_issuer=issuer if isinstance(issuer, str) else None,
        token_expires=datetime.fromtimestamp(exp, timezone.utc) if isinstance(exp, int) else None,
    )


def issuers_in_config(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ``service-account-issuer`` list of a KubeAPIServerConfig or of ``spec.observedConfig``."""
    return tuple((config.get("apiServerArguments") or {}).get("service-account-issuer") or ())


def issuer_facts(authentication: Mapping[str, Any], kube_apiserver: Mapping[str, Any]) -> IssuerFacts:
    """Return the issuer as wanted and as reported, from the two objects named ``cluster``."""
    return IssuerFacts(
        spec_issuer=(authentication.get("spec") or {}).get("serviceAccountIssuer") or "",
        trusted=trusted_issuers_of(kube_apiserver),
    )


def rollout_facts(
    authentication: Mapping[str, Any],
    first: Mapping[str, Any],
    revision_config: Mapping[str, Any] | None,
    last: Mapping[str, Any],
) -> RolloutFacts:
    """Return the facts of one judgement from ``authentications``, then ``kubeapiservers`` before and after the
    parsed ``config.yaml`` of the ConfigMap of the first one's latest revision (None when there is none)."""
    spec, status = last.get("spec") or {}, last.get("status") or {}
    return RolloutFacts(
        issuer=issuer_facts(authentication, last),
        observed_issuers=issuers_in_config(spec.get("observedConfig") or {}),
        revision_at_start=latest_revision_of(first),
        revision=latest_revision_of(last),
        revision_issuers=None if revision_config is None else issuers_in_config(revision_config),
        nodes=tuple(
            NodeRevision(
                name=n["nodeName"],
                current=n.get("currentRevision") or 0,
                target=n.get("targetRevision") or 0,
                failed_revision=n.get("lastFailedRevision") or 0,
                failed_count=n.get("lastFailedCount") or 0,
                failed_errors=tuple(n.get("lastFailedRevisionErrors") or ()),
            )
            for n in status.get("nodeStatuses") or ()
        ),
        conditions=conditions_of(last),
        management_state=spec.get("managementState") or "Managed",
    )


def latest_revision_of(kube_apiserver: Mapping[str, Any]) -> int:
    """Return ``status.latestAvailableRevision``, 0 when there is none yet."""
    return (kube_apiserver.get("status") or {}).get("latestAvailableRevision") or 0


def server_pods(pods: Iterable[Mapping[str, Any]]) -> tuple[ServerPod, ...]:
    """Return the kube-apiservers' static pods among ``pods``, those of OPERAND_NAMESPACE."""
    return tuple(_server_pod(p) for p in pods if p["metadata"]["name"] == f"kube-apiserver-{_node_of(p)}")


def _server_pod(pod: Mapping[str, Any]) -> ServerPod:
    metadata = pod["metadata"]
    revision = (metadata.get("labels") or {}).get("revision", "")
    ready = conditions_of(pod).get("Ready", NO_CONDITION)
    is_ready = ready.status == "True" and not metadata.get("deletionTimestamp")
    crashes = []
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        waiting = (status.get("state") or {}).get("waiting") or {}
        ended = [(status.get(s) or {}).get("terminated") or {} for s in ("state", "lastState")]
        failures = [e for e in ended if e.get("exitCode")]
        # between two tries the container runs for a moment: what it has been through does not go away
        if waiting.get("reason") == "CrashLoopBackOff" or (failures and not status.get("ready")):
            told = [waiting.get("message"), *(e.get("message") for e in failures)]
            said = " ".join(" ".join(t.split()) for t in told if t)
            codes = "".join(f"exit code {e['exitCode']}" for e in failures[:1])
            crashes.append(f"container {status['name']}: {said or codes or 'CrashLoopBackOff'}")
    return ServerPod(
        name=metadata["name"],
        node=_node_of(pod),
        revision=int(revision) if revision.isdigit() else 0,
        is_ready=is_ready,
        is_crashing=bool(crashes) and not is_ready,
        words="; ".join(crashes),
    )


def _node_of(pod: Mapping[str, Any]) -> str:
    name: str = (pod.get("spec") or {}).get("nodeName") or ""
    return name


def owner_of(obj: Mapping[str, Any]) -> Owner | None:
    """Return the controller named in ``metadata.ownerReferences``, None when there is none."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return Owner(
                api_version=reference["apiVersion"],
                kind=reference["kind"],
                name=reference["name"],
                uid=reference["uid"],
            )
    return None


def namespace_facts(namespace: Mapping[str, Any]) -> NamespaceFacts:
    """Return the facts of a namespace."""
    metadata = namespace["metadata"]
    return NamespaceFacts(name=metadata["name"], is_terminating=bool(metadata.get("deletionTimestamp")))


def pod_facts(pod: Mapping[str, Any]) -> PodFacts:
    """Return the facts of a pod as the API shows it."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    owner = owner_of(pod)
    ready = conditions_of(pod).get("Ready", NO_CONDITION)
    started = parse_time(status.get("startTime"))
    is_ready = ready.status == "True"
    return PodFacts(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        node=spec.get("nodeName") or "",
        phase=status.get("phase") or "Pending",
        start_time=started,
        changed_at=parse_time(metadata.get("deletionTimestamp") or metadata.get("creationTimestamp")),
        is_terminating=bool(metadata.get("deletionTimestamp")),
        # anybody may name a node as the owner, but admission lets no mirror have a token
        is_static="kubernetes.io/config.mirror" in (metadata.get("annotations") or {}),
        has_token=any(_projects_token(v) for v in spec.get("volumes") or ()),
        is_ready=is_ready,
        runs_to_completion=spec.get("restartPolicy", "Always") != "Always",
        owner=owner,
        is_bare=not metadata.get("ownerReferences"),
        finalizers=tuple(metadata.get("finalizers") or ()),
        ready_after=_count_seconds(started, ready.last_transition) if is_ready else None,
    )


def _count_seconds(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start and end else None


def addresses_of(pods: Iterable[Mapping[str, Any]], nodes: Iterable[Mapping[str, Any]]) -> dict[str, Address]:
    """Return who has which IP address now. Pods that have ended have none any more, whatever they still show."""
    found = {}
    for pod in pods:
        spec, status = pod.get("spec") or {}, pod.get("status") or {}
        if spec.get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed"):
            continue
        facts = pod_facts(pod)
        for ip in status.get("podIPs") or ():
            found[ip["ip"]] = Address(
                node=facts.node, namespace=facts.namespace, pod=facts.name, started=facts.start_time
            )
    for node in nodes:
        for address in (node.get("status") or {}).get("addresses") or ():
            found[address["address"]] = Address(node=node["metadata"]["name"])
    return found


def _projects_token(volume: Mapping[str, Any]) -> bool:
    sources = (volume.get("projected") or {}).get("sources") or ()
    return any("serviceAccountToken" in s for s in sources)


def owner_facts(kind: str, obj: Mapping[str, Any], deployment: Mapping[str, Any] | None = None) -> OwnerFacts:
    """Return the facts of a pods' owner of a kind that we know; ``deployment`` is the one that keeps a ReplicaSet."""
    spec = obj.get("spec") or {}
    status = obj.get("status") or {}
    if kind == "DaemonSet":
        desired = whole = status.get("desiredNumberScheduled") or 0
        strategy, available = spec.get("updateStrategy") or {}, status.get("numberAvailable")
    else:
        keeper = (obj if kind == "Deployment" else deployment or {}).get("spec") or {}
        desired, whole = (1 if s.get("replicas") is None else s["replicas"] for s in (spec, keeper or spec))
        strategy, available = keeper.get("strategy") or {}, status.get("availableReplicas")
    max_unavailable = (strategy.get("rollingUpdate") or {}).get("maxUnavailable")
    facts = OwnerFacts(
        desired=desired,
        whole=whole,
        allowance=max(1, _count_allowed(max_unavailable, whole)),
        min_ready=spec.get("minReadySeconds") or 0,
        available=(available or 0) if spec.get("minReadySeconds") else None,
        trouble=_describe_trouble(obj),
        labels=(spec.get("template") or {}).get("metadata", {}).get("labels") or {},
    )
    if deployment is not None:
        return _with_keeper(facts, "Deployment", deployment)
    return facts if kind not in _ROLLED_OUT else _with_keeper(facts, kind, obj)


def _with_keeper(facts: OwnerFacts, kind: str, keeper: Mapping[str, Any]) -> OwnerFacts:
    """Return ``facts`` with what a rollout of ``keeper`` would do."""
    metadata, spec = keeper["metadata"], keeper.get("spec") or {}
    strategy = spec.get("updateStrategy" if kind != "Deployment" else "strategy") or {}
    limits = strategy.get("rollingUpdate") or {}
    template = (spec.get("template") or {}).get("metadata") or {}
    surge, desired = limits.get("maxSurge"), facts.desired or 0
    keeps_all = _count_allowed(limits.get("maxUnavailable"), desired) == 0
    no_rollout = "Paused" if spec.get("paused") else "OnDelete" if strategy.get("type") == "OnDelete" else ""
    return replace(
        facts,
        keeper=Owner(api_version="apps/v1", kind=kind, name=metadata["name"], uid=metadata["uid"]),
        no_rollout=no_rollout or ("Partition" if limits.get("partition") else ""),
        operator=_operator_of(metadata),
        surges=kind != "StatefulSet" and keeps_all and surge not in (None, 0, "0", "0%"),
        restarted_at=_read_moment((template.get("annotations") or {}).get(RESTARTED_AT)),
        is_rolled_out=_is_rolled_out(kind, keeper),
        trouble=facts.trouble or _describe_trouble(keeper),
        labels=template.get("labels") or facts.labels,
    )


def _operator_of(metadata: Mapping[str, Any]) -> str:
    """Return who would put an object's template back: what owns it, or the operator in its label; empty for nobody.

    The label names all sorts of tools; those that only install, such as Helm, do not stand by.
    """
    reference = next(iter(metadata.get("ownerReferences") or ()), None)
    if reference:
        return f"{reference['kind']}/{reference['name']}"
    manager: str = (metadata.get("labels") or {}).get("app.kubernetes.io/managed-by") or ""
    return manager if "operator" in manager.lower() else ""


def _is_rolled_out(kind: str, obj: Mapping[str, Any]) -> bool:
    """Return whether a rollout is complete, as kubectl rollout status has it (k8s.io/kubectl, rollout_status.go)."""
    status, desired = obj.get("status") or {}, (obj.get("spec") or {}).get("replicas", 1)
    if (status.get("observedGeneration") or 0) < (obj["metadata"].get("generation") or 0):
        return False

    def count(name: str) -> int:
        return status.get(name) or 0

    if kind == "Deployment":
        updated = count("updatedReplicas")
        return bool(updated >= desired and count("replicas") <= updated <= count("availableReplicas"))
    if kind == "StatefulSet":
        return bool(count("readyReplicas") >= desired and status.get("updateRevision") == status.get("currentRevision"))
    wanted = count("desiredNumberScheduled")
    return count("updatedNumberScheduled") >= wanted and count("numberAvailable") >= wanted


def _describe_trouble(obj: Mapping[str, Any]) -> str:
    failure = conditions_of(obj).get("ReplicaFailure", NO_CONDITION)
    return failure.message if failure.status == "True" else ""


def _read_moment(text: str | None) -> datetime | None:
    """Return the moment in an annotation; None for what is none: anybody may have written it."""
    try:
        return parse_time(text)
    except ValueError:
        return None


def _count_allowed(max_unavailable: int | str | None, desired: int) -> int:
    """Return how many pods may be down: a number or a percentage, rounded down."""
    if isinstance(max_unavailable, str) and max_unavailable.endswith("%"):
        return desired * int(max_unavailable[:-1]) // 100
    return int(max_unavailable or 0)
