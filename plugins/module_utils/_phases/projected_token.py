# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Bringing a pod with a projected service account token to be as asked for, and proving it by the mounted file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from .._client.cluster import Cluster
from .._clock import Clock, WaitOptions, poll, retry
from .._effects import ask_for_deletion, create_pod, try_out_pod
from .._errors import ApiError, CollectionError, Refused
from .._facts import find_own_pod, read_mounted_claims, read_token_issuers, read_wanted_issuer
from .._model import Judgement, Outcome, Probe, pod_facts
from .._plan.projected_token import (
    PodPlan,
    PodSpec,
    build_pod,
    build_trial,
    compare_pod,
    is_objection,
    judge_mounted_token,
    judge_readiness,
    plan_pod,
    plan_removal,
    select_pod,
)
from .rollout import PROBE_COUNT

Object = Mapping[str, Any]
FoundT = TypeVar("FoundT")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRequest:
    """What a task asks for. ``issuer`` None means the one that the cluster's configuration asks for."""

    spec: PodSpec
    recreate: str = "never"
    issuer: str | None = None
    verify: bool = True
    wait: bool = True
    grace_period: int | None = None


@dataclass(slots=True, kw_only=True)
class PodWork:
    """The deeds and looks at one pod, with what has been seen and done so far."""

    cluster: Cluster
    request: PodRequest
    options: WaitOptions
    clock: Clock
    deadline: float = 0.0
    pod: Object | None = None
    claims: Object | None = None
    verdict: Judgement | None = None
    action: str = "none"
    is_changed: bool = False
    #: Whether the deletion of a pod may have been taken on: it was, or no answer told.
    is_asked: bool = False
    issuer: str | None = None
    manifest: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.deadline = self.clock.monotonic() + self.options.timeout

    @property
    def spec(self) -> PodSpec:
        return self.request.spec

    def read(self) -> Object | None:
        """Return the pod of that name as it is now."""
        return self.cluster.get("Pod", self.spec.name, self.spec.namespace)

    def read_claims(self) -> Object | None:
        """Return the claims of the mounted token; None when the pod is not Ready or they are not to be looked at."""
        if self.pod is None or not self.request.verify:
            return None
        if judge_readiness(self.spec, self.pod, self.pod["metadata"]["uid"]).outcome is not Outcome.DONE:
            return None
        return read_mounted_claims(
            self.cluster,
            self.spec.name,
            self.spec.namespace,
            container=self.spec.container,
            path=self.spec.token_file,
        )

    def look_once(self) -> None:
        """Keep the claims and the verdict of this moment."""
        self.claims = self.read_claims()
        if self.pod is not None and self.claims is not None:
            self.verdict = judge_mounted_token(self.spec, self.claims, self.pod["metadata"]["uid"])

    def wait_until_proven(self, issuer: str | None) -> None:
        """Return when the pod is Ready and its token is as asked for. Raises WaitFailed or WaitTimedOut."""
        uid = self.pod["metadata"]["uid"] if self.pod else ""

        def look() -> Object | None:
            self.pod = self.read()
            self.claims = self.read_claims()
            return self.pod

        def judge(pod: Object | None) -> Judgement:
            self.verdict = judge_readiness(self.spec, pod, uid)
            if self.verdict.outcome is Outcome.DONE and self.claims is not None:
                self.verdict = judge_mounted_token(self.spec, self.claims, uid, issuer)
            return self.verdict

        self._poll(look, judge)

    def wait_until_gone(self, pod: Object) -> None:
        """Have ``pod`` deleted and return when it is gone. A namesake with another UID counts as gone."""
        uid = pod["metadata"]["uid"]

        def look() -> Object | None:
            found = self.read()
            is_gone = found is None or found["metadata"]["uid"] != uid
            if found is not None and not is_gone and not found["metadata"].get("deletionTimestamp"):
                self.delete(found)
            elif self.is_asked:
                self.is_changed, self.action = True, "deleted"
            return None if is_gone else found

        def judge(found: Object | None) -> Judgement:
            outcome = Outcome.DONE if found is None else Outcome.WAITING
            return Judgement(outcome=outcome, reason="Terminating", message=f"{self.spec} is being deleted.")

        self._poll(look, judge)
        self.pod = self.claims = self.verdict = None

    def delete(self, pod: Object) -> None:
        """Ask for the deletion of exactly this pod."""
        try:
            if ask_for_deletion(self.cluster, pod, grace_period=self.request.grace_period):
                self.is_changed = self.is_asked = True
                self.action = "deleted"
        except ApiError as error:
            self.is_asked = self.is_asked or error.is_transient
            raise

    def try_out(self) -> None:
        """Return when admission would let the new pod in. Raises Refused, with nothing changed, when not."""

        def attempt() -> None:
            try:
                try_out_pod(self.cluster, build_trial(self.manifest), self.spec.namespace)
            except ApiError as error:
                if error.is_transient or error.is_unauthorized:
                    raise
                if is_objection(error.status, error.words):
                    raise Refused(
                        f"{self.spec} was not re-created and the old one not touched, since the new one would be "
                        f"refused: {error.message}"
                    ) from None

        self._retry(attempt, waiting_for=f"the dry run of {self.spec}")

    def require_token_issuer(self) -> None:
        """Return when new tokens name the issuer that is asked for. Raises Refused, with nothing changed, when not."""
        if self.issuer is None:
            return
        probe = Probe(service_account=self.spec.service_account, namespace=self.spec.namespace)
        issuers = self._retry(
            lambda: read_token_issuers(self.cluster, probe, count=PROBE_COUNT),
            waiting_for=f"a new token for {self.spec}",
        )
        others = sorted(set(issuers) - {self.issuer})
        if others:
            raise Refused(
                f"{self.spec} was not re-created and the old one not touched, since a new token still names the issuer "
                f"{', '.join(others)}, not {self.issuer}; wait for the kube-apiservers with "
                "bound_tokens.openshift.kube_apiserver_rollout, then run this task again."
            )

    def create(self) -> None:
        """Create the pod; errors that pass by themselves are borne, and what they hid is found again.

        The time that an old pod took to go is not taken from this: there must be a pod again.
        """

        def attempt() -> Object | None:
            try:
                return create_pod(self.cluster, self.manifest, self.spec.namespace)
            except ApiError as error:
                if error.status != 409:
                    raise
                found = self.read()
                is_passing = found is None or found["metadata"].get("deletionTimestamp")
                if not is_passing and compare_pod(self.manifest, found or {}):
                    raise
                return None if is_passing else found

        def judge(pod: Object | None) -> Judgement:
            self.pod = pod
            outcome = Outcome.WAITING if pod is None else Outcome.DONE
            return Judgement(outcome=outcome, reason="Busy", message="the API server could not create it yet")

        self._poll(attempt, judge, deadline=self.clock.monotonic() + self.options.timeout)
        self.is_changed, self.action = True, "created"

    def recreate(self, pod: Object) -> None:
        """Replace ``pod``. Once it was told to go, an error that leaves no new one holds its manifest."""
        self.require_token_issuer()
        self.try_out()
        is_gone = False
        try:
            self.wait_until_gone(pod)
            is_gone = True
            self.create()
        except CollectionError as error:
            if not (is_gone or self.is_asked):
                raise
            words = (
                "was deleted and could not be created again" if is_gone else "was told to go and is not replaced yet"
            )
            raise CollectionError(
                f"{self.spec} {words} ({error.message.rstrip('.')}); run this task "
                "again once that is mended, or create the pod from the manifest in this result.",
                progress={"manifest": self.named_manifest()},
            ) from None
        self.action = "recreated"

    def require_service_account(self) -> None:
        """Raise Refused when the service account, or its namespace, does not exist."""
        name, namespace = self.spec.service_account, self.spec.namespace
        if self.cluster.get("ServiceAccount", name, namespace) is not None:
            return
        if not self._has_namespace():
            raise Refused(f"The namespace {namespace} does not exist; create it first, or check its name.")
        raise Refused(
            f"The service account {name} does not exist in namespace {namespace}; create it first, for example with "
            f"'oc create serviceaccount {name} -n {namespace}', or check its name."
        )

    def _has_namespace(self) -> bool:
        try:
            return self.cluster.get("Namespace", self.spec.namespace) is not None
        except ApiError as error:
            if error.status == 403:
                return True
            raise

    def named_manifest(self) -> dict[str, Any]:
        """Return the manifest as it can be created by hand. It holds no secret."""
        return {**self.manifest, "metadata": {**self.manifest["metadata"], "namespace": self.spec.namespace}}

    def _poll(
        self,
        observe: Callable[[], Object | None],
        judge: Callable[[Object | None], Judgement],
        *,
        deadline: float | None = None,
    ) -> None:
        poll(observe, judge, waiting_for=str(self.spec), options=self._options_until(deadline), clock=self.clock)

    def _retry(self, read: Callable[[], FoundT], *, waiting_for: str) -> FoundT:
        """Return what ``read`` returns; errors that pass by themselves are borne as long as there is time left."""
        return retry(read, waiting_for=waiting_for, options=self._options_until(None), clock=self.clock)

    def _options_until(self, deadline: float | None) -> WaitOptions:
        """Return the options for a wait until ``deadline``, by default that of the whole work."""
        deadline = self.deadline if deadline is None else deadline
        return replace(self.options, timeout=max(0, math.ceil(deadline - self.clock.monotonic())))

    def record(self) -> dict[str, Any]:
        """Return the pod as last seen, in the shape that projected_token_pod documents as ``pod``."""
        spec, found = self.spec, self.pod or {"spec": {}}
        metadata, status = found.get("metadata") or {}, found.get("status") or {}
        containers = {c["name"]: c for c in found["spec"].get("containers") or ()}
        image = containers.get(spec.container, {}).get("image")
        uid = metadata.get("uid")
        return {
            "name": spec.name,
            "namespace": spec.namespace,
            "uid": uid,
            "node": found["spec"].get("nodeName"),
            "image": image or spec.image or None,
            "service_account": found["spec"].get("serviceAccountName") or spec.service_account,
            "phase": status.get("phase"),
            "ready": bool(uid) and judge_readiness(spec, found, str(uid)).outcome is Outcome.DONE,
            "started_at": status.get("startTime"),
            "token": {
                "path": spec.token_file,
                "audience": spec.audience,
                "expiration_seconds": spec.expiration_seconds,
                "verdict": self.verdict.reason if self.verdict and self.claims is not None else None,
            },
            "claims": None if self.claims is None else dict(self.claims),
        }

    def progress(self) -> dict[str, Any]:
        """Return what has been reached, for an error."""
        return {"changed": self.is_changed, "action": self.action, "pod": self.record()}


_PAST = {"create": "created", "recreate": "recreated", "keep": "kept", "delete": "deleted", "none": "none"}


def apply_pod(
    cluster: Cluster,
    request: PodRequest,
    *,
    check_mode: bool,
    options: WaitOptions,
    clock: Clock,
    warn: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Have the pod as asked for and return the module's result. Errors hold what was reached before."""
    work = PodWork(cluster=cluster, request=request, options=options, clock=clock, manifest=build_pod(request.spec))
    try:
        if request.recreate == "when_issuer_changed":
            work.issuer = request.issuer or retry(lambda: read_wanted_issuer(cluster), clock=clock)
        plan = _make_plan(work, check_mode=check_mode)
        found, former_issuer = work.pod, (work.claims or {}).get("iss")
        if plan.is_change:
            retry(lambda: spare_own_pod(cluster, found), clock=clock)
            retry(work.require_service_account, clock=clock)
        if plan.is_change and not check_mode:
            _carry_out(work, plan, found)
        if work.verdict and work.verdict.reason.startswith("Lifetime"):
            warn(work.verdict.message)
    except CollectionError as error:
        error.progress = {**work.progress(), **error.progress}
        raise
    before = {} if found is None or plan.action == "create" else select_pod(work.manifest, found)
    after = work.manifest if plan.is_change else before
    if plan.reason == "IssuerChanged":
        before, after = {**before, "issuer": former_issuer}, {**after, "issuer": work.issuer}
    return _result(plan, work.record(), before, after)


def _make_plan(work: PodWork, *, check_mode: bool) -> PodPlan:
    """Return the plan; a pod that is kept has been waited for and its token looked at. Raises Refused."""
    request = work.request
    work.pod = retry(work.read, clock=work.clock)
    plan = plan_pod(request.spec, work.manifest, work.pod, recreate=request.recreate)
    if plan.action == "keep":
        if request.wait and not check_mode:
            work.wait_until_proven(None)
        else:
            retry(work.look_once, clock=work.clock)
        plan = plan_pod(
            request.spec, work.manifest, work.pod, recreate=request.recreate, claims=work.claims, issuer=work.issuer
        )
    elif plan.action == "recreate" and check_mode:
        with suppress(CollectionError):
            work.look_once()
    if plan.action == "refuse":
        raise Refused(plan.message)
    if plan.action == "keep":
        work.action = _PAST["keep"]
    return plan


def spare_own_pod(cluster: Cluster, found: Object | None) -> None:
    """Return when ``found``, which is to go, is not the pod that this runs in. Raises Refused: the run would end."""
    if found is not None and find_own_pod(cluster, [pod_facts(found)]):
        metadata = found["metadata"]
        raise Refused(
            f"The pod {metadata['namespace']}/{metadata['name']} was left as it is, because this run is in it "
            "and would end with it; run it from elsewhere."
        )


def _carry_out(work: PodWork, plan: PodPlan, found: Object | None) -> None:
    if plan.action == "recreate" and found is not None:
        work.recreate(found)
    else:
        if found is not None:
            work.wait_until_gone(found)
        work.create()
    if work.request.wait:
        work.wait_until_proven(work.issuer)


def remove_pod(
    cluster: Cluster, request: PodRequest, *, check_mode: bool, options: WaitOptions, clock: Clock
) -> dict[str, Any]:
    """Have no pod of that name and return the module's result. Errors hold what was reached before."""
    work = PodWork(cluster=cluster, request=request, options=options, clock=clock)
    found = work.pod = retry(work.read, clock=clock)
    plan = plan_removal(request.spec, found)
    record = None if found is None else {**work.record(), "token": None}
    try:
        if plan.action == "refuse":
            raise Refused(plan.message)
        if plan.is_change:
            retry(lambda: spare_own_pod(cluster, found), clock=clock)
        if found is not None and not check_mode:
            if request.wait:
                work.wait_until_gone(found)
            elif plan.is_change:
                work.delete(found)
    except CollectionError as error:
        error.progress = {"changed": work.is_changed, "action": work.action, "pod": record}
        raise
    names = {"metadata": {"name": request.spec.name, "namespace": request.spec.namespace}}
    return _result(plan, record, {} if found is None else names, {} if plan.action == "delete" or not found else names)


def _result(plan: PodPlan, record: dict[str, Any] | None, before: Any, after: Any) -> dict[str, Any]:
    return {
        "changed": plan.is_change,
        "action": _PAST[plan.action],
        "reason": plan.reason,
        "explanation": plan.message,
        "pod": record,
        "diff": {"before": before, "after": after},
    }
