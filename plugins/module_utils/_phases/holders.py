# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Finding out who still holds a token of a former issuer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from .._client.cluster import Cluster
from .._clock import Clock, WaitOptions, poll, retry
from .._errors import ApiError, CollectionError, InvalidOption
from .._facts import read_discovery_issuer, read_issuer, read_operand_pods
from .._holder_facts import (
    KNOWN_KINDS,
    CustomKind,
    read_config_maps,
    read_custom_resources,
    read_driver_claims,
    read_drivers,
    read_holders,
    read_known_resources,
    read_ready_since,
    read_secrets,
)
from .._holder_model import HolderContext, HolderPod
from .._model import IssuerFacts, Judgement, Outcome, format_time, read_moment
from .._node_facts import read_kubelet_starts
from .._plan.holders import (
    BLOCKING,
    HolderVerdict,
    JudgedPod,
    OutsideToken,
    Prove,
    Surroundings,
    SwitchWindow,
    Verdict,
    choose_doubtful_nodes,
    conclude,
    count_accounts,
    find_window,
    judge_files,
    judge_holder,
    keep_verdict,
    outside_record,
    read_outside_tokens,
    trust_spec,
)
from .._plan.issuer_traces import Trace, TraceSearch
from .._plan.node_record import find_restarted
from .._plan.rollout import find_ready_by
from .._plan.token_files import FileProof, NodeFiles, choose_nodes, find_unread
from .._plan.token_uses import UseVerdict, apply_uses, count_unsure, find_watched_since
from .._run import RecordStore
from .rollout import look_at_rollout
from .token_files import FileSearch
from .token_uses import UseSearch

ReadT = TypeVar("ReadT")
#: With what pods were judged, the rollout, and the pods.
Seen = tuple[Surroundings, Mapping[str, Any], Sequence[JudgedPod]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderRequest:
    """What a task asks for; ``verify`` holds spec, files and use, the others are as in SwitchWindow, the searches and the
    options. ``only_plans`` in check mode, where no pod is made on a node."""

    verify: tuple[str, ...] = ("spec",)
    image: str = ""
    only_plans: bool = False
    used_since: datetime | None = None
    max_bytes: int = 0
    since: datetime | None = None
    former: tuple[str, ...] = ()
    outside: tuple[OutsideToken, ...] = ()
    custom_kinds: tuple[CustomKind, ...] = ()
    all_pods: bool = False


def holder_request(params: Mapping[str, Any], *, check_mode: bool = False) -> HolderRequest:
    """Return the request that the options make. Raises InvalidOption for those that can't be meant."""
    if params["max_bytes"] < 1:
        raise InvalidOption(f"The option max_bytes is {params['max_bytes']}; give at least 1.")
    return HolderRequest(
        verify=tuple(params["verify"]),
        image=params["image"] or "",
        only_plans=check_mode,
        since=read_moment(params["since"], "The option since"),
        used_since=read_moment(params["used_since"], "The option used_since"),
        max_bytes=params["max_bytes"],
        former=tuple(params["former_issuers"]),
        outside=read_outside_tokens(params["outside_tokens"]),
        custom_kinds=tuple(CustomKind(**k) for k in params["custom_resources"]),
        all_pods=params["all_pods"],
    )


@dataclass(slots=True, kw_only=True)
class HolderAudit:
    """One audit. ``problems`` are what could not be looked at, each as the middle of a sentence; ``gaps`` are those of them
    without which no verdict about a pod is certain."""

    cluster: Cluster
    clock: Clock
    request: HolderRequest
    store: RecordStore
    say: Callable[[str], None] = lambda line: None
    problems: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    legacy: Mapping[tuple[str, str], str] = field(default_factory=dict)
    traces: list[Trace] = field(default_factory=list)
    used: UseVerdict = field(default_factory=UseVerdict)
    #: How long to wait for files; None for not at all.
    options: WaitOptions | None = None
    seen: Seen = field(init=False)
    told: str = ""
    is_waiting: bool = False
    #: Since when only nodes that are not Ready were waited for (monotonic).
    silent_since: float | None = None
    servers: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[NodeFiles] = field(default_factory=list)

    def run(self) -> dict[str, Any]:
        """Return the module's result. Raises WaitTimedOut with it when files are waited for in vain."""
        search = self._prepare_files() if "files" in self.request.verify else None
        self._judge_all()
        if self.options is not None and self._judge_files(self.seen).outcome is Outcome.WAITING:
            self.is_waiting = True
            try:
                poll(
                    self._judge_all,
                    self._judge_files,
                    waiting_for="the kubelets to rewrite the files with tokens",
                    options=self.options,
                    clock=self.clock,
                )
            except CollectionError as error:
                error.progress = self._describe(*self.seen)
                raise
            self.is_waiting = False
            self._judge_all()
        self.say(f"{len(self.seen[2])} pods judged by their specifications")
        if search:
            self._apply_files(search)
        around, rollout, pods = self.seen
        if "use" in self.request.verify:
            pods = self._apply_uses(around, pods)
        return self._describe(around, rollout, pods)

    def _judge_all(self, prove: Prove = trust_spec) -> Seen:
        """Return what the specifications of all pods tell now, each as ``prove`` finds it."""
        self.problems, self.gaps = [], []
        around, rollout = self._look()
        context, search = self._read_surroundings(around.window)
        pods = self._judge_pods(around, context, search, prove)
        starts = read_kubelet_starts(self.cluster, choose_doubtful_nodes(pods, around))
        if any(around.window.last and start > around.window.last for start in starts.values()):
            around = replace(around, kubelets=starts)
            pods = self._judge_pods(around, context, search, prove)
        self.seen = around, rollout, pods
        return self.seen

    def _judge_files(self, seen: Seen) -> Judgement:
        """Return DONE when no file is left that only its kubelet is to rewrite; tells each time that fewer are."""
        _around, _rollout, pods = seen
        now = self.clock.monotonic()
        verdict = judge_files(
            [p.found for p in pods], now - (self.silent_since if self.silent_since is not None else now)
        )
        is_silent = verdict.reason == "NodesNotReady"
        self.silent_since = (now if self.silent_since is None else self.silent_since) if is_silent else None
        if verdict.outcome is Outcome.WAITING and verdict.message != self.told:
            self.told = verdict.message
            self.say(verdict.message)
        return verdict

    def _look(self) -> tuple[Surroundings, Mapping[str, Any]]:
        """Return the switch times, nodes and the time, and the rollout as it is now (empty where none is reported)."""
        try:
            rollout = look_at_rollout(self.cluster, None, probe=None, clock=self.clock)
            issuer = retry(lambda: read_issuer(self.cluster), clock=self.clock)
        except ApiError as error:
            if not error.is_missing_api:
                raise
            rollout = {}
            active = retry(lambda: read_discovery_issuer(self.cluster), clock=self.clock)
            issuer = IssuerFacts(spec_issuer=active or "", trusted=None)
        now = retry(self.cluster.server_time, clock=self.clock)
        if now is None:
            raise CollectionError(f"{self.cluster.host} does not tell the time, by which tokens are judged.")
        record = self._read("the record of the last run", self.store.read)
        nodes = self._read("the record of node restarts", self.store.read_nodes)
        servers = self._read("the kube-apiservers' pods", lambda: read_operand_pods(self.cluster)) or []
        window = find_window(
            rollout,
            record.shown() if record else None,
            issuer,
            since=self.request.since,
            former=self.request.former,
            ready_by=find_ready_by(servers),
        )
        around = Surroundings(
            window=window,
            now=now,
            ready_since=self._read("whether nodes are Ready", lambda: read_ready_since(self.cluster), leaves_gap=True),
            restarted=find_restarted(nodes, nodes.run_id if nodes else None),
        )
        return around, rollout

    def _read_surroundings(self, window: SwitchWindow) -> tuple[HolderContext, TraceSearch]:
        """Return what pods are judged with; keeps the Secrets with legacy tokens and what is to be changed by hand."""
        cluster, own = self.cluster, (self.store.namespace,)
        search = TraceSearch([f.name for f in window.former if f.name != window.issuer])
        drivers = self._read("CSI drivers", lambda: read_drivers(cluster), leaves_gap=True) or {}
        volumes = partial(read_driver_claims, cluster, drivers)
        claims = self._read("volumes of CSI drivers", volumes, leaves_gap=True) or {}
        if self.is_waiting:  # for files, of which these tell nothing
            return HolderContext(drivers=drivers, claims=claims, legacy=self.legacy.keys()), search
        self.legacy, traces = self._read("Secrets", lambda: read_secrets(cluster, search, own)) or ({}, [])
        self.traces = [t for name, driver in drivers.items() for t in search.in_driver(name, driver)] + traces
        self.traces += self._read("ConfigMaps", lambda: read_config_maps(cluster, search, own)) or []
        for kind in self.request.custom_kinds:
            self.traces += self._read(kind.kind, partial(read_custom_resources, cluster, search, kind)) or []
        for name in KNOWN_KINDS if search.former else ():
            try:
                self.traces += read_known_resources(cluster, search, name)
            except ApiError as error:  # nobody has asked for it, and whoever keeps the kind may be away
                self.problems.append(f"{name} could not be read: {error.words}")
        return HolderContext(drivers=drivers, claims=claims, legacy=self.legacy.keys()), search

    def _read(self, what: str, read: Callable[[], ReadT], *, leaves_gap: bool = False) -> ReadT | None:
        """Return what is read, None where that is not allowed, which is a problem then."""
        try:
            return retry(read, clock=self.clock)
        except ApiError as error:
            if error.status != 403:
                raise
            problem = f"{what} may not be read: {error.words}"
            if leaves_gap:
                self._leave_gap(problem)
            else:
                self.problems.append(problem)
            return None

    def _prepare_files(self) -> FileSearch:
        return FileSearch.prepare(cluster=self.cluster, clock=self.clock, image=self.request.image, say=self.say)

    def _apply_files(self, search: FileSearch) -> None:
        """Judge all pods anew with what the token files on their nodes prove; keeps what was read of each node."""
        around, _rollout, pods = self.seen
        names = choose_nodes(pods)
        if around.window.last is None:
            self._leave_gap("the token files were not read, since it is not known when the last API server switched")
        elif self.request.only_plans:
            made = f"this would make a privileged pod on each of {len(names)} nodes"
            self._leave_gap(f"the token files are not read in check mode: {made}")
        else:
            ready_since = around.ready_since or {}
            self.nodes = search.run({name: ready_since.get(name) for name in names})
            # the pods are listed after the files were read, so that one without a file has started since
            self._judge_all(FileProof.of(self.nodes, issuer=around.window.issuer, now=around.now).judge)
            unread = find_unread(self.nodes)
            if unread:
                self._leave_gap(unread)

    def _leave_gap(self, problem: str) -> None:
        self.problems.append(problem)
        self.gaps.append(problem)

    def _judge_pods(
        self, around: Surroundings, context: HolderContext, search: TraceSearch, prove: Prove
    ) -> list[JudgedPod]:
        verdicts: dict[HolderVerdict, HolderVerdict] = {}
        traces: dict[Trace, None] = {}

        def keep(holder: HolderPod) -> JudgedPod:
            found = judge_holder(holder, around, prove)
            traces.update(dict.fromkeys(search.in_pod(holder)))
            return keep_verdict(holder, verdicts.setdefault(found, found))

        pods = retry(lambda: read_holders(self.cluster, context, keep), clock=self.clock)
        self.traces = list(dict.fromkeys([*self.traces, *traces]))
        return pods

    def _apply_uses(self, around: Surroundings, pods: Sequence[JudgedPod]) -> list[JudgedPod]:
        """Return the pods with what the audit logs tell of them; keeps the uses and what was read."""
        search = UseSearch(
            cluster=self.cluster,
            clock=self.clock,
            window=around.window,
            now=around.now,
            used_since=self.request.used_since,
            max_bytes=self.request.max_bytes,
            say=self.say,
        )
        self.used, self.servers = search.run()
        return list(apply_uses(pods, self.used.uses, around.now))

    def _describe(self, around: Surroundings, rollout: Mapping[str, Any], pods: Sequence[JudgedPod]) -> dict[str, Any]:
        window = around.window
        # of the others it is told that they are to be waited for
        cached = [p.found for p in pods if p.found.may_be_cached and p.found.verdict not in BLOCKING]
        watched = self._find_watched(cached, around)
        gaps = [*self.gaps, *self.used.problems]
        outside = [outside_record(t, window, around.now) for t in self.request.outside]
        may_go, sentence = conclude(
            [p.found for p in pods],
            window,
            outside=outside,
            strangers=sum(bool(is_old) and not use.pod_uid for use, is_old in self.used.uses),
            # where the logs leave something open, all may be old, and that is told already
            unsure=0 if self.used.problems else count_unsure(pods, self.used.uses, around.now),
            cached=len(cached) - len(watched),
            problems=gaps,
        )
        counts = Counter(p.found.verdict for p in pods)
        shown = [p for p in pods if self.request.all_pods or p.found.verdict in BLOCKING]
        using = Counter((p.namespace, name) for p in pods for name in p.legacy)
        return {
            "changed": False,
            "token_holders": {
                "may_go": may_go,
                "may_be_cached": len(cached) - len(watched),
                "issuer": window.issuer,
                "former": [f.record() for f in window.former],
                "switched_not_before": format_time(window.first),
                "switched_not_after": format_time(window.last),
                "read_at": format_time(around.now),
                "verify": list(self.request.verify),
                "counts": {v.value: counts[v] for v in Verdict},
                "service_accounts": count_accounts(pods),
                "pods": [p.record() for p in sorted(shown, key=lambda p: (p.namespace, p.name))],
                "legacy": [
                    {"namespace": n, "name": name, "service_account": account, "pods": using[n, name]}
                    for (n, name), account in sorted(self.legacy.items())
                ],
                "manual": [
                    t.record(window.issuer, window.trusted_until)
                    for t in sorted(set(self.traces), key=lambda t: (t.kind, t.namespace, t.name, t.where, t.issuer))
                ],
                "outside": outside,
                "used": [use.record(is_old) for use, is_old in self.used.uses],
                "servers": self.servers,
                "nodes": [n.record() for n in self.nodes],
                "problems": [*self.problems, *self.used.problems],
                "gaps": gaps,
            },
            "explanation": " ".join(
                [sentence, *self._tell_more(window, rollout, self._tell_cached(len(cached), watched, around.now))]
            ),
        }

    def _find_watched(self, cached: Sequence[HolderVerdict], around: Surroundings) -> list[datetime]:
        """Return from when on the audit logs show what programs keep, for each of these pods of which they can."""
        last = around.window.last
        if last is None or "use" not in self.request.verify or self.used.problems:
            return []
        since = max(last, self.request.used_since or last)
        return [begins for found in cached if (begins := find_watched_since(found, since, around.now))]

    def _tell_more(self, window: SwitchWindow, rollout: Mapping[str, Any], cached: str) -> list[str]:
        """Return what the sentence leaves open."""
        told = []
        if window.last is None and not window.is_over:
            why = rollout.get("explanation") if rollout and not rollout["complete"] else None
            told.append(
                f"The rollout of the kube-apiservers is not finished: {why}"
                if why
                else "When the last API server switched is not known any more; set since to that moment."
            )
        if not window.is_over:
            told.append(cached)
        if self.traces:
            told.append(f"{len(self.traces)} places are to be changed by hand.")
        end = f": they die at {format_time(window.trusted_until)} at the latest" if window.trusted_until else ""
        told.append(f"Tokens that were given to people and systems outside can't be listed{end}.")
        return [t for t in told if t]

    def _tell_cached(self, cached: int, watched: Sequence[datetime], now: datetime) -> str:
        """Return what is known of programs that may have read their files only before those were rewritten.

        ``cached`` counts their pods; of those, ``watched`` has from when on the audit logs show what they keep.
        """
        runs = "pods something runs since before the file was rewritten; "
        told, unwatched = [], cached - len(watched)
        is_read = "use" in self.request.verify and not self.used.problems
        if is_read:
            names = ", ".join(s["name"] for s in self.servers)
            told.append(
                f"The audit logs of {names} know of requests to these API servers only, of no use of tokens elsewhere, nor "
                "of what OpenShift does not log, such as Events."
            )
        if watched:
            begins, ends = format_time(max(watched)), format_time(now)
            told.append(
                f"In {len(watched)} {runs}of them the logs show no use of an old token from {begins} to {ends}."
            )
        if unwatched:
            told.append(
                f"In {unwatched} {runs}the audit logs can't show yet whether it has read the file again."
                if is_read
                else f"In {unwatched} {runs}whether it has read the file again is not in a specification."
            )
        return " ".join(told)
