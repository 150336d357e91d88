# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  run_id:
    description:
      - The run that this task is a part of, as M(bound_tokens.openshift.rotation_record) returned it.
      - The module then works only while it holds the lease of the run, and notes in the run's record how far it has come.
      - Without it there is neither lock nor record. In check mode the record is only read.
    type: str
  record_namespace:
    description:
      - The namespace in which the record of the run and its lease are kept.
      - It is created where it is missing. One that exists must carry the label
        C(app.kubernetes.io/managed-by=bound_tokens.openshift), which only administrators can give it. Whoever may work in that
        namespace can forge what runs keep there.
    type: str
    default: bound-tokens
"""
