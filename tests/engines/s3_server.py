"""moto's S3 server, whose create-only puts create once, however many come at the same moment.

S3 promises that. moto looks whether the object is there and puts it afterwards, so that now and
then two of several writers were told that they had created it.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from moto import server
from moto.s3.responses import S3Response

_one_at_a_time = threading.RLock()
_put = S3Response._key_response_put


def _put_alone(self: S3Response, *arguments: Any, **options: Any) -> Any:
    with _one_at_a_time:
        return _put(self, *arguments, **options)


if __name__ == "__main__":
    S3Response._key_response_put = _put_alone
    server.main(sys.argv[1:])
