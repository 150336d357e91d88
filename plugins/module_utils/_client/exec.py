# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Commands in containers (pods/exec), over a WebSocket."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from . import libraries

#: Bytes that a command in a container may print; what is asked for is one token's claims.
MAX_OUTPUT = 65536

#: Channels of an exec session; the error channel ends with a Status object.
_STDOUT, _STDERR, _ERROR = 1, 2, 3
#: How container runtimes say that an image lacks the program.
_CANNOT_START = ("executable file not found", "no such file or directory", "permission denied")


@dataclass(frozen=True)
class Outcome:
    """How a command in a container ended."""

    is_success: bool
    #: The command itself failed or could not be started; else the cluster did not carry it out.
    is_own_failure: bool
    #: Whether the server said how it ended.
    was_told: bool
    output: str
    words: str


def run_command(
    configuration: Any, headers: Mapping[str, str], path: str, container: str, command: Sequence[str], timeout: float
) -> Outcome:
    """Run ``command`` and return how it ended; ``path`` is the pod's exec subresource, ``timeout`` in seconds.

    Raises ApiException for a refusal, OSError and ValueError for what befalls a connection.
    """
    query = [("command", c) for c in command] + [("container", container), ("stdout", "true"), ("stderr", "true")]
    try:
        session = _open_session(configuration, headers, f"{configuration.host}{path}?{urlencode(query)}", timeout)
        try:
            channels = _read_channels(session, timeout)
        finally:
            session.close()
    except libraries.websocket.WebSocketBadStatusException as error:
        raise _read_refusal(error) from None
    except libraries.websocket.WebSocketException as error:
        raise ConnectionError(str(error)) from None
    status = json.loads(channels.get(_ERROR, "{}"))
    words = channels.get(_STDERR, "").strip() or status.get("message") or "the connection ended before the command"
    return Outcome(
        is_success=status.get("status") == "Success",
        is_own_failure=status.get("reason") == "NonZeroExitCode" or any(sign in words for sign in _CANNOT_START),
        was_told=bool(status),
        output=channels.get(_STDOUT, ""),
        words=words,
    )


def _open_session(configuration: Any, headers: Mapping[str, str], url: str, timeout: float) -> Any:
    """Return an open connection. The Kubernetes client's own one leaves out impersonation and never times out."""
    tls: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE}
    if not configuration.verify_ssl or configuration.assert_hostname is False:
        tls["check_hostname"] = False
    given = {
        "ca_certs": configuration.ssl_ca_cert,
        "certfile": configuration.cert_file,
        "keyfile": configuration.key_file,
        "server_hostname": configuration.tls_server_name,
    }
    tls.update({name: value for name, value in given.items() if value})
    return libraries.websocket.create_connection(
        libraries.get_websocket_url(url),
        timeout=timeout,
        sslopt=tls,
        header=[f"{name}: {value}" for name, value in headers.items()],
        subprotocols=["v4.channel.k8s.io"],
        # A redirect would take the credentials along.
        redirect_limit=0,
        **(
            libraries.websocket_proxycare({}, configuration, url, headers)
            if configuration.proxy or configuration.proxy_headers
            else {}
        ),
    )


def _read_channels(session: Any, seconds: float) -> dict[int, str]:
    """Return the text of each channel of a finished exec session (protocol v4.channel.k8s.io).

    Raises TimeoutError for a command that does not end in time or says too much.
    """
    channels: dict[int, bytes] = {}
    deadline = time.monotonic() + seconds
    while True:
        if time.monotonic() > deadline or sum(map(len, channels.values())) > MAX_OUTPUT:
            raise TimeoutError(f"the command did not end within {seconds:g} s and {MAX_OUTPUT} bytes of output")
        operation, data = session.recv_data()
        if operation == libraries.websocket.ABNF.OPCODE_CLOSE:
            return {channel: text.decode("utf-8", "replace") for channel, text in channels.items()}
        if data:
            channels[data[0]] = channels.get(data[0], b"") + data[1:]


def _read_refusal(error: Any) -> Exception:
    """Return a handshake that the server refused as the ApiException that it would be over HTTP."""
    refusal = libraries.ApiException(status=error.status_code, reason=str(error))
    refusal.body, refusal.headers = (error.resp_body or b"").decode("utf-8", "replace"), error.resp_headers
    return refusal
