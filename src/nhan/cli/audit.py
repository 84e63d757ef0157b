"""nhan audit."""

from __future__ import annotations

import typer

from nhan.cli.console import counting, print_json, shorten, stdout
from nhan.datasets.audit import audit
from nhan.datasets.findings import AuditFinding, AuditReport
from nhan.errors import AuditFailed
from nhan.workspace import Workspace

_MARKS = {"error": "✗", "warning": "!", "info": "·"}
_EXAMPLES = 5
_SUBJECTS = 12


def command(
    task: str = typer.Option("text", metavar="TASK", help="Whose labels: text, classes."),
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
) -> None:
    """Label doctor: find wrong labels, lost pictures and leaks; exit 1 if something must be fixed.

    Example: nhan audit --json > audit.json
    """
    with Workspace.open() as workspace, counting("pictures", quiet=json) as tell:
        report = audit(workspace, task, progress=tell)
    if json:
        print_json(report.to_json())
    else:
        _print(report)
    if report.errors:
        things = "1 thing" if report.errors == 1 else f"{report.errors} things"
        raise AuditFailed(
            f"{things} must be fixed before training",
            hint="each finding above says how; correct the source and import it with --relabel",
        )


def _print(report: AuditReport) -> None:
    states = ", ".join(f"{count} {state}" for state, count in report.states.items()) or "none"
    stdout.print(f"{report.samples} samples to train on looked over (all samples: {states})")
    for finding in report.findings:
        _print_finding(finding)
    if not report.findings:
        stdout.print("nothing to fix, nothing to look at")


def _print_finding(finding: AuditFinding) -> None:
    mark = _MARKS[finding.severity]
    stdout.print(f"{mark} {finding.severity} {finding.code}: {finding.count}", markup=False)
    subjects = finding.subjects.most_common(_SUBJECTS)
    if subjects:
        listed = ", ".join(f"{value!r} × {count}" for value, count in subjects)
        stdout.print(f"    {listed}", markup=False)
    for example in finding.examples[:_EXAMPLES]:
        name = f"{example.name}: " if example.name else ""
        stdout.print(f"    {name}{shorten(example.message)}", markup=False)
    if finding.count > _EXAMPLES:
        stdout.print(f"    … and {finding.count - _EXAMPLES} more")
    if finding.hint:
        stdout.print(f"    → {finding.hint}", markup=False)
