"""Keeping a worker's memory flat while models come and go.

glibc gives every thread that allocates an arena of its own, and a model loaded in one thread and
dropped in another leaves holes in several. 24 promotions of a 4 MB model grew a worker from 120 to
260 MiB; with one arena, trimmed after each change of models, it stays at 120.

glibc also raises, up to 32 MiB, the size from which a block is mapped and so returned when freed:
after one large picture, later ones stay in the heap. A picture whose header promises 32 million
pixels left up to 135 MiB behind; with the size fixed, nothing.

Fixing that size also keeps glibc from raising the amount of free memory at the top of the heap
above which it shrinks the heap: 128 KiB, so every picture would give its pages back and fault 250
of them in again, 0.8 of 11.6 ms. That amount is therefore fixed too, higher.
"""

from __future__ import annotations

import ctypes

# Of <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# Larger than anything a usual line needs, so that only large pictures pay for fresh pages.
_MAPPED_FROM_BYTES = 4 * 2**20
# Room for a few of the largest blocks that are not mapped.
_KEPT_FREE_BYTES = 16 * 2**20


def keep_memory_flat() -> None:
    """One arena for all threads, large blocks always mapped; call while there is one thread."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # another C library, with an allocator of its own
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES)


def give_back() -> None:
    """Return free memory to the system."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
