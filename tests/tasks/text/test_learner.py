"""Lines as tensors, what cannot be learned, and starting from another model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from nhan.errors import JobFailed, SettingsError
from nhan.tasks.text.learner import TextLearner
from nhan.tasks.text.prepare import Preparation

SMALL = {
    "network": "convgru",
    "options": {"height": 24, "stem": 8, "channels": [12], "blocks": [0],
                "features": 16, "hidden": 12},
}  # fmt: skip


def learner(charset: str = "abcđệ ", **options: object) -> TextLearner:
    return TextLearner({"charset": charset}, {**SMALL, **options})


def test_a_batch_holds_the_very_numbers_that_serving_uses(
    random_rgb: Callable[..., np.ndarray],
) -> None:
    pictures = [random_rgb(24, 40), random_rgb(24, 61, seed=1)]
    batch = learner().batch(pictures, ["a", "b"], training=False)
    images, widths = batch.inputs
    assert widths.tolist() == [40, 61]
    for row, picture in enumerate(pictures):
        served = Preparation(height=24).to_input(picture)
        assert np.array_equal(images[row, :, :, : picture.shape[1]].numpy(), served)
    assert not images[0, :, :, 40:].any(), "padding is zero"


def test_nearly_equal_widths_leave_no_padding_in_training(
    random_rgb: Callable[..., np.ndarray],
) -> None:
    pictures = [random_rgb(24, 50), random_rgb(24, 61), random_rgb(24, 30)]
    images, widths = learner(extend_px=16).batch(pictures, ["a"] * 3, training=True).inputs
    assert widths.tolist() == [64, 64, 30]
    assert torch.equal(images[0, :, :, 63], images[0, :, :, 49]), "the last column is repeated"
    assert not images[2, :, :, 30:].any()


def test_a_label_needs_a_step_per_character_and_one_between_equal_ones() -> None:
    reader = learner()
    assert reader.network.steps(16) == 4
    assert reader.check("abca", width=16) == []
    assert [finding.code for finding in reader.check("abba", width=16)] == ["too_long"]
    assert reader.check("abba", width=17) == []


def test_a_character_outside_the_charset_is_found() -> None:
    (finding,) = learner().check("axb", width=400)
    assert finding.code == "outside_charset"
    assert "'x'" in finding.message


def test_a_loss_that_is_not_finite_names_the_label(random_rgb: Callable[..., np.ndarray]) -> None:
    reader = learner()
    batch = reader.batch([random_rgb(24, 16), random_rgb(24, 16)], ["a", "abba"], training=True)
    with pytest.raises(JobFailed, match="'abba'"):
        reader.loss(batch)


def test_learned_characters_keep_their_weights_when_the_charset_grows() -> None:
    old, new = learner("abđ"), learner("bđaệ")
    adopted = new.adopt(old.network.state_dict(), old.vocabulary)
    assert (adopted.kept, adopted.new, adopted.dropped) == (("b", "đ", "a"), ("ệ",), ())
    for char in "abđ":
        before = old.network.head.weight[old.charset.encode(char)[0]]
        assert torch.equal(new.network.head.weight[new.charset.encode(char)[0]], before)
    assert torch.equal(new.network.head.weight[0], old.network.head.weight[0]), "the blank too"
    assert torch.equal(new.network.fold.weight, old.network.fold.weight)


def test_a_widened_vocabulary_keeps_the_old_order() -> None:
    assert learner("abđ").widened({"charset": "xbz"}) == {"charset": "abđxz"}


def test_weights_of_another_network_are_refused() -> None:
    other = learner(options={**SMALL["options"], "hidden": 20})
    with pytest.raises(SettingsError, match="another network"):
        learner().adopt(other.network.state_dict(), other.vocabulary)


def test_building_from_filled_options_gives_the_same_shapes() -> None:
    reader = learner()
    again = TextLearner(reader.vocabulary, reader.options)
    assert again.options == reader.options
    again.network.load_state_dict(reader.network.state_dict())


def test_an_unknown_option_and_a_second_height_are_refused() -> None:
    with pytest.raises(SettingsError, match="netwrk") as refused:
        TextLearner({"charset": "a"}, {"netwrk": "crnn"})
    assert "network" in refused.value.hint
    with pytest.raises(SettingsError, match="height"):
        learner(prepare={"height": 48})
