"""nhan import."""

from __future__ import annotations

import json as json_module
from pathlib import Path

import typer
from rich.markup import escape

from nhan.cli.console import counting, print_json, shorten, stdout
from nhan.errors import JobFailed
from nhan.samples.doors import Reading
from nhan.samples.importer import import_samples
from nhan.samples.report import ImportReport
from nhan.workspace import Workspace

# Lines of a list that a person reads; `--report FILE` has all.
_LISTED = 10


def command(
    source: Path = typer.Argument(metavar="SOURCE", help="Folder or file with labelled pictures."),
    task: str = typer.Option("text", metavar="TASK", help="Which labels: text, classes."),
    split: str = typer.Option(
        "", metavar="SPLIT", help="Every sample asks for train, validation or test."
    ),
    source_name: str = typer.Option(
        "", "--source-name", metavar="N", help="The slice of reports; default: the sub-folder."
    ),
    media: list[str] = typer.Option(
        [], metavar="PLACE", help="Further folder or s3:// address of pictures; repeatable."
    ),
    picture_column: str = typer.Option("", metavar="NAME", help="Column or key of the picture."),
    label_column: str = typer.Option("", metavar="NAME", help="Column or field of the label."),
    group: str = typer.Option(
        "", metavar="REGEX", help="Finds in a name the document that must stay in one split."
    ),
    layout: str = typer.Option("", metavar="NAME", help="Read it as this layout, do not guess."),
    relabel: bool = typer.Option(
        False, "--relabel", help="Labels of this source replace those that stand."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Report everything, write nothing."),
    report: Path | None = typer.Option(
        None, metavar="FILE", help="Write the whole report, every skipped item, as JSON."
    ),
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
) -> None:
    """Take labelled pictures in; a second time adds nothing, an interrupted one goes on.

    SOURCE is a folder with labels.json {file: text}, a tab list (VietOCR, PaddleOCR), CSV,
    Parquet, a Label Studio JSON export, or a folder of class folders.

    Example: nhan import scans --split test --source-name archive --dry-run
    """
    reading = Reading(
        media=tuple(media),
        picture_column=picture_column,
        label_column=label_column,
        group_pattern=group,
        layout=layout,
    )
    if report is not None:  # a folder that cannot be made is told before the work
        report.parent.mkdir(parents=True, exist_ok=True)
    what = "looking over" if dry_run else "importing"
    with Workspace.open() as workspace, counting(what, quiet=json) as tell:
        found = import_samples(
            workspace,
            source,
            task=task,
            split=split,
            source_name=source_name,
            reading=reading,
            relabel=relabel,
            dry_run=dry_run,
            progress=tell,
        )
    if report is not None:
        text = json_module.dumps(found.to_json(), ensure_ascii=False, indent=2)
        report.write_text(text + "\n", encoding="utf-8")
    if json:
        print_json(found.to_json())
    else:
        _print(found)
    if len(found.skipped) == found.read:
        raise JobFailed(
            f"none of the {found.read} items of {source} could be taken in",
            hint=found.skipped[0].hint or found.skipped[0].message,
        )


def _print(found: ImportReport) -> None:
    would = "would be " if found.dry_run else ""
    states = ", ".join(f"{count} {state}" for state, count in found.added.most_common())
    stdout.print(f"{found.read} items read from {escape(found.source)} as {found.layout}")
    stdout.print(f"  {found.added.total()} {would}added{f' ({states})' if states else ''}")
    for count, what in (
        (found.known, "known already"),
        (found.voted, "known, with a further vote for the same label"),
        (len(found.relabelled), f"{would}relabelled"),
        (len(found.conflicts), "conflicts: another label stands, this one is kept as a vote"),
        (len(found.set_aside), f"{would}set aside"),
        (len(found.skipped), "skipped"),
    ):
        if count:
            stdout.print(f"  {count} {what}")
    for reason, count in found.reasons.most_common():
        stdout.print(f"    {count} × {reason}")
    _list("skipped", [f"{one.name}: {one.message}" for one in found.skipped])
    hints = dict.fromkeys(f"{one.code}: {one.hint}" for one in found.skipped if one.hint)
    _list("what to do", list(hints))
    _list("conflicts", [f"{one.name}: {one.before} ≠ {one.after}" for one in found.conflicts])
    _list("relabelled", [f"{one.name}: {one.before} → {one.after}" for one in found.relabelled])
    aside = [*found.not_training, *found.set_aside]
    _list("not for training", [f"{one.name}: {one.state}, {one.reason}" for one in aside])
    if found.mended:
        stdout.print(f"  {found.mended} labels were brought to their stored form (NFC, spaces):")
        _list("", found.mended_examples)
    for title, counts in (("source", found.sources), ("split", found.splits)):
        if counts:
            listed = ", ".join(f"{name} {count}" for name, count in counts.most_common(_LISTED))
            stdout.print(f"  by {title}: {listed}", markup=False)
    if found.dry_run:
        stdout.print("nothing was written (--dry-run)")
    elif found.added:
        stdout.print("next: nhan audit, then nhan freeze NAME")


def _list(title: str, lines: list[str]) -> None:
    if not lines:
        return
    if title:
        stdout.print(f"  {title}:")
    for line in lines[:_LISTED]:
        stdout.print(f"    {shorten(line)}", markup=False)
    if len(lines) > _LISTED:
        stdout.print(f"    … and {len(lines) - _LISTED} more (--report FILE lists all)")
