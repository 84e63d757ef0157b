"""JSON that clients send, parsed within bounds.

Parsing holds up everybody else's requests, and a list of `{}` takes twenty times the memory of its
text. A picture is one value however long it is, so values are what is bounded here; they are
counted before anything is made of them.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from nhan.errors import BadRequest

# Parsed within some tens of milliseconds, in some tens of megabytes at the very most.
MAX_VALUES = 100_000

# Each value but the first of a container stands behind a comma, and each first one behind a
# bracket. Base64 has neither; those in other texts are counted too.
_OTHERS = bytes(set(range(256)) - set(b",[{"))
# Counted at a stretch; then others have their turn.
_PIECE_BYTES = 1_000_000


async def parse_json(body: bytes) -> Any:
    """A JSON body.

    Raises:
        BadRequest: it is none, or has more than `MAX_VALUES` values.
    """
    values = 1
    for start in range(0, len(body), _PIECE_BYTES):
        if start:
            await asyncio.sleep(0)
        values += len(body[start : start + _PIECE_BYTES].translate(None, _OTHERS))
        if values > MAX_VALUES:
            raise BadRequest(
                f"the body's JSON has more than {MAX_VALUES:,} values",
                hint="send a picture as one base64 text, not as a list of its pixels",
            )
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(
            f"the body is not JSON: {error}", hint="send one JSON document, in UTF-8"
        ) from error
