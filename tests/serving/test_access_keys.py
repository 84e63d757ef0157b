"""Keys: hashed at rest, scoped, rotated with overlap; loopback is open, nothing else is."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from nhan.errors import Forbidden, NhanError, NotFound, SettingsError, Unauthorized, UserError
from nhan.serving.app import create_admin_app, create_app
from nhan.serving.keys import (
    Keyring,
    add_key,
    is_loopback,
    load_keyring,
    require_keys,
    revoke_key,
    rotate_key,
)
from nhan.settings import ServeSettings


def test_a_key_is_kept_as_a_hash_in_a_private_file(tmp_path):
    file = tmp_path / "keys.json"
    _, secret = add_key(file, "kiosk", ["predict"])
    assert secret not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert load_keyring(file).check(secret, "predict").name == "kiosk"


def test_wrong_missing_and_narrow_keys(tmp_path):
    file = tmp_path / "keys.json"
    _, secret = add_key(file, "kiosk", ["predict"])
    ring = load_keyring(file)
    for given in ("", "nhan_guess", secret[:-1], secret + "x"):
        with pytest.raises(Unauthorized):
            ring.check(given, "predict")
    with pytest.raises(Forbidden):
        ring.check(secret, "admin")


def test_rotation_overlaps(tmp_path):
    file = tmp_path / "keys.json"
    key, old = add_key(file, "kiosk", ["predict", "correct"])
    _, new = rotate_key(file, key.id, overlap=timedelta(hours=1))
    ring = load_keyring(file)
    assert ring.check(old, "predict").expires
    assert ring.check(new, "correct").name == "kiosk"
    _, newer = rotate_key(file, ring.check(new, "predict").id, overlap=timedelta(0))
    ring = load_keyring(file)
    with pytest.raises(Unauthorized, match="expired"):
        ring.check(new, "predict")
    assert ring.check(newer, "predict")


def test_revoked_keys_are_gone(tmp_path):
    file = tmp_path / "keys.json"
    key, secret = add_key(file, "kiosk", ["predict"])
    revoke_key(file, key.id)
    with pytest.raises(Unauthorized):
        load_keyring(file).check(secret, "predict")
    with pytest.raises(NotFound):
        revoke_key(file, key.id)


def test_unknown_scopes_and_damaged_files_are_told(tmp_path):
    with pytest.raises(UserError, match="everything"):
        add_key(tmp_path / "keys.json", "x", ["everything"])
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(SettingsError, match="damaged"):
        load_keyring(tmp_path / "bad.json")


def test_the_variables_key_may_end_in_a_line_break(monkeypatch):
    monkeypatch.setenv("NHAN_KEY", "a-long-random-secret\n")
    assert load_keyring(None).check("a-long-random-secret", "admin")


def test_a_file_of_keys_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "keys.json").mkdir()
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_keyring(tmp_path / "keys.json")


def test_one_variable_is_enough_for_a_container(monkeypatch):
    monkeypatch.setenv("NHAN_KEY", "a-long-random-secret")
    assert load_keyring(None).check("a-long-random-secret", "admin")
    monkeypatch.setenv("NHAN_KEY", "short")
    with pytest.raises(SettingsError):
        load_keyring(None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_other_addresses_than_loopback_need_keys(host):
    assert not is_loopback(host)
    for settings in (ServeSettings(host=host), ServeSettings(admin_host=host)):
        with pytest.raises(SettingsError, match="needs keys"):
            require_keys(Keyring(), settings)


def test_who_asked_for_keys_on_loopback_is_not_told_to_listen_there():
    with pytest.raises(SettingsError, match=r"127\.0\.0\.1 needs keys") as caught:
        require_keys(Keyring(), ServeSettings(require_keys=True))
    assert caught.value.hint.endswith("or serve.require_keys = false")


def test_loopback_needs_none():
    require_keys(Keyring(), ServeSettings(host="127.0.0.1", admin_host="::1"))


@pytest.fixture
def keyring(tmp_path):
    secrets = {
        scope: add_key(tmp_path / "keys.json", scope, [scope])[1] for scope in ("predict", "admin")
    }
    return load_keyring(tmp_path / "keys.json"), secrets


def test_routes_ask_for_their_scope(serving, toy_picture, keyring, error_of):
    ring, secrets = keyring
    picture = toy_picture("đ")

    async def scenario():
        async with serving(keyring=ring, settings=ServeSettings(host="0.0.0.0")) as running:

            async def ask(path, headers):
                return await running.client.post(path, content=picture, headers=headers)

            bearer = {"authorization": f"Bearer {secrets['predict']}"}
            return {
                "none": await ask("/predict", {}),
                "wrong": await ask("/predict", {"authorization": "Bearer nonsense"}),
                "narrow": await ask("/predict", {"x-api-key": secrets["admin"]}),
                "bearer": await ask("/predict", bearer),
                "header": await ask("/predict", {"x-api-key": secrets["predict"]}),
                "torchserve": await ask("/predictions/toy", {}),
                "v2": await ask("/v2/models/toy/infer", {}),
                "docs": await running.client.get("/docs"),
                "health": await running.client.get("/healthz"),
            }

    answers = asyncio.run(scenario())
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "none": 401, "wrong": 401, "narrow": 403, "bearer": 200, "header": 200,
        "torchserve": 401, "v2": 401, "docs": 401, "health": 200,
    }  # fmt: skip
    assert answers["none"].headers["www-authenticate"] == "Bearer"
    assert error_of(answers["wrong"])["code"] == "unauthorized"
    assert "nonsense" not in answers["wrong"].text


def test_the_admin_address_needs_the_scope_admin(serving, keyring):
    ring, secrets = keyring

    async def scenario():
        settings = ServeSettings(admin_host="0.0.0.0")
        async with serving(keyring=ring, settings=settings, factory=create_admin_app) as running:
            return [
                (await running.client.get("/metrics", headers=headers)).status_code
                for headers in (
                    {},
                    {"authorization": f"Bearer {secrets['predict']}"},
                    {"authorization": f"Bearer {secrets['admin']}"},
                )
            ]

    assert asyncio.run(scenario()) == [401, 403, 200]


def test_every_refusal_has_a_hint(keyring):
    ring, secrets = keyring
    for given, scope in (("", "predict"), ("x", "predict"), (secrets["admin"], "predict")):
        with pytest.raises(NhanError) as refused:
            ring.check(given, scope)
        assert refused.value.hint


def test_keys_can_be_asked_for_from_one_moment_to_the_next(serving, keyring):
    """`serve.require_keys`, read again by SIGHUP."""
    ring, _ = keyring

    async def scenario():
        async with serving(keyring=ring) as running:
            seen = []
            for wanted in (False, True, False):
                running.context.settings = ServeSettings(require_keys=wanted)
                seen.append((await running.client.get("/v2/models/toy")).status_code)
            return seen

    assert asyncio.run(scenario()) == [200, 401, 200]


@pytest.mark.parametrize("factory", [create_app, create_admin_app])
def test_a_request_that_names_several_hosts_is_refused(serving, factory, error_of):
    """The rule against DNS rebinding would look at one of them, a proxy at another."""

    async def scenario():
        async with serving(factory=factory) as running:
            headers = [("host", "evil.test"), ("host", "localhost")]
            return await running.client.get("/healthz", headers=headers)

    response = asyncio.run(scenario())
    assert response.status_code == 400
    assert "several hosts" in error_of(response)["message"]
