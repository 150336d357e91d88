# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""What servers and libraries say when something goes wrong, in the words that matter to people."""

from __future__ import annotations

import json
import re
from typing import Any

LIBRARY_NOISE = re.compile(r"^.*\[(Errno|SSL:)[^\]]*\] |^.*>: | \(_ssl\.c:\d+\)\s*$|['\"]\)+$", re.DOTALL)


def find_server_words(error: Any) -> tuple[str, str]:
    """Return the message and the reason of the Status object in an error's body, or the body's own text."""
    body = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else (error.body or "")
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        message, reason, details = status.get("message"), status.get("reason"), status.get("details")
        causes = details.get("causes") if isinstance(details, dict) else None
        causes = [c for c in causes if isinstance(c, dict)] if isinstance(causes, list) else []
        budgets = [str(c.get("message") or "") for c in causes if c.get("reason") == "DisruptionBudget"]
        return " ".join([str(message or reason or error.reason), *budgets]), reason if isinstance(reason, str) else ""
    return body[:300].strip() or str(error.reason), ""


def read_retry_after(error: Any) -> float | None:
    try:
        return float((error.headers or {})["Retry-After"])
    except (KeyError, ValueError):
        return None


def find_connection_words(error: Exception) -> str:
    """Return the innermost reason of a connection failure, as the operating system or TLS words it."""
    reason = getattr(error, "reason", None)
    text = str(reason if reason is not None and not isinstance(error, OSError) else error)
    # Around the words stand the library's object ("<...>: "), the error number and the line of the C source.
    words = LIBRARY_NOISE.sub("", text)
    return words[:-1] if words.endswith(")") and "(" not in words else words
