"""The doctor knows what there is to install."""

from __future__ import annotations

import re
from importlib.metadata import requires

from nhan.doctor import EXTRAS


def test_every_extra_is_looked_for_by_a_package_that_it_brings() -> None:
    brought: dict[str, set[str]] = {}
    for requirement in requires("nhan") or ():
        name = re.match(r"[\w-]+", requirement)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if name and extra:
            brought.setdefault(extra[1], set()).add(name[0].replace("-", "_"))
    assert set(EXTRAS) == set(brought)
    for extra, (package, _) in EXTRAS.items():
        assert package in brought[extra], extra
