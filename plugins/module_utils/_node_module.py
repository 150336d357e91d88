# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""What the modules that work on nodes share: their options, and the way from them to a NodeRun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._clock import WaitOptions
from ._errors import InvalidOption
from ._module import RUN_ARG_SPEC, UNAUTHORIZED_GRACE, Context, make_run_id
from ._phases.gates import Gatekeeper
from ._phases.nodes import NodeRun, RunChoice
from ._plan.gates import GATE_ARG_SPEC, read_gate_request
from ._plan.nodes import NodeRequest
from ._run import RecordStore

NODE_ARG_SPEC: dict[str, dict[str, Any]] = {
    **RUN_ARG_SPEC,
    "take_over": {"type": "bool", "default": False},
    "delete_options": {
        "type": "dict",
        "options": {
            "force": {"type": "bool", "default": False},
            "ignore_daemonsets": {"type": "bool", "default": True},
            "delete_emptydir_data": {"type": "bool", "default": False},
            "disable_eviction": {"type": "bool", "default": False},
            "delete_after": {"type": "int"},
            "terminate_grace_period": {"type": "int"},
            "wait_timeout": {"type": "int", "default": 1800},
        },
    },
    "allow_disruption": {"type": "bool", "default": False},
    **GATE_ARG_SPEC,
    "wait_sleep": {"type": "int", "default": 1},
}


def check_node_options(params: Mapping[str, Any]) -> None:
    """Raises InvalidOption for options that can't be meant."""
    if params["wait_sleep"] < 1:
        raise InvalidOption("Give a wait_sleep of at least 1 second.")
    read_gate_request(params)


def build_node_run(context: Context, request: NodeRequest, **more: Any) -> NodeRun:
    """Return what does the task's work. ``more`` are NodeRun's own fields."""
    params = context.params
    keeper = Gatekeeper(
        cluster=context.cluster,
        request=read_gate_request(params),
        node_request=request,
        clock=context.clock,
        say=context.progress,
        warn=context.warn,
    )
    return NodeRun(
        cluster=context.cluster,
        request=request,
        keeper=keeper,
        choice=RunChoice(run_id=params["run_id"], new_id=make_run_id(), take_over=params["take_over"]),
        store=RecordStore(cluster=context.cluster, namespace=params["record_namespace"]),
        clock=context.clock,
        acquire=context.acquire,
        options=WaitOptions(timeout=0.0, interval=params["wait_sleep"], unauthorized_grace=UNAUTHORIZED_GRACE),
        say=context.progress,
        **more,
    )
