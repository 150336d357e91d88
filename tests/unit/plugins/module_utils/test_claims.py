# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims are read as PyJWT, the independent witness, reads them; and no error holds any part of a token."""

from __future__ import annotations

import base64
import json

import jwt
import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._claims import decode_payload, decode_token
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import InvalidOption

KEY = "k" * 64
CLAIMS = {
    "aud": ["vault"],
    "exp": 1790007200,
    "iat": 1790000000,
    "iss": "https://issuer.example.com/cluster-1",
    "kubernetes.io": {"namespace": "demo", "pod": {"name": "nginx", "uid": "6f1c5a52"}},
    "sub": "system:serviceaccount:demo:build-robot",
}


def encode(claims):
    return jwt.encode(claims, KEY, algorithm="HS256")


def read_as_witness(token):
    return jwt.decode(token, options={"verify_signature": False})


#: Texts of every length modulo 3, so that base64 without padding ends in each of its ways, and characters whose
#: encoding holds '-' and '_' instead of '+' and '/'.
@pytest.mark.parametrize("extra", ["", "a", "ab", "abc", "???>>>~~~", "ÿþýüû", "日本語", "\u0000"])
def test_the_claims_are_those_that_the_witness_reads(extra):
    token = encode({**CLAIMS, "extra": extra})
    assert decode_token(token) == read_as_witness(token) == {**CLAIMS, "extra": extra}


def test_both_alphabets_were_tried():
    payloads = [encode({"x": text}).split(".")[1] for text in ("???>>>~~~", "ÿþýüû")]
    assert "_" in "".join(payloads) or "-" in "".join(payloads)


def test_the_signature_is_not_looked_at():
    header, payload, _signature = encode(CLAIMS).split(".")
    assert decode_token(f"{header}.{payload}.") == CLAIMS
    assert decode_token(f"x.{payload}.y") == CLAIMS


def test_space_around_it_is_borne():
    token = encode(CLAIMS)
    assert decode_token(f"\n {token}\n") == CLAIMS
    assert decode_payload(token.split(".")[1] + "\n") == CLAIMS


def b64(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


NO_PAYLOAD = "This is not a JSON Web Token: its payload is not base64url-encoded JSON."


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        ("", "This is not a JSON Web Token: it has 1 part(s) instead of 3."),
        ("s3cr3t", "This is not a JSON Web Token: it has 1 part(s) instead of 3."),
        ("s3cr3t.s3cr3t", "This is not a JSON Web Token: it has 2 part(s) instead of 3."),
        ("a.s3cr3t.b.c.d", "This is not a JSON Web Token: it has 5 part(s) instead of 3."),
        ("a..b", NO_PAYLOAD),
        ("a.s3cr3t.b", NO_PAYLOAD),
        ("a.s3cr3t!.b", NO_PAYLOAD),
        ("a.日本.b", NO_PAYLOAD),
        (f"a.{b64('s3cr3t')}.b", NO_PAYLOAD),
        (f"a.!!!!{b64(json.dumps({'s3cr3t': 1}))}.b", NO_PAYLOAD),
        (f"a.{b64(json.dumps(['s3cr3t']))}.b", NO_PAYLOAD),
        (f"a.{b64('null')}.b", NO_PAYLOAD),
        (f"a.{b64('[' * 100_000)}.b", NO_PAYLOAD),
    ],
)
def test_what_is_no_token_is_said_without_it(token, sentence):
    with pytest.raises(InvalidOption) as caught:
        decode_token(token)
    error = caught.value
    assert error.message == sentence
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    assert "s3cr3t" not in repr(error)


def test_a_verified_token_is_read_the_same():
    token = encode({**CLAIMS, "exp": 4102444800})
    assert jwt.decode(token, KEY, algorithms=["HS256"], audience="vault") == decode_token(token)
