# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Documents and probes outside the cluster."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from .._clock import Clock
from .._errors import CollectionError
from . import libraries
from .words import find_connection_words

#: Of a document outside the cluster; a key set holds some hundred bytes per key.
MAX_DOCUMENT_BYTES = 262_144
MAX_REDIRECTS = 5
#: Of a discovery document and of a key set; API servers answer 406 to who does not name theirs.
DOCUMENT_TYPES = "application/json, application/jwk-set+json"


def fetch_json(url: str, *, ca_cert: str | None, proxy: str | None, timeout: float, clock: Clock) -> Any:
    """Return the JSON document at an https address outside the cluster.

    Nothing of the cluster's is used: no credentials, no headers, no certificates. ``timeout`` bounds the whole, in
    seconds. Raises CollectionError for everything that keeps a relying party from reading it.
    """
    deadline = clock.monotonic() + timeout
    try:
        for _hop in range(MAX_REDIRECTS + 1):
            if urlsplit(url).scheme != "https":
                raise CollectionError(f"{url} is not an https address")
            with _outside_pool(url, ca_cert, proxy) as pool:
                left = max(0.1, deadline - clock.monotonic())
                answer = pool.request(
                    "GET",
                    url,
                    headers={"Accept": f"{DOCUMENT_TYPES}, */*", "User-Agent": "bound_tokens.openshift"},
                    timeout=libraries.urllib3.Timeout(total=left),
                    redirect=False,
                    retries=False,
                    preload_content=False,
                )
                location = answer.get_redirect_location()
                if not location:
                    return json.loads(_read_bounded(answer, url, deadline, clock))
                url = urljoin(url, location)
    except (libraries.urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        words = "it is not JSON" if isinstance(error, ValueError) else find_connection_words(error).rstrip(".")
        raise CollectionError(f"{url} could not be read: {words}") from None
    raise CollectionError(f"{url} is redirected more than {MAX_REDIRECTS} times")


def fetch_status(url: str, *, ca_cert: str | None, validate_certs: bool, timeout: float) -> int:
    """Return the HTTP status with which an address outside the cluster answers; a redirect is an answer, too.

    Nothing of the cluster's is used, and nothing but the answer's head is read. ``timeout`` is in seconds, for the
    connection and for each piece of the head. Raises CollectionError where there is no answer.
    """
    try:
        with _outside_pool(url, ca_cert, None, validate_certs=validate_certs) as pool:
            answer = pool.request(
                "GET",
                url,
                headers={"User-Agent": "bound_tokens.openshift"},
                timeout=libraries.urllib3.Timeout(total=timeout),
                redirect=False,
                retries=False,
                preload_content=False,
            )
            status = int(answer.status)
            answer.close()
            return status
    except (libraries.urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise CollectionError(f"{url} does not answer: {find_connection_words(error).rstrip('.')}") from None


def _outside_pool(url: str, ca_cert: str | None, proxy: str | None, *, validate_certs: bool = True) -> Any:
    """Return a pool without anything of the cluster's. Without ``proxy``, the environment's is used."""
    parts = urlsplit(url)
    proxy = proxy or (None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme))
    tls: dict[str, Any] = {"cert_reqs": "CERT_REQUIRED" if validate_certs else "CERT_NONE"}
    if not validate_certs:
        libraries.urllib3.disable_warnings(libraries.urllib3.exceptions.InsecureRequestWarning)
    if ca_cert:
        tls["ca_certs"] = ca_cert
    return libraries.urllib3.ProxyManager(proxy, **tls) if proxy else libraries.urllib3.PoolManager(**tls)


def _read_bounded(answer: Any, url: str, deadline: float, clock: Clock) -> bytes:
    if answer.status != 200:
        raise CollectionError(f"{url} answers HTTP {answer.status}")
    body = b""
    while True:
        piece = answer.read1(8192)
        if not piece:
            return body
        body += piece
        if len(body) > MAX_DOCUMENT_BYTES:
            raise CollectionError(f"{url} is longer than {MAX_DOCUMENT_BYTES} bytes")
        if clock.monotonic() > deadline:
            raise CollectionError(f"{url} could not be read in time")
