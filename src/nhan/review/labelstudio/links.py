"""Addresses of pictures that carry their own right to be seen, and what proves who calls us.

A labeller's browser loads a task's picture from this server, without a key: the address itself
says how long it is good for and is signed. A task lives for months, so links are good for long
(`labelstudio.link_days`) and every push and pull signs anew those that have used up half of it;
a link is for one picture only, and a new signing secret ends them all at once.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from nhan.errors import Forbidden, SettingsError

FILE_NAME = "signing.key"
# Replicas of a server that have no folder in common are given the same secret by this variable.
VARIABLE = "NHAN_SIGNING_SECRET"

# Secrets that Label Studio is given, to show them to us: with its webhooks, and when it asks our
# models.
WEBHOOK_PURPOSE = "labelstudio-webhook"
BACKEND_PURPOSE = "labelstudio-backend"

_MIN_LENGTH = 32
_DAY_S = 86_400.0
# Formats that no browser shows as they are; the route makes a PNG of them.
_NOT_SHOWN = (".tif", ".tiff")


@dataclass(frozen=True)
class Signer:
    """Signs and checks with one secret.

    Attributes:
        secret: at least 32 random characters; never shown.
    """

    secret: bytes

    def picture(self, sha256: str, expires: int) -> str:
        """The query that opens one picture until `expires`, seconds since the epoch."""
        return urlencode({"expires": expires, "signature": self._sign("picture", sha256, expires)})

    def check_picture(self, sha256: str, expires: str, signature: str, now: float) -> None:
        """Pass a query of `picture` that has not expired.

        Raises:
            Forbidden: it was made with another secret or for another picture, or its time is up.
        """
        wanted = self._sign("picture", sha256, expires)
        if not hmac.compare_digest(wanted.encode(), signature.encode("utf-8", "replace")):
            raise Forbidden(
                f"the signature does not fit the picture {sha256[:12]}…",
                hint="its secret was changed, perhaps: `nhan labelstudio push` signs anew",
            )
        if not (expires.isascii() and expires.isdigit()) or now >= int(expires):
            raise Forbidden(
                f"the link to the picture {sha256[:12]}… has expired",
                hint="`nhan labelstudio push` (or a running `watch`) signs it anew",
            )

    def secret_of(self, purpose: str) -> str:
        """A secret for one purpose, made from ours, so that it can be handed out."""
        return self._sign("secret", purpose)

    def _sign(self, *said: object) -> str:
        text = " ".join(map(str, said)).encode()
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest()


def load_signer(root: Path) -> Signer:
    """The signer of a workspace: its file is made, readable by its owner alone, when first needed.

    Raises:
        SettingsError: the file or variable holds too short a secret, or the file cannot be made.
    """
    given = os.environ.get(VARIABLE, "")
    source = VARIABLE
    if not given:
        file = root / FILE_NAME
        source = str(file)
        try:
            given = _read_or_make(file)
        except OSError as error:
            raise SettingsError(
                f"the signing secret {file} cannot be read or made: {error.strerror}",
                hint=f"let this user write there, or set {VARIABLE}",
            ) from error
    if len(given) < _MIN_LENGTH:
        raise SettingsError(
            f"the secret in {source} has {len(given)} characters",
            hint=f"at least {_MIN_LENGTH} random ones: openssl rand -hex 32",
        )
    return Signer(given.encode())


@dataclass(frozen=True)
class Links:
    """Makes the addresses of pictures.

    Attributes:
        signer: signs them.
        base: this server, as labellers' browsers reach it; no slash at the end.
        days: how long a link is good for.
    """

    signer: Signer
    base: str
    days: float

    def to(self, sha256: str, path: str, *, now: float | None = None) -> str:
        """The address of a picture.

        Args:
            sha256: of its original bytes.
            path: its object; tells whether a browser can show it as it is.
            now: seconds since the epoch.
        """
        moment = time.time() if now is None else now
        query = self.signer.picture(sha256, int(moment + self.days * _DAY_S))
        form = "&as=png" if path.lower().endswith(_NOT_SHOWN) else ""
        return f"{self.base}/pictures/{sha256}?{query}{form}"

    def is_fresh(self, link: object, sha256: str, *, now: float | None = None) -> bool:
        """Whether a link leads here, is signed by us and has more than half its time left."""
        if not isinstance(link, str) or not link.startswith(f"{self.base}/pictures/{sha256}?"):
            return False
        moment = time.time() if now is None else now
        query = parse_qs(urlsplit(link).query)
        expires, signature = query.get("expires", [""])[0], query.get("signature", [""])[0]
        try:
            self.signer.check_picture(sha256, expires, signature, moment + self.days * _DAY_S / 2)
        except Forbidden:
            return False
        return True


def hash_in(link: str) -> str:
    """The SHA-256 that an address of our route names; empty for other addresses."""
    try:
        path = urlsplit(link).path
    except ValueError:  # `http://[`
        return ""
    before, _, name = path.rpartition("/")
    return name if before.endswith("/pictures") and is_hash(name) else ""


def is_hash(text: str) -> bool:
    """Whether a text is a SHA-256 as we write it."""
    return len(text) == 64 and not set(text) - set("0123456789abcdef")


def _read_or_make(file: Path) -> str:
    if not file.exists():
        temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as out:
                out.write(secrets.token_hex(32) + "\n")
            os.link(temporary, file)  # of two that start at once, one makes it
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return file.read_text(encoding="ascii").strip()
