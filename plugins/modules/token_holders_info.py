#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: token_holders_info
short_description: Tell who still holds a service account token of a former issuer, and whether that issuer may go
version_added: 0.1.0
author: The bound_tokens.openshift contributors (@bound-tokens)
description:
  - Gives a verdict for every pod of the cluster with its reason and its source, sums them up by service account, and says
    in one sentence whether the former issuer may go.
  - The source V(spec) is what the specifications of the pods tell (the tokens that they mount, for how long those live and how
    they get to programs, when pods and containers started) against the moments at which the API servers switched to the issuer.
  - The source V(files), with O(verify=files), is the claims of every projected token file on every node. They prove what a file
    holds, also where a kubelet has failed to rewrite it. To read them, a privileged pod is made on each node where pods hold
    tokens, several at once, in the namespace C(bound-tokens-node-restart). It sends back nothing but the payloads of tokens,
    which can't be used as tokens, ends after some seconds, and is removed, and so is the namespace. Where a node can't be read,
    RV(token_holders.problems) tells why, and the former issuer may not go. This needs the permissions of a cluster
    administrator; without them the module fails before any pod is made.
  - What a subPath mount keeps, an init container has copied or a CSI driver was given is in no such file. About that the verdict
    stays the one of the specification.
  - A specification can't tell whether a program reads a file again, nor what an init container has copied or a CSI driver
    has done with a token. Then the verdict is V(unknown), or V(renewed) with RV(token_holders.pods[].may_be_cached). A pod that
    started between the switches of the first and the last API server may have got either token. No token is called old by guess.
  - A kubelet that started after the last API server had switched has requested all tokens on its node anew. Where kubelets may
    be asked for that moment (C(get) C(nodes/proxy)), files count as rewritten two minutes after it.
  - The source V(use), with O(verify=use), is the audit logs of the kube-apiservers, which name the ID of every token that is
    issued and of every token that is used. A token in use that no API server has issued since the first switch is an old one,
    also one that a program only has in its memory. That needs all logs back to the first switch and a permission to C(get)
    C(nodes/proxy); otherwise RV(token_holders.problems) tells why it is unknown, and the former issuer may not go.
    That permission allows more than reading logs, so give it to administrators only.
  - OpenShift's audit logs leave out Events and paths such as C(/version) and C(/healthz), so a program that does nothing else
    with its old token is not seen.
  - Lists what is to be changed by hand, that is, token volumes whose audience is the former issuer, Secrets, ConfigMaps and
    other objects that carry its URL or a token of it. No value of a Secret is shown. Looked at are the stores of
    external-secrets, the issuers of cert-manager, C(CredentialsRequest), C(VaultAuth) of Vault's operator,
    C(JWTOIDCAuthEngineConfig) and C(KubernetesAuthEngineConfig) of the Vault config operator, and the objects of
    O(custom_resources).
  - Tokens that were given to people and systems outside the cluster can't be listed. O(outside_tokens) takes your own list.
  - What CSI drivers ask for is taken from their objects as they are now. One that was changed or deleted under running pods may
    have handed out tokens of which nothing tells any more.
  - Needs permission to C(list) pods. Where nodes, CSI drivers, persistent volumes, Secrets or ConfigMaps may not be listed, or
    the namespace of the record and the ConfigMap in it may not be read, RV(token_holders.problems) says so. Without nodes,
    CSI drivers or the persistent volumes of such drivers, no former issuer may go.
extends_documentation_fragment:
  - bound_tokens.openshift._auth
  - bound_tokens.openshift._attributes
  - bound_tokens.openshift._attributes.info_module
  - bound_tokens.openshift._attributes.actiongroup_cluster
attributes:
  check_mode:
    support: partial
    details:
      - With O(verify=files) no pod is made in check mode, so that the verdicts are those of the specifications.
      - Otherwise this module changes nothing in the cluster.
options:
  verify:
    description:
      - By what to look besides the specifications, at which it looks in any case, that is, at the token files on the nodes with
        V(files), and at the audit logs with V(use). Both together prove most.
      - The logs know only of requests to the cluster's own API servers. A token that is used elsewhere, as for Vault or a cloud,
        is not in them.
    type: list
    elements: str
    choices: [spec, files, use]
    default: [spec]
  image:
    description:
      - With O(verify=files), the image of the pods that read the files; it must be on every node and contain C(chroot).
      - Defaults to the one of the machine-config daemon, which every OpenShift node has.
    type: str
  used_since:
    description:
      - With O(verify=use), only uses since this moment count, in RFC 3339. Without it, all since the last API server had
        switched.
    type: str
  max_bytes:
    description:
      - With O(verify=use), how much of each API server's log is read at most, the newest part, with units such as V(500M).
      - The logs must reach back to the switch of the first API server for anything to be known.
    type: bytes
    default: 4G
  wait:
    description:
      - Whether to wait until the kubelets have rewritten every file with a token from before the switch, at 80 % of its lifetime
        or after 24 hours, by the specifications. What keeps its token until a restart is not waited for, and when only nodes
        that are not Ready are left, they are waited for ten minutes.
      - In check mode it is not waited.
    type: bool
    default: false
  wait_timeout:
    description:
      - With O(wait=true), for how many seconds. When the time is up the module fails, with what it knows in its result.
    type: int
    default: 86400
  wait_sleep:
    description:
      - With O(wait=true), seconds between two looks.
    type: int
    default: 60
  since:
    description:
      - The moment at which the last API server had switched to the issuer, in RFC 3339 and by the cluster's clock.
      - Without it, the end of the rollout as the record of the last run (M(bound_tokens.openshift.rotation_record)) or the
        cluster itself tells it. Needed where neither does, as on a cluster without OpenShift's operators.
    type: str
  former_issuers:
    description:
      - Former issuers beside those that the cluster reports as still trusted, and the one in the record of the last run.
    type: list
    elements: str
    default: []
  outside_tokens:
    description:
      - Tokens of a former issuer that you know to be used outside the cluster. The former issuer may not go while one lives.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What you call it.
        type: str
        required: true
      expires:
        description: When it expires, in RFC 3339. Without it, that is not known.
        type: str
  custom_resources:
    description:
      - More kinds of objects in which the former issuer's URL is looked for.
    type: list
    elements: dict
    default: []
    suboptions:
      api_version:
        description: Group and version.
        type: str
        required: true
      kind:
        description: Kind.
        type: str
        required: true
      namespace:
        description: Only those of this namespace.
        type: str
  all_pods:
    description:
      - Whether RV(token_holders.pods) lists every pod, and not only those for which the former issuer is, or may be, still
        needed.
    type: bool
    default: false
  record_namespace:
    description:
      - The namespace in which the record of the run is kept.
    type: str
    default: bound-tokens
"""

EXAMPLES = r"""
- name: See whether the old issuer may go
  bound_tokens.openshift.token_holders_info:
  register: found

- name: Show the sentence
  ansible.builtin.debug:
    msg: "{{ found.explanation }}"

- name: See which old tokens are still in use
  bound_tokens.openshift.token_holders_info:
    verify: use

- name: Wait until no file holds an old token any more
  bound_tokens.openshift.token_holders_info:
    wait: true

- name: Prove it as well as it can be proven
  bound_tokens.openshift.token_holders_info:
    verify: [files, use]

- name: Look at more, and name the tokens that were given away
  bound_tokens.openshift.token_holders_info:
    custom_resources:
      - api_version: tekton.dev/v1
        kind: Pipeline
    outside_tokens:
      - name: build server
        expires: "2026-12-24T18:00:00Z"
"""

RETURN = r"""
token_holders:
  description: What was found.
  returned: success, and when it was waited in vain
  type: dict
  contains:
    may_go:
      description:
        - Whether the former issuer may go, as far as it was looked. What programs keep in their memory is looked at with
          O(verify=use) only, see RV(token_holders.may_be_cached).
      type: bool
      sample: false
    may_be_cached:
      description:
        - How many pods with new tokens may have a program that keeps an old one in its memory, see
          RV(token_holders.pods[].may_be_cached), of which it was not looked whether it does. Those are not counted whose uses of
          tokens were read with O(verify=use) from two minutes after the file was rewritten on, or longer.
      type: int
      sample: 12
    issuer:
      description: The issuer of new tokens.
      type: str
      sample: https://issuer.example.com/cluster-1
    former:
      description: The former issuers, each with the moment at which it stops being trusted; null where that is not reported.
      type: list
      elements: dict
      sample: [{"name": "https://kubernetes.default.svc", "expires": "2026-11-23T07:55:32Z"}]
    switched_not_before:
      description: Before this moment no API server had switched; null where that is not known.
      type: str
      sample: "2026-11-22T07:58:11Z"
    switched_not_after:
      description: The moment at which the last API server had switched; null where that is not known.
      type: str
      sample: "2026-11-22T08:02:31Z"
    read_at:
      description: The time on the API server's clock.
      type: str
      sample: "2026-11-22T08:30:00Z"
    verify:
      description: By what it was looked.
      type: list
      elements: str
      sample: [spec]
    counts:
      description:
        - How many pods have each verdict.
        - With V(old_until_restarted) an old token stays until the pod is restarted, with V(old_until) until a moment.
        - With V(file_renews) the kubelet rewrites the file by a moment, and programs that read it again follow. Until then it
          may hold either token.
        - With V(unknown) it can't be told.
        - With V(renewed) the pod has new tokens. The kubelet of a node that is Ready is taken to have rewritten its files in
          time.
        - With V(legacy) it uses a Secret with a token that no change of the issuer concerns.
        - With V(no_token) it holds no token, or none that is still valid.
      type: dict
      sample:
        {"old_until_restarted": 1, "old_until": 0, "unknown": 2, "file_renews": 40, "renewed": 210, "legacy": 1, "no_token": 35}
    service_accounts:
      description: The verdicts summed up by namespace and service account, those that matter first.
      type: list
      elements: dict
      contains:
        namespace:
          description: Namespace.
          type: str
          sample: shop
        service_account:
          description: Name of the service account.
          type: str
          sample: default
        pods:
          description: How many pods run as it.
          type: int
          sample: 5
        blocking:
          description: For how many of them the former issuer is, or may be, still needed.
          type: int
          sample: 2
        until:
          description: When that is over by itself; null where it is not, where that is not known, and where there is none.
          type: str
          sample: "2026-11-22T08:52:36Z"
        verdicts:
          description: How many pods have each verdict, see RV(token_holders.counts).
          type: dict
          sample: {"file_renews": 2, "renewed": 3}
    pods:
      description: The pods for which the former issuer is, or may be, still needed; with O(all_pods=true) every pod.
      type: list
      elements: dict
      contains:
        namespace:
          description: Namespace of the pod.
          type: str
          sample: shop
        name:
          description: Name of the pod.
          type: str
          sample: web-7d9f8c6b5-x2x7k
        uid:
          description: UID of the pod.
          type: str
          sample: 0f2c1f0e-5a4e-4c5e-8f5e-0d6f4b1f3f55
        service_account:
          description: Service account of the pod.
          type: str
          sample: default
        owner:
          description: Kind and name of its controller; null when it has none.
          type: str
          sample: ReplicaSet/web-7d9f8c6b5
        node:
          description: Its node; null when it has none yet.
          type: str
          sample: worker-0
        started_at:
          description: When it started; null when it has not.
          type: str
          sample: "2026-11-20T17:20:05Z"
        verdict:
          description: The verdict, see RV(token_holders.counts).
          type: str
          sample: old_until_restarted
        reason:
          description: The reason in one word.
          type: str
          sample: SubPath
        explanation:
          description: The reason for people.
          type: str
          sample: a subPath mount keeps the file of when its container started, which was before the first switch
        source:
          description: By what the verdict was reached.
          type: str
          sample: spec
        until:
          description:
            - When that is over by itself; null where it is not, or where that is not known.
            - With V(renewed), by when its files had been rewritten, and with V(no_token), when its tokens had expired or it
              had ended.
          type: str
          sample: "2026-11-22T08:52:36Z"
        may_be_cached:
          description:
            - With V(renewed), whether a program runs since before the file was rewritten and can have a token of before that
              lives longer than the file's.
          type: bool
          sample: false
    legacy:
      description: The Secrets with service account tokens that never change, and how many pods use each.
      type: list
      elements: dict
      sample: [{"namespace": "shop", "name": "builder-token", "service_account": "builder", "pods": 1}]
    manual:
      description: What is to be changed by hand.
      type: list
      elements: dict
      contains:
        kind:
          description: Kind of the object; of a pod, that of its controller.
          type: str
          sample: ConfigMap
        namespace:
          description: Its namespace; null when it has none.
          type: str
          sample: vault
        name:
          description: Its name.
          type: str
          sample: vault-auth
        where:
          description: Where in the object.
          type: str
          sample: data.config.hcl
        what:
          description:
            - V(issuer) for the URL of the former issuer, V(token) for a token of it, V(audience) for a token volume or a CSI
              driver that asks for tokens with it as their audience.
          type: str
          sample: issuer
        issuer:
          description: The former issuer.
          type: str
          sample: https://issuer.example.com/cluster-0
        expires:
          description: When the last of such tokens expires; null for others.
          type: str
          sample: "2026-12-24T18:00:00Z"
        change:
          description: What to change.
          type: str
          sample: >-
            Trust https://issuer.example.com/cluster-1 here as well, and https://issuer.example.com/cluster-0 no more once its
            last token is dead.
    outside:
      description: Your own list, with when each token dies, by itself or with its issuer.
      type: list
      elements: dict
      sample: [{"name": "build server", "expires": "2026-12-24T18:00:00Z", "dies": "2026-11-23T07:55:32Z", "is_dead": false}]
    used:
      description:
        - With O(verify=use), the last use of each token that is not known to be new. Those of no pod are held by somebody else;
          they are left out once the same client was seen with a new token.
      type: list
      elements: dict
      contains:
        token_id:
          description: The ID of the token in the audit logs, which is not secret.
          type: str
          sample: 0d8f2f6e-31f6-4f65-9b53-8b1f3a4d9c11
        namespace:
          description: Namespace of its service account.
          type: str
          sample: shop
        service_account:
          description: Its service account.
          type: str
          sample: default
        pod:
          description: The pod that it is bound to; null when it is bound to none.
          type: str
          sample: web-7d9f8c6b5-x2x7k
        pod_uid:
          description: UID of that pod.
          type: str
          sample: 0f2c1f0e-5a4e-4c5e-8f5e-0d6f4b1f3f55
        node:
          description: The node of that pod.
          type: str
          sample: worker-0
        last:
          description: When it was used last.
          type: str
          sample: "2026-11-22T09:14:45Z"
        source_ip:
          description: From which address.
          type: str
          sample: 10.128.2.17
        user_agent:
          description: What the client calls itself.
          type: str
          sample: agent/1.4
        is_old:
          description: Whether it is an old one; null when that is unknown, for which RV(token_holders.problems) has the reasons.
          type: bool
          sample: true
    servers:
      description: With O(verify=use), what was read of each API server's log.
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
          sample: "2026-11-22T07:58:11Z"
        covered_until:
          description: When the last event was; null when there was none.
          type: str
          sample: "2026-11-22T09:15:01Z"
        bytes_read:
          description: How much was read.
          type: int
          sample: 734003200
    nodes:
      description: With O(verify=files), how many token files were read on each node.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the node.
          type: str
          sample: worker-0
        files:
          description: How many; null when they could not be read.
          type: int
          sample: 117
        problem:
          description: Why they could not be read; null when they were.
          type: str
          sample: it is not Ready
    problems:
      description: What could not be looked at.
      type: list
      elements: str
      sample: ['Secrets may not be read: secrets is forbidden: User "u" cannot list resource "secrets" at the cluster scope']
    gaps:
      description: Those of RV(token_holders.problems) that keep the former issuer from going, since holders may have been missed.
      type: list
      elements: str
      sample: ["the token files of 1 of 3 nodes could not be read (worker-1: it is not Ready)"]
explanation:
  description: The same in sentences, the first of which says whether the former issuer may go.
  returned: success, and when it was waited in vain
  type: str
  sample: >-
    Not yet: 43 pods, the last one by 2026-11-22T08:52:36Z. Tokens that were given to people and systems outside can't be
    listed: they die at 2026-11-23T07:55:32Z at the latest.
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._module import RUN_ARG_SPEC, Context, run_module
from ..module_utils._phases.holders import HolderAudit, holder_request
from ..module_utils._run import RecordStore


def body(context: Context) -> dict[str, Any]:
    return HolderAudit(
        cluster=context.cluster,
        clock=context.clock,
        request=holder_request(context.params, check_mode=context.check_mode),
        store=RecordStore(cluster=context.cluster, namespace=context.params["record_namespace"]),
        say=context.progress,
        options=context.wait_options() if context.params["wait"] and not context.check_mode else None,
    ).run()


def check(params: Mapping[str, Any]) -> None:
    holder_request(params)


def main() -> None:
    run_module(
        body,
        argument_spec={
            "verify": {
                "type": "list",
                "elements": "str",
                "choices": ["spec", "files", "use"],
                "default": ["spec"],
            },
            "image": {"type": "str"},
            "used_since": {"type": "str"},
            "max_bytes": {"type": "bytes", "default": "4G"},
            "since": {"type": "str"},
            "former_issuers": {"type": "list", "elements": "str", "default": []},
            "outside_tokens": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "no_log": False,
                "options": {"name": {"type": "str", "required": True}, "expires": {"type": "str"}},
            },
            "custom_resources": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "api_version": {"type": "str", "required": True},
                    "kind": {"type": "str", "required": True},
                    "namespace": {"type": "str"},
                },
            },
            "all_pods": {"type": "bool", "default": False},
            "wait": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 86400},
            "wait_sleep": {"type": "int", "default": 60},
            "record_namespace": RUN_ARG_SPEC["record_namespace"],
        },
        check=check,
    )


if __name__ == "__main__":
    main()
