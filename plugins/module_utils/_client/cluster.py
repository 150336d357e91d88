# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The one door to the cluster: only this room knows the Kubernetes client.

What leaves here are plain mappings, claims and ApiError; what a token or a credential says stays inside.
"""

from __future__ import annotations

import builtins
import json
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from .._claims import decode_key_id, decode_token
from .._errors import ApiError, CommandFailed, InvalidOption
from .._options import ConnectionOptions
from . import libraries
from .configuration import build_headers, load_configuration
from .documents import DOCUMENT_TYPES
from .exec import run_command
from .kinds import QUESTIONS, build_path, describe_target
from .node_files import find_metric, find_names, read_total, read_whole
from .words import find_connection_words, find_server_words, read_retry_after

#: Seconds to wait for a connection and for the next bytes of an answer. An API server that is being stopped may
#: accept a connection and never answer.
REQUEST_TIMEOUT = (5.0, 30.0)
PAGE_SIZE = 500
#: Bytes of a pod's log that are read. Kubelets begin another file after 10 MiB (containerLogMaxSize) and serve that one only.
MAX_LOG = 8 * 1_048_576
#: Seconds beyond the end of a watch that its server has set, after which nobody is believed to be there.
WATCH_GRACE = 5.0


class _NoDiscovery:
    """Stands where the dynamic client expects a discoverer; asks the cluster nothing."""

    def __init__(self, client: Any, cache_file: str | None) -> None:
        pass


def parse_yaml(text: str) -> Any:
    """Return what a YAML (or JSON) text in an API object holds; None when it is neither."""
    try:
        return libraries.yaml.safe_load(text)
    except libraries.yaml.YAMLError:
        return None


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
        libraries.require_libraries()
        self._configuration = load_configuration(options)
        self._api = libraries.kubernetes.client.ApiClient(self._configuration)
        for header, value in build_headers(options).items():
            self._api.set_default_header(header, value)
        self._dynamic = libraries.DynamicClient(self._api, discoverer=_NoDiscovery)
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
        return iter(self.list_at(kind, namespace, label_selector=label_selector, field_selector=field_selector)[1])

    def list_at(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        read: Callable[[dict[str, Any]], Any] = lambda found: found,
        page_size: int = PAGE_SIZE,
    ) -> tuple[str, builtins.list[Any]]:
        """Return the resourceVersion of that moment, too, for await_change, and what ``read`` makes of each object.

        The objects of one page are dropped before the next one comes: those of a large cluster would not fit into memory.
        """
        query: dict[str, Any] = {"limit": page_size, **_selectors(label_selector, field_selector)}
        found: list[Any] = []
        while True:
            page = None
            try:
                page = self._request("list", "get", kind, None, namespace, query=query)
            except ApiError as error:
                if error.status != 410 or "continue" not in query:
                    raise
                # The moment that the pages are of is too long ago for the server: all at once then.
                query = {name: value for name, value in query.items() if name not in ("continue", "limit")}
                found = []
                continue
            found += map(read, page.get("items") or ())
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return (page.get("metadata") or {}).get("resourceVersion") or "", found
            query = {**query, "continue": token}

    def watch(
        self, kind: str, name: str, namespace: str | None = None, *, known_version: str, timeout: float
    ) -> dict[str, Any] | None:
        """Return the object as soon as it differs from the one with this resourceVersion; None when it does not in time.

        Each watch begins with the object as it is now, so that nothing is missed between two of them and no version can
        be too old to go on from. A watch that breaks or is refused is an ApiError: only reading anew can tell then.
        """
        target, path = describe_target(kind, name, namespace), build_path(kind, None, namespace)
        is_confirmed = False
        with closing(self._watch(target, path, {"fieldSelector": f"metadata.name={name}"}, timeout)) as events:
            for event in events:
                changed = self._take_event(event, target)
                version = changed["metadata"]["resourceVersion"]
                if version != known_version and not _is_older(version, known_version):
                    return changed
                is_confirmed = is_confirmed or version == known_version
        if not is_confirmed:
            words = "the watch ended without a word"
            raise ApiError(verb="watch", target=target, host=self.host, status=0, words=words)
        return None

    def await_change(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        known_version: str,
        timeout: float,
        label_selector: str = "",
        field_selector: str = "",
    ) -> None:
        """Return as soon as any object of the selection has changed since ``known_version``, or ``timeout`` is over (seconds).

        What has changed is for the next read to tell. A watch that breaks or is refused is an ApiError.
        """
        query = {**_selectors(label_selector, field_selector), "resourceVersion": known_version}
        target, path = describe_target(kind, None, namespace), build_path(kind, None, namespace)
        with closing(self._watch(target, path, query, timeout)) as events:
            next(events, None)

    def _watch(
        self, target: str, path: str, query: Mapping[str, str], timeout: float
    ) -> Generator[dict[str, Any], None, None]:
        """Yield the events of a watch, which its server ends after ``timeout`` seconds."""
        seconds = max(1, math.ceil(timeout))
        response = None
        self._before_request(False)
        try:
            response = self._dynamic.request(
                "get",
                path,
                query_params=[*query.items(), ("watch", "true"), ("timeoutSeconds", seconds)],
                _request_timeout=(REQUEST_TIMEOUT[0], seconds + WATCH_GRACE),
                serialize=False,
            )
            yield from _read_events(response)
        except (libraries.ApiException, libraries.urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise self._explain("watch", target, error) from None
        finally:
            if response is not None:
                response.close()

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

    def get_document(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return a JSON object by its path: one outside the API groups, such as /openid/v1/jwks, or of a kind of others."""
        given = list((query or {}).items())
        return self._send("get", path, "get", path, query_params=given, header_params={"Accept": DOCUMENT_TYPES})[0]

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
        """Return what ``command`` printed in the container (pods/exec), within ``timeout`` seconds.

        Raises CommandFailed when it could not be started or failed, ApiError when the cluster did not carry it out.
        """
        self._before_request(False)
        path = build_path("Pod", pod, namespace, "exec")
        verb, target = "run a command in", f"container {container} of {describe_target('Pod', pod, namespace)}"
        headers = dict(self._api.default_headers)
        self._api.update_params_for_auth(headers, [], ["BearerToken"], path, "GET", None)
        try:
            outcome = run_command(self._configuration, headers, path, container, command, timeout)
        except (libraries.ApiException, OSError, ValueError) as error:
            raise self._explain(verb, target, error) from None
        if outcome.is_success:
            return outcome.output
        if outcome.is_own_failure:
            raise CommandFailed(target=target, command=command[0], words=outcome.words)
        raise ApiError(
            verb=verb, target=target, host=self.host, status=500 if outcome.was_told else 0, words=outcome.words
        )

    def read_log(self, pod: str, namespace: str, *, max_bytes: int = MAX_LOG) -> str:
        """Return all that the pod's only container has printed (pods/log). More than ``max_bytes`` is an ApiError 413."""
        verb, target = "read", f"the log of {describe_target('Pod', pod, namespace)}"
        path, query = build_path("Pod", pod, namespace, "log"), [("limitBytes", max_bytes + 1)]
        answer = self._open(verb, target, "get", path, query_params=query, header_params={"Accept": "*/*"})
        log = b"".join(self._read_pieces(verb, target, answer))
        if len(log) > max_bytes:
            words = f"it is longer than {max_bytes} bytes"
            raise ApiError(verb=verb, target=target, host=self.host, status=413, words=words)
        return log.decode("utf-8", "replace")

    def read_node_metric(self, node: str, name: str) -> float | None:
        """Return a metric without labels of the node's kubelet (nodes/proxy), None where it has none of this name."""
        verb, target = "read", f"the metrics of {describe_target('Node', node)}"
        path = f"{build_path('Node', node, None, 'proxy')}/metrics"
        answer = self._open(verb, target, "get", path, header_params={"Accept": "text/plain"})
        with closing(self._read_pieces(verb, target, answer)) as pieces:
            return find_metric(pieces, name)

    def list_node_files(self, node: str, folder: str) -> Sequence[str]:
        """Return the names of the files in a folder of the node's /var/log, as its kubelet serves it (nodes/proxy)."""
        answer = self._open_node_file("list", node, f"{folder}/")
        return find_names(b"".join(self._read_pieces("list", _describe_file(node, f"{folder}/"), answer)))

    def measure_node_file(self, node: str, file: str) -> int:
        """Return how many bytes a file in the node's /var/log holds now."""
        answer = self._open_node_file("read", node, file, span=(0, 1))
        try:
            return read_total(answer)
        finally:
            answer.close()

    def read_node_file(self, node: str, file: str, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of a file in the node's /var/log from ``start`` up to ``end``, piece by piece as they come.

        Raises ApiError 416 when the file has not so many, and 502 for a node that does not serve parts of files.
        """
        if start >= end:
            return
        answer = self._open_node_file("read", node, file, span=(start, end))
        if start and answer.status != 206:
            answer.close()
            raise self._node_error("read", node, file, 502, "the node does not serve parts of files")
        yield from self._read_pieces("read", _describe_file(node, file), answer)

    def _open_node_file(self, verb: str, node: str, file: str, span: tuple[int, int] | None = None) -> Any:
        headers = {"Accept": "*/*", **({"Range": f"bytes={span[0]}-{span[1] - 1}"} if span else {})}
        path = f"{build_path('Node', node, None, 'proxy')}/logs/{quote(file)}"
        try:
            return self._open(verb, _describe_file(node, file), "get", path, header_params=headers)
        except ApiError as error:
            if error.is_missing_api:  # the kubelet's 404, which is not about an API
                raise self._node_error(verb, node, file, 404, "the node has no such file") from None
            raise

    def _read_pieces(self, verb: str, target: str, answer: Any) -> Generator[bytes, None, None]:
        try:
            yield from read_whole(answer)
        except (libraries.urllib3.exceptions.HTTPError, OSError) as error:
            raise self._explain(verb, target, error) from None
        finally:
            answer.close()

    def _node_error(self, verb: str, node: str, file: str, status: int, words: str) -> ApiError:
        target = _describe_file(node, file)
        return ApiError(verb=verb, target=target, host=self.host, status=status, words=words, reason="NotFound")

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
        is_question = method == "get" or kind in QUESTIONS or subresource == "token" or "dryRun" in (query or {})
        return self._send(
            verb,
            describe_target(kind, shown_name or name, namespace),
            method,
            build_path(kind, name, namespace, subresource),
            is_deed=not is_question,
            body=body,
            content_type=content_type,
            query_params=list((query or {}).items()),
        )[0]

    def _send(
        self, verb: str, target: str, method: str, path: str, *, is_deed: bool = False, **options: Any
    ) -> tuple[dict[str, Any], Any]:
        """Return the JSON object that was answered, and the whole answer."""
        response = self._open(verb, target, method, path, is_deed=is_deed, **options)
        answer = _parse_object(response.data)
        if answer is None:
            words = "the answer is not a Kubernetes object"
            raise ApiError(verb=verb, target=target, host=self.host, status=502, words=words)
        return answer, response

    def _open(self, verb: str, target: str, method: str, path: str, *, is_deed: bool = False, **options: Any) -> Any:
        """Return an answer whose body is not read yet."""
        self._before_request(is_deed)
        try:
            return self._dynamic.request(method, path, _request_timeout=REQUEST_TIMEOUT, serialize=False, **options)
        except (libraries.ApiException, libraries.urllib3.exceptions.HTTPError, OSError) as error:
            raise self._explain(verb, target, error) from None
        except ValueError:
            # The library's own words would hold the header, and with it the token.
            raise InvalidOption(
                f"Could not {verb} {target}: the request could not be made; check that the token in the kubeconfig and "
                "the users and groups to impersonate hold no line break or other special character."
            ) from None

    def _explain(self, verb: str, target: str, error: Exception) -> ApiError:
        """Return the ApiError for whatever the client library raised."""
        if isinstance(error, (libraries.ApiException, libraries.DynamicApiError)) and error.status:
            if error.status == 401:
                # another API server may know the token's issuer, and a kept connection would stay with this one
                self._api.rest_client.pool_manager.clear()
            words, reason = find_server_words(error)
            retry_after = read_retry_after(error)
            return ApiError(
                verb=verb,
                target=target,
                host=self.host,
                status=error.status,
                words=words,
                reason=reason,
                retry_after=retry_after,
            )
        words = find_connection_words(error)
        is_certificate = "CERTIFICATE_VERIFY_FAILED" in str(error) or "certificate verify failed" in str(error)
        return ApiError(verb=verb, target=target, host=self.host, status=0, words=words, certificate=is_certificate)


def _describe_file(node: str, file: str) -> str:
    return f"/var/log/{file} of {describe_target('Node', node)}"


def _parse_object(data: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(data)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


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


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return {name: text for name, text in (("labelSelector", labels), ("fieldSelector", fields)) if text}


def _delete_options(uid: str, grace_period: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
    return options if grace_period is None else {**options, "gracePeriodSeconds": grace_period}


def _without_user(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"
