# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""What a kubelet serves: files in its node's /var/log, as Go's http.FileServer does (folders as links, files in ranges), and
metrics, as Prometheus reads them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

#: Bytes that are held of a file at a time.
PIECE = 1_048_576
#: Bytes of a metric's line that are looked at: its name and its value are short, the labels of others may be of any length.
LONGEST_START = 4096

_LINK = re.compile(r'<a href="([^"]+)">')
_TOTAL = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")


def find_names(page: bytes) -> list[str]:
    """Return the names of the files that a folder's page links to, without folders."""
    links = (unquote(html.unescape(link)) for link in _LINK.findall(page.decode("utf-8", "replace")))
    return [name for name in links if "/" not in name]


def read_total(answer: Any) -> int:
    """Return how long the whole file is of which the answer brings a part, or all."""
    found = _TOTAL.match(answer.headers.get("Content-Range") or "")
    return int(found[1]) if found else int(answer.headers.get("Content-Length") or 0)


def read_whole(answer: Any) -> Iterator[bytes]:
    """Yield the body, piece by piece as it comes. Raises HTTPError when it ends too early."""
    yield from answer.stream(amt=PIECE, decode_content=False)


def find_metric(pieces: Iterable[bytes], name: str) -> float | None:
    """Return the value of a metric without labels, None where there is no such number. Of a line only the start is kept."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        rest = rest[:LONGEST_START]
        for line in lines:
            if line.startswith(name.encode() + b" "):
                return _read_number(line[len(name) : LONGEST_START].split())
    return None


def _read_number(words: list[bytes]) -> float | None:
    """Return the first of ``words`` as a number, None where it is none."""
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return None
