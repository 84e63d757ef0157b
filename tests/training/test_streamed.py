from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import toy_run
from rich.console import Console

from nhan.cli.main import run
from nhan.errors import Conflict, SettingsError
from nhan.training import stream
from nhan.training.checkpoint import load_checkpoint
from nhan.training.config import TrainConfig
from nhan.training.job import BEST, CURVE, LAST
from nhan.training.streamed import train_stream


def made_config(samples: int = 64, **changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "vocabulary": {"charset": toy_run.LETTERS},
        "length": {"samples": samples, "validate_every": 32},
        "data": {"made": "toy", "made_share": 1.0, "batch_size": 8, "pool": 32},
    }
    return toy_run.config(**{**values, **changes})


def curve(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / CURVE).read_text().splitlines()]


def test_made_samples_alone_train_and_a_dev_folder_is_tracked(tmp_path: Path) -> None:
    dev = tmp_path / "dev"
    (dev / "print").mkdir(parents=True)
    (dev / "print" / "a.png").write_bytes(toy_run.draw("abc"))
    (dev / "labels.json").write_text(json.dumps({"print/a.png": "abc"}))
    standing = train_stream(made_config(), tmp_path / "out", dev=[dev], judged=8, show=False)
    assert standing.best is not None
    assert [line["seen"] for line in curve(tmp_path / "out")] == [32, 64]
    assert {"made/cer", "dev/cer"} <= curve(tmp_path / "out")[0]["scores"].keys()
    facts = load_checkpoint(tmp_path / "out" / BEST).facts
    assert facts["config"]["data"]["made"] == "toy"


def test_resuming_takes_the_config_it_began_with(tmp_path: Path) -> None:
    train_stream(made_config(), tmp_path / "out", judged=4, show=False)
    with pytest.raises(Conflict, match="holds a run"):
        train_stream(made_config(), tmp_path / "out", judged=4, show=False)
    before = load_checkpoint(tmp_path / "out" / LAST).facts["position"]
    said = io.StringIO()
    other = made_config(800, seed=9)
    console = Console(file=said, width=100)
    train_stream(other, tmp_path / "out", resume=True, judged=4, show=False, console=console)
    assert load_checkpoint(tmp_path / "out" / LAST).facts["position"] == before
    assert said.getvalue().splitlines() == [
        "a run goes on with the settings it began with:",
        "  seed = 3, not 9",
        "  length.samples = 64, not 800",
    ]


def test_resuming_with_the_same_settings_says_nothing(tmp_path: Path) -> None:
    train_stream(made_config(), tmp_path / "out", judged=4, show=False)
    said = io.StringIO()
    console = Console(file=said)
    train_stream(
        made_config(), tmp_path / "out", resume=True, judged=4, show=False, console=console
    )
    assert said.getvalue() == ""


def test_what_judges_a_training_is_no_part_of_its_curriculum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def spy(name: str, seed: int, options: dict[str, Any]) -> Any:
        opened.append(options)
        return stream.open_stream(name, seed, options)

    monkeypatch.setattr("nhan.training.streamed.open_stream", spy)
    judging = classmethod(lambda cls, options: {**options, "offset": 7})
    monkeypatch.setattr(toy_run.ToyStream, "judging", judging, raising=False)
    data = {**made_config().data.model_dump(), "made_options": {"offset": 5}}
    train_stream(made_config(8, data=data), tmp_path / "out", judged=4, show=False)
    assert opened == [{"offset": 5}, {"offset": 7}]


@pytest.mark.parametrize("resume", [False, True])
def test_another_schedule_goes_on_from_weights(tmp_path: Path, resume: bool) -> None:
    train_stream(made_config(160), tmp_path / "first", judged=8, show=False)
    config = made_config(
        8, start_from=str(tmp_path / "first" / BEST), optimizer={"lr": 1e-9, "ema": 0.0}
    )
    # A second start of a run that was killed before its first checkpoint begins there too.
    train_stream(config, tmp_path / "second", resume=resume, judged=8, show=False)
    first = load_checkpoint(tmp_path / "first" / BEST).weights["output.weight"]
    second = load_checkpoint(tmp_path / "second" / BEST).weights["output.weight"]
    assert (first - second).abs().max() < 1e-6


@pytest.mark.parametrize("missing", [{"data": {}}, {"length": {"samples": 0}}])
def test_a_training_of_nothing_is_refused(tmp_path: Path, missing: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"data\.made and length\.samples"):
        train_stream(made_config(**missing), tmp_path / "out", show=False)
    assert not (tmp_path / "out").exists()


def test_the_command_trains_on_made_samples_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "toy.toml"
    recipe.write_text(
        f'''
        track = "off"
        vocabulary = {{ charset = "{toy_run.LETTERS}" }}
        model.network = "convgru"
        model.options = {{ height = 16, stem = 8, channels = [16], blocks = [0], hidden = 24 }}
        length = {{ samples = 40, validate_every = 40 }}
        data = {{ made = "toy", made_share = 1.0, batch_size = 8, pool = 32 }}
        machine = {{ threads = 1 }}
        '''
    )
    out = tmp_path / "out"
    command = ["train", "--config", str(recipe), "--out", str(out)]
    for _ in range(2):  # the second time there is nothing left to do
        with pytest.raises(SystemExit) as left:
            run([*command, "--set", "seed=5"])
        assert left.value.code == 0
        assert capsys.readouterr().out.strip() == str(out)
    assert [line["seen"] for line in curve(out)] == [40]
    assert load_checkpoint(out / BEST).facts["config"]["seed"] == 5
