# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Where a module meets Ansible: options in, result out, errors as sentences."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ._ancestors import ParentWatch
from ._client import Cluster
from ._clock import Clock, SystemClock, WaitOptions
from ._errors import ApiError, CollectionError, InvalidOption
from ._model import Probe
from ._options import AUTH_ARG_SPEC, connection_options, known_secrets

#: A token is refused by API servers that do not know its issuer yet or any more; a rollout takes about this long.
UNAUTHORIZED_GRACE = 1800.0

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a module's body works with."""

    params: Mapping[str, Any]
    check_mode: bool
    cluster: Cluster
    clock: Clock
    warn: Callable[[str], None]

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
    try:
        parent = ParentWatch()
        check(module.params)
        result = body(
            Context(
                params=module.params,
                check_mode=module.check_mode,
                cluster=Cluster(
                    connection_options(module.params, os.environ), before_request=lambda is_deed: parent.require()
                ),
                clock=SystemClock(),
                warn=module.warn,
            )
        )
    except CollectionError as error:
        details = {"status": error.status, "reason": error.reason} if isinstance(error, ApiError) else {}
        module.fail_json(msg=error.message, **details, **error.progress)
    else:
        module.exit_json(**result)
