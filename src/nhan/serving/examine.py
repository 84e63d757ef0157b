"""Pictures that cannot be told harmless at a glance, looked over before they may wait.

A compressed comment has to be inflated to be measured, and a file of ten thousand parts walked
through: milliseconds each, which the event loop has not got. They are spent here, in one thread,
so that a bomb is refused while others' pictures stand in the queue, and many bombs delay nobody
but each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from nhan.errors import NhanError, QueueFull
from nhan.images import PictureLimits, check_structure, is_intricate, refuse_early

# A full line of the largest pictures is looked over within a tenth of a second.
_MAX_WAITING_BYTES = 64_000_000


class Examiner:
    """Refuses what can be told without decoding.

    Args:
        max_waiting_bytes: of intricate pictures that have not been looked over.
    """

    def __init__(self, max_waiting_bytes: int = _MAX_WAITING_BYTES) -> None:
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting_bytes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="examine")

    async def examine(self, pictures: Sequence[bytes], limits: PictureLimits) -> None:
        """Pass pictures, or say what is wrong with the first that is refused.

        Raises:
            BadPicture, UnsupportedPicture, PictureTooLarge: as decoding would.
            QueueFull: too many pictures wait to be looked over.
        """
        for number, picture in enumerate(pictures):
            try:
                refuse_early(picture, limits)
                if is_intricate(picture):
                    await self._look_over(picture)
            except NhanError as error:
                if len(pictures) > 1:
                    error.message = f"picture {number}: {error.message}"
                raise

    async def _look_over(self, picture: bytes) -> None:
        if self._waiting_bytes and self._waiting_bytes + len(picture) > self._max_waiting_bytes:
            raise QueueFull(
                "too many pictures wait to be looked over", hint="ask again after Retry-After"
            )
        self._waiting_bytes += len(picture)
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, check_structure, picture)
        finally:
            self._waiting_bytes -= len(picture)
