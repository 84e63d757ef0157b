"""Decisions on their way to the server, without a browser: run by Node where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import nhan.web

STATIC = Path(nhan.web.__file__).parent / "static"

# As much of a browser as the scripts ask for when they are loaded.
_BROWSER = """
const kept = new Map();
globalThis.localStorage = new Proxy(
  {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
    removeItem: (key) => kept.delete(key),
  },
  {
    ownKeys: () => [...kept.keys()],
    getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
  },
);
const part = { dataset: {}, lang: "vi", textContent: '{"codes": {}}', addEventListener() {} };
globalThis.document = {
  documentElement: part,
  getElementById: () => part,
  querySelectorAll: () => [],
  addEventListener() {},
};
globalThis.location = new URL("http://nhan/review");
globalThis.addEventListener = () => {};
"""

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")


def deliver(status: int) -> tuple[list[str], list[int]]:
    """What waits after a decision met this status, and what was given up."""
    code = f"""
{_BROWSER}
const {{ Outbox }} = await import({json.dumps((STATIC / "outbox.js").as_uri())});
const {{ Problem }} = await import({json.dumps((STATIC / "page.js").as_uri())});
const given = [];
const outbox = new Outbox({{
  deliver: async () => {{ throw new Problem({status}, {{ code: "x", message: "x" }}); }},
  tell: () => undefined,
  refused: (entry, problem) => given.push(problem.status),
  mine: () => true,
}});
outbox.add({{ id: "a", sample: 1 }});
while (outbox.sending) await new Promise((resolve) => setTimeout(resolve, 1));
console.log(JSON.stringify([outbox.entries().map((one) => one.entry.id), given]));
process.exit(0);
"""
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", code], capture_output=True, text=True, check=True
    )
    waiting, given_up = json.loads(done.stdout)
    return waiting, given_up


@pytest.mark.parametrize("status", [0, 401, 408, 429, 500, 502, 503, 504])
def test_a_decision_that_met_trouble_on_its_way_is_kept(status: int) -> None:
    """408 is our own server's word for a line so slow that the decision did not arrive in time."""
    assert deliver(status) == (["a"], [])


@pytest.mark.parametrize("status", [400, 404, 409, 413])
def test_a_decision_that_nobody_will_take_is_shown_and_not_sent_for_ever(status: int) -> None:
    assert deliver(status) == ([], [status])
