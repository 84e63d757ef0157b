"""A request's body: read within limits, and the picture in it found in any of its forms."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from nhan.errors import BadPicture, BadRequest, PictureTooLarge
from nhan.serving.json_body import parse_json

# Field names of the clients we know: curl's habit, ours, TorchServe's and the classic form's.
FIELDS = ("file", "image", "body", "data")

# Multipart headers, JSON around base64; nobody needs more around one picture.
OVERHEAD_BYTES = 64 * 1024

# Of JSON that holds no picture: a decision, a setting, a correction.
SMALL_BYTES = 64 * 1024

# What to do about a body of several pictures that is too long.
FEWER = "send fewer pictures at once, or raise serve.max_body_bytes"

_MAX_PARTS = 32
_MAX_PART_HEAD_BYTES = 16 * 1024
_NAME = re.compile(rb'(?:^|;)\s*name="?([^";]*)"?', re.IGNORECASE)
# RFC 6266: the notation for other alphabets wins over the plain one beside it.
_FILE_NAME_CODED = re.compile(rb"filename\*=utf-8''([^;\s]+)", re.IGNORECASE)
_FILE_NAME = re.compile(rb'filename=(?:"((?:[^"\\]|\\.)*)"|([^";\s]+))', re.IGNORECASE)
# A form may write a character of base64 as three.
_PERCENT_ENCODED = 3
# What may stand in base64 beside a picture: line breaks, and the head of a `data:` address.
_BROKEN_LINES, _ADDRESS_BYTES = 1.1, 1000
_SHOWN = 40  # characters of what a client chose, in a message


async def read_body(
    request: Request,
    max_bytes: int,
    *,
    hint: str = "send a smaller picture or raise images.max_bytes",
) -> bytes:
    """The whole body.

    A body that announces more than the limit is refused before a byte of it is read, one that
    announces nothing as soon as it exceeds it.

    Args:
        request: whose body it is.
        max_bytes: how long it may be.
        hint: what to do about a longer one.

    Raises:
        PictureTooLarge: more than `max_bytes`.
        BadRequest: the client stopped sending.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise _too_large(int(announced), max_bytes, hint)
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        # Not `request.stream()`: a generator costs more than the one message it usually yields.
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise BadRequest(
                "the client hung up before its body was complete", hint="send it again, whole"
            )
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(size, max_bytes, hint)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _too_large(size: int, limit: int, hint: str) -> PictureTooLarge:
    return PictureTooLarge(
        f"the body has {size:,} bytes or more; the limit here is {limit:,}", hint=hint
    )


async def read_json(
    request: Request, max_bytes: int = SMALL_BYTES, *, hint: str = "a few words of JSON will do"
) -> Any:
    """What a JSON body says.

    Raises:
        NhanError: see `read_body` and `parse_json`.
    """
    return await parse_json(await read_body(request, max_bytes, hint=hint))


class SmallJson(APIRoute):
    """A route whose JSON body FastAPI reads: it would read one of any length, and parse it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers; the body is read first."""
        answer = super().get_route_handler()
        if self.body_field is None:
            return answer

        async def bounded(request: Request) -> Response:
            body = await read_body(request, SMALL_BYTES, hint="a few words of JSON will do")
            # Where Starlette keeps a body that was read.
            request._body = body
            return await answer(request)

        return bounded


async def read_picture(request: Request, max_picture_bytes: int) -> bytes:
    """The one picture of a request: a multipart field, JSON with base64, or the body itself.

    Raises:
        BadRequest: the multipart or JSON form is broken, or has no picture.
        BadPicture: the body is empty.
        PictureTooLarge: too many bytes.
    """
    return (await read_file(request, max_picture_bytes))[0]


async def read_file(request: Request, max_picture_bytes: int) -> tuple[bytes, str]:
    """The picture of a request, and the name it had where it came from; '' where none is said.

    Raises:
        NhanError: see `read_picture`.
    """
    content_type = request.headers.get("content-type", "")
    kind = _kind(content_type)
    limit = max_picture_bytes
    if kind in (_JSON, _FORM):
        limit = limit * 4 // 3 * (_PERCENT_ENCODED if kind == _FORM else 1)
    body = await read_body(request, limit + OVERHEAD_BYTES)
    if kind == _MULTIPART:
        return _from_multipart(body, content_type)
    if kind == _JSON:
        return _from_json(await parse_json(body), max_picture_bytes), ""
    if kind == _FORM:
        return _from_form(body, max_picture_bytes), ""
    if not body:
        raise BadPicture(
            "the request has no picture", hint="send it as the body, or as the field `file`"
        )
    return body, ""


_MULTIPART, _JSON = "multipart/form-data", "application/json"
_FORM = "application/x-www-form-urlencoded"


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def decode_base64(text: Any, max_bytes: int) -> bytes:
    """Bytes of a base64 text; a `data:` address and line breaks are accepted.

    Args:
        text: as a client sent it; need not be a text.
        max_bytes: of what it stands for; a little more may pass, for line breaks.

    Raises:
        BadRequest: not a text, or not base64.
        PictureTooLarge: it is longer; told from its length.
    """
    if not isinstance(text, str):
        raise BadRequest(
            f"the picture is {type(text).__name__}, not a base64 text",
            hint='{"image": "<base64>"}',
        )
    if len(text) * 3 // 4 > max_bytes * _BROKEN_LINES + _ADDRESS_BYTES:
        raise PictureTooLarge(
            f"the picture has about {len(text) * 3 // 4:,} bytes; the limit is {max_bytes:,}",
            hint="send a smaller picture or raise images.max_bytes",
        )
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        plain = text.encode("ascii").translate(_URL_SAFE, _WHITE)
        plain += b"=" * (-len(plain) % 4)
        return binascii.a2b_base64(plain, strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise BadRequest(
            f"the picture's base64 cannot be read: {error}",
            hint="send the base64 of the file, nothing else",
        ) from error


_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE = b" \t\r\n\v\f"


def parse_multipart(body: bytes, content_type: str) -> Iterator[tuple[str, str, bytes]]:
    """The parts of a form: field name, file name (may be empty), content.

    Written for what browsers, curl and the usual libraries send (RFC 7578), whole in memory: a
    streaming parser costs a millisecond for a picture of 20 kB, finding the boundary 10 µs.

    Raises:
        BadRequest: no boundary, a part without its head, or the end is missing.
    """
    match = re.search(r'boundary="?([^";,]+)"?', content_type, re.IGNORECASE)
    if match is None or len(match[1]) > 200:
        raise BadRequest("the multipart form has no boundary", hint="let the client set the header")
    delimiter = b"--" + match[1].strip().encode("latin-1", "replace")
    position = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if not body.startswith(delimiter, position):
        raise BadRequest(
            "the multipart form's boundary is not in its body",
            hint="let the client make the form: curl -F file=@line.png",
        )
    for _ in range(_MAX_PARTS):
        position += len(delimiter)
        if body.startswith(b"--", position):
            return
        head_end = body.find(b"\r\n\r\n", position)
        content_end = body.find(b"\r\n" + delimiter, max(head_end + 2, position))
        if head_end < 0 or content_end < 0:
            raise BadRequest("the multipart form is cut off", hint="send the whole body")
        if head_end - position > _MAX_PART_HEAD_BYTES:
            raise BadRequest(
                f"the head of a part of the form has {head_end - position:,} bytes; "
                f"the limit is {_MAX_PART_HEAD_BYTES:,}",
                hint="shorten the file's name",
            )
        yield *_part_names(body[position:head_end]), body[head_end + 4 : content_end]
        position = content_end + 2
    raise BadRequest(
        f"the multipart form has more than {_MAX_PARTS} parts",
        hint="send one picture, in the field `file`",
    )


def _part_names(head: bytes) -> tuple[str, str]:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            field = _NAME.search(value)
            return field[1].decode("utf-8", "replace") if field else "", _file_name(value)
    return "", ""


def _file_name(disposition: bytes) -> str:
    if coded := _FILE_NAME_CODED.search(disposition):
        return unquote_to_bytes(coded[1]).decode("utf-8", "replace")
    found = _FILE_NAME.search(disposition)
    if found is None:
        return ""
    return (found[1] or found[2] or b"").replace(b'\\"', b'"').decode("utf-8", "replace")


def _from_multipart(body: bytes, content_type: str) -> tuple[bytes, str]:
    """The first field that holds something: a form may have several, and one was filled in."""
    seen, empty = [], ""
    for field, file, content in parse_multipart(body, content_type):
        if field in FIELDS and content:
            return content, file
        if field in FIELDS:
            empty = empty or field
        else:
            seen.append(field[:_SHOWN])
    if empty:
        raise BadPicture(f"the field {empty!r} is empty", hint="choose a file")
    raise BadRequest(
        f"the form has no picture; its fields are {', '.join(map(repr, seen[:8])) or 'none'}",
        hint=f"name the field one of {', '.join(FIELDS)}",
    )


def _from_json(document: Any, max_bytes: int) -> bytes:
    if isinstance(document, dict):
        for field in ("image", "file", "body", "data"):
            if field in document:
                value = document[field]
                return decode_base64(
                    value.get("b64") if isinstance(value, dict) else value, max_bytes
                )
    raise BadRequest("the JSON has no picture", hint='{"image": "<base64>"}')


def _from_form(body: bytes, max_bytes: int) -> bytes:
    """Curl's `-d` and `--data-binary` claim a form even where they send a raw file."""
    if not body:
        raise BadPicture(
            "the request has no picture", hint="send it as the body, or as the field `file`"
        )
    if body[:64].partition(b"=")[0] not in {field.encode() for field in FIELDS}:
        return body
    # Its first field is one of ours, or we would not be here.
    value = body.partition(b"&")[0].partition(b"=")[2]
    if b"%" in value:
        # Quoted-printable writes `=` for `%`, and is read in one go; the library's own function
        # for forms makes an object of each escape. What base64 is padded with is not needed.
        value = binascii.a2b_qp(value.rstrip(b"=").replace(b"%", b"="))
    return decode_base64(value.decode("latin-1").replace(" ", "+"), max_bytes)
