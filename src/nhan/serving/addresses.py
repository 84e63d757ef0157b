"""Which URLs may be fetched, and which addresses belong to the public internet: no network here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from nhan.errors import BadRequest, Forbidden

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS = {"http": 80, "https": 443}

_MAX_URL = 2048
_HOST = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
# Resolvers still read these as IPv4 addresses; nobody means well by them.
_ODD_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}")
# Prefixes that carry an IPv4 address inside: NAT64 and its local use, and the old "compatible".
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.ip_network("::/96")


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, and so does any it has inside."""
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in _NAT64) or address in _COMPATIBLE:
            return False
        inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if any(inner is not None for inner in inside):
            return False  # nobody's pictures need these, and each has bypassed a filter once
        if address.is_site_local:
            return False
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_loopback
        or address.is_link_local
        or address.is_private
        or address.is_unspecified
    )


def check_url(url: str, hosts: Sequence[str]) -> SplitResult:
    """Take a URL apart if it may be fetched.

    Raises:
        BadRequest: it is malformed.
        Forbidden: scheme, host or port is not allowed.
    """
    if len(url) > _MAX_URL or not url.isascii() or not url.isprintable():
        raise BadRequest(
            "the URL is too long or holds characters that no URL has",
            hint="percent-encode it, as browsers do",
        )
    if any(char in url for char in " \\<>\"'`{}|^"):
        raise BadRequest("the URL holds characters that no URL has", hint="percent-encode them")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadRequest(
            f"the URL cannot be read: {error}", hint="image_url=https://HOST/PATH"
        ) from error
    if parts.scheme not in PORTS:
        raise Forbidden(f"URLs of scheme {parts.scheme!r} are not fetched", hint="http or https")
    if "@" in parts.netloc or "%" in parts.netloc:
        raise Forbidden(
            "the URL names a user, or hides its host",
            hint="name the host plainly: https://HOST/PATH",
        )
    host = (parts.hostname or "").removesuffix(".")
    if ":" in host:
        _refuse_unless(ipaddress.IPv6Address, host)
    elif not _HOST.fullmatch(host):
        raise BadRequest("the URL has no proper host", hint="image_url=https://HOST/PATH")
    elif _ODD_NUMBER.fullmatch(host):
        _refuse_unless(ipaddress.IPv4Address, host)
    if not _allowed(host, port or PORTS[parts.scheme], hosts):
        raise Forbidden(f"the host {host} is not allowed", hint="allowed: see serve.url_hosts")
    return parts


def _refuse_unless(kind: type[Address], host: str) -> None:
    try:
        kind(host)
    except ValueError as error:
        raise Forbidden(
            "the URL's host is an oddly written address",
            hint="name the host plainly: https://HOST/PATH",
        ) from error


def _allowed(host: str, port: int, hosts: Sequence[str]) -> bool:
    usual = port in PORTS.values()
    for entry in hosts:
        name, _, allowed_port = entry.lower().partition(":")
        if not (int(allowed_port) == port if allowed_port.isdigit() else usual):
            continue
        if name in ("*", host) or (name.startswith("*.") and host.endswith(name[1:])):
            return True
    return False
