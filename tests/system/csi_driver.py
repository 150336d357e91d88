# SPDX-License-Identifier: GPL-3.0-or-later
"""A CSI node driver for a lab's kubelet that writes the tokens it is given into the volume, and remembers them.

It serves in the test's own process, on a socket in the node's directory: enough of CSI 1.x and of the kubelet's plugin
registration for inline volumes. Their few messages are written and read without generated code.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

REGISTRY = "var/lib/kubelet/plugins_registry"
TOKENS = "csi.storage.k8s.io/serviceAccount.tokens"


def text(number, value):
    """A field of a protobuf message with a text of less than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value.encode()


def fields(message):
    """(number, value) of a protobuf message's fields: bytes, or a whole number; CSI has no others."""
    position = 0

    def varint():
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position, value, shift = position + 1, value | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return value

    while position < len(message):
        number, kind = divmod(varint(), 8)
        value = varint()
        if kind == 2:
            position, value = position + value, message[position : position + value]
        yield number, value


class CsiDriver:
    """A driver of this name on a node, from ``start`` to ``stop``; its CSIDriver asks for one token.

    ``received`` are the tokens that it was given, by the pods' UIDs, one after the other, each once.
    """

    def __init__(self, home, node, name):
        self.home, self.node, self.name, self.received = Path(home), node, name, {}
        self.server = grpc.server(ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers([_Methods(self._answers())])
        # by its descriptor, since the path of a socket may have 107 characters only
        self._folder = os.open(self.home / REGISTRY, os.O_DIRECTORY | os.O_PATH)

    def _answers(self):
        return {
            # what it is, its name, and the versions of CSI that it speaks
            "/pluginregistration.Registration/GetInfo": lambda _: (
                text(1, "CSIPlugin") + text(2, self.name) + text(4, "1.0.0")
            ),
            "/pluginregistration.Registration/NotifyRegistrationStatus": lambda _: b"",
            "/csi.v1.Node/NodeGetInfo": lambda _: text(1, self.node),
            "/csi.v1.Node/NodeGetCapabilities": lambda _: b"",
            "/csi.v1.Node/NodePublishVolume": self._publish,
            "/csi.v1.Node/NodeUnpublishVolume": self._unpublish,
        }

    def start(self):
        assert self.server.add_insecure_port(f"unix:/proc/self/fd/{self._folder}/{self.name}.sock")
        self.server.start()

    def stop(self):
        self.server.stop(grace=None).wait()
        with contextlib.suppress(FileNotFoundError):
            (self.home / REGISTRY / f"{self.name}.sock").unlink()
        os.close(self._folder)

    def _publish(self, message):
        found = list(fields(message))
        path = next(value for number, value in found if number == 4).decode()
        context = dict(tuple(value.decode() for _number, value in fields(entry)) for n, entry in found if n == 8)
        ((_audience, given),) = json.loads(context[TOKENS]).items()
        folder = self.home / path.lstrip("/")
        folder.mkdir(exist_ok=True)
        unfinished = folder / ".unfinished"
        unfinished.write_text(given["token"])
        unfinished.rename(folder / "token")
        received = self.received.setdefault(Path(path).parts[5], [])
        if given["token"] not in received:
            received.append(given["token"])
        return b""

    def _unpublish(self, message):
        path = next(value for number, value in fields(message) if number == 2).decode()
        shutil.rmtree(self.home / path.lstrip("/"), ignore_errors=True)
        return b""


class _Methods(grpc.GenericRpcHandler):
    def __init__(self, answers):
        self.answers = answers

    def service(self, details):
        answer = self.answers.get(details.method)
        return answer and grpc.unary_unary_rpc_method_handler(lambda request, _context: answer(request))
