# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    # The module says for each of them how far it supports it.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: In check mode, plans as usual, reports the plan as the result, and changes nothing in the cluster.
  diff_mode:
    description: In diff mode, returns the state before and after, in the units of the module's options.
  idempotent:
    description: A second run right after the first one, with the same options, changes nothing.
"""

    # For modules that only read; use together with the standard fragment.
    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module changes nothing in the cluster.
  diff_mode:
    support: N/A
    details:
      - This module changes nothing in the cluster.
  idempotent:
    support: full
    details:
      - This module changes nothing in the cluster.
"""

    ACTIONGROUP_CLUSTER = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/bound_tokens.openshift.cluster) in C(module_defaults) to set options for all modules.
    support: full
    membership:
      - bound_tokens.openshift.cluster
"""
