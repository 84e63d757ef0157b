from __future__ import annotations

from pathlib import Path

import pytest

from nhan.errors import SettingsError
from nhan.training.config import TrainConfig, load_config, make_config

# Recipes of trainings; the folder also holds some of made lines alone.
RECIPES = [
    path
    for path in sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.toml"))
    if "[optimizer]" in path.read_text(encoding="utf-8")
]


def test_overrides_win_over_the_file_and_are_toml(tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text('seed = 4\n[optimizer]\nlr = 0.01\n[model]\nnetwork = "crnn"\n')
    config = load_config(
        file,
        ["optimizer.lr=0.02", "model.options.hidden=64", "start_from=vi-line", "preflight=false"],
    )
    assert (config.seed, config.optimizer.lr, config.preflight) == (4, 0.02, False)
    assert config.model == {"network": "crnn", "options": {"hidden": 64}}
    assert config.start_from == "vi-line", "what is no TOML is text"


@pytest.mark.parametrize(
    ("values", "key", "nearest"),
    [
        ({"optimiser": {}}, "optimiser", "optimizer"),
        ({"optimizer": {"learning": 1}}, "optimizer.learning", ""),
        ({"optimizer": {"warm_up": 1}}, "optimizer.warm_up", "optimizer.warmup"),
        ({"length": {"epoch": 1}}, "length.epoch", "length.epochs"),
    ],
)
def test_an_unknown_key_is_refused_naming_the_nearest(
    values: dict[str, object], key: str, nearest: str
) -> None:
    with pytest.raises(SettingsError, match=key) as refused:
        make_config(values, "train.toml")
    assert nearest in refused.value.hint


def test_a_wrong_value_names_key_and_value() -> None:
    with pytest.raises(SettingsError, match=r"optimizer\.lr = -1"):
        make_config({"optimizer": {"lr": -1}}, "train.toml")


def test_a_wrong_value_says_what_the_key_means() -> None:
    with pytest.raises(SettingsError) as refused:
        make_config({"length": {"patience": -1}}, "the options")
    assert refused.value.hint == (
        "patience: stop after so many validations without a better one; 0: never (default: 0)"
    )


@pytest.mark.parametrize(
    ("override", "where"),
    [("split.test=0.3", "nhan.toml"), ("length.steps=500", "length.samples")],
)
def test_what_is_chosen_elsewhere_says_where(override: str, where: str) -> None:
    with pytest.raises(SettingsError, match="unknown key") as refused:
        load_config(None, [override])
    assert where in refused.value.hint


def test_malformed_input_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("seed = = 4")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load_config(broken)
    with pytest.raises(SettingsError, match="cannot read"):
        load_config(tmp_path / "absent.toml")
    with pytest.raises(SettingsError, match="KEY=VALUE"):
        load_config(None, ["seed"])


def test_the_learning_rate_follows_the_start() -> None:
    fresh, further = TrainConfig().filled(), TrainConfig(start_from="vi-line").filled()
    assert fresh.optimizer.lr > further.optimizer.lr > 0
    assert make_config({"optimizer": {"lr": 0.7}}, "x").filled().optimizer.lr == 0.7


def test_a_saved_config_reads_back_the_same() -> None:
    config = make_config({"seed": 9, "data": {"made": "lines"}}, "x").filled()
    assert make_config(config.model_dump(mode="json"), "x") == config


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_published_recipes_are_valid(recipe: Path) -> None:
    config = load_config(recipe)
    assert config.data.made
    assert config.length.samples
