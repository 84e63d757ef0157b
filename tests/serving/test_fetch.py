"""Pictures by URL: a battery of hostile ones, and the honest ones that must work."""

from __future__ import annotations

import asyncio
import ipaddress
import threading

import pytest

from nhan.errors import NhanError
from nhan.serving.addresses import check_url, is_public
from nhan.serving.fetch import Fetcher, FetchLimits
from pace import Stopwatch

PICTURE = b"\x89PNG pretend"

# Every way we know to name a place that is not the public internet, or to confuse a parser.
HOSTILE = [
    # other schemes
    "file:///etc/passwd", "ftp://example.org/a.png", "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/", "data:image/png;base64,AAAA", "javascript:alert(1)",
    "jar:http://example.org!/a.png", "ldap://127.0.0.1/", "s3://bucket/key", "//example.org/a.png",
    "example.org/a.png", "", "http://", "http:///a.png", "https:example.org/a.png",
    # loopback
    "http://127.0.0.1/", "http://127.1/", "http://127.0.1/", "http://127.255.255.254/",
    "http://localhost/", "http://LOCALHOST/", "http://localhost./", "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/", "http://0.0.0.0/", "http://0/", "http://[::]/",
    # the same, oddly written
    "http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/",
    "http://017700000001/", "http://127.0.0.1./", "http://①②⑦.0.0.1/", "http://127。0。0。1/",
    # private, link-local, shared, multicast, reserved, documentation
    "http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.1.1/",
    "http://100.64.0.1/", "http://192.0.0.1/", "http://198.18.0.1/", "http://224.0.0.1/",
    "http://239.255.255.250/", "http://240.0.0.1/", "http://255.255.255.255/", "http://192.0.2.1/",
    # metadata services
    "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/latest/meta-data/",
    "http://metadata.google.internal/", "http://100.100.100.200/", "http://2852039166/",
    "http://0xa9fea9fe/", "http://169.254.43518/",
    # IPv6 that hides IPv4, and local IPv6
    "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[::ffff:169.254.169.254]/",
    "http://[::127.0.0.1]/", "http://[64:ff9b::127.0.0.1]/", "http://[64:ff9b:1::10.0.0.1]/",
    "http://[2002:7f00:1::]/", "http://[2001:0:7f00:1::]/", "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/", "http://[fc00::1]/", "http://[fec0::1]/", "http://[ff02::1]/",
    # user parts and confusing punctuation
    "http://example.org@127.0.0.1/", "http://127.0.0.1@example.org/", "http://user:pw@example.org/",
    "http://example.org\\@127.0.0.1/", "http:\\\\127.0.0.1/",
    "http://127.0.0.1%2f@example.org/", "http://example.org%00.evil.example/",
    "http://exa mple.org/", "http://example.org/\r\nX: y", "http://example.org/\x00",
    "http://[::1]example.org/", "http://[::1/", "http://example.org:port/",
    "http://example.org:99999/", "http://example.org:-1/",
    # ports of other services
    "http://example.org:22/", "http://example.org:6379/", "http://example.org:8001/models",
    # too long
    "http://example.org/" + "a" * 4000, "http://" + "a" * 300 + ".example/",
    # names that resolve to where they must not
    "http://loopback.example/", "http://private.example/", "http://both.example/",
    "http://mapped.example/", "http://unknown.example/", "http://nothing.example/",
]  # fmt: skip

NAMES = {
    "localhost": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "loopback.example": ["127.0.0.1"],
    "private.example": ["10.1.2.3"],
    "both.example": ["93.184.216.34", "10.0.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nothing.example": [],
}


async def resolve(host: str, port: int) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    if host in NAMES:
        return NAMES[host]
    if host in ("example.org",):
        raise AssertionError("a hostile URL reached the network")
    raise OSError("no such host")


def test_the_battery_is_large():
    assert len(set(HOSTILE)) >= 60


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_urls_are_refused_before_any_connection(url, monkeypatch):
    async def never(*args, **kwargs):
        raise AssertionError("connected")

    monkeypatch.setattr(asyncio, "open_connection", never)
    fetcher = Fetcher(FetchLimits(hosts=("*",)), resolve=resolve)
    watch = Stopwatch()
    with pytest.raises(NhanError) as refused:
        asyncio.run(fetcher.fetch(url))
    assert refused.value.status in (400, 403, 502)
    assert watch.allows(1)


def test_off_unless_hosts_are_allowed():
    with pytest.raises(NhanError) as refused:
        asyncio.run(Fetcher().fetch("https://example.org/a.png"))
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        (("example.org",), "https://example.org/a.png", True),
        (("example.org",), "https://EXAMPLE.org/a.png", True),
        (("example.org",), "https://evil-example.org/a.png", False),
        (("example.org",), "https://example.org.evil.example/a.png", False),
        (("*.example.org",), "https://img.example.org/a.png", True),
        (("*.example.org",), "https://example.org/a.png", False),
        (("*.example.org",), "https://evilexample.org/a.png", False),
        (("example.org:8080",), "http://example.org:8080/a.png", True),
        (("example.org",), "http://example.org:8080/a.png", False),
    ],
)
def test_allowed_hosts(hosts, url, allowed):
    if allowed:
        check_url(url, hosts)
    else:
        with pytest.raises(NhanError):
            check_url(url, hosts)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:2800:220:1::1"])
def test_public_addresses_are_public(address):
    assert is_public(ipaddress.ip_address(address))


class Site:
    """A small server on loopback that the fetcher is, for once, allowed to reach."""

    def __init__(self, answers: dict[str, bytes]):
        self.answers = answers
        self.seen: list[bytes] = []

    async def __aenter__(self):
        self.over = asyncio.Event()
        self.server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        self.over.set()
        await asyncio.sleep(0.01)

    async def handle(self, reader, writer):
        try:
            await self.answer(reader, writer)
        finally:
            writer.transport.abort()

    async def answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.seen.append(head)
        path = head.split(b" ")[1].decode()
        answer = self.answers[path]
        if answer == b"slow":
            await self.over.wait()
        writer.write(answer.replace(b"PORT", str(self.port).encode()))
        await writer.drain()
        writer.write_eof()
        await reader.read()


def get(answers, path="/", *, resolver=None, **limits):
    async def local(host, port):
        return ["127.0.0.1"]

    async def scenario():
        async with Site(answers) as site:
            fetcher = Fetcher(
                FetchLimits(hosts=(f"*:{site.port}",), **limits),
                resolve=resolver or local,
                permit=lambda _: True,
            )
            return await fetcher.fetch(f"http://pictures.example:{site.port}{path}"), site.seen

    return asyncio.run(scenario())


def ok(body=PICTURE, head=b"content-type: image/png\r\n"):
    return b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s" % (head, len(body), body)


def test_an_honest_picture_is_fetched():
    data, seen = get({"/a.png?x=1": ok()}, "/a.png?x=1")
    assert data == PICTURE
    assert b"Host: pictures.example:" in seen[0]
    assert b"ookie" not in seen[0]


def test_redirects_are_followed_and_counted():
    there = b"HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n"
    assert get({"/": there, "/b": ok()})[0] == PICTURE
    with pytest.raises(NhanError) as refused:
        get({"/": b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"})
    assert refused.value.status == 502


@pytest.mark.parametrize(
    "target",
    [b"file:///etc/passwd", b"http://127.0.0.1:22/", b"http://other.example/", b"", b"http://["],
)
def test_redirects_are_checked_like_the_first_url(target):
    answer = b"HTTP/1.1 302 Found\r\nlocation: " + target + b"\r\ncontent-length: 0\r\n\r\n"
    with pytest.raises(NhanError):
        get({"/": answer})


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (ok(b"x" * 5000), 413),
        (b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 99999999\r\n\r\nx", 413),
        (b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n" + b"x" * 9000, 413),
        (ok(head=b"content-type: text/html\r\n"), 415),
        (ok(head=b"content-type: image/png\r\ncontent-encoding: gzip\r\n"), 502),
        (ok(b""), 400),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 502),
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort", 502),
        (b"not http at all\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20000 + b"\r\n", 502),
        (b"", 502),
        (b"slow", 504),
    ],
)
def test_what_is_no_proper_picture_is_refused(answer, status):
    with pytest.raises(NhanError) as refused:
        get({"/": answer}, max_bytes=4000, timeout_s=0.5 if answer == b"slow" else 60)
    assert refused.value.status == status


def test_the_connection_goes_to_the_address_that_was_checked():
    """A name that resolves differently the second time (DNS rebinding) gains nothing."""
    turns = []

    async def rebinding(host, port):
        turns.append(host)
        return ["127.0.0.1"] if len(turns) == 1 else ["127.0.0.2"]

    assert get({"/": ok()}, resolver=rebinding)[0] == PICTURE
    assert len(turns) == 1


def test_names_that_never_resolve_keep_no_others_from_a_thread(monkeypatch):
    """The server's other work, promotions among it, has threads of its own."""
    over = threading.Event()

    def hangs(*_args, **_options):
        over.wait(120)
        raise OSError("no such host")

    monkeypatch.setattr("socket.getaddrinfo", hangs)

    async def scenario():
        fetcher = Fetcher(FetchLimits(hosts=("*",), timeout_s=60))
        asked = [
            asyncio.create_task(fetcher.fetch(f"http://slow{number}.example/"))
            for number in range(40)
        ]
        try:
            await asyncio.sleep(0.2)
            async with asyncio.timeout(30):
                assert await asyncio.to_thread(lambda: "done") == "done"
        finally:
            over.set()
            await asyncio.gather(*asked, return_exceptions=True)

    asyncio.run(scenario())
