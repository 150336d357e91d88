# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The one door to the cluster: the only file that knows the Kubernetes client.

What leaves here are plain mappings, claims and ApiError; what a token or a credential says stays inside.
"""

from __future__ import annotations

import json
import math
import re
import ssl
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from ._claims import decode_key_id, decode_token
from ._clock import Clock
from ._errors import ApiError, CollectionError, CommandFailed, InvalidOption
from ._options import ConnectionOptions

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

#: Seconds to wait for a connection and for the next bytes of an answer. An API server that is being stopped may
#: accept a connection and never answer.
REQUEST_TIMEOUT = (5.0, 30.0)
PAGE_SIZE = 500
#: Seconds beyond the end of a watch that its server has set, after which nobody is believed to be there.
WATCH_GRACE = 5.0
#: Of a document outside the cluster; a key set holds some hundred bytes per key.
MAX_DOCUMENT_BYTES = 262_144
MAX_REDIRECTS = 5
#: Of a discovery document and of a key set; API servers answer 406 to who does not name theirs.
DOCUMENT_TYPES = "application/json, application/jwk-set+json"
#: Bytes that a command in a container may print; what is asked for is one token's claims.
MAX_OUTPUT = 65536

#: Channels of an exec session; the error channel ends with a Status object.
_STDOUT, _STDERR, _ERROR = 1, 2, 3
#: How container runtimes say that an image lacks the program.
_CANNOT_START = ("executable file not found", "no such file or directory", "permission denied")

_LIBRARY_NOISE = re.compile(r"^.*\[(Errno|SSL:)[^\]]*\] |^.*>: | \(_ssl\.c:\d+\)\s*$|['\"]\)+$", re.DOTALL)

#: Every kind the collection works with: group, version, plural, namespaced. Knowing them saves the discovery
#: requests, which fail while API servers restart.
KINDS: dict[str, tuple[str, str, str, bool]] = {
    "Authentication": ("config.openshift.io", "v1", "authentications", False),
    "ClusterOperator": ("config.openshift.io", "v1", "clusteroperators", False),
    "ClusterVersion": ("config.openshift.io", "v1", "clusterversions", False),
    "Infrastructure": ("config.openshift.io", "v1", "infrastructures", False),
    "KubeAPIServer": ("operator.openshift.io", "v1", "kubeapiservers", False),
    "CloudCredential": ("operator.openshift.io", "v1", "cloudcredentials", False),
    "MachineConfigPool": ("machineconfiguration.openshift.io", "v1", "machineconfigpools", False),
    "ConfigMap": ("", "v1", "configmaps", True),
    "Namespace": ("", "v1", "namespaces", False),
    "Node": ("", "v1", "nodes", False),
    "Pod": ("", "v1", "pods", True),
    "ReplicationController": ("", "v1", "replicationcontrollers", True),
    "ServiceAccount": ("", "v1", "serviceaccounts", True),
    "DaemonSet": ("apps", "v1", "daemonsets", True),
    "Deployment": ("apps", "v1", "deployments", True),
    "ReplicaSet": ("apps", "v1", "replicasets", True),
    "StatefulSet": ("apps", "v1", "statefulsets", True),
    "Lease": ("coordination.k8s.io", "v1", "leases", True),
    "SelfSubjectAccessReview": ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", False),
    "SelfSubjectReview": ("authentication.k8s.io", "v1", "selfsubjectreviews", False),
}

#: Created only to be answered; nothing is stored.
_QUESTIONS = frozenset({"SelfSubjectAccessReview", "SelfSubjectReview"})


class _NoDiscovery:
    """Stands where the dynamic client expects a discoverer; asks the cluster nothing."""

    def __init__(self, client: Any, cache_file: str | None) -> None:
        pass


def parse_yaml(text: str) -> Any:
    """Return what a YAML (or JSON) text in an API object holds; None when it is neither."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def describe_target(kind: str, name: str | None = None, namespace: str | None = None) -> str:
    """Return an object, or all of a kind, as people write it: plural.group namespace/name."""
    group, _version, plural, _namespaced = KINDS[kind]
    resource = f"{plural}.{group}" if group else plural
    if namespace and name:
        return f"{resource} {namespace}/{name}"
    if namespace:
        return f"{resource} in namespace {namespace}"
    return f"{resource}/{name}" if name else resource


class Cluster:
    """A cluster as the collection sees it. Every method may raise ApiError."""

    def __init__(
        self, options: ConnectionOptions, *, before_request: Callable[[bool], None] = lambda is_deed: None
    ) -> None:
        """Load the credentials; nothing is sent. Raises CollectionError when they can't be read.

        ``before_request`` is called before each request, with whether it would change the cluster, and forbids it by
        an error of its own.
        """
        self._before_request = before_request
        if IMPORT_ERROR:
            missing = IMPORT_ERROR.strip().splitlines()[-1]
            raise CollectionError(
                "The Python packages kubernetes and openshift are needed where this task runs "
                f"({missing}); install them with: pip install kubernetes openshift jmespath"
            )
        self._configuration = _load_configuration(options)
        self._api = kubernetes.client.ApiClient(self._configuration)
        for header, value in _headers(options).items():
            self._api.set_default_header(header, value)
        self._dynamic = DynamicClient(self._api, discoverer=_NoDiscovery)
        #: The API server's URL without a user's name and password.
        self.host = _without_user(self._configuration.host)

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """Return the object, None when it does not exist. A missing API is an ApiError all the same."""
        try:
            return self._request("get", "get", kind, name, namespace)
        except ApiError as error:
            if error.status == 404 and not error.is_missing_api:
                return None
            raise

    def require(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
        """Return the object; that it does not exist is an ApiError."""
        return self._request("get", "get", kind, name, namespace)

    def list(
        self, kind: str, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> Iterator[dict[str, Any]]:
        """Return all objects of a kind as they were at one moment; they are read page by page."""
        query: dict[str, Any] = {"limit": PAGE_SIZE}
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        found: list[dict[str, Any]] = []
        while True:
            try:
                page = self._request("list", "get", kind, None, namespace, query=query)
            except ApiError as error:
                if error.status != 410 or "continue" not in query:
                    raise
                # The moment that the pages are of is too long ago for the server: all at once then.
                query = {name: value for name, value in query.items() if name not in ("continue", "limit")}
                found = []
                continue
            found += page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return iter(found)
            query = {**query, "continue": token}

    def watch(
        self, kind: str, name: str, namespace: str | None = None, *, known_version: str, timeout: float
    ) -> dict[str, Any] | None:
        """Return the object as soon as it differs from the one with this resourceVersion; None when it does not in time.

        Each watch begins with the object as it is now, so that nothing is missed between two of them and no version can
        be too old to go on from. A watch that breaks or is refused is an ApiError: only reading anew can tell then.
        """
        target = describe_target(kind, name, namespace)
        seconds = max(1, math.ceil(timeout))
        query = {"fieldSelector": f"metadata.name={name}", "watch": "true", "timeoutSeconds": seconds}
        response = None
        self._before_request(False)
        try:
            response = self._dynamic.request(
                "get",
                _path(kind, None, namespace),
                query_params=list(query.items()),
                _request_timeout=(REQUEST_TIMEOUT[0], seconds + WATCH_GRACE),
                serialize=False,
            )
            is_confirmed = False
            for event in _read_events(response):
                changed = self._take_event(event, target)
                version = changed["metadata"]["resourceVersion"]
                if version != known_version and not _is_older(version, known_version):
                    return changed
                is_confirmed = is_confirmed or version == known_version
        except (ApiException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise self._explain("watch", target, error) from None
        finally:
            if response is not None:
                response.close()
        if not is_confirmed:
            words = "the watch ended without a word"
            raise ApiError(verb="watch", target=target, host=self.host, status=0, words=words)
        return None

    def _take_event(self, event: Mapping[str, Any], target: str) -> dict[str, Any]:
        """Return the object of a watch event. An event that tells of no object's state is an ApiError."""
        told: dict[str, Any] = event.get("object") or {}
        if event.get("type") in ("ADDED", "MODIFIED"):
            return told
        status, words = (404, "it was deleted") if event.get("type") == "DELETED" else (told.get("code") or 500, "")
        words = words or told.get("message") or "the watch was ended"
        reason = told.get("reason") or "NotFound"
        raise ApiError(verb="watch", target=target, host=self.host, status=status, words=words, reason=reason)

    def create(
        self, kind: str, body: Mapping[str, Any], namespace: str | None = None, *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Return the object as the server created it; with ``dry_run``, as admission would let it in, and none is."""
        metadata = body.get("metadata") or {}
        name = metadata.get("name") or metadata.get("generateName", "").rstrip("-")
        query = {"dryRun": "All"} if dry_run else None
        return self._request("create", "post", kind, None, namespace, body=body, query=query, shown_name=name)

    def merge_patch(
        self, kind: str, name: str, patch: Mapping[str, Any], namespace: str | None = None, *, subresource: str = ""
    ) -> dict[str, Any]:
        """Return the object after the merge patch (RFC 7386), the only kind that custom resources take.

        With metadata.resourceVersion in ``patch``, an object that has changed since is left alone (409).
        """
        return self._request(
            "patch",
            "patch",
            kind,
            name,
            namespace,
            subresource=subresource,
            body=patch,
            content_type="application/merge-patch+json",
        )

    def get_document(self, path: str) -> dict[str, Any]:
        """Return a JSON object that is served outside the API groups, such as /openid/v1/jwks."""
        return self._send("get", path, "get", path, header_params={"Accept": DOCUMENT_TYPES})[0]

    def server_time(self) -> datetime | None:
        """Return the time on an API server's clock, in whole seconds; None when it does not tell."""
        _version, answer = self._send("get", "/version", "get", "/version")
        try:
            return parsedate_to_datetime(answer.headers["Date"])
        except (KeyError, TypeError, ValueError):
            return None

    def own_token_claims(self) -> dict[str, Any]:
        """Return the claims of the token with which requests are made; none when it is no JSON Web Token or none is used."""
        headers: dict[str, str] = {}
        self._api.update_params_for_auth(headers, [], ["BearerToken"], "", "GET", None)
        given = {name.lower(): value for name, value in headers.items()}.get("authorization") or ""
        scheme, _space, token = given.partition(" ")
        try:
            return decode_token(token) if scheme.lower() == "bearer" else {}
        except InvalidOption:
            return {}

    def delete(
        self, kind: str, name: str, namespace: str | None = None, *, uid: str, grace_period: int | None = None
    ) -> None:
        """Ask for the deletion of exactly the object with this UID, never of a namesake."""
        self._request("delete", "delete", kind, name, namespace, body=_delete_options(uid, grace_period))

    def evict(self, name: str, namespace: str, *, uid: str, grace_period: int | None = None) -> None:
        """Ask for the eviction of exactly the pod with this UID. 429 means that a disruption budget forbids it."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": _delete_options(uid, grace_period),
        }
        self._request("evict", "post", "Pod", name, namespace, subresource="eviction", body=body)

    def request_token_claims(
        self, service_account: str, namespace: str, *, audience: str, expiration_seconds: int
    ) -> dict[str, Any]:
        """Return the claims of a token made for this purpose, see request_token."""
        return self.request_token(service_account, namespace, audience=audience, expiration_seconds=expiration_seconds)[
            0
        ]

    def request_token(
        self, service_account: str, namespace: str, *, audience: str, expiration_seconds: int
    ) -> tuple[dict[str, Any], str | None]:
        """Return the claims and the key ID of a token made for this purpose (TokenRequest) over a new connection.

        The token itself is dropped here. A new connection may reach another API server behind a load balancer.
        """
        self._api.rest_client.pool_manager.clear()
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": expiration_seconds},
        }
        answer = self._request(
            "request a token for", "post", "ServiceAccount", service_account, namespace, subresource="token", body=body
        )
        token = answer["status"]["token"]
        return decode_token(token), decode_key_id(token)

    def run_in_container(
        self, pod: str, namespace: str, container: str, command: Sequence[str], *, timeout: float = 30.0
    ) -> str:
        """Return what ``command`` printed in the container (pods/exec).

        Raises CommandFailed when it could not be started or failed, ApiError when the cluster did not carry it out.
        """
        self._before_request(False)
        query = [("command", c) for c in command] + [("container", container), ("stdout", "true"), ("stderr", "true")]
        url = f"{self._configuration.host}{_path('Pod', pod, namespace, 'exec')}?{urlencode(query)}"
        verb, target = "run a command in", f"container {container} of {describe_target('Pod', pod, namespace)}"
        try:
            session = self._open_websocket(url, timeout)
            try:
                channels = _read_channels(session, timeout)
            finally:
                session.close()
            status = json.loads(channels.get(_ERROR, "{}"))
        except (websocket.WebSocketException, OSError, ValueError) as error:
            raise self._explain(verb, target, _with_handshake_status(error)) from None
        if status.get("status") == "Success":
            return channels.get(_STDOUT, "")
        words = channels.get(_STDERR, "").strip() or status.get("message") or "the connection ended before the command"
        if status.get("reason") == "NonZeroExitCode" or any(sign in words for sign in _CANNOT_START):
            raise CommandFailed(target=target, command=command[0], words=words)
        raise ApiError(verb=verb, target=target, host=self.host, status=500 if status else 0, words=words)

    def _open_websocket(self, url: str, timeout: float) -> Any:
        """Return an open connection. The Kubernetes client's own one leaves out impersonation and never times out."""
        headers = dict(self._api.default_headers)
        self._api.update_params_for_auth(headers, [], ["BearerToken"], url, "GET", None)
        settings = self._configuration
        tls: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED if settings.verify_ssl else ssl.CERT_NONE}
        if not settings.verify_ssl or settings.assert_hostname is False:
            tls["check_hostname"] = False
        given = {
            "ca_certs": settings.ssl_ca_cert,
            "certfile": settings.cert_file,
            "keyfile": settings.key_file,
            "server_hostname": settings.tls_server_name,
        }
        tls.update({name: value for name, value in given.items() if value})
        return websocket.create_connection(
            get_websocket_url(url),
            timeout=timeout,
            sslopt=tls,
            header=[f"{name}: {value}" for name, value in headers.items()],
            subprotocols=["v4.channel.k8s.io"],
            # A redirect would take the credentials along.
            redirect_limit=0,
            **(websocket_proxycare({}, settings, url, headers) if settings.proxy or settings.proxy_headers else {}),
        )

    def _request(
        self,
        verb: str,
        method: str,
        kind: str,
        name: str | None,
        namespace: str | None,
        *,
        subresource: str = "",
        body: Mapping[str, Any] | None = None,
        content_type: str | None = None,
        query: Mapping[str, Any] | None = None,
        shown_name: str | None = None,
    ) -> dict[str, Any]:
        is_question = method == "get" or kind in _QUESTIONS or subresource == "token" or "dryRun" in (query or {})
        return self._send(
            verb,
            describe_target(kind, shown_name or name, namespace),
            method,
            _path(kind, name, namespace, subresource),
            is_deed=not is_question,
            body=body,
            content_type=content_type,
            query_params=list((query or {}).items()),
        )[0]

    def _send(
        self, verb: str, target: str, method: str, path: str, *, is_deed: bool = False, **options: Any
    ) -> tuple[dict[str, Any], Any]:
        """Return the JSON object that was answered, and the whole answer."""
        self._before_request(is_deed)
        try:
            response = self._dynamic.request(method, path, _request_timeout=REQUEST_TIMEOUT, serialize=False, **options)
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._explain(verb, target, error) from None
        except ValueError:
            # The library's own words would hold the header, and with it the token.
            raise InvalidOption(
                f"Could not {verb} {target}: the request could not be made; check that the token in the kubeconfig and "
                "the users and groups to impersonate hold no line break or other special character."
            ) from None
        answer = _parse_object(response.data)
        if answer is None:
            words = "the answer is not a Kubernetes object"
            raise ApiError(verb=verb, target=target, host=self.host, status=502, words=words)
        return answer, response

    def _explain(self, verb: str, target: str, error: Exception) -> ApiError:
        """Return the ApiError for whatever the client library raised."""
        if isinstance(error, (ApiException, DynamicApiError)) and error.status:
            if error.status == 401:
                # another API server may know the token's issuer, and a kept connection would stay with this one
                self._api.rest_client.pool_manager.clear()
            words, reason = _server_words(error)
            retry_after = _retry_after(error)
            return ApiError(
                verb=verb,
                target=target,
                host=self.host,
                status=error.status,
                words=words,
                reason=reason,
                retry_after=retry_after,
            )
        words = _connection_words(error)
        is_certificate = "CERTIFICATE_VERIFY_FAILED" in str(error) or "certificate verify failed" in str(error)
        return ApiError(verb=verb, target=target, host=self.host, status=0, words=words, certificate=is_certificate)


def fetch_json(url: str, *, ca_cert: str | None, proxy: str | None, timeout: float, clock: Clock) -> Any:
    """Return the JSON document at an https address outside the cluster.

    Nothing of the cluster's is used: no credentials, no headers, no certificates. ``timeout`` bounds the whole, in
    seconds. Raises CollectionError for everything that keeps a relying party from reading it.
    """
    deadline = clock.monotonic() + timeout
    try:
        for _hop in range(MAX_REDIRECTS + 1):
            if urlsplit(url).scheme != "https":
                raise CollectionError(f"{url} is not an https address")
            with _outside_pool(url, ca_cert, proxy) as pool:
                left = max(0.1, deadline - clock.monotonic())
                answer = pool.request(
                    "GET",
                    url,
                    headers={"Accept": f"{DOCUMENT_TYPES}, */*", "User-Agent": "bound_tokens.openshift"},
                    timeout=urllib3.Timeout(total=left),
                    redirect=False,
                    retries=False,
                    preload_content=False,
                )
                location = answer.get_redirect_location()
                if not location:
                    return json.loads(_read_bounded(answer, url, deadline, clock))
                url = urljoin(url, location)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        words = "it is not JSON" if isinstance(error, ValueError) else _connection_words(error).rstrip(".")
        raise CollectionError(f"{url} could not be read: {words}") from None
    raise CollectionError(f"{url} is redirected more than {MAX_REDIRECTS} times")


def _outside_pool(url: str, ca_cert: str | None, proxy: str | None) -> Any:
    """Return a pool without anything of the cluster's. Without ``proxy``, the environment's is used."""
    host = urlsplit(url).hostname or ""
    proxy = proxy or (None if proxy_bypass(host) else getproxies().get("https"))
    tls: dict[str, Any] = {"cert_reqs": "CERT_REQUIRED"}
    if ca_cert:
        tls["ca_certs"] = ca_cert
    return urllib3.ProxyManager(proxy, **tls) if proxy else urllib3.PoolManager(**tls)


def _read_bounded(answer: Any, url: str, deadline: float, clock: Clock) -> bytes:
    if answer.status != 200:
        raise CollectionError(f"{url} answers HTTP {answer.status}")
    body = b""
    while True:
        piece = answer.read1(8192)
        if not piece:
            return body
        body += piece
        if len(body) > MAX_DOCUMENT_BYTES:
            raise CollectionError(f"{url} is longer than {MAX_DOCUMENT_BYTES} bytes")
        if clock.monotonic() > deadline:
            raise CollectionError(f"{url} could not be read in time")


def _parse_object(data: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(data)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _path(kind: str, name: str | None, namespace: str | None, subresource: str = "") -> str:
    group, version, plural, namespaced = KINDS[kind]
    parts = ["apis", group, version] if group else ["api", version]
    if namespaced and namespace:
        parts += ["namespaces", namespace]
    parts += [p for p in (plural, name, subresource) if p]
    return "/" + "/".join(quote(p, safe="") for p in parts)


def _read_events(response: Any) -> Iterator[dict[str, Any]]:
    """Yield what a watch tells, line by line, as it comes."""
    rest = b""
    for chunk in response.stream(amt=None, decode_content=False):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)


def _is_older(version: str, known: str) -> bool:
    """Whether an API server that lags behind tells of a state before the known one. Versions count upwards."""
    return version.isdigit() and known.isdigit() and int(version) < int(known)


def _delete_options(uid: str, grace_period: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
    return options if grace_period is None else {**options, "gracePeriodSeconds": grace_period}


def _server_words(error: Any) -> tuple[str, str]:
    """Return the message and the reason of the Status object in an error's body, or the body's own text."""
    body = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else (error.body or "")
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        words = status.get("message") or status.get("reason") or str(error.reason)
        causes = (status.get("details") or {}).get("causes") or ()
        budgets = [c.get("message") or "" for c in causes if c.get("reason") == "DisruptionBudget"]
        return " ".join([words, *budgets]), status.get("reason") or ""
    return body[:300].strip() or str(error.reason), ""


def _retry_after(error: Any) -> float | None:
    try:
        return float((error.headers or {})["Retry-After"])
    except (KeyError, ValueError):
        return None


def _connection_words(error: Exception) -> str:
    """Return the innermost reason of a connection failure, as the operating system or TLS words it."""
    reason = getattr(error, "reason", None)
    text = str(reason if reason is not None and not isinstance(error, OSError) else error)
    # Around the words stand the library's object ("<...>: "), the error number and the line of the C source.
    words = _LIBRARY_NOISE.sub("", text)
    return words[:-1] if words.endswith(")") and "(" not in words else words


def _read_channels(session: Any, seconds: float) -> dict[int, str]:
    """Return the text of each channel of a finished exec session (protocol v4.channel.k8s.io).

    Raises TimeoutError for a command that does not end in time or says too much.
    """
    channels: dict[int, bytes] = {}
    deadline = time.monotonic() + seconds
    while True:
        if time.monotonic() > deadline or sum(map(len, channels.values())) > MAX_OUTPUT:
            raise TimeoutError(f"the command did not end within {seconds:g} s and {MAX_OUTPUT} bytes of output")
        operation, data = session.recv_data()
        if operation == websocket.ABNF.OPCODE_CLOSE:
            return {channel: text.decode("utf-8", "replace") for channel, text in channels.items()}
        if data:
            channels[data[0]] = channels.get(data[0], b"") + data[1:]


def _with_handshake_status(error: Exception) -> Exception:
    """Return ``error``; a handshake that the server refused as the ApiException that it would be over HTTP."""
    if not isinstance(error, websocket.WebSocketBadStatusException):
        return error
    refusal = ApiException(status=error.status_code, reason=str(error))
    refusal.body, refusal.headers = (error.resp_body or b"").decode("utf-8", "replace"), error.resp_headers
    return refusal


def _headers(options: ConnectionOptions) -> dict[str, str]:
    headers = {"User-Agent": "bound_tokens.openshift"}
    if options.username and options.password:
        headers.update(urllib3.util.make_headers(basic_auth=f"{options.username}:{options.password}"))
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


def _load_configuration(options: ConnectionOptions) -> Any:
    """Return the client's configuration, in kubernetes.core's order: options, kubeconfig, in-cluster, default."""
    configuration = kubernetes.client.Configuration()
    try:
        if not options.is_self_contained:
            _load_credentials(configuration, options)
    except yaml.YAMLError:
        _fail_kubeconfig(options, "it is not YAML")
    except (ConfigException, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
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
        configuration.proxy_headers = urllib3.util.make_headers(**dict[str, Any](options.proxy_headers))
    if configuration.verify_ssl is False:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    _check_certificates(configuration)
    # The one waiting loop decides what is tried again; a hidden retry underneath would stretch its deadline.
    configuration.retries = False
    return configuration


def _load_credentials(configuration: Any, options: ConnectionOptions) -> None:
    loaders = kubernetes.config
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
        except ConfigException:
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
            f"Could not load {tried}: {_LIBRARY_NOISE.sub('', str(error))}; "
            "check ca_cert, client_cert and client_key, or those in the kubeconfig."
        ) from None


def _without_user(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def _fail_kubeconfig(options: ConnectionOptions, words: str) -> NoReturn:
    where = f" {options.kubeconfig}" if isinstance(options.kubeconfig, str) else ""
    words = " ".join(words.split()).rstrip(".")
    raise InvalidOption(
        f"Could not load the kubeconfig{where}: {words}; "
        "set kubeconfig, K8S_AUTH_KUBECONFIG or KUBECONFIG to a readable one, or give host and api_key."
    ) from None
