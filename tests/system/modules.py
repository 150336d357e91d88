# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module of the collection in this process, as Ansible would, without paying Ansible's start."""

from __future__ import annotations

import importlib
import json
import time
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from types import SimpleNamespace
from unittest.mock import patch

from ansible.module_utils.testing import patch_module_args


@contextmanager
def recorded_looks():
    """Give a list that gets (moment, whether it was the end) for each look of a wait; the moment is its begin."""
    phase = importlib.import_module("ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.rollout")
    looks, begun = [], []
    look, judge = phase.RolloutWatch.look, phase.RolloutWatch.judge

    def recorded_look(self):
        begun.append(time.monotonic())
        return look(self)

    def recorded_judge(self, facts):
        verdict = judge(self, facts)
        looks.append((begun[-1], verdict.outcome.value == "done"))
        return verdict

    with patch.multiple(phase.RolloutWatch, look=recorded_look, judge=recorded_judge):
        yield looks


def run_module(name, *, check_mode=False, **arguments):
    """Return what the module printed: its result, or its failure. Who started this process may end meanwhile."""
    module = importlib.import_module(f"ansible_collections.bound_tokens.openshift.plugins.modules.{name}")
    host = importlib.import_module("ansible_collections.bound_tokens.openshift.plugins.module_utils._module")
    nobody = patch.object(host, "ParentWatch", lambda: SimpleNamespace(require=lambda: None))
    output = StringIO()
    try:
        with nobody, patch_module_args({**arguments, "_ansible_check_mode": check_mode}), redirect_stdout(output):
            module.main()
    except SystemExit:
        pass
    return json.loads(output.getvalue().strip().splitlines()[-1])
