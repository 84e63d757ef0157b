"""A Label Studio server as a process of its own, and people who work at it through its API."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from servers import end, free_port

# Its first start makes a database with some three hundred migrations.
START_S = 900.0
# It goes on with what a client that was killed had asked for, and lets others wait meanwhile.
_CALL_S = 600.0
PASSWORD = "long-enough-1"


@dataclass
class Person:
    """Somebody logged in to Label Studio.

    Attributes:
        token: a personal access token, as its page for tokens gives it.
        legacy: the legacy token of the same person.
    """

    email: str
    web: httpx.Client
    token: str
    legacy: str
    _access: tuple[str, float] = field(default=("", 0.0))

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Ask the API as this person; the decoded answer."""
        access, until = self._access
        if time.monotonic() > until:
            answer = self.web.post("/api/token/refresh/", json={"refresh": self.token})
            access = answer.json()["access"]
            self._access = (access, time.monotonic() + 60)
        address = f"{self.web.base_url}{path}"
        headers = {"Authorization": f"Bearer {access}"}
        answer = httpx.request(method, address, headers=headers, timeout=_CALL_S, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def annotate(self, task: int, value: str | None, **more: Any) -> int:
        """Submit an annotation; its number."""
        result = [] if value is None else [written(value)]
        return int(
            self.call("POST", f"/api/tasks/{task}/annotations/", json={"result": result, **more})[
                "id"
            ]
        )

    def change(self, annotation: int, value: str, **more: Any) -> None:
        """Submit another text for an annotation."""
        document = {"result": [written(value)], **more}
        self.call("PATCH", f"/api/annotations/{annotation}/", json=document)

    def tasks(self, project: int, **query: Any) -> list[dict[str, Any]]:
        """All tasks of a project, with everything, in the order of their numbers."""
        return self.call(
            "GET",
            "/api/tasks/",
            params={
                "project": project,
                "page": 1,
                "page_size": 10_000,
                "fields": "all",
                "query": json.dumps({"ordering": ["tasks:id"]}),
                **query,
            },
        )["tasks"]


def written(value: str) -> dict[str, Any]:
    """A text as the interface of the task `text` gives it."""
    return {
        "from_name": "text",
        "to_name": "image",
        "type": "textarea",
        "value": {"text": [value]},
    }


@dataclass
class LabelStudioServer:
    """A running server with its first person, who owns the organisation."""

    address: str
    process: subprocess.Popen[bytes]
    owner: Person
    browsers: ExitStack

    def allow_legacy(self, allowed: bool) -> None:
        """Switch the organisation's legacy tokens on or off, as its settings page does."""
        web = self.owner.web
        headers = {"X-CSRFToken": web.cookies["csrftoken"], "Referer": self.address}
        document = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": allowed}
        assert web.post("/api/jwt/settings", json=document, headers=headers).is_success

    def wait_until_idle(self) -> None:
        """Wait until it works on nothing any more: it goes on with what a dead client asked for."""
        before, deadline = 0, time.monotonic() + _CALL_S
        while (used := self._ticks()) - before > 20:  # a hundred of them are a second of work
            assert time.monotonic() < deadline, "it is still at work"
            before = used
            time.sleep(2)

    def _ticks(self) -> int:
        """Time that its processors gave to all its processes."""
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it ended meanwhile
                text = stat.read_text(encoding="utf-8", errors="replace")
                facts = text.rpartition(")")[2].split()
                if int(facts[2]) == self.process.pid:  # its process group
                    total += int(facts[11]) + int(facts[12])
        return total

    def invite(self, email: str) -> Person:
        """Somebody else signs up by the organisation's link."""
        link = self.owner.call("GET", "/api/invite")["invite_url"]
        web = self.browsers.enter_context(httpx.Client(base_url=self.address, timeout=_CALL_S))
        send_form(web, link, {"email": email, "password": PASSWORD})
        return _logged_in(web, email)


@contextmanager
def run_label_studio() -> Iterator[LabelStudioServer]:
    """Install, start and stop a server.

    It may call this machine's own addresses, which it refuses by default.
    """
    script = Path(__file__).with_name("label-studio.sh")
    programs = subprocess.run([script], check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="nhan-label-studio-") as folder:
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        outside = {
            name: value for name, value in os.environ.items() if not name.startswith("NHAN_")
        }
        environment = {
            **outside,
            "LABEL_STUDIO_BASE_DATA_DIR": folder,
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "SSRF_PROTECTION_ENABLED": "false",
            "ML_BLOCK_LOCAL_IP": "false",
            # How long it waits for our server; by default a second for some of them.
            "WEBHOOK_TIMEOUT": "60",
            "ML_CONNECTION_TIMEOUT": "60",
            "ML_TIMEOUT_HEALTH": "60",
            "ML_TIMEOUT_SETUP": "60",
            "DEBUG": "false",
        }
        first = "an@nhan.test"
        log = Path(folder, "server.log")
        with log.open("wb") as out:
            process = subprocess.Popen(
                [
                    f"{programs}/label-studio",
                    *("start", "--no-browser", "--internal-host", "127.0.0.1"),
                    *("--port", str(port), "--username", first, "--password", PASSWORD),
                ],
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait(address, process, log)
            with ExitStack() as browsers:
                web = browsers.enter_context(httpx.Client(base_url=address, timeout=_CALL_S))
                send_form(web, "/user/login/", {"email": first, "password": PASSWORD})
                yield LabelStudioServer(address, process, _logged_in(web, first), browsers)
        finally:
            end(process, group=True)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(
                f"Label Studio stopped:\n{log.read_text('utf-8', 'replace')[-3000:]}"
            )
        try:
            if httpx.get(f"{address}/health", timeout=30).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise RuntimeError(
        f"Label Studio does not answer:\n{log.read_text('utf-8', 'replace')[-3000:]}"
    )


def send_form(web: httpx.Client, path: str, fields: dict[str, str]) -> None:
    page = web.get(path)
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert found is not None, page.text[:500]
    answer = web.post(
        path,
        data={"csrfmiddlewaretoken": found[1], **fields},
        headers={"Referer": f"{web.base_url}{path}"},
    )
    assert answer.status_code == 302, f"{path}: {answer.status_code} {answer.text[:500]}"


def _logged_in(web: httpx.Client, email: str) -> Person:
    headers = {"X-CSRFToken": web.cookies["csrftoken"], "Referer": str(web.base_url)}
    made = web.post("/api/token/", json={}, headers=headers)
    assert made.status_code == 201, made.text
    legacy = web.get("/api/current-user/token").json()["token"]
    return Person(email, web, made.json()["token"], legacy)
