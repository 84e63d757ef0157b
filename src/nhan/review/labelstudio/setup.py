"""Making a Label Studio project that fits a task, and telling it where we are.

Run again, it changes what has changed: classes that are new are added, and the webhook and the
connection to our models are brought to the present address and secret. Nothing is ever removed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from nhan.catalog.labelstudio import known_values
from nhan.errors import BadRequest, BadSource, Forbidden, NotFound, UpstreamFailed
from nhan.review.labelstudio.client import Json, LabelStudio
from nhan.review.labelstudio.config import Fields, is_chosen, make_config
from nhan.review.labelstudio.connection import (
    Connection,
    load_connection,
    save_connection,
)
from nhan.review.labelstudio.links import BACKEND_PURPOSE, WEBHOOK_PURPOSE, Signer
from nhan.workspace import Workspace

BACKEND_USER = "nhan"

# What may change a label or take a task away.
_ACTIONS = (
    "TASKS_DELETED",
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
)
_VIEW = "Most useful first"
_BACKEND_TITLE = "Nhãn"
_LOCAL_HINT = (
    "Label Studio does not call private addresses unless its server runs with "
    "{variable}=false; {otherwise}"
)


@dataclass
class SetupReport:
    """What a setup did.

    Attributes:
        connection: the project.
        made: a new project was made.
        config_changed: the labelling interface of a known one was changed.
        notes: what could not be done and what it means; nothing that keeps labelling from working.
    """

    connection: Connection
    made: bool
    config_changed: bool = False
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        shown = self.connection.model_dump()
        return {
            **shown,
            "url": f"{self.connection.address}/projects/{self.connection.project}",
            "made": self.made,
            "config_changed": self.config_changed,
            "notes": self.notes,
        }


def set_up(
    workspace: Workspace,
    client: LabelStudio,
    signer: Signer,
    server: str,
    *,
    task: str,
    title: str = "",
    project: int | None = None,
    classes: Sequence[str] = (),
    opinions: int | None = None,
    live: bool = True,
    webhook: bool = True,
) -> SetupReport:
    """Make, adopt or renew the project of a task.

    Args:
        workspace: whose samples will be labelled.
        client: Label Studio.
        signer: makes the secrets that Label Studio shows us.
        server: this server's address, as Label Studio reaches it.
        task: whose labels.
        title: of a new project.
        project: an existing one to use, as it is.
        classes: what may be chosen, beside the classes of known labels and of the champion.
        opinions: people who are to label each task; None leaves it.
        live: connect our models, so that tasks without a suggestion get one when opened.
        webhook: let Label Studio tell us of changes.

    Raises:
        NhanError: Label Studio is away or refuses.
        BadSource: there are no classes to choose from, or the project's interface does not fit.
    """
    known = _known(workspace, client, task, project)
    fields: Json = {} if opinions is None else {"maximum_annotations": opinions}
    if known is None:
        connection, made, changed = (
            _make(workspace, client, task, title, classes, fields),
            True,
            False,
        )
    else:
        connection, changed = _renew(workspace, client, task, known, classes, fields)
        made = False
    report = SetupReport(connection, made, changed)
    save_connection(workspace.store, connection)  # before the rest: the project is there now
    _add_view(client, connection)
    numbers: dict[str, int | None] = {}
    if webhook or live:
        _wake(server)
    if webhook:
        numbers["webhook"] = _connect_webhook(client, connection, signer, server, report)
    if live:
        numbers["backend"] = _connect_backend(client, connection, signer, server, report)
    report.connection = connection.model_copy(update=numbers)
    save_connection(workspace.store, report.connection)
    return report


def _known(workspace: Workspace, client: LabelStudio, task: str, asked: int | None) -> Json | None:
    """The project that is meant and there already."""
    if asked is not None:
        return client.project(asked)
    try:
        connection = load_connection(workspace.store, task)
        if connection.address != client.address:
            return None
        return client.project(connection.project)
    except NotFound:  # never set up, or deleted over there
        return None


def _make(
    workspace: Workspace,
    client: LabelStudio,
    task: str,
    title: str,
    classes: Sequence[str],
    fields: Json,
) -> Connection:
    config = make_config(task, _classes(workspace, task, classes))
    made = client.create_project(
        title=title or f"Nhãn: {task}",
        label_config=config,
        description="Made by `nhan labelstudio setup`. Labels go back by `nhan labelstudio pull`.",
        show_collab_predictions=True,
        # An annotation without a label says nothing; who cannot read a picture skips it.
        enable_empty_annotation=False,
        **fields,
    )
    return _connection(client, task, made)


def _renew(
    workspace: Workspace,
    client: LabelStudio,
    task: str,
    known: Json,
    classes: Sequence[str],
    fields: Json,
) -> tuple[Connection, bool]:
    """Add what is new to a project that is there."""
    config = str(known.get("label_config", ""))
    present = Fields.of(config)
    if present.is_choice != is_chosen(task):
        kind = "chosen" if is_chosen(task) else "written"
        raise BadSource(
            f"labels of {task} are {kind}, those of project {known['id']} are not",
            hint="set up a project of its own: without --project",
        )
    changed = False
    if present.is_choice:
        wanted = _classes(workspace, task, [*present.choices, *classes])
        if new := [name for name in wanted if name not in present.choices]:
            made = make_config(task, [*present.choices, *new])
            if Fields.of(made) != present and present == Fields.of(
                make_config(task, present.choices)
            ):
                fields = {**fields, "label_config": made}
                changed = True
    if fields:
        known = client.update_project(int(known["id"]), **fields)
    return _connection(client, task, known), changed


def _connection(client: LabelStudio, task: str, project: Json) -> Connection:
    config = str(project.get("label_config", ""))
    Fields.of(config)  # refused here, not in the middle of a push
    return Connection(
        task=task,
        address=client.address,
        project=int(project["id"]),
        title=str(project.get("title", "")),
        config=config,
    )


def _classes(workspace: Workspace, task: str, given: Sequence[str]) -> list[str]:
    """What may be chosen: as given, then what samples are labelled with, then what models know."""
    if not is_chosen(task):
        return []
    from nhan.review.labelstudio.suggest import find_package

    with workspace.catalog.read() as connection:
        found = [*given, *known_values(connection, task)]
    package = find_package(workspace, task)
    if package is not None:
        found += package.spec.to_dict().get("outputs", {}).get("classes", [])
    return list(dict.fromkeys(found))


def _add_view(client: LabelStudio, connection: Connection) -> None:
    """A tab that shows the most useful tasks first, also those pushed later."""
    views = client.views(connection.project)
    if any((one.get("data") or {}).get("title") == _VIEW for one in views):
        return
    client.create_view(
        connection.project,
        {
            "title": _VIEW,
            "type": "list",
            "target": "tasks",
            "ordering": ["-tasks:data.priority"],
            "columnsDisplayType": {"tasks:data.priority": "Number"},
        },
    )


def _wake(server: str) -> None:
    """Let our server import what these routes need: Label Studio waits a second for an answer."""
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(f"{server}/label-studio/health", timeout=10.0)


def _connect_webhook(
    client: LabelStudio, connection: Connection, signer: Signer, server: str, report: SetupReport
) -> int | None:
    url = f"{server}/label-studio/webhook?task={connection.task}"
    ours = [one for one in client.webhooks(connection.project) if _is_ours(one, server)]
    try:
        made = client.save_webhook(
            int(ours[0]["id"]) if ours else None,
            project=connection.project,
            url=url,
            headers={"Authorization": f"Bearer {signer.secret_of(WEBHOOK_PURPOSE)}"},
            # What happened is asked for with our own token; a payload would be believed unseen.
            send_payload=False,
            send_for_all_actions=False,
            actions=list(_ACTIONS),
            is_active=True,
        )
    except (Forbidden, BadRequest, UpstreamFailed) as error:
        otherwise = "`nhan labelstudio watch` polls instead"
        hint = _LOCAL_HINT.format(variable="SSRF_PROTECTION_ENABLED", otherwise=otherwise)
        report.notes.append(f"no webhook: {error.message} ({hint})")
        return None
    return int(made["id"])


def _connect_backend(
    client: LabelStudio, connection: Connection, signer: Signer, server: str, report: SetupReport
) -> int | None:
    url = f"{server}/label-studio"
    try:
        ours = [one for one in client.backends(connection.project) if one.get("url") == url]
        made = client.save_backend(
            int(ours[0]["id"]) if ours else None,
            project=connection.project,
            url=url,
            title=_BACKEND_TITLE,
            auth_method="BASIC_AUTH",
            basic_auth_user=BACKEND_USER,
            basic_auth_pass=signer.secret_of(BACKEND_PURPOSE),
        )
    except (Forbidden, BadRequest, UpstreamFailed) as error:
        otherwise = "suggestions come with `nhan labelstudio push` all the same"
        hint = _LOCAL_HINT.format(variable="ML_BLOCK_LOCAL_IP", otherwise=otherwise)
        report.notes.append(
            f"no live suggestions: {error.message} (is `nhan serve` running at {server}? {hint})"
        )
        return None
    return int(made["id"])


def _is_ours(webhook: Json, server: str) -> bool:
    return str(webhook.get("url", "")).startswith(f"{server}/label-studio/webhook")
