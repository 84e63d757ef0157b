"""What a training begins from: the bundled reader stays itself when its name is taken."""

from __future__ import annotations

import pytest

from nhan.errors import NotFound
from nhan.models.bundled import bundled_package
from nhan.models.package import publish
from nhan.pipeline.start import bundled_start, start_package
from nhan.workspace import Workspace


def test_the_bundled_reader_is_meant_whatever_is_published_under_its_name(
    workspace: Workspace,
) -> None:
    bundled = bundled_package()
    start = bundled_start(bundled.spec.task)
    assert start_package(workspace, bundled.spec.name).ref == bundled.ref
    spec = {"task": "text", "serve": "model.onnx"}
    publish(workspace.store, bundled.spec.name, {"model.onnx": b"refused once"}, spec, run="r")
    assert start_package(workspace, start).spec == bundled.spec
    assert start_package(workspace, bundled.spec.name).ref == f"{bundled.spec.name}@1"
    assert bundled_start("classes") == ""


def test_another_bundled_reader_is_not_taken_for_it(workspace: Workspace) -> None:
    with pytest.raises(NotFound, match="not the bundled reader any more"):
        start_package(workspace, "bundled:vi-line@999")
