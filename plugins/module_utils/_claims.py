# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Reads the claims of a service account token without verifying it and without keeping the token."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from ._errors import InvalidOption


def decode_payload(payload: str) -> dict[str, Any]:
    """Return the claims in ``payload``, the middle part of a JSON Web Token (RFC 7519, base64url without padding).

    Raises InvalidOption, whose message never holds any part of the token.
    """
    text = payload.strip()
    try:
        claims = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise InvalidOption("This is not a JSON Web Token: its payload is not base64url-encoded JSON.")
    return claims


def decode_token(token: str) -> dict[str, Any]:
    """Return the claims of ``token``. The signature is not verified: for showing, never for trusting."""
    parts = token.strip().split(".")
    if len(parts) != 3:
        raise InvalidOption(f"This is not a JSON Web Token: it has {len(parts)} part(s) instead of 3.")
    return decode_payload(parts[1])


def decode_key_id(token: str) -> str | None:
    """Return the ID of the key that signed ``token``, None when it names none. Raises InvalidOption like decode_token."""
    decode_token(token)
    key_id = decode_payload(token.strip().split(".")[0]).get("kid")
    return key_id if isinstance(key_id, str) else None
