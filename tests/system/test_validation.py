# SPDX-License-Identifier: GPL-3.0-or-later
"""Our verdict on thousands of issuers against the API server's own: accepted here implies accepted there."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import InvalidOption
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.go_url import find_go_url_problem
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.issuer import find_poison, validate_issuer
from lab import cache
from lab.binaries import provide
from lab.errors import LabError
from lab.go import Go
from lab.settings import Settings
from lab.versions import GO_MODULES

HERE = Path(__file__).resolve().parents[1] / "validation"
COUNT = 20_000

SCHEMES = [
    "https://",
    "http://",
    "HTTPS://",
    "https:/",
    "https:",
    "https",
    "1https://",
    ":",
    "",
    "foo:",
    "//",
    "///",
    "*",
]
HOSTS = [
    "x",
    "issuer.example.com",
    "10.0.0.1",
    "[::1]",
    "[fe80::1%25eth0]",
    "[::1",
    "::1",
    "exa mple",
    "-x",
    "",
    "ü.example",
    "a%20b",
]
PORTS = ["", "", "", ":443", ":", ":0", ":99999", ":port", ":1:2"]
PATHS = ["", "/a", "/a/b%20c", "/a.b/~c:@", "", "/", "//", "/%zz", "/a b", "/ü", "/:", "/a,b", "/..", "/[", '/"', "/%"]
TAILS = ["", "", "", "?", "?q=1", "#", "#f", "#%zz", "?%zz", "\n", " ", "\x00", "@", "%", "\u200b", "\x7f"]
USERS = ["", "", "", "u@", "u:p@", "u p@", "@", "%@"]
ALPHABET = "abz09:/?#[]@!$&'()*+,;=%-._~ \\\"<>^`{|}\t\nü\u200b\x7f"


def generate(rng, count):
    """Texts put together from parts, the first ones of which are good; some get characters changed."""
    for number in range(count):
        parts = (SCHEMES, USERS, HOSTS, PORTS, PATHS, TAILS)
        good = (1, 1, 4, 4, 4, 1) if number % 2 else [None] * 6
        text = "".join(rng.choice(choices[:first]) for choices, first in zip(parts, good, strict=True))
        for _change in range(number % 5):
            place = rng.randrange(len(text) + 1)
            text = text[:place] + rng.choice(ALPHABET) + text[place + rng.randrange(2) :]
        yield text


@pytest.fixture(scope="module")
def seed():
    chosen = int(os.environ.get("ISSUER_SEED") or random.SystemRandom().randrange(2**31))
    print(f"ISSUER_SEED={chosen}")
    return chosen


@pytest.fixture(scope="module")
def ask():
    """Asks the pinned module for its complaint about each issuer."""
    caches = Settings.from_environment().cache
    pins = GO_MODULES / "kubernetes"
    files = (HERE / "main.go", HERE / "go.mod", pins / "go.mod", pins / "go.sum")

    def make(target):
        # The lab's pins, so that there is one place for them.
        command = [
            str(go.program),
            "build",
            f"-modfile={pins / 'go.mod'}",
            "-ldflags=-s -w",
            "-o",
            f"{target}/validate",
            ".",
        ]
        environment = {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOFLAGS": "-mod=readonly",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
        }
        done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(done.stderr[-2000:])

    go = Go(caches, print)
    try:
        program = cache.directory(caches / "validation" / cache.digest(*files), make) / "validate"
    except LabError as error:
        pytest.skip(f"the API server's own validation could not be built: {error}")

    def complaints(issuers):
        done = subprocess.run([program], input=json.dumps(issuers), capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return complaints


def is_accepted(issuer, **options):
    try:
        validate_issuer(issuer, **options)
    except InvalidOption:
        return False
    return True


def test_accepted_here_implies_accepted_there(seed, ask):
    issuers = list(generate(random.Random(seed), COUNT))
    complaints = dict(zip(issuers, ask(issuers), strict=True))
    wrong = {i: words for i, words in complaints.items() if words and is_accepted(i, allow_non_url=True)}
    assert wrong == {}
    assert sum(is_accepted(i) for i in complaints) > 100, "too few of the generated issuers are good ones"
    assert len(complaints) / 10 < sum(map(bool, complaints.values())) < len(complaints) * 9 / 10


def test_every_poison_is_found(seed, ask):
    """What a kube-apiserver refuses is poison for us; what we call poison beyond that are values of other flags or releases."""
    issuers = list(generate(random.Random(seed + 1), COUNT))
    complaints = dict(zip(issuers, ask(issuers), strict=True))
    missed = {i: words for i, words in complaints.items() if words and find_poison(i) is None}
    assert missed == {}
    stricter = [i for i, words in complaints.items() if not words and ":" in i and find_go_url_problem(i)]
    assert len(stricter) < len(issuers) / 20, stricter[:20]


VALUES = [
    *("https://issuer.example.com/cluster-1", "https://[::1]:6443", "https://x/a%20b", "not-a-url", "robot@cluster"),
    *(
        "https://exa mple.com",
        "https://[::1",
        "https://host:port",
        ":nope",
        "1https://x",
        " https://x",
        "https://x/%zz",
    ),
    *(
        "foo:bar",
        "http://x",
        "https://",
        "https://host:99999",
        "https://x?q=1",
        "https://x#f",
        "https://x/",
        "http://x y",
    ),
]


def test_the_real_program_agrees():
    """Twenty values at once: it complains about each bad one before it starts anything."""
    settings = Settings.from_environment()
    try:
        program = provide(settings.cache, Go(settings.cache, print), print)["kube-apiserver"].path
    except LabError as error:
        pytest.skip(f"there is no kube-apiserver: {error}")
    flags = [f"--service-account-issuer={issuer}" for issuer in VALUES]
    done = subprocess.run(
        [program, *flags, "--etcd-servers=http://127.0.0.1:1", "--service-cluster-ip-range=10.97.0.0/16"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    words = done.stdout + done.stderr
    quoted = {i: json.dumps(json.dumps(i))[1:-1] for i in VALUES}  # once by the validation, once by the log
    refused = {i for i in VALUES if f"service-account-issuer {quoted[i]} contained a ':' but was not" in words}
    assert len(refused) == 8
    assert {i for i in VALUES if find_poison(i)} == refused
    assert not [i for i in refused if is_accepted(i, allow_non_url=True)]
