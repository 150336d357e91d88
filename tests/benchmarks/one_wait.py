# SPDX-License-Identifier: GPL-3.0-or-later
"""One rotation and one wait, measured from inside: python one_wait.py watch|poll ISSUER. Prints JSON.

``poll`` is the same wait without the permission to watch, looking each second.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from unittest.mock import patch

from ansible_collections.bound_tokens.openshift.plugins.module_utils._client import cluster as door
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError
from labs import Lab, TrueEnd
from modules import run_module


def main(way: str, issuer: str) -> None:
    lab, requests = Lab(), []
    real = door.DynamicClient.request

    def count(self, method, path, **options):
        requests.append(path)
        return real(self, method, path, **options)

    def refuse(self, kind, name, namespace=None, **options):
        raise ApiError(verb="watch", target=kind, host="", status=403, words="not asked for")

    watch = door.Cluster.watch if way == "watch" else refuse
    lab.set_issuer(issuer)
    with (
        patch.object(door.DynamicClient, "request", count),
        patch.object(door.Cluster, "watch", watch),
        TrueEnd(lab, issuer) as end,
    ):
        begin = time.monotonic()
        interval = {} if way == "watch" else {"wait_sleep": 1}
        result = run_module("kube_apiserver_rollout", kubeconfig=lab.kubeconfig, issuer=issuer, **interval)
        returned = time.monotonic()
    assert result["rollout"]["complete"], result
    print(
        json.dumps(
            {
                "seconds": returned - begin,
                "late": returned - end.moment,
                "requests": len(requests),
                "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
