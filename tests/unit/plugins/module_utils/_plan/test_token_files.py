# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of token files, with a real shell in a folder of this machine, and what it proves."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._holder_model import (
    Delivery,
    HolderPod,
    TokenSource,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import PodFacts, TrustedIssuer
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.holders import (
    REASONS,
    HolderVerdict,
    JudgedPod,
    Surroundings,
    SwitchWindow,
    Verdict,
    judge_holder,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.token_files import (
    SCRIPT,
    FileProof,
    FilesUnreadable,
    NodeFiles,
    TokenFile,
    choose_nodes,
    find_unread,
    parse_files,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.token_uses import judge_use

NEW, OLD = "https://new.example.com", "https://old.example.com"
UID = "0f2c1f0e-5a4e-4c5e-8f5e-0d6f4b1f3f55"
SHELLS = [["sh"], *([["busybox", "sh"]] if shutil.which("busybox") else [])]


def encode(content):
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def payload(issuer=NEW, issued=0, expires=3607):
    return encode({"iss": issuer, "iat": issued, "exp": expires, "sub": "system:serviceaccount:shop:web"})


def token(claims=None, signature="c2lnbmF0dXJl"):
    return f"{encode({'alg': 'RS256', 'kid': 'key-1'})}.{claims or payload()}.{signature}"


def write(folder, volume, files, pod=UID):
    """A projected volume as a kubelet writes it."""
    home = folder / pod / "volumes/kubernetes.io~projected" / volume
    data = home / "..2026_11_22_08_00_00.1"
    data.mkdir(parents=True)
    (home / "..data").symlink_to(data.name)
    for path, content in files.items():
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).write_text(content)
        first = path.partition("/")[0]
        if not (home / first).is_symlink():
            (home / first).symlink_to(f"..data/{first}")
    return home


def run(folder, shell=("sh",), most=8_000_000):
    command = [*shell, "-ec", SCRIPT, "token-files", str(folder), str(most)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_every_token_file_is_told_and_nothing_else(tmp_path, shell):
    write(tmp_path, "kube-api-access-x2x7k", {"token": token(), "ca.crt": "-----BEGIN\nA.B.C\n", "namespace": "shop"})
    home = write(tmp_path, "tokens", {"deep/er/token": token(payload(OLD)), ".hidden": token(), "a b": token()})
    old = home / "..2026_11_22_07_00_00.1"
    old.mkdir()
    (old / "token").write_text(token())
    secrets = {
        "line": token() + "\n",
        "two": "a.b.c",
        "words": "eyJ.eyJ has words.c",
        "four": token() + ".d",
        "encrypted": token() + ".d.e",
        "two-parts": token().rpartition(".")[0],
        "large": token(signature="c" * 30_000),
        "empty": "",
        "line-in-it": token().replace(".", ".\n", 1),
    }
    (write(tmp_path, "secrets", secrets) / "..data/link").symlink_to(home / "..data/a b")
    write(tmp_path, "other", {"token": token()}, pod="b" * 32)
    (tmp_path / UID / "volumes/kubernetes.io~secret/s").mkdir(parents=True)
    (tmp_path / UID / "volumes/kubernetes.io~secret/s/token").write_text(token())
    done = run(tmp_path, shell)
    assert done.stderr == ""
    assert {place: file.issuer for place, file in parse_files(done.stdout).items()} == {
        (UID, "kube-api-access-x2x7k", "token"): NEW,
        (UID, "tokens", "deep/er/token"): OLD,
        (UID, "tokens", ".hidden"): NEW,
        (UID, "tokens", "a b"): NEW,
        ("b" * 32, "other", "token"): NEW,
    }
    header, _claims, signature = token().split(".")
    assert header not in done.stdout
    assert signature not in done.stdout
    assert "." not in done.stdout


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@pytest.mark.parametrize(
    "path",
    [
        f"x\n{UID} tokens 746f6b656e {payload(OLD)}\nend 1",
        "x\nmore 0",
        "whole",
        "x\nwhole\n",
        "x\nagain\n",
        "$(touch evil)",
        "`touch evil`",
        "'; touch evil; '",
        '"; touch evil; "',
        "-exec",
        "a/..data/b",
        "a/..b",
        "\\n %s *",
        "tökén ☃",
        " ",
    ],
)
def test_a_name_is_only_a_name(tmp_path, shell, path):
    write(tmp_path, "tokens", {path: token(), "token": token()})
    files = parse_files(run(tmp_path, shell).stdout)
    assert set(files) == {(UID, "tokens", path), (UID, "tokens", "token")}
    assert {f.issuer for f in files.values()} == {NEW}
    assert not [name for _folder, _folders, names in os.walk(tmp_path) for name in names if name == "evil"]


def test_a_file_that_is_gone_leaves_no_line(tmp_path):
    """What find has found may be gone when it is to be read; the line before must not be told again under its name."""
    write(tmp_path, "tokens", {"token": token()})
    folder = f"{UID}/volumes/kubernetes.io~projected/tokens/..data"
    find = f'find() {{ while [ "$1" != -exec ]; do shift; done; "$2" "$3" "$4" "$5" {folder}/token {folder}/gone; }}\n'
    command = ["sh", "-ec", find + SCRIPT, "token-files", str(tmp_path), "1000000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(parse_files(done.stdout)) == {(UID, "tokens", "token")}


#: What stands for find in the script: it shows the first of two files to what reads them, and goes on as a test wants.
HALF = """find() {{
  echo once >>../calls
  while [ "$1" != -exec ]; do shift; done
  "$2" "$3" "$4" "$5" {folder}/token
  {then}
}}
"""


@pytest.mark.parametrize(
    ("then", "calls", "found"),
    [
        # killed half-way, each time
        ("return 137", 3, None),
        ("return 1", 3, None),
        # a pod went while it was at work, and the first look is not told
        ('[ "$(grep -c once ../calls)" = 2 ]', 2, ["token"]),
        ('[ "$(grep -c once ../calls)" = 1 ] && return 1; "$2" "$3" "$4" "$5" {folder}/other', 2, ["token", "other"]),
    ],
)
def test_a_search_that_has_not_succeeded_proves_nothing(tmp_path, then, calls, found):
    home = tmp_path / "pods"
    write(home, "tokens", {"token": token(), "other": token()})
    folder = f"{UID}/volumes/kubernetes.io~projected/tokens/..data"
    script = HALF.format(folder=folder, then=then.format(folder=folder)) + SCRIPT
    done = subprocess.run(["sh", "-ec", script, "x", str(home), "10000"], capture_output=True, text=True, check=True)
    assert (tmp_path / "calls").read_text().split() == ["once"] * calls
    if found is None:
        assert done.stdout == "cut 0\n"
        with pytest.raises(FilesUnreadable, match="is not whole"):
            parse_files(done.stdout)
    else:
        assert list(parse_files(done.stdout)) == [(UID, "tokens", path) for path in found]


def test_what_reads_the_files_may_be_killed(tmp_path):
    write(tmp_path, "tokens", {"token": token()})
    script = SCRIPT.replace("exit 0'", "kill -9 $$'")
    done = subprocess.run(
        ["sh", "-ec", script, "x", str(tmp_path), "10000"], capture_output=True, text=True, check=True
    )
    assert (script == SCRIPT, done.stdout) == (False, "cut 0\n")


def test_many_files_are_all_told(tmp_path):
    for number in range(30):
        write(tmp_path, "t", {"token": token(), "b" * 200: token()}, pod=f"pod-{number}")
    assert len(parse_files(run(tmp_path).stdout)) == 60


def test_what_is_printed_has_a_limit(tmp_path):
    for number in range(20):
        write(tmp_path, "t", {"token": token()}, pod=f"pod-{number}")
    output = run(tmp_path, most=1000).stdout
    assert len(output) < 1020
    with pytest.raises(FilesUnreadable, match="its token files have more than 8 MB"):
        parse_files(output)


def test_a_node_without_tokens(tmp_path):
    assert run(tmp_path).stdout == "end 0\n"
    assert parse_files("end 0\n") == {}
    with pytest.raises(subprocess.CalledProcessError):
        run(tmp_path / "missing")


LINE = f"{UID} tokens 746f6b656e {payload()}"


@pytest.mark.parametrize(
    "output",
    [
        "",
        LINE,
        f"{LINE}\nend 2",
        f"{LINE}\n{LINE}\nend 1",
        f"end 1\n{LINE}",
        f"{LINE} x\nend 1",
        f"{UID} tokens 7 {payload()}\nend 1",
        "what a shell says\nend 1",
    ],
)
def test_what_is_not_whole_is_not_taken(output):
    with pytest.raises(FilesUnreadable, match="is not whole"):
        parse_files(output)


@pytest.mark.parametrize(
    "claims",
    [
        "eyJ",
        encode([1]),
        encode({"iss": NEW, "iat": 1}),
        encode({"iss": 1, "iat": 1, "exp": 2}),
        encode({"iss": NEW, "iat": "x", "exp": 2}),
        encode({"iss": NEW, "iat": 1, "exp": 10**30}),
    ],
)
def test_what_is_no_token_is_left_out(claims):
    assert parse_files(f"{UID} tokens 746f6b656e {claims}\nend 1") == {}


def at(hour, minute=0, day=22):
    return datetime(2026, 11, day, hour, minute, tzinfo=timezone.utc)


EARLY, LAST = at(6), at(8)
BY = LAST + timedelta(seconds=0.8 * 3600, minutes=2)
WINDOW = SwitchWindow(issuer=NEW, former=(TrustedIssuer(name=OLD),), first=at(7, 50), last=LAST)
PLACE = ("tokens", "token")


def source(delivery=Delivery.FILE, started=EARLY, seconds=3600, **more):
    return TokenSource(delivery=delivery, started=started, seconds=seconds, **{"place": PLACE, **more})


def judge(now, files, *sources, started=EARLY, nodes=("n0",), ready=EARLY):
    pod = PodFacts(namespace="shop", name="web", uid=UID, node="n0", phase="Running", start_time=started)
    around = Surroundings(window=WINDOW, now=now, ready_since={"n0": ready})
    found = {(UID, *place): f for place, f in files.items()}
    proof = FileProof(issuer=NEW, now=now, files=dict.fromkeys(nodes, found))
    found = judge_holder(HolderPod(pod=pod, sources=sources or (source(),)), around, proof.judge)
    assert found.reason in REASONS
    return found


def told(found):
    return found.verdict, found.reason, found.source, found.until


def held(issuer, issued, hours=1.0):
    return {PLACE: TokenFile(issuer=issuer, issued=issued, expires=issued + timedelta(hours=hours))}


YEAR = 365 * 24.0


@pytest.mark.parametrize(
    ("now", "files", "wanted"),
    [
        # the specification leaves open what the file shows
        (at(8, 30), held(NEW, at(8, 20)), (Verdict.RENEWED, "FileShowsNew", "files", at(8, 20))),
        (at(8, 30), held(OLD, at(7, 59)), (Verdict.FILE_RENEWS, "FileShowsOld", "files", BY)),
        # it expires before the kubelet must have rewritten it
        (at(8, 30), held(OLD, at(7, 45)), (Verdict.FILE_RENEWS, "FileShowsOld", "files", at(8, 45))),
        # it was rewritten twice
        (at(9, 30), held(NEW, at(9, 20)), (Verdict.RENEWED, "FileShowsNew", "files", BY)),
        # the kubelet has failed to
        (at(9), held(OLD, at(7, 59), hours=2), (Verdict.OLD_UNTIL, "FileContradictsSpec", "files", at(9, 59))),
        (
            at(9),
            held(OLD, at(7, 59), hours=YEAR),
            (Verdict.OLD_UNTIL_RESTARTED, "FileContradictsSpec", "files", None),
        ),
        (at(9), held(OLD, at(7, 59)), (Verdict.NO_TOKEN, "Expired", "files", at(8, 59))),
        (at(9), {}, (Verdict.UNKNOWN, "FileMissing", "files", at(9))),
    ],
)
def test_what_a_file_proves(now, files, wanted):
    assert told(judge(now, files)) == wanted


def test_whose_token_is_not_the_new_issuers_is_an_old_one_whoever_it_is():
    found = judge(at(8, 30), held("https://older.example.com", at(7, 59)))
    assert (found.verdict, found.reason) == (Verdict.FILE_RENEWS, "FileShowsOld")


def test_a_pod_that_started_since():
    since = (Verdict.RENEWED, "StartedAfter", "spec", None)
    assert told(judge(at(9), held(NEW, at(8, 20)), started=at(8, 10))) == since
    # it had none yet when the files were read
    assert told(judge(at(9), {}, started=at(8, 10))) == since
    found = judge(at(9), held(OLD, at(8, 20)), started=at(8, 10))
    assert told(found) == (Verdict.OLD_UNTIL, "FileContradictsSpec", "files", at(9, 20))


def test_a_program_may_have_read_a_file_only_before_it_was_rewritten():
    assert judge(at(8, 30), held(NEW, at(8, 20))).may_be_cached is True
    assert judge(at(8, 30), held(NEW, at(8, 20)), source(started=at(8, 25))).may_be_cached is False
    # by the specification it may have been started before the file was rewritten; the file shows that it was not
    assert judge(at(8, 55), held(NEW, at(8, 20)), source(started=at(8, 25))).may_be_cached is False
    assert judge(at(8, 55), held(NEW, at(8, 20))).may_be_cached is True
    assert judge(at(9), held(NEW, at(8, 55))).may_be_cached is False, "what was read before has expired"


def test_a_file_that_no_container_reads():
    assert told(judge(at(8, 30), {}, source(started=None))) == (Verdict.NO_TOKEN, "NoFile", "files", None)


def test_what_is_not_on_the_nodes_that_were_read_is_as_the_specification_says():
    assert told(judge(at(8, 30), {}, nodes=())) == (Verdict.FILE_RENEWS, "FileRenews", "spec", BY)


@pytest.mark.parametrize("delivery", [d for d in Delivery if d is not Delivery.FILE])
def test_copies_are_not_proven_by_the_file(delivery):
    copied = source(delivery, seconds=14400)
    with_file, without = (judge(at(8, 30), files, copied) for files in (held(NEW, at(8, 20)), {}))
    assert with_file == without
    assert with_file.source == "spec"
    assert with_file.verdict in (Verdict.UNKNOWN, Verdict.OLD_UNTIL)


def test_a_driver_that_is_called_again_has_no_file():
    assert told(judge(at(8, 30), {}, source(place=None)))[:3] == (Verdict.FILE_RENEWS, "FileRenews", "spec")


def test_of_several_tokens_the_worst_counts():
    vault = source(audience="vault", place=("tokens", "vault"))
    files = {
        **held(NEW, at(8, 20)),
        ("tokens", "vault"): TokenFile(issuer=OLD, issued=at(7, 59), expires=at(8, 59)),
    }
    assert judge(at(8, 30), files, source(), vault).reason == "FileShowsOld"
    assert judge(at(8, 30), files, source(Delivery.SUB_PATH, seconds=14400), source()).reason == "SubPath"


def test_a_node_that_is_not_ready_after_all():
    old = judge(at(8, 30), held(OLD, at(7, 59)), ready=None)
    assert told(old) == (Verdict.OLD_UNTIL, "FileShowsOld", "files", at(8, 59))
    assert judge(at(8, 30), held(NEW, at(8, 20)), ready=None).verdict is Verdict.RENEWED
    found = judge(at(9, 30), held(OLD, at(7, 59), hours=2), ready=None)
    assert told(found) == (Verdict.OLD_UNTIL, "FileContradictsSpec", "files", at(9, 59))


def test_what_the_audit_logs_show_is_held_against_what_the_files_show():
    new = judge(at(8, 50), held(NEW, at(8, 20)), source(started=at(6), seconds=7200))
    assert judge_use(new, at(8, 21), at(8, 50)) == new
    used = judge_use(new, at(8, 45), at(8, 50))
    assert (used.verdict, used.reason, used.source) == (Verdict.OLD_UNTIL, "OldTokenInUse", "use")
    old = judge(at(8, 30), held(OLD, at(7, 59)))
    assert judge_use(old, at(8, 29), at(8, 30)) == replace(old, reason="OldTokenInUse", source="use")


def test_a_proof_is_of_the_nodes_that_were_read():
    file = held(NEW, at(8, 20))[PLACE]
    nodes = [
        NodeFiles(name="a", files={("1", *PLACE): file}),
        NodeFiles(name="b", files={("2", *PLACE): file}),
        NodeFiles(name="c", problem="it is not Ready"),
    ]
    proof = FileProof.of(nodes, issuer=NEW, now=at(9))
    assert {name: set(files) for name, files in proof.files.items()} == {"a": {("1", *PLACE)}, "b": {("2", *PLACE)}}
    assert find_unread(nodes[:2]) == ""
    assert find_unread(nodes) == "the token files of 1 of 3 nodes could not be read (c: it is not Ready)"
    away = [NodeFiles(name=f"n{number}", problem="no") for number in range(5)]
    assert find_unread(away).endswith("(n0: no; n1: no; n2: no; and 2 more)")


def test_what_a_node_prints_tells_nothing_of_the_pods_of_another():
    new, old = held(NEW, at(8, 20))[PLACE], held(OLD, at(7, 59))[PLACE]
    nodes = [NodeFiles(name="n0", files={(UID, *PLACE): old}), NodeFiles(name="n1", files={(UID, *PLACE): new})]
    proof = FileProof.of(nodes, issuer=NEW, now=at(8, 30))
    pod = PodFacts(namespace="shop", name="web", uid=UID, node="n0", phase="Running", start_time=EARLY)
    found = HolderVerdict(verdict=Verdict.FILE_RENEWS, reason="FileRenews", until=BY)
    assert proof.judge(found, source(), pod).reason == "FileShowsOld"
    assert proof.judge(found, source(), replace(pod, node="n2")) == found


def test_only_nodes_with_tokens_are_read():
    def judged(node, verdict):
        found = HolderVerdict(verdict=verdict, reason="x")
        return JudgedPod(namespace="shop", name="web", uid="1", service_account="web", node=node, found=found)

    pods = [judged(v.value, v) for v in Verdict] + [judged("renewed", Verdict.RENEWED), judged("", Verdict.UNKNOWN)]
    assert choose_nodes(pods) == ["file_renews", "old_until", "old_until_restarted", "renewed", "unknown"]
