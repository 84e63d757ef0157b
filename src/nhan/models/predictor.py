"""From a picture to an answer with ONNX Runtime: what serving, evaluation and `nhan predict` share.

Imports no torch. Every picture runs alone, at its own width, so an answer never depends on its
neighbours. The parts are separate for whoever schedules them otherwise: `load_reader` gives the
task's preparation and decoding (stateless), `open_session` one ONNX Runtime session, and `run` the
passes of one look at a picture; `Predictor` is the three together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import onnxruntime as ort

from nhan.images import RGB, PictureLimits, decode
from nhan.inference.session import CPU, open_for
from nhan.models.package import BadPackage, Package
from nhan.tasks import get_task
from nhan.tasks.base import Answer, Feed, Outputs, Reader, look


def load_reader(package: Package) -> Reader:
    """The task's own preparation and decoding, as `nhan.json` describes them.

    Raises:
        NotFound: the package is of a task this version does not know.
    """
    return get_task(package.spec.task).reader(package.spec.to_dict())


def open_session(
    package: Package, *, threads: int = 1, providers: Sequence[str] = (CPU,)
) -> ort.InferenceSession:
    """Load the file that answers into an ONNX Runtime session.

    Args:
        package: where it comes from; the bytes are checked against `nhan.json`.
        threads: for one pass. One, and several sessions, serves most requests per second.
        providers: ONNX Runtime's execution providers, most wanted first.

    Raises:
        BadPackage: the file is missing, damaged, or no model that ONNX Runtime can run.
        NotFound: as `load_reader`.
    """
    return _open(package, load_reader(package), threads, providers)


def run(session: ort.InferenceSession, feeds: Sequence[Feed]) -> list[Outputs]:
    """The outputs of every feed of one picture, in order, each in the model's own order."""
    return [session.run(None, feed) for feed in feeds]


@dataclass(frozen=True)
class Predictor:
    """One model version, ready to answer; may be shared between threads.

    Attributes:
        package: what it was loaded from.
        reader: the task's preparation and decoding.
        session: ONNX Runtime.
        limits: what a picture may cost.
    """

    package: Package
    reader: Reader
    session: ort.InferenceSession
    limits: PictureLimits

    @classmethod
    def load(
        cls, package: Package, *, threads: int = 1, limits: PictureLimits | None = None
    ) -> Predictor:
        """Load a package.

        Raises:
            BadPackage, NotFound: as `open_session` and `load_reader`.
        """
        reader = load_reader(package)
        session = _open(package, reader, threads, (CPU,))
        return cls(package, reader, session, limits or PictureLimits())

    def predict(self, picture: bytes | RGB) -> Answer:
        """Answer for one picture: an encoded file, or uint8 (H, W, 3) RGB.

        Raises:
            BadPicture: the bytes are no picture we read, or one over the limits.
        """
        rgb = decode(picture, self.limits) if isinstance(picture, bytes) else picture
        return self.reader.answer(*look(self.reader, rgb, partial(run, self.session)))

    def predict_many(self, pictures: Iterable[bytes | RGB]) -> Iterator[Answer]:
        """Answer for pictures one after the other, in order, as they are asked for.

        There is no batch on purpose: on a CPU it gains nothing, mixed widths lose by it, and
        alone every answer is the one `predict` gives.

        Raises:
            BadPicture: as `predict`, when that picture's turn comes.
        """
        for picture in pictures:
            yield self.predict(picture)


def _open(
    package: Package, reader: Reader, threads: int, providers: Sequence[str]
) -> ort.InferenceSession:
    model = package.read(package.spec.serve)
    try:
        return open_for(reader, model, threads=threads, providers=providers)
    except Exception as error:  # ONNX Runtime raises a dozen classes with no common parent
        raise BadPackage(
            f"{package.ref}: ONNX Runtime cannot load {package.spec.serve}: {_first_line(error)}",
            hint="export it again, or upgrade onnxruntime",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
