# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes how long each task took, by its name, to the file that TASK_TIMES names."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_times
type: aggregate
short_description: Times of tasks
description: Writes how long each task took to the file that TASK_TIMES names.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_times"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self.times = {}
        self.begin = 0.0

    def v2_playbook_on_task_start(self, task, is_conditional):
        self.begin = time.monotonic()

    def v2_runner_on_ok(self, result):
        self.times.setdefault(result.task.get_name(), []).append(time.monotonic() - self.begin)

    def v2_playbook_on_stats(self, stats):
        Path(os.environ["TASK_TIMES"]).write_text(json.dumps(self.times))
