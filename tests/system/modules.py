# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module of the collection in this process, as Ansible would, without paying Ansible's start."""

from __future__ import annotations

import importlib
import json
from contextlib import redirect_stdout
from io import StringIO

from ansible.module_utils.testing import patch_module_args


def run_module(name, *, check_mode=False, **arguments):
    """Return what the module printed: its result, or its failure."""
    module = importlib.import_module(f"ansible_collections.bound_tokens.openshift.plugins.modules.{name}")
    output = StringIO()
    try:
        with patch_module_args({**arguments, "_ansible_check_mode": check_mode}), redirect_stdout(output):
            module.main()
    except SystemExit:
        pass
    return json.loads(output.getvalue().strip().splitlines()[-1])
