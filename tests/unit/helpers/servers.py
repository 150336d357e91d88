# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import threading
from http.server import ThreadingHTTPServer


class QuietServer(ThreadingHTTPServer):
    """An HTTP server of this process, on a port of its own."""

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)

    def handle_error(self, request, client_address):
        """A client that hangs up has heard enough."""


@contextlib.contextmanager
def serving(server):
    """Within the block the server answers; nothing of it is left afterwards."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
