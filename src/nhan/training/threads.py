"""How the threads of a training wait for each other; to be settled before torch is imported."""

from __future__ import annotations

import os

# Turns of a loop that a thread waits by before it sleeps: some microseconds. Measured on two cores
# with a small network: 785 samples a second without, 1,488 with so many, 1,723 with thirty times as
# many; beside two other programs 452, 477, and twice the time with thirty times as many.
_TURNS = "1000"


def wait_briefly() -> None:
    """Let OpenMP's threads wait by spinning only as long as the next piece of work is at hand.

    Threads that spin for long stop each other where the machine has other work, and threads that
    sleep at once are late for every piece. What the environment says already stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", _TURNS)  # GNU's, which torch comes with on Linux
