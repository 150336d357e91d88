# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""What the projected token files on the nodes prove: from what a script prints about them to verdicts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from sys import intern
from typing import Any

from .._claims import decode_payload
from .._errors import CollectionError, InvalidOption
from .._holder_model import Delivery, TokenSource
from .._model import PodFacts
from .holders import EXTENDED_LIFETIME, RENEWED_SINCE, HolderVerdict, JudgedPod, Verdict

#: Where a kubelet keeps the volumes of its pods.
POD_FOLDER = "/var/lib/kubelet/pods"
#: Bytes that the script prints at most. A token's payload has a kilobyte, so this is for thousands on one node.
MAX_OUTPUT = 8_000_000
#: Prints a line for each token file below the folder $1: the pod's UID, the volume, the path in it as hexadecimal digits
#: (users choose it, and it may hold a line break), and the payload. Neither header nor signature leave the script, without
#: which a payload is no credential. The last line says how many there were; without it something is missing. It is printed
#: only after a search that has succeeded: one that was killed fails, and so does one whose pods go meanwhile, which is tried
#: again. A word alone is no line of a file, which has four. A token's file has three parts and no line end; of what else has
#: that form, the payload is printed too and is dropped by who knows the specifications. The variables are emptied because a file
#: that is gone would leave them as they were.
SCRIPT = """\
exec 2>/dev/null
cd "$1" || exit 1
all="*/volumes/kubernetes.io~projected/*/..data/"
for attempt in 1 2 3; do
for first in $all; do break; done
if [ "$first" = "$all" ] || find $all -type f -size -40 -exec /bin/sh -c '
LC_ALL=C
for file do
  header= payload= signature=
  IFS=. read -r header payload signature <"$file" && continue
  case $header.$payload.$signature in eyJ*.eyJ*.?*) ;; *) continue ;; esac
  case $header$payload$signature in *[!A-Za-z0-9_-]*) continue ;; esac
  pod=${file%%/*} volume=${file%%/..data/*} path=${file#*/..data/}
  path=$(printf %s "$path" | od -An -v -tx1 | tr -d " \\n")
  echo "$pod ${volume##*/} $path $payload"
done
exit 0' sh {} +; then echo whole; break; fi
echo again
done | awk -v most="$2" '
$0 == "whole" { whole = 1; exit }
$0 == "again" { size = count = 0; next }
{ size += length($0) + 1; if (size > most) exit; lines[++count] = $0 }
END {
  if (whole) for (number = 1; number <= count; number++) print lines[number]
  print (size > most ? "more" : whole ? "end" : "cut"), count + 0
}'
"""
#: So many of the nodes that could not be read are named in the sentence.
SHOWN_NODES = 3
_LINE = re.compile(r"(\S+) (\S+) ((?:[0-9a-f]{2})+) ([A-Za-z0-9_-]+)")

#: A file: the UID of its pod, the volume, and the path in it.
FilePlace = tuple[str, str, str]


class FilesUnreadable(CollectionError):
    """What a node printed is not whole; the message is the middle of a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFile:
    """The claims of a token in a file."""

    issuer: str
    issued: datetime
    expires: datetime


def parse_files(output: str) -> dict[FilePlace, TokenFile]:
    """Return the token files of a node from what the script has printed. Raises FilesUnreadable unless it is whole.

    What is no token by its payload is left out.
    """
    *lines, end = output.splitlines() or [""]
    if end.startswith("more "):
        raise FilesUnreadable(f"its token files have more than {MAX_OUTPUT / 1e6:.0f} MB")
    matches = [_LINE.fullmatch(line) for line in lines]
    if end != f"end {len(lines)}" or not all(matches):
        raise FilesUnreadable("what was printed there about its token files is not whole")
    found = ((m, _read_claims(m[4])) for m in matches if m)
    return {(m[1], intern(m[2]), bytes.fromhex(m[3]).decode(errors="replace")): file for m, file in found if file}


def _read_claims(payload: str) -> TokenFile | None:
    try:
        claims = decode_payload(payload)
        return TokenFile(
            issuer=intern(claims["iss"]),
            issued=datetime.fromtimestamp(claims["iat"], tz=timezone.utc),
            expires=datetime.fromtimestamp(claims["exp"], tz=timezone.utc),
        )
    except (InvalidOption, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFiles:
    """The token files of one node; ``problem`` is why they could not be read, as the middle of a sentence."""

    name: str
    files: Mapping[FilePlace, TokenFile] = field(default_factory=dict)
    problem: str = ""

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "files": None if self.problem else len(self.files), "problem": self.problem or None}


def choose_nodes(pods: Iterable[JudgedPod]) -> list[str]:
    """Return the nodes with pods that hold tokens which a change of the issuer concerns."""
    return sorted({p.node for p in pods if p.node and p.found.verdict not in (Verdict.NO_TOKEN, Verdict.LEGACY)})


def find_unread(nodes: Sequence[NodeFiles]) -> str:
    """Return which nodes' files could not be read and why, as the middle of a sentence; empty when all were."""
    unread = [n for n in nodes if n.problem]
    if not unread:
        return ""
    shown = "; ".join(f"{n.name}: {n.problem}" for n in unread[:SHOWN_NODES])
    more = f"; and {len(unread) - SHOWN_NODES} more" if len(unread) > SHOWN_NODES else ""
    return f"the token files of {len(unread)} of {len(nodes)} nodes could not be read ({shown}{more})"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProof:
    """The token files of those nodes that could be read, at ``now``, in a cluster whose new tokens have ``issuer``.

    They are kept by node: what is printed on one tells nothing of the pods of another.
    """

    issuer: str
    now: datetime
    files: Mapping[str, Mapping[FilePlace, TokenFile]]

    @classmethod
    def of(cls, nodes: Sequence[NodeFiles], *, issuer: str, now: datetime) -> FileProof:
        """Return what the files of the nodes prove together."""
        return cls(issuer=issuer, now=now, files={n.name: n.files for n in nodes if not n.problem})

    def judge(self, found: HolderVerdict, source: TokenSource, pod: PodFacts) -> HolderVerdict:
        """Return the verdict about one token of a pod, which the specification has given as ``found``.

        Copies of a file are not in it, so about those the specification's verdict stays, as about pods on other nodes.
        """
        files = self.files.get(pod.node)
        if source.place is None or source.delivery is not Delivery.FILE or files is None:
            return found
        file = files.get((pod.uid, *source.place))
        if file is None:
            return _judge_missing(found, source)
        return _judge_new(found, source, file) if file.issuer == self.issuer else _judge_old(found, file, self.now)


def _judge_missing(found: HolderVerdict, source: TokenSource) -> HolderVerdict:
    """Return the verdict where there is no file. A pod that started after the files were read is renewed all the same."""
    if found.reason in RENEWED_SINCE or found.verdict is Verdict.NO_TOKEN:
        return found
    if source.started is None:
        return HolderVerdict(verdict=Verdict.NO_TOKEN, reason="NoFile", source="files")
    return HolderVerdict(
        verdict=Verdict.UNKNOWN, reason="FileMissing", source="files", until=found.expires, expires=found.expires
    )


def _judge_new(found: HolderVerdict, source: TokenSource, file: TokenFile) -> HolderVerdict:
    """Return the verdict about a file with a new token: it was rewritten by when that was issued, if not earlier."""
    if found.reason in RENEWED_SINCE:
        return found
    renewed_by = min(m for m in (file.issued, found.until) if m)
    is_cached = found.verdict is not Verdict.NO_TOKEN and source.started is not None and source.started < renewed_by
    return HolderVerdict(
        verdict=Verdict.RENEWED,
        reason="FileShowsNew",
        source="files",
        until=renewed_by,
        expires=found.expires,
        may_be_cached=is_cached and (found.verdict is not Verdict.RENEWED or found.may_be_cached),
    )


def _judge_old(found: HolderVerdict, file: TokenFile, now: datetime) -> HolderVerdict:
    """Return the verdict about a file with an old token, over when that has expired or the kubelet rewrites it."""
    if file.expires <= now:
        return HolderVerdict(
            verdict=Verdict.NO_TOKEN, reason="Expired", source="files", until=file.expires, expires=file.expires
        )
    # the kubelet is not told of those that live for a year
    expires = file.expires if file.expires - file.issued < EXTENDED_LIFETIME else None
    until, verdict = expires, Verdict.OLD_UNTIL if expires else Verdict.OLD_UNTIL_RESTARTED
    if found.verdict is Verdict.FILE_RENEWS:
        verdict = Verdict.FILE_RENEWS
        until = min(m for m in (found.until, expires) if m)
    is_ruled_out = found.verdict in (Verdict.RENEWED, Verdict.NO_TOKEN)
    reason = "FileContradictsSpec" if is_ruled_out else "FileShowsOld"
    return HolderVerdict(verdict=verdict, reason=reason, source="files", until=until, expires=expires)
