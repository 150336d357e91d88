# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The one file that imports the Kubernetes client and what comes with it. The rest of this room takes it from here, by
attribute, so that a package that is missing is told by require_libraries and not by a traceback."""

from __future__ import annotations

import traceback

from .._errors import CollectionError

__all__ = [
    "ApiException",
    "ConfigException",
    "DynamicApiError",
    "DynamicClient",
    "get_websocket_url",
    "kubernetes",
    "require_libraries",
    "urllib3",
    "websocket",
    "websocket_proxycare",
    "yaml",
]

try:
    import kubernetes
    import urllib3
    import websocket
    import yaml
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.dynamic.exceptions import DynamicApiError
    from kubernetes.stream.ws_client import get_websocket_url, websocket_proxycare
    from openshift.dynamic import DynamicClient
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None


def require_libraries() -> None:
    """Return where all packages are installed. Raises CollectionError that names the missing one and the command."""
    if IMPORT_ERROR:
        missing = IMPORT_ERROR.strip().splitlines()[-1]
        raise CollectionError(
            "The Python packages kubernetes and openshift are needed where this task runs "
            f"({missing}); install them with: pip install kubernetes openshift jmespath"
        )
