# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The errors a user may see, and the one place that says which of them pass by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: HTTP statuses of an API server that is starting, stopping or overloaded.
TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


class CollectionError(Exception):
    """A failure in the user's world: an option, a permission, a state of the cluster. Never a bug.

    The message is one clear sentence: the object, what was tried, the server's own words, the next step.
    ``progress`` holds what was reached before the failure, in the shape of the module's result.
    """

    def __init__(self, message: str, *, progress: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.progress = dict(progress or {})

    @property
    def clause(self) -> str:
        """The message as the middle of a sentence."""
        return f"{self.message[:1].lower()}{self.message[1:]}".rstrip(".")


class InvalidOption(CollectionError):
    """An option whose value can't be meant; nothing was sent to the cluster."""


class Refused(CollectionError):
    """The cluster's state forbids the deed; nothing was changed by it."""


class WaitFailed(CollectionError):
    """What was waited for can't come any more."""


class WaitTimedOut(CollectionError):
    """What was waited for did not come in time; ``progress`` tells how far it got."""


class CommandFailed(CollectionError):
    """A command in a container could not be started, or ended with an error; ``words`` are its own or the runtime's."""

    def __init__(self, *, target: str, command: str, words: str) -> None:
        self.target = target
        self.command = command
        self.words = " ".join(words.split()).rstrip(".")
        super().__init__(f"The command {command} failed in {target}: {self.words}.")


class ApiError(CollectionError):
    """An API server said no, or did not say anything.

    ``status`` is the HTTP status, 0 where there was no answer. ``words`` are the server's (or the operating
    system's) own. ``retry_after`` is in seconds, as the server asked, or None.
    """

    def __init__(
        self,
        *,
        verb: str,
        target: str,
        host: str,
        status: int,
        words: str,
        reason: str = "",
        certificate: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(describe_api_error(verb, target, host, status, words, certificate=certificate))
        self.verb = verb
        self.target = target
        self.status = status
        self.reason = reason
        self.words = words
        self.certificate = certificate
        self.retry_after = retry_after

    @property
    def is_transient(self) -> bool:
        """True when the same request may succeed later without anybody doing anything.

        A refused or broken connection is normal while kube-apiservers restart. A certificate that does not
        verify is not: it stays wrong until somebody mends it.
        """
        return self.status in TRANSIENT_STATUSES or (self.status == 0 and not self.certificate)

    @property
    def is_unauthorized(self) -> bool:
        """True for 401, which a valid token also meets while API servers of two issuers run side by side."""
        return self.status == 401

    @property
    def is_missing_api(self) -> bool:
        """True when the whole API is missing (no such CRD), not just one object of it."""
        return self.status == 404 and self.reason != "NotFound"


def describe_api_error(verb: str, target: str, host: str, status: int, words: str, *, certificate: bool = False) -> str:
    """Return one sentence: what was tried on which object, what the server said, what to do next."""
    words = " ".join(words.split()).rstrip(".") or "no further words"
    if status == 0 and certificate:
        return (
            f"Could not {verb} {target}: the certificate of {host} did not verify ({words}); "
            "set ca_cert to the cluster's CA bundle."
        )
    if status == 0:
        return (
            f"Could not {verb} {target}: no answer from {host} ({words}); "
            "check the address, the network and the proxy settings."
        )
    if status == 401:
        return (
            f"Could not {verb} {target}: {host} did not accept the credentials ({words}); "
            "check that the token or certificate is right and has not expired."
        )
    if status == 403 and " cannot " not in words:
        return f"Could not {verb} {target}: {words}; admission does not let it in, so change it or ask a cluster administrator."
    if status == 403:
        return f"Could not {verb} {target}: {words}; ask a cluster administrator for this permission."
    if status == 404 and "page not found" in words:
        return (
            f"Could not {verb} {target}: {host} does not serve this API ({words}); "
            "it is part of OpenShift, so check that this is the right cluster."
        )
    if status == 404:
        return f"Could not {verb} {target}: {words}; check the name and the namespace."
    return f"Could not {verb} {target}: {words} (HTTP {status} from {host})."
