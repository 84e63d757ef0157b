"""Rounds on a Kubeflow Pipelines server: upload the pipeline, run it now or by the clock."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nhan.deploy.kubeflow import NAME, compiled
from nhan.errors import JobFailed, SettingsError, StorageError, UserError
from nhan.workspace import Workspace

# A token for the API, for servers that want one; never a setting, for it is a secret.
TOKEN = "KUBEFLOW_TOKEN"  # noqa: S105  the name of a variable
_CRON_FIELDS = 5
_SUCCEEDED = "SUCCEEDED"
_PAGE = 100


@dataclass(frozen=True)
class Submitted:
    """What the server was given.

    Attributes:
        pipeline, version: their ids on the server.
        uploaded: whether this version was new to it.
        run: id of the run, or of the recurring run.
        recurring: whether it is begun by the clock.
        state: of the run, where it was waited for.
    """

    pipeline: str
    version: str
    uploaded: bool
    run: str
    recurring: bool
    state: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def submit(
    workspace: Workspace,
    *,
    dataset: str = "",
    model: str = "",
    because: str = "on demand",
    again: bool = False,
    cron: str = "",
    wait_s: float = 0,
) -> Submitted:
    """Run a round on the server of `kubeflow.endpoint`, once or by the clock.

    The pipeline is compiled from the settings as they are now and uploaded unless the server has
    the very same one. A recurring run takes the place of an earlier one of the same name.

    Args:
        workspace: whose settings and stores.
        dataset: as of `nhan loop run`, like the next three.
        model: name to train.
        because: why; kept with the round.
        again: do everything, even if nothing changed.
        cron: minute hour day month weekday; empty: one run now.
        wait_s: wait so long for the run to end; 0: do not wait.

    Raises:
        SettingsError: no endpoint is set.
        UserError: the cron text is malformed, or pods cannot reach the stores.
        MissingExtra: kfp is not installed.
        StorageError: the server is away or refuses.
        JobFailed: the run was waited for and did not succeed.
    """
    settings = workspace.settings
    if not settings.kubeflow.endpoint:
        raise SettingsError(
            "no Kubeflow Pipelines server is known",
            hint="set kubeflow.endpoint, or export the file: nhan export pipeline --as kubeflow",
        )
    if cron and len(cron.split()) != _CRON_FIELDS:
        raise UserError(
            f"{cron!r} is no time to begin rounds at",
            hint="minute hour day month weekday: 0 2 * * *",
        )
    text = compiled(settings)
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    chosen: dict[str, Any] = {"because": because, "again": again}
    chosen |= {key: value for key, value in (("dataset", dataset), ("model", model)) if value}
    try:
        with redirect_stdout(sys.stderr):  # kfp prints links, even in the midst of JSON
            return _submit(workspace, text, chosen, cron=cron, wait_s=wait_s)
    except ApiException as error:
        raise StorageError(
            f"Kubeflow at {settings.kubeflow.endpoint} refuses: {error.status} {error.reason}",
            hint=f"a server with logins wants a token in {TOKEN}",
        ) from error
    except (HTTPError, OSError) as error:
        raise StorageError(
            f"Kubeflow at {settings.kubeflow.endpoint} cannot be reached: {error}",
            hint="check kubeflow.endpoint",
        ) from error


def _submit(
    workspace: Workspace, text: str, chosen: dict[str, Any], *, cron: str, wait_s: float
) -> Submitted:
    import kfp

    settings = workspace.settings
    client = kfp.Client(
        host=settings.kubeflow.endpoint,
        namespace=settings.deploy.namespace,
        existing_token=os.environ.get(TOKEN),
    )
    pipeline, version, uploaded = _upload(client, text)
    experiment = client.create_experiment(
        settings.kubeflow.experiment, namespace=settings.deploy.namespace
    ).experiment_id
    shared = {
        "experiment_id": experiment,
        "pipeline_id": pipeline,
        "version_id": version,
        "params": chosen,
        "enable_caching": False,
        "service_account": settings.kubeflow.service_account or None,
    }
    if cron:
        name = "-".join([NAME, *(str(chosen[k]) for k in ("dataset", "model") if k in chosen)])
        _remove_recurring(client, experiment, name)
        # Kubeflow counts seconds first, and makes up for nothing: a round takes in all there is.
        recurring = client.create_recurring_run(
            job_name=name, cron_expression=f"0 {cron}", max_concurrency=1, no_catchup=True, **shared
        )
        return Submitted(pipeline, version, uploaded, recurring.recurring_run_id, recurring=True)
    run = client.run_pipeline(job_name=f"{NAME}: {chosen['because']}"[:100], **shared)
    state = ""
    if wait_s:
        try:
            state = str(client.wait_for_run_completion(run.run_id, wait_s).state)
        except TimeoutError as error:
            raise JobFailed(
                f"run {run.run_id} has not ended after {wait_s:g} s", hint="it goes on there"
            ) from error
        if state != _SUCCEEDED:
            raise JobFailed(f"run {run.run_id} ended as {state}", hint="see its log in Kubeflow")
    return Submitted(pipeline, version, uploaded, run.run_id, recurring=False, state=state)


def _upload(client: Any, text: str) -> tuple[str, str, bool]:
    """The ids of the pipeline and of this version of it, uploaded if the server lacks it."""
    name = hashlib.sha256(text.encode()).hexdigest()[:12]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        file.write_text(text, encoding="utf-8")
        pipeline = client.get_pipeline_id(NAME)
        if pipeline is None:
            pipeline = client.upload_pipeline(str(file), pipeline_name=NAME).pipeline_id
        elif known := _version(client, pipeline, name):
            return pipeline, known, False
        version = client.upload_pipeline_version(str(file), name, pipeline_id=pipeline)
        return pipeline, version.pipeline_version_id, True


def _version(client: Any, pipeline: str, name: str) -> str:
    token = ""
    while True:
        page = client.list_pipeline_versions(pipeline, page_token=token, page_size=_PAGE)
        for version in page.pipeline_versions or ():
            if name in (version.name, version.display_name):
                return str(version.pipeline_version_id)
        token = page.next_page_token or ""
        if not token:
            return ""


def _remove_recurring(client: Any, experiment: str, name: str) -> None:
    """Two of the same name would begin the same round twice."""
    found: list[str] = []
    token = ""
    while True:
        page = client.list_recurring_runs(
            experiment_id=experiment, page_token=token, page_size=_PAGE
        )
        runs = page.recurring_runs or ()
        found += [one.recurring_run_id for one in runs if one.display_name == name]
        token = page.next_page_token or ""
        if not token:
            break
    for run in found:
        client.delete_recurring_run(run)
