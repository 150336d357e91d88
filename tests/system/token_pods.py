# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods with every kind of projected token, and what is read in their containers."""

from __future__ import annotations

import contextlib
from pathlib import Path

import jwt

IMAGE = "lab.local/shell:1"
AUTOMATIC = "/var/run/secrets/kubernetes.io/serviceaccount/token"
WORK = {"name": "work", "mountPath": "/work"}
WHOLE = {"name": "tokens", "mountPath": "/tokens"}
#: Where each pod's program finds its token.
PATHS = {
    "automatic": AUTOMATIC,
    "short": "/tokens/token",
    "hour": "/tokens/token",
    "several": "/tokens/vault",
    "sub-path": "/token",
    "sub-path-hour": "/token",
    "init-copy": "/work/token",
    "odd": "/tokens/a b\nend 1",
    "days": "/tokens/token",
    "reads-once": AUTOMATIC,
    "reads-again": AUTOMATIC,
}
#: Where the kubelet's file is not what the program reads.
COPIES = ("sub-path", "sub-path-hour", "init-copy")
#: Where each program has what it holds: the one that reads once goes on with what it has read.
HELD = {**PATHS, "reads-once": "/work/kept"}


def container(*mounts, **more):
    return {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "1000000"],
        "volumeMounts": list(mounts),
        **more,
    }


def tokens(*sources):
    return {"name": "tokens", "projected": {"sources": [{"serviceAccountToken": s} for s in sources]}}


def spec(*mounts, volumes=(), init=(), automatic=False, **more):
    """A pod's specification; ``more`` is of its container."""
    return {
        "automountServiceAccountToken": automatic,
        "terminationGracePeriodSeconds": 0,
        "initContainers": list(init),
        "containers": [container(*mounts, **more)],
        "volumes": list(volumes),
    }


def asks_forever(lab, namespace, read_each_time):
    """What a program does that asks an API server every two seconds, with a token that it reads once or each time."""
    read, ask = f"cp {AUTOMATIC} /work/kept", "timeout 5 wget -q -O /dev/null --no-check-certificate"
    url = f"https://{lab.settings.masters[0].address}:6443/api/v1/namespaces/{namespace}/configmaps"
    again = read if read_each_time else ":"
    return [
        "sh",
        "-c",
        f'{read}; while :; do {again}; {ask} --header "Authorization: Bearer $(cat /work/kept)" {url}; sleep 2; done',
    ]


def specs(lab, namespace):
    """The specifications of pods in ``namespace``, of every kind, by the names in PATHS."""
    one = {"name": "tokens", "mountPath": "/token", "subPath": "token"}
    copy = container(WHOLE, WORK, name="copy", command=["cp", "/tokens/token", "/work/token"])
    short, hour = {"path": "token", "expirationSeconds": 600}, {"path": "token", "expirationSeconds": 3600}
    year = {"path": "token", "expirationSeconds": 3607}
    odd = {"path": "a b\nend 1", "expirationSeconds": 7200}
    days = {"path": "token", "expirationSeconds": 30 * 3600}
    vault = {"path": "vault", "audience": "vault", "expirationSeconds": 7200}
    work = {"name": "work", "emptyDir": {}}
    return {
        "automatic": spec(automatic=True),
        "short": spec(WHOLE, volumes=[tokens(short)]),
        "hour": spec(WHOLE, volumes=[tokens(hour)]),
        "several": spec(WHOLE, volumes=[tokens(vault, short)]),
        "odd": spec(WHOLE, volumes=[tokens(odd)]),
        "days": spec(WHOLE, volumes=[tokens(days)]),
        "reads-once": spec(
            WORK, volumes=[work], automatic=True, command=asks_forever(lab, namespace, read_each_time=False)
        ),
        "reads-again": spec(
            WORK, volumes=[work], automatic=True, command=asks_forever(lab, namespace, read_each_time=True)
        ),
        "sub-path": spec(one, volumes=[tokens(year)]),
        "sub-path-hour": spec(one, volumes=[tokens(hour)]),
        "init-copy": spec(WORK, volumes=[tokens(year), work], init=[copy]),
    }


def read_in_pod(uid, path):
    """What is in a file of each container of a pod; one of its processes is that which holds its namespaces."""
    for group in Path("/proc").glob("[0-9]*/cgroup"):
        with contextlib.suppress(OSError):
            if uid in group.read_text():
                yield (group.parent / "root" / path.lstrip("/")).read_text()


def unverified(token):
    return jwt.decode(token, options={"verify_signature": False})


def issuer_in(token):
    return unverified(token)["iss"]
