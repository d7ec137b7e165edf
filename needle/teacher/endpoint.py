"""Where a teacher lives and with which key: the address, the credentials, and the SDK client for them.

``embedded`` is an address like any other: the in-process ASGI app of ``needle.teacher.embedded`` is mounted behind
the SDK's own HTTP client, so that running without a key and running against a paid API go through the same code.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from urllib.parse import parse_qsl, urlsplit

import httpx2
import openai

from needle.errors import UserError

EMBEDDED = "embedded"
EMBEDDED_URL = "http://embedded.invalid/v1"
KEY_VARIABLES = ("NEEDLE_API_KEY", "OPENAI_API_KEY")
"""Looked up in this order: the project's own variable wins over the general one."""
NO_KEY = "no-key"
SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key", "proxy-authorization", "cookie"})
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def is_embedded(base_url: str) -> bool:
    """True for the teacher that needs no network."""
    return base_url == EMBEDDED


def check_url(base_url: str) -> str:
    """The address without a trailing slash.

    Raises:
        UserError: when it is neither ``embedded`` nor an http(s) URL.
    """
    if is_embedded(base_url):
        return base_url
    try:
        parts = urlsplit(base_url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets that do not fit, a port that is none
        known = False
    if not known:
        raise UserError(
            f"teacher {base_url!r} is no URL; give e.g. https://api.openai.com/v1, http://localhost:8000/v1 or "
            f"'embedded'"
        )
    if parts.username or parts.password:
        raise UserError("teacher URL carries a user name or password; put the key into NEEDLE_API_KEY instead")
    if any(re.search(r"key|token|secret|password", name, re.I) for name, _ in parse_qsl(parts.query)):
        raise UserError("teacher URL carries a key; put the key into NEEDLE_API_KEY instead")
    return base_url.rstrip("/")


def is_local(base_url: str) -> bool:
    """True when the host is this machine or a private network, where servers commonly need no key."""
    if is_embedded(base_url):
        return True
    host = urlsplit(base_url).hostname or ""
    if host == "localhost" or host.endswith(".local") or "." not in host and ":" not in host:
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def find_key(base_url: str, environment: Mapping[str, str] | None = None, key_env: str | None = None) -> str:
    """The API key for an address; a dummy for local endpoints when none is set, and always for the embedded
    teacher.

    Args:
        base_url: a checked address.
        environment: variables to look in; None: those of this process.
        key_env: the variable that a profile names; None: ``KEY_VARIABLES`` in turn; "": no key is needed.

    Raises:
        UserError: when a remote endpoint needs a key and no variable holds one, or one that cannot be sent.
    """
    if is_embedded(base_url) or key_env == "":
        return NO_KEY
    variables = os.environ if environment is None else environment
    names = (key_env,) if key_env else KEY_VARIABLES
    for name in names:
        if key := (variables.get(name) or "").strip():
            if not (key.isascii() and key.isprintable()):
                raise UserError(f"{name} holds a character that no key can have; copy the key again, without line breaks and accents")
            return key
    if is_local(base_url):
        return NO_KEY
    wanted = (
        f'{key_env} (or key_env = "" in its profile where it needs none)'
        if key_env
        else "OPENAI_API_KEY (or NEEDLE_API_KEY)"
    )
    raise UserError(f"no key for {base_url}: set {wanted}, or use --teacher embedded, which needs none")


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse a header that holds a secret instead of naming the variable with it.

    Raises:
        UserError: names the header, never its value.
    """
    for name, value in headers.items():
        if name.lower() in SECRET_HEADERS and not _VARIABLE.search(value):
            raise UserError(f"header {name!r} holds a secret; write ${{NAME}} and set that environment variable")


def fill_headers(headers: Mapping[str, str], environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Headers with every ``${NAME}`` replaced by that environment variable.

    Raises:
        UserError: a variable is not set.
    """
    variables = os.environ if environment is None else environment

    def value(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise UserError(f"a header of the teacher needs the environment variable {match[1]}, which is not set")
        return variables[match[1]]

    return {name: _VARIABLE.sub(value, text) for name, text in headers.items()}


def header_secrets(headers: Mapping[str, str]) -> list[str]:
    """Values of the environment variables that headers name."""
    names = [name for text in headers.values() for name in _VARIABLE.findall(text)]
    return [os.environ[name] for name in names if name in os.environ]


def open_client(
    base_url: str,
    key: str | Callable[[], Awaitable[str]],
    timeout_s: float,
    transport: httpx2.AsyncBaseTransport | None = None,
    headers: Mapping[str, str] | None = None,
) -> openai.AsyncOpenAI:
    """SDK client without retries of its own (ours know permanent errors and every form of Retry-After).

    Args:
        base_url: a checked address.
        key: the API key, or what gives it for each request.
        timeout_s: seconds between two reads; the total deadline is the caller's.
        transport: how to reach the endpoint, for in-process apps; None: the network.
        headers: further headers, filled in.
    """
    url = EMBEDDED_URL if is_embedded(base_url) else base_url
    http_client = httpx2.AsyncClient(transport=transport, timeout=timeout_s) if transport else _http_client(timeout_s)
    return openai.AsyncOpenAI(
        api_key=key,
        base_url=url,
        timeout=timeout_s,
        max_retries=0,
        http_client=http_client,
        default_headers=dict(headers or {}),
    )


def _http_client(timeout_s: float) -> httpx2.AsyncClient | None:
    """The SDK's aiohttp client, which takes about a quarter less time of the processor, where aiohttp is installed and
    no proxy is set (the SDK's own client knows all ways in which proxies are named); None: the SDK's own."""
    proxied = any(
        name.lower() in ("http_proxy", "https_proxy", "all_proxy") and value for name, value in os.environ.items()
    )
    if proxied or find_spec("aiohttp") is None:
        return None
    return openai.DefaultAioHttpClient(timeout=timeout_s)
