# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
import yaml
from ansible_collections.bound_tokens.openshift.plugins.doc_fragments import _auth, _wait
from ansible_collections.bound_tokens.openshift.plugins.module_utils._options import (
    AUTH_ARG_SPEC,
    WAIT_ARG_SPEC,
    ConnectionOptions,
    connection_options,
)

# kubernetes.core's options (args_common.py and k8s/client.py): option, type, alias, environment in order of precedence.
KUBERNETES_CORE = [
    ("kubeconfig", "raw", None, ["K8S_AUTH_KUBECONFIG"]),
    ("context", "str", None, ["K8S_AUTH_CONTEXT"]),
    ("host", "str", None, ["K8S_AUTH_HOST"]),
    ("api_key", "str", None, ["K8S_AUTH_API_KEY"]),
    ("username", "str", None, ["K8S_AUTH_USERNAME"]),
    ("password", "str", None, ["K8S_AUTH_PASSWORD"]),
    ("validate_certs", "bool", "verify_ssl", ["K8S_AUTH_VALIDATE_CERTS", "K8S_AUTH_VERIFY_SSL"]),
    ("ca_cert", "path", "ssl_ca_cert", ["K8S_AUTH_CA_CERT", "K8S_AUTH_SSL_CA_CERT"]),
    ("client_cert", "path", "cert_file", ["K8S_AUTH_CLIENT_CERT", "K8S_AUTH_CERT_FILE"]),
    ("client_key", "path", "key_file", ["K8S_AUTH_CLIENT_KEY", "K8S_AUTH_KEY_FILE"]),
    ("proxy", "str", None, ["K8S_AUTH_PROXY"]),
    ("no_proxy", "str", None, ["K8S_AUTH_NO_PROXY"]),
    (
        "proxy_headers",
        "dict",
        None,
        [
            "K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH",
            "K8S_AUTH_PROXY_HEADERS_BASIC_AUTH",
            "K8S_AUTH_PROXY_HEADERS_USER_AGENT",
        ],
    ),
    ("persist_config", "bool", None, ["K8S_AUTH_PERSIST_CONFIG"]),
    ("impersonate_user", "str", None, ["K8S_AUTH_IMPERSONATE_USER"]),
    ("impersonate_groups", "list", None, ["K8S_AUTH_IMPERSONATE_GROUPS"]),
]
SECRET = {"api_key", "password", "proxy_basic_auth", "basic_auth"}
WAIT = {"wait": ("bool", False), "wait_sleep": ("int", 5), "wait_timeout": ("int", 120)}
BY_TYPE = {
    "raw": ("/task", "/env", "/env"),
    "str": ("task", "env", "env"),
    "path": ("/task", "/env", "/env"),
    "bool": (True, "no", False),
    "list": (["task"], "env,other", ("env", "other")),
}
BY_NAME = {"host": ("https://task.example", "https://env.example", "https://env.example")}
SCALARS = [row for row in KUBERNETES_CORE if row[1] != "dict"]
DOCUMENTED = yaml.safe_load(_auth.ModuleDocFragment.DOCUMENTATION)["options"]


def normal(value):
    return tuple(value) if isinstance(value, list) else value


def flat(options):
    """Option and suboption names with their descriptions."""
    for name, option in options.items():
        yield name, " ".join(option["description"])
        yield from flat(option.get("suboptions", {}))


def test_names_types_and_aliases_are_those_of_kubernetes_core():
    spec = {name: (entry["type"], entry.get("aliases", [None])[0]) for name, entry in AUTH_ARG_SPEC.items()}
    assert spec == {name: (kind, alias) for name, kind, alias, variables in KUBERNETES_CORE}
    assert not [name for name, entry in AUTH_ARG_SPEC.items() if "default" in entry or "fallback" in entry]


def test_secrets_and_only_they_are_marked():
    entries = {**AUTH_ARG_SPEC, **AUTH_ARG_SPEC["proxy_headers"]["options"]}
    assert {name for name, entry in entries.items() if entry.get("no_log")} == SECRET


def test_documentation_equals_the_argument_spec():
    def documented(options):
        return {name: shape(option) for name, option in options.items()}

    def shape(option):
        nested = option.get("suboptions") or option.get("options") or {}
        return option["type"], option.get("aliases", []), option.get("elements"), documented(nested)

    assert documented(DOCUMENTED) == documented(AUTH_ARG_SPEC)


def test_documentation_names_every_environment_variable():
    named = set(re.findall(r"E\((K8S_AUTH_\w+)\)", " ".join(text for option, text in flat(DOCUMENTED))))
    assert named == {variable for row in KUBERNETES_CORE for variable in row[3]}


def test_wait_options_equal_their_documentation():
    documented = yaml.safe_load(_wait.ModuleDocFragment.DOCUMENTATION)["options"]
    assert {name: (option["type"], option["default"]) for name, option in documented.items()} == WAIT
    assert {name: (option["type"], option["default"]) for name, option in WAIT_ARG_SPEC.items()} == WAIT


@pytest.mark.parametrize(("name", "kind", "alias", "variables"), SCALARS, ids=[row[0] for row in SCALARS])
def test_precedence(name, kind, alias, variables):
    from_task, in_environment, from_environment = BY_NAME.get(name) or BY_TYPE[kind]
    assert getattr(connection_options({}, {}), name) == getattr(ConnectionOptions(), name)
    for variable in variables:
        environ = {variable: in_environment}
        assert getattr(connection_options({}, environ), name) == from_environment
        assert getattr(connection_options({name: None}, environ), name) == from_environment
        assert getattr(connection_options({name: from_task}, environ), name) == normal(from_task)


@pytest.mark.parametrize("row", [row for row in SCALARS if row[2]], ids=lambda row: row[0])
def test_the_variable_of_the_option_wins_over_that_of_the_alias_unless_empty(row):
    name, kind, (first, second) = row[0], row[1], row[3]
    one, other = ("yes", "no") if kind == "bool" else ("/one", "/other")
    want_one, want_other = (True, False) if kind == "bool" else (one, other)
    assert getattr(connection_options({}, {first: one, second: other}), name) == want_one
    assert getattr(connection_options({}, {first: "", second: other}), name) == want_other
    assert getattr(connection_options({}, {first: "", second: ""}), name) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, False) for text in ("0", "false", "False", "NO", "no")),
        *((text, True) for text in ("1", "yes", "off", "x")),
    ],
)
def test_booleans_of_the_environment(text, value):
    found = connection_options({}, {"K8S_AUTH_VERIFY_SSL": text, "K8S_AUTH_PERSIST_CONFIG": text})
    assert (found.validate_certs, found.persist_config) == (value, value)


def test_a_task_may_switch_off_what_the_environment_switches_on():
    assert connection_options({"validate_certs": False}, {"K8S_AUTH_VERIFY_SSL": "true"}).validate_certs is False


@pytest.mark.parametrize(
    ("params", "environ"), [({"host": "https://a:6443//"}, {}), ({}, {"K8S_AUTH_HOST": "https://a:6443/"})]
)
def test_trailing_slashes_of_the_host_are_stripped(params, environ):
    assert connection_options(params, environ).host == "https://a:6443"


def test_proxy_headers_come_from_the_task_as_a_whole_or_from_the_environment():
    environ = {"K8S_AUTH_PROXY_HEADERS_BASIC_AUTH": "u:p", "K8S_AUTH_PROXY_HEADERS_USER_AGENT": "env/1"}
    assert connection_options({}, environ).proxy_headers == {"basic_auth": "u:p", "user_agent": "env/1"}
    task = {"proxy_headers": {"user_agent": "task/1", "basic_auth": None, "proxy_basic_auth": None}}
    assert connection_options(task, environ).proxy_headers == {"user_agent": "task/1"}
    assert connection_options({}, {}).proxy_headers == {}


def test_groups_are_split_and_trimmed():
    assert connection_options({}, {"K8S_AUTH_IMPERSONATE_GROUPS": "a, b,,c"}).impersonate_groups == ("a", "b", "c")


@pytest.mark.parametrize(
    ("params", "is_self_contained", "names_kubeconfig"),
    [
        ({}, False, False),
        ({"host": "https://a"}, False, False),
        ({"api_key": "x"}, False, False),
        ({"host": "https://a", "api_key": "x"}, True, False),
        ({"host": "https://a", "username": "u"}, False, False),
        ({"host": "https://a", "username": "u", "password": "p"}, True, False),
        ({"host": "https://a", "client_cert": "/c"}, False, False),
        ({"host": "https://a", "client_cert": "/c", "client_key": "/k"}, True, False),
        ({"host": "https://a", "kubeconfig": "/k"}, False, True),
        ({"context": "c"}, False, True),
    ],
)
def test_where_credentials_come_from(params, is_self_contained, names_kubeconfig):
    found = connection_options(params, {})
    assert (found.is_self_contained, found.names_kubeconfig) == (is_self_contained, names_kubeconfig)


KUBECONFIG = {
    "clusters": [{"name": "c", "cluster": {"server": "https://a", "certificate-authority-data": "PUBLIC"}}],
    "users": [
        {
            "name": "one",
            "user": {"token": "SECRET-1", "client-key-data": "SECRET-2", "client-certificate-data": "PUBLIC"},
        },
        {"name": "two", "user": {"username": "two", "password": "SECRET-3"}},
        {"name": "three", "user": {"exec": {"command": "x", "env": [{"name": "VARIABLE", "value": "SECRET-4"}]}}},
        {"name": "four", "user": {"auth-provider": {"config": {"id-token": "SECRET-5", "client-id": "PUBLIC"}}}},
    ],
}


def test_secrets_are_known_and_not_shown():
    params = {
        "kubeconfig": KUBECONFIG,
        "host": "https://a",
        "api_key": "SECRET-6",
        "username": "me",
        "password": "SECRET-7",
        "proxy": "http://u:SECRET-8@proxy:3128",
        "proxy_headers": {"basic_auth": "SECRET-9", "user_agent": "robot/1"},
    }
    found = connection_options(params, {})
    assert found.secrets() == {f"SECRET-{number}" for number in range(1, 10)}
    for shown in (repr(found), str(found), f"{found}"):
        assert "SECRET" not in shown
    assert "username='me'" in repr(found)
    assert "api_key=***" in repr(found)
    assert repr(ConnectionOptions()) == "ConnectionOptions()"


def test_a_plain_proxy_and_path_are_shown():
    found = connection_options({"proxy": "http://proxy:3128", "kubeconfig": "/k"}, {})
    assert repr(found) == "ConnectionOptions(kubeconfig='/k', proxy='http://proxy:3128')"
    assert found.secrets() == frozenset()
