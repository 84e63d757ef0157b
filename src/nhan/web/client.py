"""A thin client of the HTTP API, for the Streamlit page: bytes in, plain values out."""

from __future__ import annotations

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
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=_TIMEOUT_S, transport=transport
        )

    def models(self) -> list[str]:
        """What answers now, `NAME@VERSION`.

        Raises:
            Refused, UpstreamFailed: see `answer`.
        """
        found: list[str] = self._ask("GET", "/readyz").json()["models"]
        return found

    def answer(self, picture: bytes, *, model: str = "") -> Answer:
        """Let the server answer a picture; its bytes are sent as they are.

        Raises:
            Refused: the server says why not.
            UpstreamFailed: it cannot be reached, or is no server of ours.
        """
        query = {"model": model} if model else {}
        kind = {"content-type": "application/octet-stream"}
        response = self._ask("POST", "/predict", content=picture, params=query, headers=kind)
        return Answer(response.json(), response.headers.get("x-nhan-collected") == "yes")

    def correct(self, prediction: str, label: str, *, replaces: str = "") -> str:
        """Say what an answer should have been; gives the correction's id.

        Raises:
            Refused: status 409 where somebody said otherwise; `details` has what stands.
            UpstreamFailed: see `answer`.
        """
        document = {"prediction": prediction, "label": label}
        if replaces:
            document["replaces"] = replaces
        return str(self._ask("POST", "/corrections", json=document).json()["id"])

    def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise UpstreamFailed(
                f"the server at {self.url} cannot be reached: {error}",
                hint="start it with `nhan serve`, or name another: nhan streamlit --url URL",
            ) from error
        if response.is_success:
            return response
        try:
            raise Refused(response.status_code, response.json()["error"])
        except (ValueError, KeyError, TypeError) as error:
            raise UpstreamFailed(
                f"{self.url}{path} answered {response.status_code} and no error of ours",
                hint="is it the main address of `nhan serve`?",
            ) from error
