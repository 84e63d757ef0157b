"""What runs inside TorchServe: our own preparation and decoding around a TorchScript network.

The `.mar` archive carries a few lines that make this class its handler, so there is no second copy
of how a picture is prepared. TorchServe's environment needs `pip install nhan` beside its torch.
A batch is n requests in and n answers out, in order; each picture runs alone at its own width, so
an answer never depends on its neighbours, and a bad picture spoils its own answer only.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nhan.errors import BadRequest, NhanError
from nhan.images import PictureLimits, decode
from nhan.tasks import get_task
from nhan.tasks.base import Answer, Feed, Outputs, Reader, look

# Written into every archive beside the network.
ABOUT, SPEC, NETWORK = "archive.json", "nhan.json", "model.pt"

_log = logging.getLogger(__name__)


class PictureHandler:
    """Answers as Nhãn's own `/predictions/NAME` does: a text, or classes with their scores."""

    def initialize(self, context: Any) -> None:
        """Load the network and its reader; TorchServe calls it once in each worker."""
        import torch

        folder = Path(context.system_properties["model_dir"])
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        spec = json.loads((folder / SPEC).read_text(encoding="utf-8"))
        # One thread a worker: under load several workers beat several threads.
        torch.set_num_threads(1)
        self.reference: str = f"{spec['name']}@{spec['version']}"
        self._inputs: list[str] = about["inputs"]
        self._limits = PictureLimits(about["max_bytes"], about["max_pixels"])
        self._reader: Reader = get_task(spec["task"]).reader(spec)
        # The trace holds the device it was made on, so a GPU is left alone.
        self._network = torch.jit.load(folder / NETWORK, map_location="cpu").eval()  # type: ignore[no-untyped-call]

    def handle(self, data: Sequence[Mapping[str, Any]], context: Any) -> list[Any]:
        """Answer a batch: as many answers as requests, in their order."""
        answers: list[Any] = []
        for index, row in enumerate(data):
            try:
                answer = self._answer(row)
            except NhanError as error:
                context.set_response_status(code=error.status, phrase=error.code, idx=index)
                context.set_response_content_type(index, "application/json")
                answers.append(error.to_json())
                continue
            except Exception:
                # One request's surprise must not take its neighbours' answers away.
                _log.exception("request %d of %d failed", index + 1, len(data))
                failed = NhanError("the picture could not be answered", hint="see the model log")
                context.set_response_status(code=500, phrase=failed.code, idx=index)
                context.set_response_content_type(index, "application/json")
                answers.append(failed.to_json())
                continue
            context.set_response_header(index, "X-Nhan-Model", self.reference)
            labels = answer.details.get("labels")
            kind = "text/plain; charset=utf-8" if labels is None else "application/json"
            context.set_response_content_type(index, kind)
            answers.append(answer.value if labels is None else labels)
        return answers

    def _answer(self, row: Mapping[str, Any]) -> Answer:
        rgb = decode(picture_bytes(row), self._limits)
        return self._reader.answer(*look(self._reader, rgb, self._forward))

    def _forward(self, feeds: Sequence[Feed]) -> list[Outputs]:
        import torch

        outputs: list[Outputs] = []
        with torch.inference_mode():
            for feed in feeds:
                said = self._network(*(torch.from_numpy(feed[name]) for name in self._inputs))
                tensors = said if isinstance(said, tuple) else (said,)
                outputs.append([tensor.numpy() for tensor in tensors])
        return outputs


def picture_bytes(row: Mapping[str, Any]) -> bytes:
    """A request's picture: raw bytes or base64, in the body or in a field `data` or `body`.

    Raises:
        BadRequest: there is none, or its base64 is broken.
    """
    sent = row.get("data") if row.get("data") is not None else row.get("body")
    if isinstance(sent, Mapping):  # TorchServe parses a JSON body
        sent = sent.get("image", sent.get("data"))
    if isinstance(sent, bytes | bytearray | memoryview) and len(sent):
        return bytes(sent)
    if isinstance(sent, str) and sent:
        try:
            return base64.b64decode(sent, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest(
                f"the picture is no valid base64: {error}", hint="send the raw bytes instead"
            ) from error
    raise BadRequest(
        "the request holds no picture", hint="send it as the body, or in a field named data"
    )
