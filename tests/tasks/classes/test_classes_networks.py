"""The small network, and trunks loaded by the code that loads real ones."""

from __future__ import annotations

import json
import shutil

import pytest

torch = pytest.importorskip("torch")

from nhan.errors import SettingsError  # noqa: E402
from nhan.tasks import get_task  # noqa: E402
from nhan.tasks.classes.networks import SmallNetwork  # noqa: E402
from nhan.tasks.classes.networks.base import Scale  # noqa: E402
from nhan.tasks.classes.networks.pretrained import (  # noqa: E402
    PretrainedNetwork,
    load_trunk,
    preparation_of,
    rebuild_trunk,
)
from nhan.tasks.classes.networks.small import SmallOptions  # noqa: E402


@pytest.mark.parametrize("size", [8, 31, 64, 96])
def test_the_small_network_takes_any_square(size):
    network = SmallNetwork(7, SmallOptions(width=4)).eval()
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 7)


def test_an_answer_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    network = SmallNetwork(5, SmallOptions(width=8)).eval()
    images = torch.randn(6, 3, 32, 32)
    together = network(images)
    alone = torch.cat([network(image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-6)


def test_scaled_features_have_no_mean_and_one_deviation():
    scale = Scale(3)
    features = torch.randn(500, 3) * torch.tensor([5.0, 0.01, 0.0]) + torch.tensor([3.0, 0, 1.0])
    scale.fit(features)
    scaled = scale(features)
    assert scaled.mean(0).abs().max() < 1e-4
    assert scaled.std(0)[:2] == pytest.approx([1, 1], abs=1e-2)
    assert scaled[:, 2].abs().max() < 1e-6  # a constant feature says nothing, and stays finite


def test_a_saved_backbone_is_loaded_without_its_head(backbone):
    trunk = load_trunk(str(backbone), download=False)
    assert not any("classifier" in name for name, _ in trunk.model.named_parameters())
    assert trunk.prepare == {
        "size": 56,
        "keep": 0.875,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    assert "id2label" not in trunk.config
    json.dumps(trunk.config)


def test_a_trunk_is_built_again_from_its_configuration(backbone):
    trunk = load_trunk(str(backbone), download=False)
    again = rebuild_trunk(json.loads(json.dumps(trunk.config)))
    again.load_state_dict(trunk.model.state_dict())
    images = torch.randn(2, 3, 49, 49)
    first, second = (
        PretrainedNetwork(model, 3, features=128, stages=0).eval().features(images)
        for model in (trunk.model, again)
    )
    assert torch.equal(first, second)
    assert first.shape == (2, 128)


def test_pickled_weights_are_refused(backbone, tmp_path):
    shutil.copy(backbone / "config.json", tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(SettingsError, match=r"no \*\.safetensors") as caught:
        load_trunk(str(tmp_path), download=False)
    assert "save_pretrained" in caught.value.hint


def test_a_backbone_that_is_not_here_says_what_to_do():
    with pytest.raises(SettingsError, match="not on this machine") as caught:
        load_trunk("nobody/has-this-one", download=False)
    assert "model.download=true" in caught.value.hint
    assert "model.backbone=small" in caught.value.hint


@pytest.mark.parametrize("name", ["../secret file", "https://example.org/model", "a/b/c"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(SettingsError, match="no such folder, and no hub name"):
        load_trunk(name, download=False)


def test_weights_of_another_network_are_refused(backbone, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copy(backbone / "config.json", tmp_path)
    weights = load_file(backbone / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "stages.2" not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SettingsError, match="of its tensors"):
        load_trunk(str(tmp_path), download=False)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"size": "large"}', '{"size": -1, "crop_size": []}']
)
def test_a_damaged_preparation_of_a_backbone_is_named(backbone, tmp_path, content):
    folder = shutil.copytree(backbone, tmp_path / "backbone")
    (folder / "preprocessor_config.json").write_text(content)
    with pytest.raises(SettingsError, match=r"preprocessor_config\.json|prepare\.size"):
        make_learner(folder)


def make_learner(folder):
    return get_task("classes").learner({"classes": ["a", "b"]}, {"backbone": str(folder)})


def test_only_the_last_stages_are_trained(backbone):
    trunk = load_trunk(str(backbone), download=False).model
    network = PretrainedNetwork(trunk, 3, features=128, stages=2)
    trained = {name for name, p in trunk.named_parameters() if p.requires_grad}
    assert trained
    assert all("stages.1." in name or "stages.2." in name for name in trained)
    assert len(list(network.pretrained())) == len(trained)
    network.train()
    norms = {name: m.training for name, m in trunk.named_modules() if "normalization" in name}
    assert not any(mode for name, mode in norms.items() if "stages.0" in name or "embedder" in name)
    assert all(mode for name, mode in norms.items() if "stages.2" in name)


def test_more_stages_than_there_are_is_an_error(backbone):
    trunk = load_trunk(str(backbone), download=False).model
    with pytest.raises(SettingsError, match="has 3 stages"):
        PretrainedNetwork(trunk, 3, features=128, stages=4)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (224, 1.0, 0.229)),
        ({"size": 224}, (224, 1.0, 0.229)),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, (224, 0.875, 0.229)),
        (
            {"size": {"shortest_edge": 256}, "do_center_crop": True,
             "crop_size": {"height": 224, "width": 224}},
            (224, 0.875, 0.229),
        ),
        (
            {"size": {"height": 224, "width": 224}, "do_center_crop": False,
             "crop_size": {"height": 289, "width": 289}, "image_std": [0.5, 0.5, 0.5],
             "image_processor_type": "EfficientNetImageProcessor", "include_top": True},
            (224, 1.0, 0.25),
        ),
        ({"do_normalize": False}, (224, 1.0, 1.0)),
    ],
)  # fmt: skip
def test_other_preparations_are_told_in_our_words(given, expected):
    numbers = preparation_of(given)
    assert (numbers["size"], numbers["keep"], numbers["std"][0]) == expected
