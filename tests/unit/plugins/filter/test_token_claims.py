# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import jwt
import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.bound_tokens.openshift.plugins.filter.token_claims import FilterModule, token_claims

CLAIMS = {"iss": "https://issuer.example.com", "aud": ["vault"], "exp": 1790007200}
TOKEN = jwt.encode(CLAIMS, "k" * 64, algorithm="HS256")


def test_it_returns_the_claims_that_the_witness_reads():
    assert token_claims(TOKEN) == jwt.decode(TOKEN, options={"verify_signature": False}) == CLAIMS


def test_it_has_its_name():
    assert FilterModule().filters() == {"token_claims": token_claims}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "token_claims needs the token as a string, not NoneType."),
        (["s3cr3t"], "token_claims needs the token as a string, not list."),
        (b"s3cr3t", "token_claims needs the token as a string, not bytes."),
        ("s3cr3t", "This is not a JSON Web Token: it has 1 part(s) instead of 3."),
        ("a.s3cr3t.b", "This is not a JSON Web Token: its payload is not base64url-encoded JSON."),
    ],
)
def test_what_is_no_token_is_said_without_it(value, sentence):
    with pytest.raises(AnsibleFilterError) as caught:
        token_claims(value)
    assert str(caught.value) == sentence
    assert caught.value.__cause__ is None
