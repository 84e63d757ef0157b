"""nhan evaluate."""

from __future__ import annotations

from pathlib import Path

import typer

from nhan.cli.console import print_json, progress, stderr
from nhan.evaluation.evaluate import evaluate
from nhan.evaluation.record import Evaluation, by_name, metric_label
from nhan.evaluation.report import write_report
from nhan.models.registry import Registry
from nhan.workspace import Workspace


def command(
    model: str = typer.Argument(
        metavar="MODEL[@V]",
        help="Without @V: the champion, or newest. `vi-line` comes along.",
    ),
    dataset: str = typer.Argument(
        "", metavar="[DATASET[@V]]", help="Without it: what the model was trained on."
    ),
    split: str = typer.Option("test", help="train, validation or test."),
    report: Path = typer.Option(
        None, metavar="FILE.html", help="Write the report, one file that works offline."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the whole record as JSON."),
) -> None:
    """Score a model on a frozen test set, with 95 % intervals. Done before: read back, says so.

    Example: nhan evaluate vi-line@7 vi --report vi-line.html
    """
    with Workspace.open() as workspace:
        with progress("", quiet=as_json) as display:
            bar = display.add_task("pictures", total=None)
            found = evaluate(
                workspace,
                model,
                dataset or None,
                split=split,
                advance=lambda count: display.advance(bar, count),
            )
        if report is not None:
            champion = _champion(workspace, found)
            written = write_report(workspace, found, report, champion=champion)
            stderr.print(f"report: {written}", markup=False)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _show(found)


def _champion(workspace: Workspace, found: Evaluation) -> Evaluation | None:
    """The champion's record on the same test set, to stand beside in the report."""
    champion = Registry(workspace.store).champion(found.model)
    if champion in (None, found.version):
        return None
    return evaluate(workspace, f"{found.model}@{champion}", found.dataset, split=found.split)


def _show(found: Evaluation) -> None:
    again = ", read back (nothing it depends on has changed)" if found.reused else ""
    typer.echo(f"{found.ref} on {found.dataset} {found.split}: {found.samples:,} samples{again}")
    named = by_name(found.metrics)
    listed = {f"{metric} of {name}" for name, scores in named.items() for metric in scores}
    for name, score in found.metrics.items():
        if name not in listed:
            typer.echo(
                f"  {metric_label(name):<28} {score.value:.4f}   "
                f"{score.low:.4f} to {score.high:.4f}"
            )
    calibration = found.calibration
    typer.echo(
        f"  {'calibration error (ECE)':<28} {calibration.ece:.4f}   "
        f"by chance alone {calibration.ece_by_chance:.4f}"
    )
    typer.echo(
        f"  {'ms per picture':<28} {found.speed.median_ms:.1f}     95 %: {found.speed.p95_ms:.1f}"
    )
    if found.seen:
        typer.echo(f"  beware: {found.seen:,} of these samples were in the training data")
    for name, scores in named.items():
        figures = "   ".join(
            f"{metric_label(metric)} {score.value:.4f} ({score.low:.2f} to {score.high:.2f})"
            for metric, score in scores.items()
        )
        typer.echo(f"  {name:<28} {figures}")
    for dimension, slices in found.slices.items():
        typer.echo(f"  {metric_label(found.metric)} by {dimension}")
        for name, score in slices.items():
            typer.echo(
                f"    {name:<26} {score.value:.4f}   {score.low:.4f} to {score.high:.4f}"
                f"   {score.samples:,} samples"
            )
