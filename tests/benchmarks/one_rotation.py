# SPDX-License-Identifier: GPL-3.0-or-later
"""One rotation, waited for in two ways at once: python one_rotation.py ISSUER. Prints JSON, figures by way.

``watch`` is the module as it is; ``poll`` is the same without the permission to watch, looking each second. Each runs in a
process of its own; a third party asks all the time and sees the true end.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from unittest.mock import patch

from figures import counted_requests, peak_megabytes
from kubernetes.client.exceptions import ApiException
from kubernetes.client.rest import RESTClientObject
from labs import Lab, TrueEnd
from modules import run_module

OPTIONS = {"watch": {}, "poll": {"wait_sleep": 1}}


def rotate(issuer: str) -> dict[str, dict[str, float]]:
    lab = Lab()
    lab.set_issuer(issuer)
    with TrueEnd(lab, issuer) as end:
        command = [sys.executable, __file__, issuer]
        waits = {way: subprocess.Popen([*command, way], stdout=subprocess.PIPE, text=True) for way in OPTIONS}
        found = {way: json.loads(process.communicate()[0].splitlines()[-1]) for way, process in waits.items()}
    for figures in found.values():
        figures["late"] = figures.pop("returned") - end.moment
    return found


@contextlib.contextmanager
def watching_refused() -> Iterator[None]:
    """Play a cluster that does not let the caller watch."""
    real = RESTClientObject.request

    def request(self, method, url, **options):
        if "watch=true" in url:
            raise ApiException(status=403, reason="not asked for")
        return real(self, method, url, **options)

    with patch.object(RESTClientObject, "request", request):
        yield


def wait(issuer: str, way: str) -> dict[str, float]:
    """The figures of one wait; ``returned`` is monotonic, which is the same for all processes of a machine."""
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        requests = stack.enter_context(counted_requests())
        if way == "poll":
            stack.enter_context(watching_refused())
        result = run_module("kube_apiserver_rollout", kubeconfig=Lab().kubeconfig, issuer=issuer, **OPTIONS[way])
    returned = time.monotonic()
    assert result["rollout"]["complete"], result
    return {
        "seconds": returned - begin,
        "returned": returned,
        "requests": requests.total(),
        "megabytes": peak_megabytes(),
    }


if __name__ == "__main__":
    print(json.dumps(wait(*sys.argv[1:]) if sys.argv[2:] else rotate(sys.argv[1])))
