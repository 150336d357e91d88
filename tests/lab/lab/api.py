# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of the lab's API for the lab itself: plain objects in, plain objects out."""

from __future__ import annotations

import datetime
import json
import ssl
from collections.abc import Iterator
from typing import Any

import urllib3

from .settings import Settings

Object = dict[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC_MERGE = "application/strategic-merge-patch+json"


def timestamp() -> str:
    """This moment as the API writes it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class ApiError(Exception):
    """The API answered, but not with success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Unreachable(Exception):
    """No API server answered."""


class Api:
    """Talks through the balancer on loopback, as the lab's administrator."""

    def __init__(self, settings: Settings, timeout: float = 5.0) -> None:
        tls = ssl.create_default_context(cafile=settings.pki / "ca.crt")
        tls.load_cert_chain(settings.pki / "admin.crt", settings.pki / "admin.key")
        self._url = settings.server_url
        self._pool = urllib3.PoolManager(ssl_context=tls, timeout=timeout, retries=False)

    def request(self, method: str, path: str, body: Object | None = None, content: str = "application/json") -> Object:
        """The answer's object; ApiError for another status than success, Unreachable for none."""
        try:
            answer = self._pool.request(
                method,
                self._url + path,
                body=None if body is None else json.dumps(body).encode(),
                headers={"Content-Type": content, "Accept": "application/json"},
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(str(error)) from error
        if answer.status >= 300:
            raise ApiError(answer.status, _message(answer.data))
        found: Object = json.loads(answer.data)
        return found

    def watch(self, path: str, seconds: int = 300) -> Iterator[tuple[str, Object]]:
        """Types and objects of a watch's events, until the server ends it; the path has a query with `resourceVersion`."""
        url = f"{self._url}{path}&watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}"
        patience = urllib3.Timeout(connect=5, read=seconds + 5)
        try:
            answer = self._pool.request("GET", url, preload_content=False, timeout=patience)
            if answer.status >= 300:
                raise ApiError(answer.status, _message(answer.read()))
            for line in answer:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ApiError(event["object"].get("code", 500), event["object"].get("message", ""))
                yield event["type"], event["object"]
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise Unreachable(str(error)) from error

    def ready(self) -> bool:
        """An API server that calls itself ready answered."""
        try:
            return self._pool.request("GET", f"{self._url}/readyz").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def get(self, path: str) -> Object:
        return self.request("GET", path)

    def items(self, path: str) -> list[Object]:
        found: list[Object] = self.get(path)["items"]
        return found

    def create_missing(self, path: str, body: Object) -> bool:
        """The object exists; True if it did not before."""
        try:
            self.request("POST", path, body)
        except ApiError as error:
            if error.status == 409:
                return False
            raise
        return True

    def apply(self, path: str, body: Object) -> Object:
        """Server-side apply under the lab's name."""
        return self.request("PATCH", f"{path}?fieldManager=lab&force=true", body, APPLY)

    def merge(self, path: str, body: Object) -> Object:
        return self.request("PATCH", path, body, MERGE)


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data.decode(errors="replace")[:200]
