from __future__ import annotations

from pathlib import Path

import pytest

from nhan.errors import SettingsError
from nhan.synth import DEFAULT, RECIPES, Recipe, load_recipe
from nhan.synth.cast import STYLES
from nhan.synth.fonts import STYLES as FACE_STYLES
from nhan.synth.generators import HABITS, TEXTS
from nhan.synth.recipe import KINDS
from nhan.synth.recipe import TEXTS as TEXT_NAMES


def test_every_look_and_text_that_recipes_may_name_exists() -> None:
    assert set(STYLES) == set(HABITS) == set(KINDS)
    assert set(TEXTS) == set(TEXT_NAMES)
    assert all(set(shares) <= set(FACE_STYLES) for shares in STYLES.values())
    assert all(set(shares) == set(TEXT_NAMES) for shares in HABITS.values())


def test_the_five_tests_of_a_reader_are_named() -> None:
    assert {"clean", "degraded", "photo", "handwriting", "short"} < set(RECIPES)
    assert load_recipe("clean").difficulty == 0


def test_equal_recipes_hash_alike_and_different_ones_differ() -> None:
    assert Recipe() == DEFAULT
    assert hash(Recipe()) == hash(DEFAULT)
    assert Recipe(difficulty=0.1) != DEFAULT


def test_toml_starts_from_its_base_and_reads_lists_of_names(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("# kept out\nbitter\n\nmali  \n")
    file = tmp_path / "mine.toml"
    file.write_text(
        '[synth]\nbase = "short"\ndifficulty = 0.9\nfonts_without = ["@names.txt", "x"]\n'
    )
    recipe = load_recipe(file)
    assert recipe.name == "mine"
    assert recipe.kinds == {"short": 1}
    assert recipe.difficulty == 0.9
    assert recipe.fonts_without == ("bitter", "mali", "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dificulty = 0.5", "did you mean 'difficulty'"),
        ("[kinds]\nreciept = 1", "did you mean 'receipt'"),
        ("[texts]\nsentense = 1", "did you mean 'sentence'"),
        ("difficulty = 2", "less than or equal to 1"),
        ("[kinds]\nprint = 0", "all shares are 0"),
        ("base = 'nothing'", "clean"),
        ("fonts_only = ['@absent.txt']", "absent.txt"),
        ("= 3", "mend"),
    ],
)
def test_mistakes_in_a_recipe_are_named_with_their_cure(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_recipe(file)
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError) as caught:
        load_recipe("claen")
    assert "clean" in caught.value.hint


def test_changes_are_checked() -> None:
    assert DEFAULT.with_(difficulty=0.2).difficulty == 0.2
    with pytest.raises(SettingsError):
        DEFAULT.with_(difficulty=-1)
