"""A thin client of the HTTP API, for the Streamlit page: bytes in, plain values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from nhan.errors import NhanError, UpstreamFailed

_TIMEOUT_S = 60.0


class Refused(NhanError):
    """The server refused, in its own words.

    Attributes:
        details: what it adds, e.g. the label that stands.
    """

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message", f"HTTP {status}")), hint=error.get("hint", ""))
        self.status = status
        self.details: dict[str, Any] = error.get("details", {})


@dataclass(frozen=True)
class Answer:
    """A prediction as the API gives it.

    Attributes:
        prediction: `id`, `task`, `model`, `version`, `text` or `label`, `confidence` …
        kept: the server kept the picture, so that the answer can be corrected.
    """

    prediction: dict[str, Any]
    kept: bool

    @property
    def value(self) -> str:
        """The text or the class."""
        return str(self.prediction.get("text", self.prediction.get("label", "")))

    @property
    def classes(self) -> list[str]:
        """The model's classes, the likeliest first; none where it reads text."""
        return list(self.prediction.get("labels") or {})


class Client:
    """Asks one server.

    Args:
        url: its main address, with the path under which a proxy shows it.
        key: sent with every request; may be empty.
        user: in whose name; may be empty.
        transport: other than the network, in tests.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        user: str = "",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"accept": "application/json"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        if user:
            headers["x-nhan-user"] = quote(user)
        self.url = url.rstrip("/")
        self._headers = headers
        self._transport = transport
        self._http: httpx.Client | None = None

    def models(self) -> list[str]:
        """What answers now, `NAME@VERSION`.

        Raises:
            Refused, UpstreamFailed: see `answer`.
        """
        document, _ = self._ask("GET", "/readyz", needed=("models",))
        if not isinstance(document["models"], list):
            raise self._strange("/readyz", "200 and no answer of ours")
        return [str(one) for one in document["models"]]

    def answer(self, picture: bytes, *, model: str = "") -> Answer:
        """Let the server answer a picture; its bytes are sent as they are.

        Raises:
            Refused: the server says why not.
            UpstreamFailed: it cannot be reached, or is no server of ours.
        """
        query = {"model": model} if model else {}
        kind = {"content-type": "application/octet-stream"}
        needed = ("id", "model", "version", "confidence")
        document, headers = self._ask(
            "POST", "/predict", needed=needed, content=picture, params=query, headers=kind
        )
        return Answer(document, headers.get("x-nhan-collected") == "yes")

    def correct(self, prediction: str, label: str, *, replaces: str = "") -> str:
        """Say what an answer should have been; gives the correction's id.

        Raises:
            Refused: status 409 where somebody said otherwise; `details` has what stands.
            UpstreamFailed: see `answer`.
        """
        document = {"prediction": prediction, "label": label}
        if replaces:
            document["replaces"] = replaces
        given, _ = self._ask("POST", "/corrections", needed=("id",), json=document)
        return str(given["id"])

    def _ask(
        self, method: str, path: str, *, needed: Sequence[str], **content: Any
    ) -> tuple[dict[str, Any], httpx.Headers]:
        try:
            response = self._connected().request(method, path, **content)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise UpstreamFailed(
                f"the server at {self.url} cannot be reached: {error}",
                hint="start it with `nhan serve`, or name another: nhan streamlit --url URL",
            ) from error
        try:
            document = response.json()
        except ValueError:
            document = None
        said = document if isinstance(document, dict) else {}
        if not response.is_success:
            if isinstance(said.get("error"), dict):
                raise Refused(response.status_code, said["error"])
            raise self._strange(path, f"{response.status_code} and no error of ours")
        if not said.keys() >= set(needed):
            raise self._strange(path, f"{response.status_code} and no answer of ours")
        return said, response.headers

    def _connected(self) -> httpx.Client:
        """Made when something is asked: an address or key that cannot be one is told then."""
        if self._http is None:
            self._http = httpx.Client(
                base_url=self.url,
                headers=self._headers,
                timeout=_TIMEOUT_S,
                transport=self._transport,
            )
        return self._http

    def _strange(self, path: str, said: str) -> UpstreamFailed:
        return UpstreamFailed(
            f"{self.url}{path} answered {said}", hint="is it the main address of `nhan serve`?"
        )
