# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Where a module meets Ansible: options in, result out, errors as sentences."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values

from ._client import Cluster
from ._clock import Clock, SystemClock, WaitOptions
from ._errors import ApiError, CollectionError, InvalidOption
from ._model import Probe
from ._options import AUTH_ARG_SPEC, connection_options, known_secrets

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
        line = " ".join(self.hide(line).split())
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

    def wait_options(self) -> WaitOptions:
        """Return the task's wait_timeout and wait_sleep. Raises InvalidOption for those that would be no wait."""
        if self.params["wait_sleep"] < 1 or self.params["wait_timeout"] < 0:
            raise InvalidOption("Give a wait_sleep of at least 1 second and a wait_timeout of at least 0 seconds.")
        return WaitOptions(
            timeout=self.params["wait_timeout"],
            interval=self.params["wait_sleep"],
            unauthorized_grace=UNAUTHORIZED_GRACE,
        )


class _Module(AnsibleModule):
    """Hides the secrets that Ansible can't know of, before anything is logged or fails, be it over a mistyped option."""

    def _hide_secrets(self) -> None:
        self.no_log_values.update(known_secrets(getattr(self, "params", None) or {}, os.environ))

    def _log_invocation(self) -> None:
        self._hide_secrets()
        super()._log_invocation()

    def fail_json(self, msg: str, **more: Any) -> NoReturn:
        self._hide_secrets()
        super().fail_json(msg, **more)
        raise AssertionError("fail_json ends the process")


def run_module(
    body: Callable[[Context], dict[str, Any]],
    *,
    argument_spec: Mapping[str, Any],
    check: Callable[[Mapping[str, Any]], None] = lambda params: None,
    **rules: Any,
) -> None:
    """Run ``body`` and end the module with its result, or with the sentence of the error it raised.

    ``check`` looks at the options before anything is sent. ``rules`` are AnsibleModule's (required_if and its kin).
    Errors that are not a CollectionError are bugs and keep their traceback.
    """
    module = _Module(argument_spec={**AUTH_ARG_SPEC, **argument_spec}, supports_check_mode=True, **rules)
    progress = ProgressLines(
        target=os.environ.get(PROGRESS_VARIABLE),
        hide=lambda line: str(remove_values(line, module.no_log_values)),
    )
    try:
        check(module.params)
        result = body(
            Context(
                params=module.params,
                check_mode=module.check_mode,
                cluster=Cluster(connection_options(module.params, os.environ)),
                clock=SystemClock(),
                warn=module.warn,
                progress=progress,
            )
        )
    except CollectionError as error:
        details = {"status": error.status, "reason": error.reason} if isinstance(error, ApiError) else {}
        module.fail_json(msg=error.message, **details, **error.progress, **progress.record())
    else:
        module.exit_json(**result, **progress.record())
