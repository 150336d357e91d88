#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: rejected_requests_info
short_description: Tell from the audit logs who is refused with 401 in a loop
version_added: 0.1.0
author: The bound_tokens.openshift contributors (@bound-tokens)
description:
  - Reads the audit logs of all kube-apiservers from a moment on, and tells which clients were refused with 401 (Unauthorized),
    how often, and which of them are in a loop. After a change of the issuer that is who still holds a token of the former one.
  - A client is a source address and a user agent. It is named by its pod when the address is that of a pod, and by its node when
    the address is that of a node, which host-network pods and processes of the node share. Some networks let all pods of a node
    appear with the address of the node.
  - A client is in a loop when it was refused in at least O(loop_minutes) different minutes, never pausing for longer than
    O(loop_pause) minutes, its silence since included, and when it goes on, which is when it has not been silent for longer than
    twice its longest pause, or than 10 minutes. Some refused requests, as of a person with an expired login, are no loop.
  - What happened between the first API server's taking over of the issuer and O(since) is held against nobody, since API servers
    refuse each other's tokens then. When the record of the run tells that time, clients that were refused in the hour
    before it too are told apart, since their failing is none of the change's.
  - What the logs do not show is never taken for nothing. RV(rejected_requests.in_loop) is null and RV(rejected_requests.problems)
    tell why when a log may not be read, does not reach back to O(since) or is not written.
  - The permission to C(get) C(nodes/proxy) is needed. It allows more than reading logs, so give it to administrators only.
    Permission to C(list) pods and nodes lets clients be named.
  - The logs are read from the nodes through the API server, from O(since) on only, which is found by reading small parts.
extends_documentation_fragment:
  - bound_tokens.openshift._auth
  - bound_tokens.openshift._attributes
  - bound_tokens.openshift._attributes.info_module
  - bound_tokens.openshift._attributes.actiongroup_cluster
options:
  since:
    description:
      - The moment from which on refused requests count, in RFC 3339 and by the cluster's clock.
      - Without it, the end of the rollout as the record of the last run has it (M(bound_tokens.openshift.rotation_record)).
    type: str
  issuer:
    description:
      - The issuer to which the recorded run must have changed for its record to be used. Without it, any.
    type: str
  record_namespace:
    description:
      - The namespace in which the record of the run is kept.
    type: str
    default: bound-tokens
  max_bytes:
    description:
      - How much of each API server's log is read at most, the newest part. With units such as V(500M) or V(2G).
      - What is older than that part is unknown.
      - OpenShift keeps up to eleven files of 100 or 200 MB per API server, depending on the release.
    type: bytes
    default: 1G
  loop_minutes:
    description:
      - In how many different minutes a client must have been refused to be in a loop.
    type: int
    default: 10
  loop_pause:
    description:
      - For how many minutes a client may pause without having left its loop.
      - The default lets a job that is started every hour be found.
    type: int
    default: 90
"""

EXAMPLES = r"""
- name: See whether anything has failed in a loop since the rotation
  bound_tokens.openshift.rejected_requests_info:
  register: found

- name: Fail when it has
  ansible.builtin.assert:
    that: found.rejected_requests.in_loop is false
    fail_msg: "{{ found.explanation }}"

- name: Look at the time since a moment, reading at most 200 MB per API server
  bound_tokens.openshift.rejected_requests_info:
    since: "2026-11-22T08:02:31Z"
    max_bytes: 200M
"""

RETURN = r"""
rejected_requests:
  description: What was found.
  returned: success
  type: dict
  contains:
    in_loop:
      description:
        - Whether a client is in a loop that was not refused before the change already; null when that is unknown.
      type: bool
      sample: true
    since:
      description: The moment from which on refused requests count; null when nothing tells it.
      type: str
      sample: "2026-11-22T08:02:31Z"
    until:
      description: The time on the API server's clock when reading began.
      type: str
      sample: "2026-11-23T08:15:00Z"
    clients:
      description: Who was refused, those in a loop first.
      type: list
      elements: dict
      contains:
        source_ip:
          description: The address that the API server saw.
          type: str
          sample: 10.128.2.17
        user_agent:
          description: What the client calls itself.
          type: str
          sample: agent/1.4
        pod:
          description: The pod that has the address, with its RV(ignore:namespace) and RV(ignore:name); null when it is none's.
          type: dict
          sample: {"namespace": "shop", "name": "agent-7d4f9"}
        node:
          description: The node that has the address or runs the pod; null when it is none's.
          type: str
          sample: worker-1
        count:
          description: How many requests were refused.
          type: int
          sample: 2880
        first:
          description: When the first of them was.
          type: str
          sample: "2026-11-22T08:02:45Z"
        last:
          description: When the last of them was.
          type: str
          sample: "2026-11-23T08:14:45Z"
        in_loop:
          description: Whether it is in a loop.
          type: bool
          sample: true
        refused_before:
          description: Whether it was refused in the hour before the change too; false when no record tells when that was.
          type: bool
          sample: false
        example:
          description: The last of the requests, without its query, and where its event is.
          type: dict
          sample:
            verb: get
            path: /api/v1/namespaces/shop/configmaps/agent
            server: master-1
            audit_id: 191a4f0d-494e-489b-a693-319beb6ff73b
    servers:
      description: What was read of each API server.
      type: list
      elements: dict
      contains:
        name:
          description: The node that it runs on.
          type: str
          sample: master-0
        covered_since:
          description: From when on all is known; null when nothing is.
          type: str
          sample: "2026-11-22T08:02:31Z"
        covered_until:
          description: When the last event was; null when there was none.
          type: str
          sample: "2026-11-23T08:15:01Z"
        bytes_read:
          description: How much was read.
          type: int
          sample: 734003200
    problems:
      description: Why something is unknown; none when all is known.
      type: list
      elements: str
      sample: ["the audit log of master-2 reaches back to 2026-11-22T21:40:12Z only"]
explanation:
  description: The same in sentences.
  returned: success
  type: str
  sample: >-
    Nothing is refused with 401 in a loop since 2026-11-22T08:02:31Z, by the audit logs of master-0, master-1, master-2.
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._module import RUN_ARG_SPEC, Context, run_module
from ..module_utils._phases.rejections import RejectionSearch
from ..module_utils._plan.rejections import rejection_request
from ..module_utils._run import RecordStore


def body(context: Context) -> dict[str, Any]:
    return RejectionSearch(
        cluster=context.cluster,
        clock=context.clock,
        request=rejection_request(context.params),
        store=RecordStore(cluster=context.cluster, namespace=context.params["record_namespace"]),
        say=context.progress,
    ).run()


def check(params: Mapping[str, Any]) -> None:
    rejection_request(params)


def main() -> None:
    run_module(
        body,
        argument_spec={
            "since": {"type": "str"},
            "issuer": {"type": "str"},
            "record_namespace": RUN_ARG_SPEC["record_namespace"],
            "max_bytes": {"type": "bytes", "default": "1G"},
            "loop_minutes": {"type": "int", "default": 10},
            "loop_pause": {"type": "int", "default": 90},
        },
        check=check,
    )


if __name__ == "__main__":
    main()
