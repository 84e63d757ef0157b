"""Pictures by URL, without lending our network position to whoever names the URL.

Off unless hosts are allowed. Every hop is checked anew: scheme, host, port, and every address that
the name resolves to; then the connection is made to the very address that was checked, so that a
name which resolves differently a moment later (DNS rebinding) gains nothing. Nothing of the
environment is used: no proxies, no netrc, no cookies.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from urllib.parse import SplitResult, urljoin

import h11

from nhan import __version__
from nhan.errors import (
    BadPicture,
    DeadlinePassed,
    Forbidden,
    PictureTooLarge,
    UnsupportedPicture,
    UpstreamFailed,
)
from nhan.serving.addresses import PORTS, Address, check_url, is_public

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_MAX_REDIRECTS = 3
_MAX_AT_ONCE = 16
_CHUNK = 65536


@dataclass(frozen=True)
class FetchLimits:
    """What one fetch may take.

    Attributes:
        hosts: allowed names; `*.example.org` for all below one, `*` for every public address;
            `name:8080` allows another port than 80 and 443. Empty: fetching is off.
        max_bytes: of the picture.
        timeout_s: for everything, redirects included.
    """

    hosts: tuple[str, ...] = ()
    max_bytes: int = 10_000_000
    timeout_s: float = 10.0


class Fetcher:
    """Gets pictures by URL.

    Args:
        limits: what is allowed.
        resolve: name and port to addresses; the system's resolver by default.
        permit: which addresses may be connected to.
    """

    def __init__(
        self,
        limits: FetchLimits | None = None,
        *,
        resolve: Resolve | None = None,
        permit: Callable[[Address], bool] = is_public,
    ) -> None:
        self.limits = limits or FetchLimits()
        self._resolve = resolve or self._look_up
        self._permit = permit
        self._turns = asyncio.Semaphore(_MAX_AT_ONCE)
        # Of our own: a name that never resolves holds its thread, and others' work needs some too.
        self._resolvers = ThreadPoolExecutor(_MAX_AT_ONCE, thread_name_prefix="resolve")
        self._tls: ssl.SSLContext | None = None

    async def fetch(self, url: str) -> bytes:
        """The bytes at a URL.

        Raises:
            Forbidden: fetching is off, or the URL, its host or an address is not allowed.
            BadRequest: no URL.
            UpstreamFailed: its server failed, or sent no picture.
            PictureTooLarge, UnsupportedPicture: it sent too much, or something else.
            DeadlinePassed: it took too long.
        """
        if not self.limits.hosts:
            raise Forbidden(
                "pictures by URL are switched off",
                hint="POST the picture, or allow hosts: serve.url_hosts",
            )
        try:
            async with asyncio.timeout(self.limits.timeout_s), self._turns:
                return await self._follow(url)
        except TimeoutError as error:
            raise DeadlinePassed(
                f"the URL's server took over {self.limits.timeout_s:g} s",
                hint="ask again, or POST the picture",
            ) from error

    async def _follow(self, url: str) -> bytes:
        came_from = ""
        for _ in range(_MAX_REDIRECTS + 1):
            target = check_url(url, self.limits.hosts)
            if came_from == "https" and target.scheme == "http":
                raise Forbidden(
                    "the URL redirects from https to http",
                    hint="name the picture's own https URL, or POST it",
                )
            address = await self._address(target)
            status, location, body = await self._get(target, address)
            if status not in (301, 302, 303, 307, 308):
                return body
            came_from = target.scheme
            try:
                url = urljoin(url, location)
            except ValueError as error:
                raise UpstreamFailed(
                    f"the URL redirects to no URL: {error}", hint="name the picture's own URL"
                ) from error
        raise UpstreamFailed(
            f"the URL redirects more than {_MAX_REDIRECTS} times", hint="name the picture's own URL"
        )

    async def _address(self, target: SplitResult) -> str:
        host, port = target.hostname or "", target.port or PORTS[target.scheme]
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise UpstreamFailed(
                f"the host {host} is unknown", hint="look at the URL, or POST the picture"
            ) from error
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
        if not addresses:
            raise UpstreamFailed(
                f"the host {host} has no address", hint="look at the URL, or POST the picture"
            )
        if not all(self._permit(address) for address in addresses):
            # Which address is nobody's business: the answer would map our network.
            raise Forbidden(
                f"the host {host} is not on the public internet",
                hint="POST the picture; addresses of inner networks are never fetched",
            )
        return found[0]

    async def _get(self, target: SplitResult, address: str) -> tuple[int, str, bytes]:
        host, port = target.hostname or "", target.port or PORTS[target.scheme]
        tls = self._certificates() if target.scheme == "https" else None
        try:
            reader, writer = await asyncio.open_connection(
                address, port, ssl=tls, server_hostname=host if tls else None
            )
        except (OSError, ssl.SSLError) as error:
            raise UpstreamFailed(
                f"cannot connect to {host}: {type(error).__name__}",
                hint="look at the URL, or POST the picture",
            ) from error
        try:
            connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=32_768)
            path = target.path or "/"
            request = h11.Request(
                method="GET",
                target=path + (f"?{target.query}" if target.query else ""),
                headers=[
                    ("Host", target.netloc),
                    ("User-Agent", f"nhan/{__version__}"),
                    ("Accept", "image/*"),
                    ("Accept-Encoding", "identity"),
                    ("Connection", "close"),
                ],
            )
            writer.write(connection.send(request) or b"")
            writer.write(connection.send(h11.EndOfMessage()) or b"")
            return await self._read(connection, reader, host)
        except (h11.ProtocolError, OSError, ValueError) as error:
            raise UpstreamFailed(
                f"{host} does not speak HTTP properly: {error}", hint="POST the picture"
            ) from error
        finally:
            writer.transport.abort()

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        ask = partial(
            socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
        found = await asyncio.get_running_loop().run_in_executor(self._resolvers, ask)
        return [str(entry[4][0]) for entry in found]

    def _certificates(self) -> ssl.SSLContext:
        """Whom we trust; read once, because reading them takes thirty milliseconds."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    async def _read(
        self, connection: h11.Connection, reader: asyncio.StreamReader, host: str
    ) -> tuple[int, str, bytes]:
        status, location, body = 0, "", bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(_CHUNK))
            elif isinstance(event, h11.Response):
                status, headers = event.status_code, dict(event.headers)
                if status in (301, 302, 303, 307, 308):
                    return status, headers.get(b"location", b"").decode("latin-1"), b""
                if status != 200:
                    raise UpstreamFailed(
                        f"{host} answered {status}",
                        hint="open the URL in a browser, or POST the picture",
                    )
                self._check_headers(headers, host)
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self.limits.max_bytes:
                    raise self._too_large(len(body))
            elif isinstance(event, h11.EndOfMessage):
                if not body:
                    raise BadPicture(
                        f"{host} sent nothing",
                        hint="open the URL in a browser, or POST the picture",
                    )
                return status, location, bytes(body)
            elif isinstance(event, h11.ConnectionClosed):
                raise UpstreamFailed(f"{host} hung up", hint="ask again, or POST the picture")

    def _check_headers(self, headers: dict[bytes, bytes], host: str) -> None:
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self.limits.max_bytes:
            raise self._too_large(int(length))
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise UpstreamFailed(
                f"{host} sent a compressed body",
                hint="name a URL that sends the picture as it is, or POST it",
            )
        kind = headers.get(b"content-type", b"image/*").partition(b";")[0].strip().lower()
        if not kind.startswith(b"image/") and kind not in (
            b"application/octet-stream",
            b"binary/octet-stream",
        ):
            shown = kind.decode("ascii", "replace")[:60]
            raise UnsupportedPicture(
                f"{host} sent {shown}, no picture",
                hint="name the picture's own URL, not that of a page",
            )

    def _too_large(self, size: int) -> PictureTooLarge:
        return PictureTooLarge(
            f"the picture at the URL has {size:,} bytes or more; "
            f"the limit is {self.limits.max_bytes:,}",
            hint="name a smaller picture or raise images.max_bytes",
        )
