# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of a kubeconfig file, several paths joined with V(:), or the content of a kubeconfig as a dictionary.
      - When neither this option nor O(context), nor O(host) with credentials is given, the service account of the pod
        that runs the module is used; outside a pod, the file that E(KUBECONFIG) names or V(~/.kube/config).
      - Can also be given as a path in the environment variable E(K8S_AUTH_KUBECONFIG).
    type: raw
  context:
    description:
      - Name of the context in the kubeconfig; without it, its current context.
      - Can also be given in the environment variable E(K8S_AUTH_CONTEXT).
    type: str
  host:
    description:
      - URL of the API server.
      - Together with O(api_key), O(username) and O(password), or O(client_cert) and O(client_key), no kubeconfig is
        read; otherwise it overrides the server of the kubeconfig.
      - Can also be given in the environment variable E(K8S_AUTH_HOST).
    type: str
  api_key:
    description:
      - Bearer token for the API.
      - Can also be given in the environment variable E(K8S_AUTH_API_KEY).
    type: str
  username:
    description:
      - User name for HTTP basic authentication. OpenShift's API servers do not offer it; a proxy in front of them may.
      - Can also be given in the environment variable E(K8S_AUTH_USERNAME).
    type: str
  password:
    description:
      - Password for HTTP basic authentication, see O(username).
      - Can also be given in the environment variable E(K8S_AUTH_PASSWORD).
    type: str
  validate_certs:
    description:
      - Whether the API server's certificate is verified.
      - Can also be given in the environment variables E(K8S_AUTH_VALIDATE_CERTS) or E(K8S_AUTH_VERIFY_SSL); V(0),
        V(false) and V(no) in any case mean false, everything else means true.
    type: bool
    aliases: [verify_ssl]
  ca_cert:
    description:
      - Path of the CA certificates (the full chain) that the API server's certificate is verified against.
      - Can also be given in the environment variables E(K8S_AUTH_CA_CERT) or E(K8S_AUTH_SSL_CA_CERT).
    type: path
    aliases: [ssl_ca_cert]
  client_cert:
    description:
      - Path of the client certificate.
      - Can also be given in the environment variables E(K8S_AUTH_CLIENT_CERT) or E(K8S_AUTH_CERT_FILE).
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - Path of the client certificate's key.
      - Can also be given in the environment variables E(K8S_AUTH_CLIENT_KEY) or E(K8S_AUTH_KEY_FILE).
    type: path
    aliases: [key_file]
  proxy:
    description:
      - URL of an HTTP proxy for the connection.
      - Without it, the Python package kubernetes takes the proxy from the usual variables, for example E(HTTPS_PROXY).
      - Can also be given in the environment variable E(K8S_AUTH_PROXY).
    type: str
  no_proxy:
    description:
      - Comma separated list of hosts, domains, addresses and address ranges that are reached without the proxy.
      - Without it, the Python package kubernetes takes the list from E(NO_PROXY).
      - Can also be given in the environment variable E(K8S_AUTH_NO_PROXY).
    type: str
  proxy_headers:
    description:
      - Headers for the proxy, as of C(urllib3.util.make_headers).
    type: dict
    suboptions:
      proxy_basic_auth:
        description:
          - User name and password for the proxy, separated by a colon.
          - Can also be given in the environment variable E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH).
        type: str
      basic_auth:
        description:
          - User name and password for the server, separated by a colon.
          - Can also be given in the environment variable E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH).
        type: str
      user_agent:
        description:
          - The user agent, for example V(rotation/1.0).
          - Can also be given in the environment variable E(K8S_AUTH_PROXY_HEADERS_USER_AGENT).
        type: str
  persist_config:
    description:
      - Whether tokens that the client refreshed are written back to the kubeconfig file.
      - Can also be given in the environment variable E(K8S_AUTH_PERSIST_CONFIG).
    type: bool
  impersonate_user:
    description:
      - User to act as; the connecting user needs permission for it.
      - Can also be given in the environment variable E(K8S_AUTH_IMPERSONATE_USER).
    type: str
  impersonate_groups:
    description:
      - Groups to act as, together with O(impersonate_user).
      - Can also be given in the environment variable E(K8S_AUTH_IMPERSONATE_GROUPS), separated by commas.
    type: list
    elements: str
requirements:
  - python >= 3.10
  - kubernetes >= 37
  - openshift >= 0.13.2
notes:
  - The connection options have the names, aliases, types, environment variables and precedence of the collection
    kubernetes.core, so that one set of C(module_defaults) values or environment variables serves both.
"""
