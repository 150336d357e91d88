# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    # A module that waits for something slower overrides the defaults; it needs to write only the key that differs.
    DOCUMENTATION = r"""
options:
  wait:
    description:
      - Whether to wait until the cluster has done what was asked for.
      - A wait that reaches O(wait_timeout) fails, and its result holds the progress so far.
    type: bool
    default: false
  wait_sleep:
    description:
      - Seconds between two looks at the cluster.
    type: int
    default: 5
  wait_timeout:
    description:
      - Seconds after which the wait fails.
    type: int
    default: 120
"""
