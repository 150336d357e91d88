# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Would Go's url.Parse take this text? A kube-apiserver that would not does not start. Pure."""

from __future__ import annotations

import ipaddress
import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_USER = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*")
_PORT = re.compile(r"(:[0-9]*)?")
#: What stands for itself in a host: ASCII by Go's shouldEscape, and everything beyond.
_NOT_IN_HOST = re.compile(r"""[^\x80-\U0010ffffA-Za-z0-9!$&'()*+,;=:\[\]<>"._~%-]""")
#: A host may escape the percent sign and what is not ASCII.
_BAD_HOST_ESCAPE = re.compile(r"%(?!25|[89A-Fa-f][0-9A-Fa-f])")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def find_go_url_problem(text: str) -> str | None:
    """Return why url.Parse of some Go release refuses ``text``, None when all take it (net/url/url.go).

    Where releases differ (addresses in brackets, several colons in a host), the strictest one is followed: the next
    update of the cluster may bring it.
    """
    raw, _hash, fragment = text.partition("#")
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in raw):
        return "invalid control character"
    if raw == "*":
        return _find_escape(fragment)
    if raw.startswith(":"):
        return "missing protocol scheme"
    scheme = _SCHEME.match(raw)
    rest = (raw[scheme.end() :] if scheme else raw).partition("?")[0]
    if not rest.startswith("/"):
        if scheme:
            return _find_escape(fragment)
        if ":" in rest.partition("/")[0]:
            return "first path segment contains a colon"
    elif rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        return _find_in_authority(authority) or _find_escape(slash + path) or _find_escape(fragment)
    return _find_escape(rest) or _find_escape(fragment)


def _find_in_authority(authority: str) -> str | None:
    user, at, host = authority.rpartition("@")
    if at and not _USER.fullmatch(user):
        return "invalid user information"
    if "[" in host:
        return _find_in_brackets(host) or _find_escape(user)
    _name, colon, port = host.partition(":")
    if not _PORT.fullmatch(colon + port):
        return "invalid port"
    return _find_in_host(host) or _find_escape(user)


def _find_in_brackets(host: str) -> str | None:
    address, bracket, port = host.rpartition("]")
    if host.rfind("[") or not bracket:
        return "misplaced bracket in host"
    if not _PORT.fullmatch(port):
        return "invalid port"
    address, _percent, zone = address[1:].partition("%25")
    try:
        # Python takes an unescaped zone, Go does not.
        is_address = "%" not in address and ipaddress.ip_address(address).version == 6
    except ValueError:
        is_address = False
    if not is_address:
        return "no IPv6 address in brackets"
    return _find_in_host(zone)


def _find_in_host(host: str) -> str | None:
    if _BAD_HOST_ESCAPE.search(host):
        return "invalid escape in host"
    if _NOT_IN_HOST.search(host):
        return "invalid character in host"
    return None


def _find_escape(text: str) -> str | None:
    return "invalid escape" if _BAD_ESCAPE.search(text) else None
