"""Label Studio's HTTP API, as much of it as we use.

Plain HTTP through httpx: Label Studio's own SDK would bring pandas, OpenCV, NLTK, lxml and two
dozen more packages into every installation, with pins of its own, for some fifteen requests.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

from nhan.errors import (
    BadRequest,
    Forbidden,
    NhanError,
    NotFound,
    SettingsError,
    UpstreamFailed,
)
from nhan.review.labelstudio.tokens import TokenAuth, refused

Json = dict[str, Any]

# A page of tasks with annotations may take its database a while.
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
# Only reading is tried again: a POST that was cut off may have been carried out.
_PAUSES_S = (0.5, 2.0, 5.0)
_MARKUP = re.compile(r"<[^<>]*>")
# Of a refusal's text; some repeat a whole stack of causes.
_MAX_SAID = 300
_PASSING = frozenset({408, 425, 429, 502, 503, 504})


class LabelStudio:
    """One server, one user.

    Args:
        address: of the server.
        token: of either kind.
        transport: replaces the network, in tests.
    """

    def __init__(
        self, address: str, token: str, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.address = clean_address(address, "labelstudio.url")
        self._http = httpx.Client(
            base_url=self.address,
            auth=TokenAuth(token, self.address),
            timeout=_TIMEOUT,
            transport=transport,
        )

    def __enter__(self) -> LabelStudio:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def user(self) -> Json:
        """Whose token it is."""
        return self._object("GET", "/api/current-user/whoami")

    def users(self) -> dict[int, str]:
        """Everybody's e-mail address, by number."""
        found = self._list("GET", "/api/users/")
        return {int(one["id"]): str(one.get("email") or one["id"]) for one in found}

    def project(self, number: int) -> Json:
        """A project with its counts.

        Raises:
            NotFound: there is none of that number, or this user may not see it.
        """
        return self._object("GET", f"/api/projects/{number}/")

    def create_project(self, **fields: Any) -> Json:
        """Make a project."""
        return self._object("POST", "/api/projects/", json=fields)

    def update_project(self, number: int, **fields: Any) -> Json:
        """Change a project."""
        return self._object("PATCH", f"/api/projects/{number}/", json=fields)

    def import_tasks(self, project: int, tasks: Sequence[Json]) -> list[int]:
        """Add tasks with their predictions; their numbers, in order."""
        answer = self._object(
            "POST",
            f"/api/projects/{project}/import",
            params={"commit_to_project": "true", "return_task_ids": "true"},
            json=list(tasks),
        )
        numbers = [int(number) for number in answer.get("task_ids") or []]
        if len(numbers) != len(tasks):
            raise UpstreamFailed(
                f"Label Studio made {len(numbers)} tasks of the {len(tasks)} that were sent",
                hint="run the push again: it looks first which tasks are there",
            )
        return numbers

    def tasks(
        self,
        project: int,
        *,
        after: int = 0,
        since: str = "",
        size: int,
        fields: str,
    ) -> list[Json]:
        """A page of tasks in the order of their numbers; empty after the last.

        Pages begin after a number, not at a count: nothing is passed over when tasks before it
        vanish while we read.

        Args:
            project: whose.
            after: only tasks with higher numbers.
            since: only those changed at or after this moment, as `moment_text` writes it.
            size: at most so many; the server may give fewer.
            fields: comma-separated names of what is wanted of each.
        """
        wanted = [_where("id", "greater", "Number", after)]
        if since:
            wanted.append(_where("updated_at", "greater_or_equal", "Datetime", since))
        return self._page(project, wanted, size, fields)

    def newest_change(self, project: int) -> str:
        """When a task changed last, by the server's clock; empty for a project without tasks."""
        found = self._page(project, [], 1, "id,updated_at", order="-tasks:updated_at")
        return str(found[0].get("updated_at") or "") if found else ""

    def tasks_with_drafts(self, project: int, *, after: int, size: int) -> list[Json]:
        """A page of tasks that somebody has begun and not submitted."""
        wanted = [
            _where("id", "greater", "Number", after),
            _where("draft_exists", "equal", "Boolean", True),
        ]
        return self._page(project, wanted, size, "id,data")

    def update_task(self, number: int, data: Json) -> None:
        """Replace a task's data; its annotations stay."""
        self._object("PATCH", f"/api/tasks/{number}/", json={"data": data})

    def delete_task(self, number: int) -> None:
        """Delete a task with all its annotations; one that is gone already is no error."""
        try:
            self._request("DELETE", f"/api/tasks/{number}/")
        except NotFound:
            return

    def import_predictions(self, project: int, predictions: Sequence[Json]) -> None:
        """Add predictions to tasks that are there."""
        self._object("POST", f"/api/projects/{project}/import/predictions", json=list(predictions))

    def update_prediction(self, number: int, **fields: Any) -> None:
        """Change a prediction."""
        self._object("PATCH", f"/api/predictions/{number}/", json=fields)

    def drafts(self, task: int) -> list[Json]:
        """What people have begun on a task and not submitted."""
        return self._list("GET", f"/api/tasks/{task}/drafts")

    def webhooks(self, project: int) -> list[Json]:
        """The webhooks of a project."""
        return self._list("GET", "/api/webhooks/", params={"project": project})

    def save_webhook(self, number: int | None, **fields: Any) -> Json:
        """Make a webhook, or change the one of that number."""
        if number is None:
            return self._object("POST", "/api/webhooks/", json=fields)
        return self._object("PATCH", f"/api/webhooks/{number}/", json=fields)

    def backends(self, project: int) -> list[Json]:
        """The model servers that a project is connected to."""
        return self._list("GET", "/api/ml/", params={"project": project})

    def save_backend(self, number: int | None, **fields: Any) -> Json:
        """Connect a model server, or change the connection of that number."""
        if number is None:
            return self._object("POST", "/api/ml/", json=fields)
        return self._object("PATCH", f"/api/ml/{number}", json=fields)

    def views(self, project: int) -> list[Json]:
        """The tabs of a project's task list."""
        return self._list("GET", "/api/dm/views/", params={"project": project})

    def create_view(self, project: int, data: Json) -> Json:
        """Add a tab to a project's task list."""
        return self._object("POST", "/api/dm/views/", json={"project": project, "data": data})

    def _page(
        self, project: int, wanted: list[Json], size: int, fields: str, order: str = "tasks:id"
    ) -> list[Json]:
        query = {"filters": {"conjunction": "and", "items": wanted}, "ordering": [order]}
        names = set(fields.split(","))
        answer = self._object(
            "GET",
            "/api/tasks/",
            params={
                "project": project,
                "page": 1,
                "page_size": size,
                "fields": "all" if {"annotations", "predictions"} & names else "task_only",
                "include": fields,
                "resolve_uri": "false",
                "query": json.dumps(query),
            },
        )
        found = answer.get("tasks")
        if not isinstance(found, list):
            raise _odd(self.address, "a page of tasks")
        return found

    def _object(self, method: str, path: str, **options: Any) -> Json:
        answer = self._request(method, path, **options)
        if not isinstance(answer, dict):
            raise _odd(self.address, f"{method} {path}")
        return answer

    def _list(self, method: str, path: str, **options: Any) -> list[Json]:
        answer = self._request(method, path, **options)
        if not isinstance(answer, list):
            raise _odd(self.address, f"{method} {path}")
        return answer

    def _request(self, method: str, path: str, **options: Any) -> Any:
        pauses = iter(_PAUSES_S if method == "GET" else ())
        while True:
            try:
                response = self._http.request(method, path, **options)
            except (httpx.HTTPError, ValueError) as error:
                problem: NhanError = _unreachable(self.address, error)
            else:
                if response.is_success:
                    return _body(self.address, response)
                problem = _problem(self.address, response)
                if response.status_code not in _PASSING:
                    raise problem
            pause = next(pauses, None)
            if pause is None:
                raise problem
            time.sleep(pause)


def clean_address(address: str, setting: str) -> str:
    """An http(s) address without a slash at its end.

    Raises:
        SettingsError: it is none, or holds a password.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(
            f"{setting} = {address!r} is no http address",
            hint="e.g. http://127.0.0.1:8080",
        )
    if "@" in parts.netloc:
        raise SettingsError(
            f"{setting} must not carry a password", hint="the token stands in the environment"
        )
    return address.rstrip("/")


def _where(column: str, operator: str, kind: str, value: object) -> Json:
    return {
        "filter": f"filter:tasks:{column}",
        "operator": operator,
        "type": kind,
        "value": value,
    }


def _body(address: str, response: httpx.Response) -> Any:
    if not response.content:
        return {}
    try:
        return response.json()
    except ValueError as error:
        raise _odd(address, f"{response.request.method} {response.request.url.path}") from error


def _odd(address: str, what: str) -> UpstreamFailed:
    return UpstreamFailed(
        f"{address} answers {what} in a way no Label Studio does",
        hint="is labelstudio.url the address of Label Studio itself, with http or https right?",
    )


def _unreachable(address: str, error: Exception) -> UpstreamFailed:
    reason = str(error).strip() or type(error).__name__
    return UpstreamFailed(
        f"Label Studio at {address} does not answer: {reason}",
        hint="is it running? check labelstudio.url; what was done so far is kept",
    )


def _problem(address: str, response: httpx.Response) -> NhanError:
    """The error that a refusal stands for."""
    said = _MARKUP.sub("", "; ".join(_sentences(response)))[:_MAX_SAID]
    where = f"{response.request.method} {response.request.url.path}"
    status = response.status_code
    if status == 401:
        return refused(said)
    if status == 403:
        return Forbidden(
            f"Label Studio forbids {where}: {said}",
            hint="the token's user needs the right to change the project",
        )
    if status == 404:
        return NotFound(
            f"Label Studio at {address} has nothing at {where}: {said or 'not found'}",
            hint="was the project deleted? `nhan labelstudio setup` makes or adopts one",
        )
    if 300 <= status < 400:
        to = response.headers.get("location", "another address")
        return UpstreamFailed(
            f"{address} sends us on to {to}", hint="set labelstudio.url to where it leads"
        )
    if status < 500 and status not in _PASSING:
        return BadRequest(
            f"Label Studio refuses {where}: {said or status}",
            hint="what Label Studio says tells why; nhan labelstudio setup mends the project",
        )
    return UpstreamFailed(
        f"Label Studio fails at {where} with {status}: {said}",
        hint="its own log says why; what was done so far is kept",
    )


def _sentences(response: httpx.Response) -> Iterator[str]:
    try:
        document = response.json()
    except ValueError:
        return
    if isinstance(document, dict):
        if document.get("detail"):
            yield str(document["detail"])
        yield from _flat(document.get("validation_errors"))


def _flat(value: object, name: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, "" if key == "non_field_errors" else str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _flat(inner, name)
    elif value:
        yield f"{name}: {value}" if name else str(value)
