# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""From connection options to the Kubernetes client's configuration and headers."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, NoReturn

from .._errors import InvalidOption
from .._options import ConnectionOptions
from .._parallel import MAX_DEEDS
from . import libraries
from .words import LIBRARY_NOISE


def build_headers(options: ConnectionOptions) -> dict[str, str]:
    headers = {"User-Agent": "bound_tokens.openshift"}
    if options.username and options.password:
        headers.update(libraries.urllib3.util.make_headers(basic_auth=f"{options.username}:{options.password}"))
    if options.impersonate_user:
        headers["Impersonate-User"] = options.impersonate_user
    for index, group in enumerate(options.impersonate_groups):
        headers[_spelling("Impersonate-Group", index)] = group
    return headers


def _spelling(name: str, index: int) -> str:
    """Return a spelling of a header's name that differs for each index.

    The client keeps headers in a dict, but the API wants this one repeated; servers ignore the case of names.
    """
    letters = (c.swapcase() if index >> position & 1 else c for position, c in enumerate(name))
    return "".join(letters)


def load_configuration(options: ConnectionOptions) -> Any:
    """Return the client's configuration, in kubernetes.core's order: options, kubeconfig, in-cluster, default."""
    configuration = libraries.kubernetes.client.Configuration()
    try:
        if not options.is_self_contained:
            _load_credentials(configuration, options)
    except libraries.yaml.YAMLError:
        _fail_kubeconfig(options, "it is not YAML")
    except (libraries.ConfigException, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        _fail_kubeconfig(options, str(error))
    if options.host:
        configuration.host = options.host
    if options.api_key:
        configuration.api_key = {"authorization": f"Bearer {options.api_key}"}
        configuration.refresh_api_key_hook = None
    given = {
        "verify_ssl": options.validate_certs,
        "ssl_ca_cert": options.ca_cert,
        "cert_file": options.client_cert,
        "key_file": options.client_key,
        "proxy": options.proxy,
        "no_proxy": options.no_proxy,
    }
    for name, value in given.items():
        if value is not None:
            setattr(configuration, name, value)
    if options.proxy_headers:
        configuration.proxy_headers = libraries.urllib3.util.make_headers(**dict[str, Any](options.proxy_headers))
    if configuration.verify_ssl is False:
        libraries.urllib3.disable_warnings(libraries.urllib3.exceptions.InsecureRequestWarning)
    _check_certificates(configuration)
    # The one waiting loop decides what is tried again; a hidden retry underneath would stretch its deadline.
    configuration.retries = False
    # Beyond these, connections would be made anew for each request.
    configuration.connection_pool_maxsize = MAX_DEEDS
    return configuration


def _load_credentials(configuration: Any, options: ConnectionOptions) -> None:
    loaders = libraries.kubernetes.config
    settings: dict[str, Any] = {
        "client_configuration": configuration,
        "persist_config": bool(options.persist_config),
        "context": options.context,
    }
    if isinstance(options.kubeconfig, Mapping):
        loaders.load_kube_config_from_dict(dict(options.kubeconfig), **settings)
    elif options.names_kubeconfig:
        loaders.load_kube_config(config_file=options.kubeconfig, **settings)
    else:
        try:
            loaders.load_incluster_config(client_configuration=configuration)
        except libraries.ConfigException:
            loaders.load_kube_config(**settings)


def _check_certificates(configuration: Any) -> None:
    """Raises InvalidOption for certificate files that can't be used, which no waiting would mend."""
    try:
        tried = f"the CA certificates {configuration.ssl_ca_cert}"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if configuration.ssl_ca_cert:
            context.load_verify_locations(configuration.ssl_ca_cert)
        if configuration.cert_file:
            tried = f"the client certificate {configuration.cert_file} and its key {configuration.key_file}"
            context.load_cert_chain(configuration.cert_file, configuration.key_file or None)
    except (OSError, ValueError) as error:
        raise InvalidOption(
            f"Could not load {tried}: {LIBRARY_NOISE.sub('', str(error))}; "
            "check ca_cert, client_cert and client_key, or those in the kubeconfig."
        ) from None


def _fail_kubeconfig(options: ConnectionOptions, words: str) -> NoReturn:
    where = f" {options.kubeconfig}" if isinstance(options.kubeconfig, str) else ""
    words = " ".join(words.split()).rstrip(".")
    raise InvalidOption(
        f"Could not load the kubeconfig{where}: {words}; "
        "set kubeconfig, K8S_AUTH_KUBECONFIG or KUBECONFIG to a readable one, or give host and api_key."
    ) from None
