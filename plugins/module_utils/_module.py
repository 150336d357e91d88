# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Where a module meets Ansible: options in, result out, errors as sentences."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values

from ._ancestors import ParentWatch
from ._client.cluster import Cluster
from ._clock import Clock, SystemClock, WaitOptions
from ._errors import ApiError, CollectionError, InvalidOption
from ._guard import Guard, RequestPace
from ._model import Probe, printable
from ._options import AUTH_ARG_SPEC, connection_options, known_secrets

if TYPE_CHECKING:
    # What only tasks of a run need is imported where it is used; the others would pay for it at each start.
    from ._run import Run

#: A token is refused by API servers that do not know its issuer yet or any more. A rollout takes about half of this at most.
UNAUTHORIZED_GRACE = 1800.0

#: How the action plugin says where lines of progress shall go: the path of a file, or PROGRESS_IN_RESULT for beside the
#: result. An environment variable, because an option would be one more for the user to read about and never to set.
PROGRESS_VARIABLE = "BOUND_TOKENS_PROGRESS"
PROGRESS_IN_RESULT = "-"

PROBE_ARG_SPEC: dict[str, dict[str, Any]] = {
    "probe": {"type": "bool", "default": True},
    "probe_service_account": {"type": "str", "default": "default"},
    "probe_namespace": {"type": "str", "default": "default"},
}

RUN_ARG_SPEC: dict[str, dict[str, Any]] = {
    "run_id": {"type": "str"},
    "record_namespace": {"type": "str", "default": "bound-tokens"},
}


def make_run_id() -> str:
    """Return a name for a new run, which nobody else has."""
    return f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def describe_place() -> str:
    """Return the user and the host that this process runs as and on."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}".replace("/", "-")


def probe_of(params: Mapping[str, Any]) -> Probe | None:
    """Return the probe that the task asks for, None when it wants none."""
    if not params["probe"]:
        return None
    return Probe(service_account=params["probe_service_account"], namespace=params["probe_namespace"])


@dataclass(slots=True, kw_only=True)
class ProgressLines:
    """Lines for people, on their way to the action plugin, which shows them: through a file that it reads while the
    module runs, or, where it can't read one, beside the result. Nothing that happens to them disturbs the module."""

    target: str | None
    hide: Callable[[str], str]
    kept: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        line = " ".join(printable(self.hide(line)).split())
        if self.target == PROGRESS_IN_RESULT:
            self.kept.append(line)
        elif self.target:
            try:
                # not created: when the file is gone, so is its reader
                with open(os.open(self.target, os.O_WRONLY | os.O_APPEND), "a", encoding="utf-8") as file:
                    file.write(f"{line}\n")
            except OSError:
                self.target = None

    def record(self) -> dict[str, Any]:
        """Return what goes beside the result."""
        return {"_progress": self.kept} if self.kept else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a module's body works with."""

    params: Mapping[str, Any]
    check_mode: bool
    cluster: Cluster
    clock: Clock
    warn: Callable[[str], None]
    #: Told at once to whoever watches the task; no part of the result.
    progress: Callable[[str], None] = lambda line: None
    #: What stands at the cluster's door; a connection past it; and the run that the task is a part of.
    guard: Guard | None = None
    connect: Callable[[], Cluster] | None = None
    run: Run | None = None

    def wait_options(self) -> WaitOptions:
        """Return the task's wait_timeout and wait_sleep. Raises InvalidOption for those that would be no wait."""
        if self.params["wait_sleep"] < 1 or self.params["wait_timeout"] < 0:
            raise InvalidOption("Give a wait_sleep of at least 1 second and a wait_timeout of at least 0 seconds.")
        return WaitOptions(
            timeout=self.params["wait_timeout"],
            interval=self.params["wait_sleep"],
            unauthorized_grace=UNAUTHORIZED_GRACE,
        )

    def acquire(self, run_id: str) -> None:
        """Return when the lease of the run is held; from now on nothing is changed without it."""
        if self.guard is None or self.connect is None:
            raise AssertionError("only run_module makes contexts that can hold a lease")
        from ._plan.lease import ACQUIRE_SECONDS, Holder
        from ._run_lock import RunLock

        me = Holder(run_id=run_id, where=describe_place(), pid=os.getpid(), nonce=secrets.token_hex(4))
        lock = RunLock(
            cluster=self.connect(),
            namespace=self.params["record_namespace"],
            me=me,
            clock=self.clock,
            require_parent=self.guard.require_parent,
        )
        options = WaitOptions(timeout=ACQUIRE_SECONDS, interval=2.0, unauthorized_grace=UNAUTHORIZED_GRACE)
        self.guard.acquire(lock, options)

    def join_run(self) -> Run:
        """Return the run that the task names, with its lease held."""
        from ._run import RecordStore, Run

        self.acquire(self.params["run_id"])
        store = RecordStore(cluster=self.cluster, namespace=self.params["record_namespace"])
        return Run.resume(store, self.params["run_id"], clock=self.clock, holder=describe_place())


class _Module(AnsibleModule):
    """Hides the secrets that Ansible can't know of, before anything is logged or fails, be it over a mistyped option."""

    def _hide_secrets(self) -> None:
        self.no_log_values.update(known_secrets(getattr(self, "params", None) or {}, os.environ))

    def _log_invocation(self) -> None:
        self._hide_secrets()
        super()._log_invocation()

    def fail_json(self, msg: str, **more: Any) -> NoReturn:
        self._hide_secrets()
        # in this order: a secret is not known any more once a character of it was replaced
        super().fail_json(printable(str(remove_values(msg, self.no_log_values))), **more)
        raise AssertionError("fail_json ends the process")


def run_module(
    body: Callable[[Context], dict[str, Any]],
    *,
    argument_spec: Mapping[str, Any],
    check: Callable[[Mapping[str, Any]], None] = lambda params: None,
    keeps_runs: bool = False,
    **rules: Any,
) -> None:
    """Run ``body`` and end the module with its result, or with the sentence of the error it raised.

    ``check`` looks at the options before anything is sent. A task that names a run works under its lease and notes in its
    record, unless the module ``keeps_runs`` itself. ``rules`` are AnsibleModule's (required_if and its kin).
    Errors that are not a CollectionError are bugs and keep their traceback.
    """
    module = _Module(argument_spec={**AUTH_ARG_SPEC, **argument_spec}, supports_check_mode=True, **rules)
    progress = ProgressLines(
        target=os.environ.get(PROGRESS_VARIABLE),
        hide=lambda line: str(remove_values(line, module.no_log_values)),
    )
    clock = SystemClock()
    guard = Guard(require_parent=ParentWatch().require, keep_pace=RequestPace(clock=clock).keep)
    try:
        check(module.params)
        if module.params.get("run_id"):
            from ._plan.run_record import validate_run_id

            validate_run_id(module.params["run_id"])
        options = connection_options(module.params, os.environ)
        context = Context(
            params=module.params,
            check_mode=module.check_mode,
            cluster=Cluster(options, before_request=guard.before_request),
            clock=clock,
            warn=lambda text: module.warn(printable(progress.hide(text))),
            progress=progress,
            guard=guard,
            connect=lambda: Cluster(options),
        )
        result = _work(body, context, keeps_runs=keeps_runs)
    except CollectionError as error:
        details = {"status": error.status, "reason": error.reason} if isinstance(error, ApiError) else {}
        module.fail_json(msg=error.message, **details, **error.progress, **progress.record())
    else:
        module.exit_json(**result, **progress.record())


def _work(body: Callable[[Context], dict[str, Any]], context: Context, *, keeps_runs: bool) -> dict[str, Any]:
    """Return the result of ``body``. What a part of a run has reached is in the record then, also after a failure."""
    try:
        if keeps_runs or context.check_mode or not context.params.get("run_id"):
            return body(context)
        run = context.join_run()
        try:
            result = body(replace(context, run=run))
        except CollectionError as error:
            with suppress(CollectionError):
                error.progress = run.absorb(error.progress, failed=True)
            raise
        try:
            return run.absorb(result)
        except CollectionError as error:
            error.progress = {**result, **error.progress}
            raise
    finally:
        if context.guard:
            context.guard.release()
