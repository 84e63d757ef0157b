"""Keys: who may do what. Only their hashes are kept.

A key is 256 random bits, so one round of SHA-256 hides it for good; slow hashes are for passwords
that people think up. Several keys may be valid at once, which is how they are rotated: make a new
one, let the old one expire a little later.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nhan.errors import Forbidden, NotFound, SettingsError, Unauthorized, UserError
from nhan.names import one_spelling
from nhan.settings import ServeSettings

SCOPES = ("predict", "correct", "review", "admin")
VARIABLE = "NHAN_KEY"

_PREFIX = "nhan_"
_MIN_LENGTH = 16


@dataclass(frozen=True)
class Key:
    """What is kept of a key.

    Attributes:
        id: names the key in logs and commands; says nothing about it.
        name: whose it is.
        scopes: some of `SCOPES`.
        hash: SHA-256 of the key, hexadecimal.
        created: UTC, ISO 8601.
        expires: UTC, ISO 8601; empty for never.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    hash: str
    created: str
    expires: str = ""

    def is_valid(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return not self.expires or now < datetime.fromisoformat(self.expires)


class Keyring:
    """The keys of a server.

    Args:
        keys: those that are kept.
    """

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self.keys = tuple(keys)
        self._by_hash = {key.hash: key for key in self.keys}
        self._by_id = {key.id: key for key in self.keys}

    def replace(self, other: Keyring) -> None:
        """Hold another ring's keys from now on."""
        self.keys, self._by_hash, self._by_id = other.keys, other._by_hash, other._by_id

    def __bool__(self) -> bool:
        return bool(self.keys)

    def check(self, given: str, scope: str) -> Key:
        """Whose key it is, if it may do that.

        Raises:
            Unauthorized: no key, an unknown one, or one that has expired.
            Forbidden: it may do other things only.
        """
        if not given:
            raise Unauthorized(
                "a key is needed", hint="send Authorization: Bearer KEY; make one: nhan keys add"
            )
        # Looked up by hash: how long that takes tells nothing about the key.
        key = self._by_hash.get(_hash(given))
        if key is None:
            raise Unauthorized("the key is not known here", hint="nhan keys list")
        return self.allow(key, scope)

    def find(self, key_id: str) -> Key | None:
        """The key of an id, whether valid or not."""
        return self._by_id.get(key_id)

    def allow(self, key: Key, scope: str) -> Key:
        """The key itself, if it is still valid and may do that.

        Raises:
            Unauthorized: it has expired.
            Forbidden: it may do other things only.
        """
        if not key.is_valid(datetime.now(UTC)):
            raise Unauthorized(f"the key {key.id} expired on {key.expires}", hint="use the new one")
        if scope not in key.scopes:
            raise Forbidden(
                f"the key {key.id} may not {scope}", hint=f"it may: {', '.join(key.scopes)}"
            )
        return key


def load_keyring(file: Path | None) -> Keyring:
    """The keys of a file, and the one of the environment variable NHAN_KEY (every scope).

    Raises:
        SettingsError: the file is damaged, or the variable's key is too short.
    """
    keys = list(_read(file)) if file is not None and file.exists() else []
    # A secret that is mounted or read from a file often ends in a line break; no header can.
    given = os.environ.get(VARIABLE, "").strip()
    if given:
        if len(given) < _MIN_LENGTH:
            raise SettingsError(
                f"the key in {VARIABLE} has {len(given)} characters",
                hint=f"at least {_MIN_LENGTH} random ones; nhan keys add makes one",
            )
        keys.append(Key("environment", VARIABLE, SCOPES, _hash(given), ""))
    return Keyring(keys)


def keys_file(root: Path | None, serve: ServeSettings) -> Path | None:
    """Where a workspace keeps its keys; None without a workspace."""
    return None if root is None else root / serve.keys


def require_keys(keyring: Keyring, serve: ServeSettings) -> None:
    """Refuse to listen where everybody could come in.

    Raises:
        SettingsError: an address is not loopback, and there is no key.
    """
    for what, host in (("main", serve.host), ("admin", serve.admin_host)):
        if not keyring and (serve.require_keys or not is_loopback(host)):
            raise SettingsError(
                f"the {what} address {host} needs keys, and there are none",
                hint=f"nhan keys add NAME, or {VARIABLE}=… in the environment; "
                + ("or listen on 127.0.0.1", "or serve.require_keys = false")[is_loopback(host)],
            )


def add_key(file: Path, name: str, scopes: Sequence[str]) -> tuple[Key, str]:
    """Make a key; the key itself is returned and kept nowhere.

    Raises:
        UserError: an unknown scope.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise UserError(
            f"no scope {unknown[0]!r}" if unknown else "a key needs a scope",
            hint=f"scopes: {', '.join(SCOPES)}",
        )
    secret = _PREFIX + secrets.token_urlsafe(32)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    key = Key(secrets.token_hex(4), one_spelling(name), tuple(scopes), _hash(secret), now)
    _write(file, [*_read(file), key])
    return key, secret


def rotate_key(file: Path, key_id: str, *, overlap: timedelta) -> tuple[Key, str]:
    """Make a successor of a key; the old one expires after the overlap.

    Raises:
        NotFound: no such key.
    """
    old = _find(file, key_id)
    end = (datetime.now(UTC) + overlap).isoformat(timespec="seconds")
    keys = [replace(key, expires=end) if key.id == old.id else key for key in _read(file)]
    _write(file, keys)
    return add_key(file, old.name, old.scopes)


def revoke_key(file: Path, key_id: str) -> Key:
    """Forget a key, at once.

    Raises:
        NotFound: no such key.
    """
    old = _find(file, key_id)
    _write(file, [key for key in _read(file) if key.id != old.id])
    return old


def is_loopback(host: str) -> bool:
    """Whether an address that is listened on can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _find(file: Path, key_id: str) -> Key:
    for key in _read(file):
        if key.id == key_id:
            return key
    raise NotFound(f"no key {key_id!r} in {file}", hint="nhan keys list")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(file: Path) -> list[Key]:
    if not file.exists():
        return []
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return [Key(**{**entry, "scopes": tuple(entry["scopes"])}) for entry in document["keys"]]
    except OSError as error:
        raise SettingsError(
            f"the file of keys {file} cannot be read: {error.strerror or error}",
            hint="it belongs to who serves: chown and chmod 600",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"the file of keys {file} is damaged: {error}",
            hint="bring it back from a backup, or remove it and make keys: nhan keys add",
        ) from error


def _write(file: Path, keys: Iterable[Key]) -> None:
    document = {"keys": [asdict(key) for key in keys]}
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(temporary, file)
