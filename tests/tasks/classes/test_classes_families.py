"""Networks of different families are loaded, pooled, thawed and exported alike."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from nhan.tasks import get_task  # noqa: E402
from nhan.training.export import export_onnx  # noqa: E402

WIDTHS = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
# Family: size of its configuration, features, pixels.
FAMILIES = {
    "Dinov2": ({**WIDTHS, "image_size": 70, "patch_size": 14, "mlp_ratio": 2}, 24, 56),
    "ViT": ({**WIDTHS, "intermediate_size": 32, "image_size": 32, "patch_size": 8}, 24, 32),
    "Swin": (
        {"image_size": 32, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4},
        16,
        32,
    ),
    "ConvNext": ({"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]}, 16, 32),
    "EfficientNet": (
        {"image_size": 64, "width_coefficient": 0.25, "depth_coefficient": 0.2, "hidden_dim": 320},
        320,
        64,
    ),
    "MobileNetV2": ({"depth_multiplier": 0.25}, 1280, 32),
}
QUICK = "Dinov2"  # the one that is pooled by its class token and changes its grid of patches


@pytest.mark.parametrize(
    "family",
    [name if name == QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES],
)
def test_a_family_is_a_backbone(family, tmp_path, random_rgb):
    numbers, features, size = FAMILIES[family]
    torch.manual_seed(0)
    transformers.logging.disable_progress_bar()
    config = getattr(transformers, f"{family}Config")(**numbers)
    getattr(transformers, f"{family}Model")(config).save_pretrained(tmp_path)
    sizes = {"size": {"height": size, "width": size}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(sizes))

    options = {"backbone": str(tmp_path), "train": "last"}
    learner = get_task("classes").learner({"classes": ["a", "b"]}, options)
    assert learner.network.head.in_features == features
    thawed = [p.requires_grad for p in learner.network.trunk.parameters()]
    assert any(thawed)
    assert not all(thawed)
    pictures = [(learner.preparer(random_rgb(40, 60, seed)), "ab"[seed % 2]) for seed in range(6)]
    learner.begin(pictures, pictures, cache=None)
    _, agreement = export_onnx(learner, pictures)
    assert agreement.different == 0

    # From its saved options alone, as a package is opened again.
    again = get_task("classes").learner(learner.vocabulary, json.loads(json.dumps(learner.options)))
    again.network.load_state_dict(learner.network.state_dict())
    images = torch.from_numpy(np.zeros((1, 3, size, size), np.float32))
    with torch.inference_mode():
        learner.network.eval()
        again.network.eval()
        assert torch.equal(again.network(images), learner.network(images))
