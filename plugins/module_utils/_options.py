# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change at any time.
"""How to reach the cluster: the options of kubernetes.core, with its names, types, environment and precedence. Pure."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

from ._errors import InvalidOption

ArgumentSpec = dict[str, dict[str, t.Any]]

PROXY_HEADERS_ARG_SPEC: ArgumentSpec = {
    "proxy_basic_auth": {"type": "str", "no_log": True},
    "basic_auth": {"type": "str", "no_log": True},
    "user_agent": {"type": "str"},
}

AUTH_ARG_SPEC: ArgumentSpec = {
    "kubeconfig": {"type": "raw"},
    "context": {"type": "str"},
    "host": {"type": "str"},
    "api_key": {"type": "str", "no_log": True},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "validate_certs": {"type": "bool", "aliases": ["verify_ssl"]},
    "ca_cert": {"type": "path", "aliases": ["ssl_ca_cert"]},
    "client_cert": {"type": "path", "aliases": ["cert_file"]},
    "client_key": {"type": "path", "aliases": ["key_file"]},
    "proxy": {"type": "str"},
    "no_proxy": {"type": "str"},
    "proxy_headers": {"type": "dict", "options": PROXY_HEADERS_ARG_SPEC},
    "persist_config": {"type": "bool"},
    "impersonate_user": {"type": "str"},
    "impersonate_groups": {"type": "list", "elements": "str"},
}

WAIT_ARG_SPEC: ArgumentSpec = {
    "wait": {"type": "bool", "default": False},
    "wait_sleep": {"type": "int", "default": 5},
    "wait_timeout": {"type": "int", "default": 120},
}
"""Defaults of kubernetes.core; a module that waits for something slower overrides them, also in its documentation."""

MIN_LINE = 8
"""A shorter line of a secret is left to be seen: hiding it would hide half of every output."""

_FALSE = frozenset({"0", "false", "no"})
_KUBECONFIG_SECRETS = frozenset(
    {"token", "password", "client-key-data", "access-token", "refresh-token", "id-token", "client-secret"}
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ConnectionOptions:
    """What the task and its environment say about the connection; None and empty mean "not said"."""

    kubeconfig: str | Mapping[str, t.Any] | None = None
    context: str | None = None
    host: str | None = None
    api_key: str | None = None
    username: str | None = None
    password: str | None = None
    validate_certs: bool | None = None
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    proxy: str | None = None
    no_proxy: str | None = None
    proxy_headers: Mapping[str, str] = field(default_factory=dict)
    persist_config: bool | None = None
    impersonate_user: str | None = None
    impersonate_groups: tuple[str, ...] = ()

    @property
    def is_self_contained(self) -> bool:
        """Host and credentials are both given: neither a kubeconfig nor the pod's own account is looked for."""
        credentials = self.api_key or (self.username and self.password) or (self.client_cert and self.client_key)
        return bool(self.host and credentials)

    @property
    def names_kubeconfig(self) -> bool:
        """A kubeconfig or a context in it was asked for: the pod's own account is not looked for."""
        return bool(self.kubeconfig or self.context)

    def secrets(self) -> frozenset[str]:
        """Every value that must not be shown, wherever it came from."""
        found = {self.api_key, self.password, *_url_passwords(self.host), *_url_passwords(self.proxy)}
        found.update(value for name, value in self.proxy_headers.items() if PROXY_HEADERS_ARG_SPEC[name].get("no_log"))
        found.update(_kubeconfig_secrets(self.kubeconfig))
        values = {value for value in found if value}
        # Where a value is shown escaped, only its lines can be recognised.
        return frozenset(values | {line for value in values for line in value.splitlines() if len(line) >= MIN_LINE})

    def __repr__(self) -> str:
        said = [f"{f.name}={self._shown(f.name)}" for f in fields(self) if getattr(self, f.name) not in (None, (), {})]
        return f"{type(self).__name__}({', '.join(said)})"

    def _shown(self, name: str) -> str:
        value = getattr(self, name)
        is_open = not isinstance(value, Mapping) and not AUTH_ARG_SPEC[name].get("no_log")
        is_open = is_open and not any(secret in str(value) for secret in self.secrets())
        return repr(value) if is_open else "***"


def connection_options(params: Mapping[str, t.Any], environ: Mapping[str, str]) -> ConnectionOptions:
    """Each option from the task, else from K8S_AUTH_<OPTION>, else from K8S_AUTH_<ALIAS>.

    The order and the reading of booleans are kubernetes.core's, so that one environment serves both collections; an
    empty variable counts as unset. In `params`, None and a missing name mean the same. Raises InvalidOption, which never
    holds a secret, for values that can't be meant.
    """
    options = ConnectionOptions(**_read(params, environ))
    _check_kubeconfig(options.kubeconfig)
    _check_host(options.host)
    _check_header("api_key", options.api_key)
    return options


def known_secrets(params: Mapping[str, t.Any], environ: Mapping[str, str]) -> frozenset[str]:
    """Every value that must not be shown, also of options that are not valid; never raises.

    A kubeconfig that was given as text instead of a path is a secret as a whole.
    """
    try:
        options = ConnectionOptions(**_read(params, environ))
        secrets = options.secrets()
    except (TypeError, ValueError, AttributeError):
        return frozenset()
    return secrets | {str(options.kubeconfig)} if is_content(options.kubeconfig) else secrets


def is_content(kubeconfig: t.Any) -> bool:
    """Tell whether a text is the content of a kubeconfig instead of its path."""
    return isinstance(kubeconfig, str) and ("\n" in kubeconfig.strip() or kubeconfig.lstrip().startswith("{"))


def _check_kubeconfig(kubeconfig: t.Any) -> None:
    if is_content(kubeconfig):
        raise InvalidOption(
            "The option kubeconfig is the content of a file; give its path, or a dictionary (filter from_yaml)."
        )
    if kubeconfig is not None and not isinstance(kubeconfig, (str, Mapping)):
        raise InvalidOption(
            f"The option kubeconfig is a {type(kubeconfig).__name__}; give the path of a file, or a dictionary."
        )


def _check_host(host: str | None) -> None:
    if host is None:
        return
    try:
        parts = urlsplit(host)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_url = False
    if not is_url:
        raise InvalidOption("The option host is not a URL; give one such as https://api.example.com:6443.")


def _check_header(name: str, value: str | None) -> None:
    if value is not None and not value.isprintable():
        raise InvalidOption(f"The option {name} contains a line break or another character that a header can't carry.")


def _read(params: Mapping[str, t.Any], environ: Mapping[str, str]) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    for name, spec in AUTH_ARG_SPEC.items():
        value = params.get(name)
        if value is None:
            value = _from_environment(name, spec, environ)
        if value is not None:
            found[name] = value
    if "host" in found:
        found["host"] = found["host"].strip().rstrip("/")
    if "api_key" in found:
        # A token that was read from a file usually ends in a line break.
        found["api_key"] = found["api_key"].strip()
    found["impersonate_groups"] = tuple(found.get("impersonate_groups", ()))
    found["proxy_headers"] = {k: v for k, v in found.get("proxy_headers", {}).items() if v is not None}
    return found


def _from_environment(name: str, spec: Mapping[str, t.Any], environ: Mapping[str, str]) -> t.Any:
    if spec["type"] == "dict":
        return {key: value for key in spec["options"] if (value := environ.get(f"K8S_AUTH_{name}_{key}".upper()))}
    for candidate in (name, *spec.get("aliases", ())):
        if text := environ.get(f"K8S_AUTH_{candidate}".upper()):
            return _parse(text, spec["type"])
    return None


def _parse(text: str, kind: str) -> str | bool | list[str]:
    if kind == "bool":
        return text.lower() not in _FALSE
    if kind == "list":
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _url_passwords(url: str | None) -> Iterator[str]:
    try:
        password = urlsplit(url or "").password
    except ValueError:  # not a URL; the client says so when it is used
        password = None
    if password:
        yield password


def _kubeconfig_secrets(node: t.Any, *, is_secret: bool = False) -> Iterator[str]:
    """Values under the known secret names, and what a credential plugin is handed as environment, at any depth."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in ("server", "proxy-url") and isinstance(value, str):
                yield from _url_passwords(value)
            is_plugin_variable = key == "value" and "name" in node
            yield from _kubeconfig_secrets(value, is_secret=key in _KUBECONFIG_SECRETS or is_plugin_variable)
    elif isinstance(node, (list, tuple)):
        for item in node:
            yield from _kubeconfig_secrets(item)
    elif is_secret and isinstance(node, str):
        yield node
