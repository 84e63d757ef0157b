"""Half a million requests of every kind: does a server that is never restarted grow?

A small reader, so that it takes minutes; pictures of 24 to 1,600 px width in six formats; one
request in ten is hostile: bombs, truncated and lying files, other bytes, broken JSON, clients that
hang up. Run:

    python benchmarks/endurance.py --requests 500000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import random
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path

from PIL import Image
from stage import Stage, collect_pictures, make_workspace

SMALL = {
    "height": 16, "stem": 4, "channels": [8, 8], "blocks": [1, 1], "features": 16, "hidden": 16,
}  # fmt: skip
HOSTILE = 0.1
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="nhan-bench-") as temporary:
        folder = Path(temporary)
        collect_pictures(None, folder / "pictures")
        root = make_workspace(
            folder / "workspace", folder / "pictures", network="convgru", options=SMALL
        )
        stage = Stage(root, folder / "pictures", folder)
        # What collection keeps grows by design; it has a benchmark of its own.
        with stage.running("nhan", NHAN_UPLOADS__COLLECT="off") as port:
            asyncio.run(_last(stage, port, options))


async def _last(stage: Stage, port: int, options: argparse.Namespace) -> None:
    requests = _requests()
    print("| requests | answers/s | memory (RSS), MiB | shares counted once (PSS), MiB |")
    print("|---:|---:|---:|---:|")
    statuses: Counter[int] = Counter()
    done = first = last = 0
    for milestone in _milestones(options.requests):
        begun = time.perf_counter()
        left = [milestone - done]
        await asyncio.gather(
            *(
                _client(port, requests, left, statuses, random.Random(done + number))
                for number in range(options.clients)
            )
        )
        speed = (milestone - done) / (time.perf_counter() - begun)
        done = milestone
        last = stage.memory_mib("Rss")
        first = first or last
        print(f"| {done:,} | {speed:.0f} | {last:.1f} | {stage.memory_mib():.1f} |", flush=True)
    print(f"\ngrowth after the first {_FIRST:,}: {last / first - 1:+.1%}")
    print("statuses:", ", ".join(f"{status}: {n:,}" for status, n in sorted(statuses.items())))
    if any(status >= 500 for status in statuses):
        sys.exit("an answer of 500 or above")


_FIRST = 20_000


def _milestones(requests: int) -> list[int]:
    step = max(1, (requests - _FIRST) // 8)
    return [_FIRST, *range(_FIRST + step, requests + 1, step)]


async def _client(
    port: int,
    requests: tuple[list[bytes], list[bytes]],
    left: list[int],
    statuses: Counter[int],
    chance: random.Random,
) -> None:
    good, bad = requests
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while left[0] > 0:
        left[0] -= 1
        hostile = chance.random() < HOSTILE
        writer.write(chance.choice(bad if hostile else good))
        if hostile and chance.random() < 0.1:
            status = 0  # gone before the answer
        else:
            status = await _status(reader)
        statuses[status] += 1
        if not hostile and status not in (200, 0):
            sys.exit(f"a good picture was answered {status}")
        if status in (0, 400) or hostile:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def _status(reader: asyncio.StreamReader) -> int:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0
    return int(head[9:12])


def _requests() -> tuple[list[bytes], list[bytes]]:
    """Whole HTTP requests: good ones and hostile ones."""
    chance = random.Random(0)
    pictures = []
    for number in range(120):
        size = (chance.randint(24, 1600), chance.randint(16, 96))
        image = Image.effect_noise(size, 40).convert("RGB")
        pictures.append(_saved(image, FORMATS[number % len(FORMATS)]))
    png = pictures[0]
    bombs = [
        png[:16] + struct.pack(">II", 20_000, 20_000) + png[24:],
        _saved(Image.new("1", (10_000, 4_100)), "TIFF", compression="group4"),
        b"GIF89a" + struct.pack("<HH", 20_000, 20_000) + bytes(60),
        png[:33] + _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(20_000_000), 9)) + png[33:],
        _saved(Image.new("L", (5_000, 5_000)), "PNG"),
    ]
    cut = [picture[: len(picture) // 2] for picture in pictures[: len(FORMATS)]]
    lies = [png[:100] + bytes(chance.randbytes(500)) + png[600:], b"%PDF-1.7", b"", bytes(5000)]
    bad = [_request(body) for body in (*bombs, *cut, *lies)]
    bad += [_request(b'{"image": "%%%"}', "application/json"), _request(b"{", "application/json")]
    bad.append(_request(b"--x\r\n", "multipart/form-data; boundary=b"))
    return [_request(picture) for picture in pictures], bad


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _request(body: bytes, kind: str = "image/png") -> bytes:
    head = f"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\ncontent-length: "
    return f"{head}{len(body)}\r\n\r\n".encode() + body


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--clients", type=int, default=16)
    return parser.parse_args()


if __name__ == "__main__":
    main()
