# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs of the benchmarks measure in their own process."""

from __future__ import annotations

import contextlib
import resource
from collections import Counter
from collections.abc import Iterator
from unittest.mock import patch

from kubernetes.client.rest import RESTClientObject


@contextlib.contextmanager
def counted_requests() -> Iterator[Counter[str]]:
    """Give the number of requests made within the block, by method; a watch is a method of its own."""
    found: Counter[str] = Counter()
    real = RESTClientObject.request

    def request(self, method, url, **options):
        found["WATCH" if "watch=true" in url else method] += 1
        return real(self, method, url, **options)

    with patch.object(RESTClientObject, "request", request):
        yield found


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
