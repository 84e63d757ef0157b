"""What every route has: our error shape, security headers, health, the page."""

from __future__ import annotations

import asyncio

import pytest

from nhan.images import PictureLimits
from nhan.serving.app import create_admin_app
from nhan.settings import ServeSettings


def run(serving, calls, **options):
    async def scenario():
        async with serving(**options) as running:
            return [await running.client.request(*call) for call in calls]

    return asyncio.run(scenario())


def test_unknown_routes_and_methods_have_our_shape(serving, error_of):
    missing, wrong = run(serving, [("GET", "/nowhere"), ("DELETE", "/healthz")])
    assert (missing.status_code, error_of(missing)["code"]) == (404, "not_found")
    assert (wrong.status_code, error_of(wrong)["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET"


def test_a_slash_at_the_end_changes_nothing_and_redirects_nowhere(serving, toy_picture):
    async def scenario():
        async with serving() as running:
            return await running.client.post("/predict/", content=toy_picture("đ"))

    response = asyncio.run(scenario())
    assert (response.status_code, response.json()["text"]) == (200, "đ")


def test_health(serving):
    alive, ready, ping = run(
        serving, [("GET", f"/{path}") for path in ("healthz", "readyz", "ping")]
    )
    assert (alive.status_code, ready.status_code) == (200, 200)
    assert ready.json()["models"] == ["toy@1"]
    assert ping.json() == {"status": "Healthy"}


def test_not_ready_without_a_champion(serving, error_of):
    alive, ready, ping, _ = run(
        serving,
        [("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/ping"), ("POST", "/predict")],
        package=None,
    )
    assert alive.status_code == 200
    assert (ready.status_code, error_of(ready)["code"]) == (503, "not_ready")
    assert int(ready.headers["retry-after"]) >= 1
    assert ping.status_code == 503


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/predictions/toy"), ("GET", "/v1/models/toy"), ("GET", "/v2/models/toy/ready"),
        ("POST", "/predict?model=toy"),
    ],
)  # fmt: skip
def test_a_model_that_is_still_starting_is_not_unknown(serving, toy_picture, method, path):
    """404 would tell a client to give up, and a promotion may not be what is wanting."""

    async def scenario():
        async with serving(package=None) as running:
            return await running.client.request(method, path, content=toy_picture("đ"))

    response = asyncio.run(scenario())
    assert response.status_code == 503
    assert "GET /readyz says why" in response.text
    assert int(response.headers["retry-after"]) >= 1


def test_every_response_carries_security_headers(serving):
    responses = run(
        serving, [("GET", "/healthz"), ("GET", "/nowhere"), ("POST", "/predict"), ("GET", "/")]
    )
    for response in responses:
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["x-request-id"]


def test_a_clients_request_id_comes_back_if_it_is_one(serving):
    async def scenario():
        async with serving() as running:
            return [
                await running.client.get("/healthz", headers={"x-request-id": value})
                for value in ("abc-1", "<script>")
            ]

    good, bad = asyncio.run(scenario())
    assert good.headers["x-request-id"] == "abc-1"
    assert "<" not in bad.headers["x-request-id"]


def test_openapi_lists_the_contract(serving):
    (document,) = run(serving, [("GET", "/openapi.json")])
    assert {
        "/predict", "/classify", "/predictions/{name}", "/v1/models/{name}:predict",
        "/v2/models/{name}/infer", "/healthz", "/readyz", "/ping",
    } <= set(document.json()["paths"])  # fmt: skip


def test_admin_routes_are_not_on_the_main_address(serving):
    for response in run(serving, [("GET", "/metrics"), ("GET", "/models"), ("GET", "/trials")]):
        assert response.status_code == 404


class TestAdmin:
    def test_models_as_torchserve_lists_them(self, serving):
        listing, one, every = run(
            serving,
            [("GET", "/models"), ("GET", "/models/toy"), ("GET", "/models/toy/all")],
            factory=create_admin_app,
        )
        assert listing.json() == {"models": [{"modelName": "toy", "modelUrl": "models/toy/1"}]}
        assert one.json()[0]["modelVersion"] == "1"
        assert len(every.json()) == 1

    def test_who_asks_for_what_is_not_there_is_sent_to_what_is(self, serving):
        lost, guide = run(
            serving, [("GET", "/nope"), ("GET", "/openapi.json")], factory=create_admin_app
        )
        assert lost.json()["error"]["hint"] == "see /openapi.json"
        assert "/metrics" in guide.json()["paths"]

    @pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
    def test_models_are_not_managed_from_here(self, serving, method):
        path = "/models?url=https://evil.example/m.mar" if method == "POST" else "/models/toy"
        (response,) = run(serving, [(method, path)], factory=create_admin_app)
        assert response.status_code == 403
        assert response.json()["error"]["message"]

    def test_metrics_tell_what_happened(self, serving, toy_picture):
        async def scenario():
            async with serving() as running:
                await running.ask(toy_picture("đăâ"))
                await running.ask(b"nothing")
                # The first is told at the door, this one by the decoder.
                await running.ask(toy_picture("đ", "TIFF")[:-20])
                import httpx

                transport = httpx.ASGITransport(create_admin_app(running.context))
                async with httpx.AsyncClient(transport=transport, base_url="http://a") as admin:
                    return await admin.get("/metrics")

        from prometheus_client.parser import text_string_to_metric_families

        text = asyncio.run(scenario()).text
        families = {family.name: family for family in text_string_to_metric_families(text)}
        counted = {
            (sample.labels["status"], sample.labels["model"]): sample.value
            for sample in families["nhan_requests"].samples
        }
        assert counted == {("200", "toy@1"): 1, ("415", ""): 1, ("400", ""): 1}
        refused = {one.labels["reason"]: one.value for one in families["nhan_refusals"].samples}
        assert refused == {"unsupported_picture": 1, "bad_picture": 1}
        champion = families["nhan_champion_info"].samples[0]
        assert (champion.labels["model"], champion.labels["version"]) == ("toy", "1")
        for name in ("nhan_stage_seconds", "nhan_confidence", "nhan_answer_characters",
                     "nhan_picture_width_pixels", "nhan_picture_brightness"):  # fmt: skip
            total = [s.value for s in families[name].samples if s.name.endswith("_count")]
            assert set(total) == {1.0}, name

    def test_a_public_name_that_points_here_is_refused(self, serving, error_of):
        async def scenario():
            async with serving(factory=create_admin_app) as running:
                return [
                    await running.client.get("/trials", headers={"host": host})
                    for host in ("evil.example:8001", "127.0.0.1:8001", "[::1]:8001", "localhost")
                ]

        evil, *good = asyncio.run(scenario())
        assert (evil.status_code, error_of(evil)["code"]) == (403, "forbidden")
        assert [response.status_code for response in good] == [200, 200, 200]


@pytest.mark.parametrize(
    ("site", "origin"),
    [
        ("cross-site", "https://evil.example"),
        # Of one name with us: another port of this machine, another name of our domain.
        ("same-site", "http://localhost:3000"),
        ("same-site", "https://blog.shop.example"),
        ("same-site", ""),
    ],
)
def test_pages_of_other_sites_cannot_act_through_a_browser(
    serving, toy_picture, error_of, site, origin
):
    async def scenario():
        async with serving() as running:
            return await running.client.post(
                "/predict",
                content=toy_picture("đ"),
                headers={"sec-fetch-site": site, "origin": origin},
            )

    response = asyncio.run(scenario())
    assert (response.status_code, error_of(response)["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/predict", "images.max_bytes"),
        ("/v1/models/toy:predict", "serve.max_body_bytes"),
        ("/v2/models/toy/infer", "serve.max_body_bytes"),
        ("/corrections", "an id and a label"),
    ],
)
def test_a_body_that_is_too_large_is_told_by_its_own_limit(collecting, path, said):
    async def scenario():
        settings = ServeSettings(max_body_bytes=1_000_000)
        limits = PictureLimits(max_bytes=500_000)
        async with collecting(serve=settings, limits=limits) as (running, _):
            return await running.client.post(path, content=bytes(1_100_000))

    response = asyncio.run(scenario())
    assert response.status_code == 413
    assert said in response.text
