"""nhan trace."""

from __future__ import annotations

from typing import Any

import typer

from nhan.cli.console import print_json
from nhan.pipeline.trace import trace
from nhan.workspace import Workspace


def command(
    what: str = typer.Argument(
        metavar="PREDICTION", help="An answer's id; or sample:ID, a picture's SHA-256, label:ID."
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
) -> None:
    """Where an answer comes from: version, run, dataset, samples, corrections, and who gave them.

    From a sample or label it goes the other way: datasets, models, answers.

    Example: nhan trace 01a1fa6db74c41a8f321e38d26d5
    """
    with Workspace.open() as workspace:
        found = trace(workspace, what)
    if as_json:
        print_json(found)
        return
    for line in _lines(found):
        typer.echo(line)


def _lines(found: dict[str, Any]) -> list[str]:
    if "prediction" not in found:
        return [*_sample(found["sample"]), *_onward(found)]
    one = found["prediction"]
    lines = [
        f"answer     {one['value']!r}, confidence {one['confidence']:.2f}, at {one['at']}, "
        f"prediction {one['id']}" + (f", for {one['user']}" if one.get("user") else "")
    ]
    if model := found.get("model"):
        lines += [f"version    {model['ref']} ({model['file']}), made {model['created']}"]
        lines += [
            f"           {entry['action']} at {entry['at']} by {entry['by'] or '?'}: "
            + "; ".join(said for said in (entry["because"], entry["verdict"]) if said)
            for entry in model["promotions"]
        ]
        lines += _run(found["run"])
    else:
        lines += [f"version    {one['model']}@{one['version']}, of which nothing is kept here"]
    if dataset := found.get("dataset"):
        lines += _dataset(dataset)
    if sample := found.get("sample"):
        lines += ["", "the picture of this answer", *_sample(sample)]
    return lines


def _run(run: dict[str, Any]) -> list[str]:
    told = f" from {run['from']}, begun {run['started']}, {run['config']}" if "from" in run else ""
    return [f"run        {run['run']}{told}"]


def _dataset(dataset: dict[str, Any]) -> list[str]:
    if dataset.get("missing"):
        return [f"dataset    {dataset['ref']}, which is gone"]
    splits = ", ".join(f"{split} {count}" for split, count in dataset["splits"].items())
    said = ", ".join(f"{count} {who}" for who, count in dataset["labels"].items())
    lines = [
        f"dataset    {dataset['ref']}: {splits}; {dataset['new']} new to train on",
        f"labels     {said}",
    ]
    for example in dataset["examples"]:
        lines += _sample(example)
    return lines


def _sample(sample: dict[str, Any]) -> list[str]:
    lines = [
        f"sample     {sample['id']}, {sample['state']}, {sample['split'] or 'no split yet'}, "
        f"from {sample['source']}: {sample['name']}",
        f"pixels     {sample['object']}",
    ]
    for one in sample["labels"]:
        stands = ", stands" if sample["label"] and one["id"] == sample["label"]["id"] else ""
        lines.append(
            f"label      {one['id']}: {one['value']!r} by {one['by'] or '?'} ({one['origin']}) at "
            f"{one['at']}{stands}"
        )
    lines += [
        f"correction {one['id']}: {one['value']!r} by {one['by'] or '?'} at {one['at']}, of "
        f"prediction {one['prediction']}"
        for one in sample["corrections"]
    ]
    lines += [
        f"review     {one['action']} by {one['by']} at {one['at']}" for one in sample["decisions"]
    ]
    return lines


def _onward(found: dict[str, Any]) -> list[str]:
    lines = [f"dataset    {one['dataset']}, {one['split']}" for one in found["datasets"]]
    lines += [
        f"version    {one['ref']}, trained on {one['dataset']}"
        + (", champion once" if one["promotions"] else "")
        for one in found["models"]
    ]
    lines += [
        f"answer     {one['id']}: {one['value']!r} by {one['model']}@{one['version']} at "
        f"{one['at']}"
        for one in found["predictions"]
    ]
    return lines
