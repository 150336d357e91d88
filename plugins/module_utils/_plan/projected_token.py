# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Decisions about a pod with a projected service account token. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import InvalidOption
from .._model import Judgement, Outcome, conditions_of

#: The API's own bounds of a projected token's lifetime (kubernetes, pkg/apis/core/validation).
MIN_SECONDS, MAX_SECONDS = 600, 2**32

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")

#: How a quota's refusal tells the number of pods (kubernetes, apiserver/pkg/admission/plugin/resourcequota).
_POD_COUNTS = re.compile(r"\b(used|limited): (?:[^:]*,)?(?:count/)?pods=(\d+)")

#: What a container waits for that does not come by itself while the pod stays as it is.
HOPELESS = frozenset({"CreateContainerConfigError", "ErrImageNeverPull", "InvalidImageName"})

RECREATE = ("never", "when_changed", "when_issuer_changed")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    """The pod as asked for. None and empty leave a part to the API server, the image or the node."""

    namespace: str
    name: str
    image: str
    service_account: str
    audience: str
    expiration_seconds: int
    mount_path: str
    token_path: str
    container_name: str = ""
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    labels: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)
    run_as_user: int | None = None
    is_restricted: bool = True
    image_pull_policy: str | None = None
    restart_policy: str | None = None

    @property
    def container(self) -> str:
        return self.container_name or self.name

    @property
    def token_file(self) -> str:
        """The token's path as the container sees it."""
        return f"{self.mount_path.rstrip('/')}/{self.token_path}"

    @property
    def volume(self) -> str:
        """The volume's name: the token's path, as far as it can be one."""
        name = re.sub(r"[^a-z0-9]+", "-", self.token_path.lower()).strip("-")
        return name[:63].rstrip("-") or "token"

    @property
    def subject(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.service_account}"

    def __str__(self) -> str:
        return f"Pod {self.namespace}/{self.name}"


def validate_grace_period(seconds: int | None) -> int | None:
    """Return ``seconds`` unchanged when a pod can be given them to end. Raises InvalidOption when not."""
    if seconds is not None and seconds < 0:
        raise InvalidOption(f"The option terminate_grace_period is {seconds}; give 0 or more seconds.")
    return seconds


def validate_spec(spec: PodSpec) -> PodSpec:
    """Return ``spec`` unchanged when it can be meant. Raises InvalidOption with the option and a value that can."""
    for problem in (_find_name_problem(spec), _find_token_problem(spec), _find_pod_problem(spec)):
        if problem:
            raise InvalidOption(problem)
    return spec


def validate_name(spec: PodSpec) -> PodSpec:
    """Return ``spec`` unchanged when it names a pod. For a pod that shall be absent nothing else counts."""
    problem = _find_name_problem(spec)
    if problem:
        raise InvalidOption(problem)
    return spec


def _find_name_problem(spec: PodSpec) -> str | None:
    for option, value, pattern in (
        ("name", spec.name, _SUBDOMAIN),
        ("namespace", spec.namespace, _LABEL),
        ("service_account", spec.service_account, _SUBDOMAIN),
        ("container_name", spec.container, _LABEL),
    ):
        if not pattern.fullmatch(value):
            dots = "" if pattern is _LABEL else ", '.'"
            return (
                f"The {option} {value!r} is not a name that Kubernetes takes; "
                f"use lower case letters, digits, '-'{dots}, with a letter or digit at both ends."
            )
    return None


def _find_token_problem(spec: PodSpec) -> str | None:
    seconds = spec.expiration_seconds
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        return (
            f"An expiration_seconds of {seconds} is refused by the API; "
            f"give at least {MIN_SECONDS} (10 minutes) and at most {MAX_SECONDS}."
        )
    if not spec.audience.strip():
        return "The audience is empty; give the one that the token's recipient expects, such as vault."
    if not spec.mount_path.startswith("/") or ":" in spec.mount_path:
        return (
            f"The mount_path {spec.mount_path!r} is not an absolute path without ':', such as /var/run/secrets/tokens."
        )
    if not spec.token_path or spec.token_path.startswith("/") or ".." in spec.token_path.split("/"):
        return f"The token_path {spec.token_path!r} is not a relative path without '..', such as vault-token."
    return None


def _find_pod_problem(spec: PodSpec) -> str | None:
    if not spec.image.strip():
        return "The image is empty; give one that runs as another user than root."
    if spec.is_restricted and spec.run_as_user == 0:
        return (
            "A run_as_user of 0 can't start under security_context: restricted, which demands another user than root; "
            "give another user, or set security_context: none."
        )
    for option, entries in (("labels", spec.labels), ("annotations", spec.annotations)):
        for key, value in entries.items():
            if not isinstance(value, str):
                return f"The value {value!r} of {key} in {option} is not a string; put it in quotes."
    return None


def build_pod(spec: PodSpec) -> dict[str, Any]:
    """Return the pod's manifest; with the defaults it is that of OpenShift's documentation."""
    container: dict[str, Any] = {
        "image": spec.image,
        "name": spec.container,
        "volumeMounts": [{"mountPath": spec.mount_path, "name": spec.volume}],
    }
    pod: dict[str, Any] = {
        "containers": [container],
        "serviceAccountName": spec.service_account,
        "volumes": [{"name": spec.volume, "projected": {"sources": [{"serviceAccountToken": _build_source(spec)}]}}],
    }
    if spec.is_restricted:
        pod["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    if spec.run_as_user is not None:
        pod["securityContext"] = {**pod.get("securityContext", {}), "runAsUser": spec.run_as_user}
    if spec.restart_policy:
        pod["restartPolicy"] = spec.restart_policy
    optional = {"command": list(spec.command), "args": list(spec.args), "imagePullPolicy": spec.image_pull_policy}
    container.update({key: value for key, value in optional.items() if value})
    metadata: dict[str, Any] = {"name": spec.name}
    metadata.update({k: dict(v) for k, v in (("labels", spec.labels), ("annotations", spec.annotations)) if v})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}


def _build_source(spec: PodSpec) -> dict[str, Any]:
    return {"path": spec.token_path, "expirationSeconds": spec.expiration_seconds, "audience": spec.audience}


def build_trial(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``manifest`` under a name that the server makes up, to let admission speak while the namesake is there."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "name"}
    return {**manifest, "metadata": {**metadata, "generateName": f"{manifest['metadata']['name']}-"}}


def is_objection(status: int, words: str) -> bool:
    """Tell whether an error of the trial would also meet the real thing.

    A quota that is full because of the old pod has room once that is gone, and a webhook that takes no dry run has
    said nothing about the pod.
    """
    if "exceeded quota" in words:
        counts = {name: int(number) for name, number in _POD_COUNTS.findall(words)}
        return counts.get("used", 0) > counts.get("limited", 0)
    return not (status == 400 and "dry run" in words)


def compare_pod(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return the paths of the fields in which ``found`` differs from ``wanted``.

    Only fields that are set in ``wanted`` count, since admission fills in others, and entries of a list that have
    names are compared by name. A command or arguments come from nobody else, so the lack of them counts too.
    """
    return list(_differing(wanted, select_pod(wanted, found), ""))


def select_pod(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return those parts of ``found`` that are compared with ``wanted``."""
    selected: dict[str, Any] = _select(wanted, found)
    for container in selected["spec"].get("containers", ()):
        other = _named(found["spec"]["containers"], container["name"]) or {}
        container.update({key: other[key] for key in ("command", "args") if key in other})
    return selected


def _select(wanted: Any, found: Any) -> Any:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return {key: _select(value, found[key]) for key, value in wanted.items() if key in found}
    if _is_list_of_mappings(wanted) and _is_list_of_mappings(found):
        if all("name" in entry for entry in wanted):
            pairs = [(entry, _named(found, entry["name"])) for entry in wanted]
            return [_select(entry, other) for entry, other in pairs if other is not None]
        return [_select(w, f) for w, f in zip(wanted, found, strict=False)] + list(found[len(wanted) :])
    return found


def _differing(wanted: Any, found: Any, path: str) -> Iterable[str]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key, value in wanted.items():
            below = f"{path}.{key}" if path else key
            if key in found:
                yield from _differing(value, found[key], below)
            else:
                yield below
        yield from (f"{path}.{key}" for key in found if key not in wanted)
    elif _is_list_of_mappings(wanted) and _is_list_of_mappings(found) and all("name" in entry for entry in wanted):
        for entry in wanted:
            other = _named(found, entry["name"])
            below = f"{path}[{entry['name']}]"
            yield from [below] if other is None else _differing(entry, other, below)
    elif _is_list_of_mappings(wanted) and _is_list_of_mappings(found) and len(wanted) == len(found):
        for index, (entry, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _differing(entry, other, f"{path}[{index}]")
    elif wanted != found:
        yield path


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value)


def _named(entries: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    return next((entry for entry in entries if entry.get("name") == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPlan:
    """What to do with the pod: create, keep, recreate, delete, none, or refuse; and why."""

    action: str
    reason: str
    message: str

    @property
    def is_change(self) -> bool:
        return self.action in ("create", "recreate", "delete")


def plan_pod(
    spec: PodSpec,
    wanted: Mapping[str, Any],
    found: Mapping[str, Any] | None,
    *,
    recreate: str,
    claims: Mapping[str, Any] | None = None,
    issuer: str | None = None,
) -> PodPlan:
    """Return what brings the pod to be as ``wanted``; ``claims`` are those of the mounted token, None when not known."""
    if found is None:
        return PodPlan(action="create", reason="Missing", message=f"{spec} does not exist.")
    owner = _owner_of(found)
    if owner:
        return _refuse_owned(spec, owner)
    if found["metadata"].get("deletionTimestamp"):
        return PodPlan(action="create", reason="Terminating", message=f"{spec} is being deleted.")
    reason, message = _find_cause(spec, wanted, found, claims, issuer if recreate == "when_issuer_changed" else None)
    if not reason:
        return PodPlan(action="keep", reason="AsAsked", message=f"{spec} is as asked for.")
    if recreate == "never":
        return PodPlan(
            action="refuse",
            reason=reason,
            message=f"{message}; set recreate: when_changed to have it deleted and created anew.",
        )
    return PodPlan(action="recreate", reason=reason, message=f"{message}.")


def _find_cause(
    spec: PodSpec,
    wanted: Mapping[str, Any],
    found: Mapping[str, Any],
    claims: Mapping[str, Any] | None,
    issuer: str | None,
) -> tuple[str, str]:
    """Return the reason to create ``found`` anew, and the beginning of a sentence; both empty when there is none."""
    phase = (found.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        return "Finished", f"{spec} has finished ({phase})"
    differing = compare_pod(wanted, found)
    if differing:
        return "Changed", f"{spec} differs from what is asked for in {', '.join(differing)}"
    if issuer and claims is not None and claims.get("iss") != issuer:
        return "IssuerChanged", f"The token in {spec} names the issuer {claims.get('iss')}, not {issuer}"
    return "", ""


def plan_removal(spec: PodSpec, found: Mapping[str, Any] | None) -> PodPlan:
    """Return what brings the pod to be absent."""
    if found is None:
        return PodPlan(action="none", reason="Missing", message=f"{spec} does not exist.")
    owner = _owner_of(found)
    if owner:
        return _refuse_owned(spec, owner)
    if found["metadata"].get("deletionTimestamp"):
        return PodPlan(action="none", reason="Terminating", message=f"{spec} is being deleted.")
    return PodPlan(action="delete", reason="Present", message=f"{spec} exists.")


def _owner_of(pod: Mapping[str, Any]) -> str:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((f"{o['kind']} {o['name']}" for o in owners), "")


def _refuse_owned(spec: PodSpec, owner: str) -> PodPlan:
    return PodPlan(
        action="refuse", reason="Owned", message=f"{spec} belongs to {owner} and was not touched; give another name."
    )


def _verdict(outcome: Outcome, reason: str, message: str) -> Judgement:
    return Judgement(outcome=outcome, reason=reason, message=message)


def judge_readiness(spec: PodSpec, pod: Mapping[str, Any] | None, uid: str) -> Judgement:
    """Return DONE when the pod with this UID is Ready, FAILED when it can't become so any more."""
    if pod is None or pod["metadata"]["uid"] != uid:
        words = "it was deleted" if pod is None else "another pod has taken its name"
        return _verdict(Outcome.FAILED, "Gone", f"{spec} is gone: {words}.")
    status = pod.get("status") or {}
    conditions = conditions_of(pod)
    if status.get("phase") in ("Succeeded", "Failed"):
        words = _container_words(status) or status.get("message") or status.get("reason") or "no further words"
        return _verdict(Outcome.FAILED, "Finished", f"{spec} has finished ({status['phase']}): {_trim(words)}.")
    if pod["metadata"].get("deletionTimestamp"):
        return _verdict(Outcome.FAILED, "Terminating", f"{spec} is being deleted.")
    ready, scheduled = conditions.get("Ready"), conditions.get("PodScheduled")
    if ready and ready.status == "True":
        return _verdict(Outcome.DONE, "Ready", f"{spec} is Ready.")
    if scheduled and scheduled.status == "False":
        words = f"{scheduled.reason or 'Unschedulable'}: {scheduled.message}"
        return _verdict(Outcome.WAITING, "Unschedulable", f"{spec} has no node yet ({_trim(words)}).")
    words = _container_words(status)
    words = words or status.get("phase") or "Pending"
    if HOPELESS.isdisjoint(_waiting_reasons(status)):
        return _verdict(Outcome.WAITING, "NotReady", f"{spec} is not Ready yet ({words}).")
    return _verdict(Outcome.FAILED, "CannotStart", f"{spec} can't start ({words}).")


def _trim(words: str) -> str:
    return " ".join(words.split()).rstrip(".")


def _containers_of(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _waiting_reasons(status: Mapping[str, Any]) -> set[str]:
    return {((c.get("state") or {}).get("waiting") or {}).get("reason", "") for c in _containers_of(status)}


def _container_words(status: Mapping[str, Any]) -> str:
    """Return what keeps the containers, in the node's own words; how it ended last when one starts again and again."""
    words: list[str] = []
    for container in _containers_of(status):
        state = container.get("state") or {}
        last = (container.get("lastState") or {}).get("terminated")
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or last or {}
        ending = f"exit code {ended['exitCode']}" if ended.get("exitCode") is not None else ""
        is_repeated = ended.get("message") == waiting.get("message")
        words.append(_join_words(waiting.get("reason"), waiting.get("message")))
        words.append(_join_words(ended.get("reason"), ending, "" if is_repeated else ended.get("message")))
    return "; ".join(w for w in words if w)


def _join_words(*words: str | None) -> str:
    return ": ".join(_trim(w) for w in words if w)


def judge_mounted_token(spec: PodSpec, claims: Mapping[str, Any], uid: str, issuer: str | None = None) -> Judgement:
    """Return whether the claims in the pod's file are as asked for: FAILED when not, since waiting mends none of them.

    A lifetime that the API server changed is DONE with a reason of its own: shortened by
    --service-account-max-token-expiration, or extended to a year for 3607 s and the API's own audience.
    """
    pod_uid = ((claims.get("kubernetes.io") or {}).get("pod") or {}).get("uid")
    for reason, claim, found, wanted in (
        ("AudienceDiffers", "aud", claims.get("aud"), [spec.audience]),
        ("SubjectDiffers", "sub", claims.get("sub"), spec.subject),
        ("PodDiffers", "kubernetes.io.pod.uid", pod_uid, uid),
    ):
        if found != wanted:
            return _verdict(
                Outcome.FAILED, reason, f"The mounted token of {spec} has the {claim} {found}, not {wanted}."
            )
    if issuer and claims.get("iss") != issuer:
        return _verdict(
            Outcome.FAILED,
            "IssuerDiffers",
            f"The mounted token of {spec} still names the issuer {claims.get('iss')}, not {issuer}; wait for the "
            "kube-apiservers with bound_tokens.openshift.kube_apiserver_rollout, then run this task again.",
        )
    lifetime = claims.get("exp", 0) - claims.get("iat", 0)
    if lifetime != spec.expiration_seconds:
        reason, word = ("LifetimeShortened", "shortened") if lifetime < spec.expiration_seconds else _EXTENDED
        return _verdict(
            Outcome.DONE,
            reason,
            f"The API server {word} the lifetime of the mounted token of {spec} "
            f"from {spec.expiration_seconds} s to {lifetime} s.",
        )
    return _verdict(Outcome.DONE, "AsAsked", f"The mounted token of {spec} is as asked for.")


_EXTENDED = ("LifetimeExtended", "extended")
