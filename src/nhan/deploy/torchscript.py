"""A model as TorchScript: its network built again from the package's weights, and proven.

Compared on real pictures with the rebuilt network (answers and scores) and with the file that the
package answers with: whoever runs either should get the same answers.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nhan.catalog.samples import read_rows
from nhan.catalog.schema import TRAINABLE
from nhan.datasets.read import open_dataset
from nhan.deploy.forms import empty_folder
from nhan.errors import BadPicture, ExportRefused, MissingExtra, NotFound, UserError
from nhan.images import decode
from nhan.models.package import CARD_FILE, SPEC_FILE, Package
from nhan.workspace import Workspace

if TYPE_CHECKING:
    from nhan.tasks.learner import Learner
    from nhan.training.export import Agreement
    from nhan.training.streamed import InMemory

FILE = "model.torchscript.pt"
WEIGHTS = "weights.safetensors"
# Pictures the file is compared on.
_COMPARED = 64


@dataclass(frozen=True)
class Script:
    """A proven TorchScript file.

    Attributes:
        model: its bytes.
        inputs: names of what its `forward` takes, in order.
        agreement: with the network it was traced from.
        different: of the compared pictures, those that the package's own file answers otherwise.
        served: that file's name.
    """

    model: bytes
    inputs: tuple[str, ...]
    agreement: Agreement
    different: int
    served: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the model."""
        return {
            "inputs": list(self.inputs),
            "agreement": self.agreement.to_dict(),
            "other_answers": {"than": self.served, "samples": self.different},
        }


def write(workspace: Workspace, package: Package, out: Path) -> list[Path]:
    """Write `model.torchscript.pt`, what describes it, and `export.json`: how it was proven.

    Raises:
        ExportRefused: it does not say what the model says, or there is nothing to compare it on.
        UserError: the folder holds something, or the package carries no weights.
    """
    script = to_script(workspace, package)
    folder = empty_folder(out)
    files = {
        FILE: script.model,
        "export.json": json.dumps(script.to_dict(), indent=1).encode(),
        SPEC_FILE: json.dumps(package.spec.to_dict(), ensure_ascii=False, indent=1).encode(),
    }
    if card := package.card():
        files[CARD_FILE] = card.encode()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def to_script(workspace: Workspace, package: Package) -> Script:
    """Build the network again, trace it, and compare.

    Args:
        workspace: holds pictures to compare on: the dataset the model was trained on, else any
            labelled picture of its task.
        package: what to export.

    Raises:
        MissingExtra: torch is not installed.
        ExportRefused: the answers differ, or there is not one picture to compare.
        UserError: the package carries no weights.
    """
    try:
        from nhan.training.torchscript import ScriptSession, export_torchscript
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("nhan"):
            raise
        raise MissingExtra("TorchScript", "train") from error
    learner = rebuilt(package)
    pictures = _pictures(workspace, package, learner)
    model, agreement = export_torchscript(learner, pictures)
    inputs = learner.exportable().inputs
    different = _other_answers(package, learner, ScriptSession(model, inputs), pictures)
    script = Script(model, inputs, agreement, different, package.spec.serve)
    # What int8 or weights kept in half precision change is rounding, told in export.json; float32
    # against float32 leaves no room for another answer.
    if different and not _rounded(package):
        raise ExportRefused(
            f"{different} of {agreement.samples} answers differ from those of {package.ref}'s "
            f"{package.spec.serve}",
            hint="its weights are not those of its model: train and publish again",
        )
    return script


def rebuilt(package: Package) -> Learner:
    """The learner whose network holds the package's weights, in evaluation mode on the CPU.

    Raises:
        UserError: the package carries no weights.
    """
    from nhan.training.checkpoint import load_checkpoint
    from nhan.training.produce import learner_of

    if WEIGHTS not in package.spec.files:
        raise UserError(
            f"{package.ref} carries no {WEIGHTS} to build its network from",
            hint="export it as onnx, or train and publish it again",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / WEIGHTS
        path.write_bytes(package.read(WEIGHTS))
        return learner_of(load_checkpoint(path))


def _rounded(package: Package) -> bool:
    from safetensors.torch import load

    weights = load(package.read(WEIGHTS)).values()
    return package.spec.serve != "model.onnx" or any(
        str(w.dtype) == "torch.float16" for w in weights
    )


def _other_answers(package: Package, learner: Learner, script: Any, pictures: InMemory) -> int:
    """How many pictures the package's own file answers otherwise."""
    from nhan.training.export import open_onnx

    served = open_onnx(package.read(package.spec.serve))
    different = 0
    for index in range(len(pictures)):
        picture, label = pictures[index]
        feed = learner.feed(learner.batch([picture], [label], training=False))
        ((ours, _),) = learner.read(script.run(None, feed))
        ((theirs, _),) = learner.read(served.run(None, feed))
        different += ours != theirs
    return different


def _pictures(workspace: Workspace, package: Package, learner: Learner) -> InMemory:
    """Real prepared pictures that the network could have been asked for."""
    from nhan.training.streamed import InMemory

    samples = []
    for data, label in _labelled(workspace, package):
        try:
            picture = learner.preparer(decode(data, workspace.picture_limits))
        except BadPicture:
            continue
        if not learner.check(label, width=picture.shape[1]):
            samples.append((picture, label))
        if len(samples) == _COMPARED:
            break
    if not samples:
        raise ExportRefused(
            f"there is no labelled {package.spec.task} picture here to compare {package.ref} on",
            hint="import some first: nhan import FOLDER",
        )
    return InMemory(samples)


def _labelled(workspace: Workspace, package: Package) -> Iterator[tuple[bytes, str]]:
    try:
        dataset = open_dataset(workspace.store, package.spec.dataset)
    except NotFound:
        dataset = None
    if dataset is not None:
        for split in ("validation", "test", "train"):
            for row in islice(dataset.rows(split), _COMPARED):
                yield row.image, row.label
        return
    for sample in read_rows(workspace.catalog, package.spec.task, states=TRAINABLE):
        if sample.label is not None:
            yield workspace.store.read(sample.path), sample.label
