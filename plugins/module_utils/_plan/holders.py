# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Who still holds a token of a former issuer: from what a pod's specification and the switch times tell. Pure."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from sys import intern
from types import MappingProxyType
from typing import Any

from .._holder_model import Delivery, HolderPod, TokenSource
from .._model import (
    IssuerFacts,
    Judgement,
    Outcome,
    PodFacts,
    SwitchTime,
    TrustedIssuer,
    format_time,
    parse_time,
    read_moment,
)

#: The kubelet requests a token anew at 80 % of its lifetime or after 24 hours (pkg/kubelet/token/token_manager.go), when it
#: next syncs the pod, every 60 to 90 s.
REFRESH_SHARE = 0.8
REFRESH_AGE = timedelta(hours=24)
SYNC = timedelta(minutes=2)
#: A token that is asked for with exactly this lifetime for the API servers lives a year, and the kubelet is not told
#: (pkg/registry/core/serviceaccount/storage/token.go).
EXTENDED_SECONDS = 3607
EXTENDED_LIFETIME = timedelta(days=365)
#: A pod's token is refused once the pod was to be gone for longer than this (pkg/serviceaccount/claims.go).
LEEWAY = timedelta(seconds=60)
#: How long the operator trusts a former issuer, counted from the moment at which it sees the edit.
TRUST = timedelta(hours=24)


class Verdict(enum.Enum):
    """What a pod holds, the worst first: of several tokens the worst one counts."""

    OLD_UNTIL_RESTARTED = "old_until_restarted"
    OLD_UNTIL = "old_until"
    UNKNOWN = "unknown"
    FILE_RENEWS = "file_renews"
    RENEWED = "renewed"
    LEGACY = "legacy"
    NO_TOKEN = "no_token"  # noqa: S105 (a verdict)


#: While a pod has one of these, the former issuer is still needed, or may be.
BLOCKING = frozenset({Verdict.OLD_UNTIL_RESTARTED, Verdict.OLD_UNTIL, Verdict.UNKNOWN, Verdict.FILE_RENEWS})
#: The exemptions of pods that have new tokens only.
RENEWED_SINCE = frozenset({"StartedAfter", "NodeRestarted"})
_ORDER = {verdict: number for number, verdict in enumerate(Verdict)}

#: Each reason for people.
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "Static": "a static pod has no service account token",
        "Finished": "it has ended",
        "NoToken": "no volume of it holds a bound token",
        "LegacySecret": "it uses a Secret with a token that no issuer change concerns",
        "NotStarted": "it has not started yet",
        "StartedAfter": "it started after the last API server had switched",
        "NodeRestarted": "its node was restarted after the last API server had switched",
        "SwitchUnknown": "it is not known when the last API server switched",
        "Expired": "every token from before the switch has expired",
        "Terminating": "it is to be gone by then, and its tokens are refused from then on",
        "Gone": "its tokens are refused since it was to be gone",
        "FileRenewed": "the kubelet has rewritten the file since",
        "FileRenews": "the kubelet rewrites the file by then; programs that read it again follow",
        "NodeNotReady": "its node is not Ready, so whether the kubelet rewrites the file is not known",
        "SubPath": "a subPath mount keeps the file of when its container started, which was before the first switch",
        "TakenLater": "what keeps the token was started after the file had been rewritten",
        "SubPathUnsure": "a subPath mount keeps the file of when its container started; that may have been rewritten by then",
        "SubPathExpr": "a subPathExpr, or a subPath that is none of its tokens, may mount the file of when its container started",
        "InitCopy": "an init container can have copied the token to where a container that does not mount it reads",
        "CsiDriver": "a CSI driver was given the token, and is given another one only if its kubelet is restarted",
        "FileShowsNew": "its file holds a token of the new issuer",
        "FileShowsOld": "its file still holds a token of a former issuer",
        "FileContradictsSpec": "its file still holds a token of a former issuer, which its specification rules out",
        "FileMissing": "its node has no file with the token that its specification names",
        "NoFile": "the kubelet has made no file of its token, and no container that would read it runs",
        "OldTokenInUse": "the audit logs show it using a token that was issued before the switch",
        "UseContradictsSpec": "the audit logs show it using a token from before the switch, which the rest rules out",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchWindow:
    """Before ``first`` every API server issued tokens of a former issuer, after ``last`` none does; None where not known.

    Between them a pod's start does not tell which it got. ``servers`` has the same bounds for each node. ``is_over`` when no
    former issuer is trusted any more.
    """

    issuer: str
    former: tuple[TrustedIssuer, ...] = ()
    first: datetime | None = None
    last: datetime | None = None
    servers: Mapping[str, SwitchTime] = field(default_factory=dict)
    is_over: bool = False

    @property
    def trusted_until(self) -> datetime | None:
        """Until when the last of the former issuers is trusted; None where that is not reported."""
        return max((f.expires for f in self.former if f.expires), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderVerdict:
    """What one pod holds. ``until`` is when that is over by itself: for RENEWED a moment that is past, by which files had
    been rewritten, for NO_TOKEN one after which it can't have used any. ``expires`` is when any token from before the switch has
    expired by its own lifetime.

    ``may_be_cached``: the specification can't tell whether a program read a file only before it was rewritten.
    """

    verdict: Verdict
    reason: str
    source: str = "spec"
    until: datetime | None = None
    expires: datetime | None = None
    may_be_cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the verdict about a pod needs besides the pod.

    ``ready_since`` tells since when each node is Ready, None for one that is not; it is None itself where nodes could not
    be read. ``restarted`` is as in find_exemption, ``audiences`` are those of the API servers. ``kubelets`` tells when the
    kubelets of some nodes started.
    """

    window: SwitchWindow
    now: datetime
    ready_since: Mapping[str, datetime | None] | None = None
    restarted: Mapping[str, datetime] = field(default_factory=dict)
    kubelets: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def audiences(self) -> frozenset[str]:
        return frozenset({"", self.window.issuer, *(f.name for f in self.window.former)})


def find_exemption(pod: PodFacts, switched: datetime | None, restarted: Mapping[str, datetime]) -> str | None:
    """Return why a pod can't hold a bound token from ``switched`` or before; None when it may hold one.

    ``restarted`` tells after which moment a node was restarted: its kubelet then fetched new tokens for all pods on it.
    Kubernetes records whole seconds, so a pod that started at ``switched`` may hold a token from before it.
    """
    if pod.is_static:
        return "Static"
    if pod.phase in ("Succeeded", "Failed"):
        return "Finished"
    if not pod.has_token:
        return "NoToken"
    if pod.start_time is None:
        return "NotStarted"
    if has_started_after(pod, switched):
        return "StartedAfter"
    if switched is not None and pod.node in restarted and restarted[pod.node] > switched:
        return "NodeRestarted"
    return None


def has_started_after(pod: PodFacts, moment: datetime | None) -> bool:
    return moment is not None and pod.start_time is not None and pod.start_time > moment


#: From the verdict that a specification gives about one token of a pod to the one that counts.
Prove = Callable[[HolderVerdict, TokenSource, PodFacts], HolderVerdict]


def trust_spec(found: HolderVerdict, source: TokenSource, pod: PodFacts) -> HolderVerdict:
    """Return the verdict about one token as the specification gave it."""
    return found


def judge_holder(holder: HolderPod, around: Surroundings, prove: Prove = trust_spec) -> HolderVerdict:
    """Return what the specification tells of a pod's tokens, each as ``prove`` finds it; of several the worst."""
    pod = replace(holder.pod, has_token=bool(holder.sources))
    exemption = find_exemption(pod, around.window.last, around.restarted)
    if exemption in RENEWED_SINCE:
        renewed = HolderVerdict(verdict=Verdict.RENEWED, reason=exemption)
        return _worst([prove(renewed, s, pod) for s in holder.sources])
    if exemption == "NoToken" and holder.legacy:
        return HolderVerdict(verdict=Verdict.LEGACY, reason="LegacySecret")
    if exemption == "Finished":
        return HolderVerdict(verdict=Verdict.NO_TOKEN, reason=exemption, until=holder.ended_at)
    if exemption:
        return HolderVerdict(verdict=Verdict.NO_TOKEN, reason=exemption)
    gone_at = holder.deleted_at + LEEWAY if holder.deleted_at else None
    if gone_at and around.now >= gone_at:
        return HolderVerdict(verdict=Verdict.NO_TOKEN, reason="Gone")
    return _cut(_worst([prove(_judge_source(s, pod, around), s, pod) for s in holder.sources]), gone_at)


def find_reason_to_stay(found: HolderVerdict, tokens: str, deadline: datetime) -> str:
    """Return why a pod need not be renewed for its tokens; empty when it is to be.

    Of ``tokens``, any stays for none; with old, those stay that hold no old token, not even in a program's memory; with
    lasting also those whose files the kubelet rewrites up to ``deadline``, of which programs are trusted to read them again.
    """
    if tokens == "old":
        return "" if found.verdict in BLOCKING or found.may_be_cached else found.reason
    if tokens == "lasting":
        is_in_time = found.verdict is Verdict.FILE_RENEWS and found.until is not None and found.until <= deadline
        return found.reason if is_in_time or found.verdict not in BLOCKING else ""
    return ""


def find_deadline(issuer: IssuerFacts, now: datetime, *, is_planned: bool) -> datetime:
    """Return until when tokens of former issuers are accepted; ``is_planned`` when the change is yet to come."""
    trusted = max((f.expires for f in issuer.former if f.expires), default=now)
    return now + TRUST if is_planned and issuer.trusted is not None else trusted


def _worst(verdicts: Sequence[HolderVerdict]) -> HolderVerdict:
    """Return the worst of a pod's verdicts, over when all of those that matter are over."""
    blocking = [v for v in verdicts if v.verdict in BLOCKING]
    endless = [v for v in blocking if v.until is None]
    found = min(endless or verdicts, key=lambda v: _ORDER[v.verdict])
    until = None if endless else max((v.until for v in blocking or verdicts if v.until), default=None)
    return replace(
        found,
        until=until,
        expires=find_end([v.expires for v in verdicts]),
        may_be_cached=any(v.may_be_cached for v in verdicts),
    )


def _cut(found: HolderVerdict, gone_at: datetime | None) -> HolderVerdict:
    """Return the verdict about a pod that is to be gone at a moment."""
    if gone_at is None or found.verdict not in BLOCKING or (found.until and found.until <= gone_at):
        return found
    is_endless = found.verdict is Verdict.OLD_UNTIL_RESTARTED
    verdict = Verdict.OLD_UNTIL if is_endless else found.verdict
    return replace(found, verdict=verdict, reason="Terminating", until=gone_at)


def _judge_source(source: TokenSource, pod: PodFacts, around: Surroundings) -> HolderVerdict:
    last, now = around.window.last, around.now
    if last is None:
        return HolderVerdict(verdict=Verdict.UNKNOWN, reason="SwitchUnknown")
    lifetime = find_lifetime(source, around.audiences)
    is_ready, renewed_by = _find_renewal(source, pod, last, around)
    has_expired = now >= last + lifetime
    if source.delivery is Delivery.FILE and is_ready and now >= renewed_by:
        return HolderVerdict(
            verdict=Verdict.RENEWED,
            reason="FileRenewed",
            until=renewed_by,
            expires=_end(last, lifetime),
            may_be_cached=not has_expired and source.started is not None and source.started < renewed_by,
        )
    if has_expired:
        return HolderVerdict(verdict=Verdict.NO_TOKEN, reason="Expired", until=last + lifetime, expires=last + lifetime)
    if source.delivery is not Delivery.FILE:
        return _judge_kept(source, around, lifetime, renewed_by if is_ready else None)
    expires = _end(last, lifetime)
    if not is_ready:
        return HolderVerdict(verdict=Verdict.UNKNOWN, reason="NodeNotReady", until=expires, expires=expires)
    return HolderVerdict(verdict=Verdict.FILE_RENEWS, reason="FileRenews", until=renewed_by, expires=expires)


def _end(begin: datetime, lifetime: timedelta) -> datetime | None:
    """Return when a token from ``begin`` or before has expired; None for one that lives for a year."""
    return begin + lifetime if lifetime < EXTENDED_LIFETIME else None


def find_lifetime(source: TokenSource, audiences: Collection[str]) -> timedelta:
    """Return how long a token of this source is accepted at most; ``audiences`` are those of the API servers."""
    if source.seconds == EXTENDED_SECONDS and source.audience in audiences:
        return EXTENDED_LIFETIME
    return timedelta(seconds=source.seconds)


def _find_renewal(source: TokenSource, pod: PodFacts, last: datetime, around: Surroundings) -> tuple[bool, datetime]:
    """Return whether the kubelet of a pod works, and by when it has rewritten what it got up to ``last``."""
    renewed_by = last + min(timedelta(seconds=source.seconds) * REFRESH_SHARE, REFRESH_AGE) + SYNC
    kubelet = around.kubelets.get(pod.node)
    if kubelet and kubelet > last:
        # It keeps tokens in its memory only, so that it has requested all of them anew since it started.
        renewed_by = min(renewed_by, kubelet + SYNC)
    if around.ready_since is None:
        return True, renewed_by
    ready_since = around.ready_since.get(pod.node)
    return ready_since is not None, max(renewed_by, (ready_since or last) + SYNC)


def choose_doubtful_nodes(pods: Iterable[JudgedPod], around: Surroundings) -> list[str]:
    """Return the Ready nodes with pods about which a late start of their kubelets would tell more."""
    found = {p.node for p in pods if p.found.verdict in (Verdict.FILE_RENEWS, Verdict.UNKNOWN) and p.node}
    ready = around.ready_since
    return sorted(n for n in found if ready is None or ready.get(n)) if around.window.last else []


#: What a way of keeping a token is called: when it is certain, and when it may be.
_KEPT = {
    Delivery.SUB_PATH: "SubPathUnsure",
    Delivery.SUB_PATH_EXPR: "SubPathExpr",
    Delivery.INIT_COPY: "InitCopy",
    Delivery.DRIVER: "CsiDriver",
}


def _judge_kept(
    source: TokenSource, around: Surroundings, lifetime: timedelta, renewed_by: datetime | None
) -> HolderVerdict:
    """Return the verdict about a token that stays as it was taken; ``renewed_by`` None when files may not be rewritten."""
    last, first, started = around.window.last, around.window.first, source.started
    if started and renewed_by and started > renewed_by:
        return HolderVerdict(verdict=Verdict.RENEWED, reason="TakenLater", until=renewed_by)
    taken_by = min(m for m in (source.taken, last) if m)
    if around.now >= taken_by + lifetime:
        ended = taken_by + lifetime
        return HolderVerdict(verdict=Verdict.NO_TOKEN, reason="Expired", until=ended, expires=ended)
    ends = _end(taken_by, lifetime)
    if source.delivery is Delivery.SUB_PATH and started and first and started < first:
        verdict = Verdict.OLD_UNTIL if ends else Verdict.OLD_UNTIL_RESTARTED
        return HolderVerdict(verdict=verdict, reason="SubPath", until=ends, expires=ends)
    return HolderVerdict(verdict=Verdict.UNKNOWN, reason=_KEPT[source.delivery], until=ends, expires=ends)


#: For so many seconds it is waited for nodes that are not Ready, when nothing else is left to wait for.
NODE_PATIENCE = 600.0


def judge_files(verdicts: Sequence[HolderVerdict], silent_for: float) -> Judgement:
    """Return DONE when no pod is left that is only waiting for its kubelet to rewrite a file.

    ``silent_for`` is for how many seconds none was left but those on nodes that are not Ready, which may stay so.
    """
    waiting = [v for v in verdicts if v.reason in ("FileRenews", "NodeNotReady", "SwitchUnknown")]
    if any(v.reason == "SwitchUnknown" for v in waiting):
        return Judgement(outcome=Outcome.WAITING, message=f"{len(waiting)} pod(s), and {REASONS['SwitchUnknown']}")
    if not waiting:
        return Judgement(outcome=Outcome.DONE, message="all files are rewritten")
    silent = sum(v.reason == "NodeNotReady" for v in waiting)
    if silent == len(waiting):
        is_over = silent_for >= NODE_PATIENCE
        message = f"all files are rewritten, but for those of {silent} pod(s) on nodes that are not Ready"
        return Judgement(outcome=Outcome.DONE if is_over else Outcome.WAITING, reason="NodesNotReady", message=message)
    last = max((v.until for v in waiting if v.until and v.reason == "FileRenews"), default=None)
    told = f"{len(waiting)} pod(s) with files that are to be rewritten"
    told += f", the last one by {format_time(last)}" if last else ""
    told += f", {silent} of them on nodes that are not Ready" if silent else ""
    return Judgement(outcome=Outcome.WAITING, message=told)


def find_window(
    rollout: Mapping[str, Any],
    recorded: Mapping[str, Any] | None,
    issuer: IssuerFacts,
    *,
    since: datetime | None,
    former: Collection[str],
    ready_by: datetime | None = None,
) -> SwitchWindow:
    """Return when the API servers switched, from what the cluster shows now and what a run has recorded.

    ``rollout`` and ``recorded`` have the shapes of kube_apiserver_rollout's and rotation_record's results, ``rollout`` empty
    where the cluster reports none. ``since`` and ``former`` are what the task says itself. ``ready_by`` is when the last of the
    kube-apiservers that run now became Ready, which is after its switch.
    """
    edited_at = max((f.expires - TRUST for f in issuer.former if f.expires), default=None)
    wanted = rollout.get("issuer") or issuer.wanted
    if recorded and (recorded["issuer"] != wanted or _is_outdated(recorded["finished_at"], edited_at)):
        recorded = None
    bounds: dict[str, SwitchTime] = {}
    for node in (*(rollout.get("nodes") or ()), *((recorded or {}).get("nodes") or ())):
        known = bounds.get(node["name"], SwitchTime())
        bounds[node["name"]] = SwitchTime(
            not_before=parse_time(node["switched_not_before"]) or known.not_before,
            not_after=parse_time(node["switched_not_after"]) or known.not_after,
        )
    begun = [s.not_before for s in bounds.values() if s.not_before]
    first = min(begun) if begun and len(begun) == len(bounds) else edited_at
    last = since
    if last is None and rollout.get("complete"):
        last = parse_time((recorded or {}).get("finished_at")) or parse_time(rollout.get("finished_at")) or ready_by
    names = [f.name for f in issuer.former]
    given = [n for n in (*former, (recorded or {}).get("former_issuer")) if n and n not in (*names, wanted)]
    return SwitchWindow(
        issuer=wanted,
        former=(*issuer.former, *(TrustedIssuer(name=n) for n in dict.fromkeys(given))),
        first=first if first and last and first <= last else None,
        last=last,
        servers=bounds,
        # where the operator has not seen the edit yet, the issuer of before is still the active one
        is_over=issuer.active == wanted and not issuer.former,
    )


def _is_outdated(finished_at: str | None, edited_at: datetime | None) -> bool:
    """Tell whether the issuer was changed after the recorded rollout had ended."""
    finished = parse_time(finished_at)
    return bool(finished and edited_at and finished < edited_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideToken:
    """A token that somebody outside the cluster holds; ``expires`` is None where nobody knows."""

    name: str
    expires: datetime | None = None


def read_outside_tokens(entries: Iterable[Mapping[str, Any]]) -> tuple[OutsideToken, ...]:
    """Return the user's own list. Raises InvalidOption for moments that are none."""
    return tuple(
        OutsideToken(
            name=e["name"], expires=read_moment(e.get("expires"), f"Of the outside token {e['name']}, expires")
        )
        for e in entries
    )


def outside_record(token: OutsideToken, window: SwitchWindow, now: datetime) -> dict[str, Any]:
    """Return when an outside token dies: with itself or with the former issuers, whichever is first."""
    ends = [m for m in (token.expires, window.trusted_until) if m]
    dies = min(ends, default=None)
    return {
        "name": token.name,
        "expires": format_time(token.expires),
        "dies": format_time(dies),
        "is_dead": bool(dies and dies <= now),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPod:
    """A pod and the verdict about it, and no more: a large cluster has many."""

    namespace: str
    name: str
    uid: str
    service_account: str
    node: str = ""
    owner: str | None = None
    started_at: datetime | None = None
    legacy: tuple[str, ...] = ()
    found: HolderVerdict

    def record(self) -> dict[str, Any]:
        return {
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "service_account": self.service_account,
            "owner": self.owner,
            "node": self.node or None,
            "started_at": format_time(self.started_at),
            "verdict": self.found.verdict.value,
            "reason": self.found.reason,
            "explanation": REASONS[self.found.reason],
            "source": self.found.source,
            "until": format_time(self.found.until),
            "may_be_cached": self.found.may_be_cached,
        }


def keep_verdict(holder: HolderPod, found: HolderVerdict) -> JudgedPod:
    """Return what is kept of a pod."""
    pod = holder.pod
    return JudgedPod(
        namespace=intern(pod.namespace),
        name=pod.name,
        uid=pod.uid,
        service_account=holder.service_account,
        node=intern(pod.node),
        owner=intern(str(pod.owner)) if pod.owner else None,
        started_at=pod.start_time,
        legacy=holder.legacy,
        found=found,
    )


def count_accounts(pods: Iterable[JudgedPod]) -> list[dict[str, Any]]:
    """Return the verdicts summed up by namespace and service account, those that matter first."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    ends: dict[tuple[str, str], list[datetime | None]] = {}
    for pod in pods:
        key = (pod.namespace, pod.service_account)
        counts.setdefault(key, Counter())[pod.found.verdict.value] += 1
        if pod.found.verdict in BLOCKING:
            ends.setdefault(key, []).append(pod.found.until)
    records = [
        {
            "namespace": namespace,
            "service_account": account,
            "pods": sum(counted.values()),
            "blocking": len(ends.get((namespace, account), ())),
            "until": format_time(find_end(ends.get((namespace, account), ()))),
            "verdicts": {v.value: counted[v.value] for v in Verdict if counted[v.value]},
        }
        for (namespace, account), counted in counts.items()
    ]
    return sorted(records, key=lambda r: (not r["blocking"], r["namespace"], r["service_account"]))


def find_end(ends: Collection[datetime | None]) -> datetime | None:
    """Return the last of these moments; None when there is none, or one is not known."""
    known = [m for m in ends if m]
    return max(known) if known and len(known) == len(ends) else None


def conclude(
    verdicts: Sequence[HolderVerdict],
    window: SwitchWindow,
    *,
    outside: Collection[Mapping[str, Any]] = (),
    strangers: int = 0,
    unsure: int = 0,
    cached: int = 0,
    problems: Sequence[str] = (),
) -> tuple[bool, str]:
    """Return whether the former issuer may go, and the sentence that says so.

    ``strangers`` counts old tokens in use that are no pod's, ``unsure`` those in use that may be old, ``cached`` pods of which
    nobody has watched whether a program keeps an old token; ``problems`` are why what was asked for could not be found out.
    """
    blocking = [v for v in verdicts if v.verdict in BLOCKING]
    if window.is_over:
        left = (
            f"{len(blocking)} pod(s) may still hold its tokens, which are refused"
            if blocking
            else "no pod holds its tokens"
        )
        return True, f"No former issuer is trusted any more; {left}."
    waiting = [t for t in outside if not t["is_dead"]]
    told = []
    if blocking:
        told.append(_tell_pods(blocking))
    elif window.last is None:
        told.append(REASONS["SwitchUnknown"])
    if strangers:
        told.append(f"{strangers} old token(s) in use outside of running pods")
    if unsure:
        told.append(f"{unsure} token(s) in use of which it is unknown whether they are old")
    if waiting:
        told.append(f"{len(waiting)} token(s) on your own list")
    if problems:
        told.append(f"what was asked for can't be told, because {'; '.join(problems)}")
    if not told:
        kept = f"{cached} pod(s) may keep an old token in memory, which verify: use tells"
        return True, f"{_name_former(window)} may go now{f' as far as files tell; {kept}' if cached else ''}."
    return False, f"Not yet: {'; '.join(told)}."


def _name_former(window: SwitchWindow) -> str:
    names = [f.name for f in window.former]
    return f"The old issuers {', '.join(names)}" if len(names) > 1 else " ".join(["The old issuer", *names])


def _tell_pods(blocking: Sequence[HolderVerdict]) -> str:
    """Return "N pods, the last one by T", with those that do not end by themselves counted apart."""
    pods = f"{len(blocking)} pod{'s' if len(blocking) > 1 else ''}"
    endless = [v for v in blocking if v.until is None]
    unknown = [v for v in endless if v.verdict is Verdict.UNKNOWN]
    old = len(endless) - len(unknown)
    parts = [f"{old} of them not before a restart"] if old else []
    if unknown:
        whys = "; ".join(sorted({REASONS[v.reason] for v in unknown}))
        parts.append(f"of {len(unknown)} of them it is unknown ({whys})")
    last = max((v.until for v in blocking if v.until), default=None)
    if last:
        parts.append(f"{'the others' if endless else 'the last one'} by {format_time(last)}")
    return f"{pods}, {', '.join(parts)}"
