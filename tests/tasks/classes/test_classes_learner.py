"""Learning classes: batches, losses, what starts from what, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nhan.errors import JobFailed, SettingsError  # noqa: E402
from nhan.tasks import get_task  # noqa: E402
from nhan.tasks.classes import learner as module  # noqa: E402
from nhan.training.export import export_onnx  # noqa: E402
from nhan.training.preflight import memorise  # noqa: E402

NAMES = ["cúc", "hồng", "tulip"]
SMALL = {"backbone": "small", "network": {"width": 8}, "prepare": {"size": 32}}


def make(classes=NAMES, **options):
    torch.manual_seed(0)
    return get_task("classes").learner({"classes": list(classes)}, {**SMALL, **options})


def over(backbone, **options):
    torch.manual_seed(0)
    return get_task("classes").learner({"classes": NAMES}, {"backbone": str(backbone), **options})


class Drawn:
    """Prepared shapes, named as flowers."""

    def __init__(self, learner, draw, shapes, count=24, seed=0, classes=NAMES):
        self.items = [
            (learner.preparer(draw(shapes[n % len(classes)], seed + n)), classes[n % len(classes)])
            for n in range(count)
        ]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def test_options_are_filled_and_build_the_same_again():
    first = make()
    again = get_task("classes").learner(first.vocabulary, json.loads(json.dumps(first.options)))
    assert again.options == first.options
    assert again.preparation() == first.preparation()
    assert first.outputs() == {"classes": NAMES}


@pytest.mark.parametrize(
    ("sizes", "size"),
    [
        ([(8, 8)], 32),
        ([(40, 36)] * 2 + [(900, 700)], 48),
        ([(640, 480)], 64),
    ],
)
def test_small_pictures_get_a_small_input(sizes, size):
    task = get_task("classes")
    options = task.suited({"backbone": "small"}, sizes)
    found = task.learner({"classes": NAMES}, options)
    assert found.preparation()["size"] == size
    assert task.learner(found.vocabulary, found.options).preparation() == found.preparation()


def test_the_size_asked_for_and_a_backbone_of_its_own_stay(backbone):
    task = get_task("classes")
    asked = task.suited({"backbone": "small", "prepare": {"size": 96}}, [(8, 8)])
    assert task.learner({"classes": NAMES}, asked).preparation()["size"] == 96
    trained = task.suited({"backbone": str(backbone)}, [(8, 8)])
    assert task.learner({"classes": NAMES}, trained).preparation()["size"] == 56


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbon": "small"}, "backbon"),
        ({"network": {"widht": 8}}, "widht"),
        ({"prepare": {"size": 4}}, "prepare.size"),
        ({"prepare": {"size": "big"}}, "prepare.size"),
        ({"prepare": {"size": 32.5}}, "prepare.size"),
        ({"prepare": {"keep": True}}, "prepare.keep"),
        ({"prepare": {"fit": 1}}, "prepare.fit"),
        ({"prepare": {"mean": 3}}, "prepare.mean"),
        ({"prepare": {"std": ["a", "b", "c"]}}, "prepare.std"),
        ({"augment": "wild"}, "augment"),
        ({"label_smoothing": 1.5}, "label_smoothing"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(SettingsError, match=message):
        make(**options)


def test_a_wrong_value_says_what_the_option_means():
    with pytest.raises(SettingsError) as caught:
        make(class_weights="yes")
    assert "each class counts the same" in caught.value.hint
    assert "default: 'none'" in caught.value.hint


def test_one_class_cannot_be_learned():
    with pytest.raises(SettingsError, match="nothing to tell apart"):
        make(["cúc"])


def test_auto_takes_the_small_network_where_there_is_no_backbone(monkeypatch, caplog):
    monkeypatch.setattr(module, "is_cached", lambda name: False)
    chosen = get_task("classes").learner({"classes": NAMES}, {})
    assert chosen.options["backbone"] == "small"
    assert "not on this machine" in caplog.text


def test_a_batch_holds_what_serving_would_see(random_rgb):
    learner = make()
    rgb = random_rgb(50, 70)
    batch = learner.batch([learner.preparer(rgb)], ["hồng"], training=True)
    spec = {"prepare": learner.preparation(), "outputs": learner.outputs()}
    (feed,) = get_task("classes").reader(spec).inputs(rgb)
    assert batch.inputs[0].numpy().tobytes() == feed["image"].tobytes()
    assert batch.targets[0].tolist() == [1]


def test_unknown_classes_are_found_before_training():
    learner = make()
    assert learner.check("cúc", width=32) == []
    (found,) = learner.check("lan", width=32)
    assert found.severity == "error"
    assert "lan" in found.message


def test_a_class_that_the_model_has_not_is_judged_as_misread(backbone, draw, shapes):
    learner = over(backbone)
    learned, judged = Drawn(learner, draw, shapes, 30), Drawn(learner, draw, shapes, 9, seed=1000)
    judged.items[0] = (judged.items[0][0], "lan")
    start = learner.begin(learned, judged, cache=None)
    assert len(start.judged) == 9
    assert len(learner.answers(learner.batch([judged[0][0]], ["lan"], training=False))) == 1


def test_a_batch_is_learned_by_heart(draw, shapes):
    learner = make()
    before, after = memorise(learner, Drawn(learner, draw, shapes))
    assert after < before / 2


def test_balanced_weights_count_classes_the_same(draw, shapes):
    learner = make(class_weights="balanced")
    drawn = Drawn(learner, draw, shapes, count=9)
    drawn.items = [item for item in drawn.items if item[1] != "tulip"][:5] + drawn.items[2:3]
    learner.begin(drawn, drawn, cache=None)
    counts = {name: sum(label == name for _, label in drawn.items) for name in NAMES}
    weighed = [float(w) * counts[n] for w, n in zip(learner._weights, NAMES, strict=True)]
    assert weighed == pytest.approx([2, 2, 2])


def test_a_loss_that_explodes_names_labels(random_rgb):
    learner = make()
    with torch.no_grad():
        learner.network.head.weight.fill_(float("nan"))
    with pytest.raises(JobFailed, match="hồng"):
        learner.loss(learner.batch([random_rgb(32, 32)], ["hồng"], training=True))


def test_the_head_is_solved_on_cached_features(backbone, draw, shapes, tmp_path):
    learner = over(backbone)
    learned = Drawn(learner, draw, shapes, 120)
    judged = Drawn(learner, draw, shapes, 60, seed=1000)
    start = learner.begin(learned, judged, cache=tmp_path)
    assert start.answers
    assert start.learned[0][0].dtype == np.float32
    assert list(tmp_path.rglob("*.npz"))
    learner.network.eval()
    by_features, by_pictures = (
        learner.answers(learner.batch(*zip(*set_.items, strict=True), training=False))
        if isinstance(set_, Drawn)
        else learner.answers(
            learner.batch(*zip(*(set_[n] for n in range(len(set_))), strict=True), training=False)
        )
        for set_ in (start.judged, judged)
    )
    assert by_features == by_pictures
    right = sum(a == label for a, (_, label) in zip(by_pictures, judged.items, strict=True))
    assert right >= 45  # of 60, with a trunk that was never trained; guessing: 20
    # Features are not augmented, pictures are.
    batch = learner.batch([start.learned[0][0]], ["cúc"], training=True)
    assert learner.augment(batch) is batch


def test_last_stages_are_trained_from_pictures(backbone, draw, shapes):
    learner = over(backbone, train="last")
    learned = Drawn(learner, draw, shapes, 30)
    start = learner.begin(learned, learned, cache=None)
    assert start.learned is learned
    assert start.answers
    slow = {id(p) for p in learner.pretrained()}
    assert slow
    loss = learner.loss(learner.batch(*zip(*learned.items[:8], strict=True), training=True))
    loss.backward()
    got = [id(p) for p in learner.network.parameters() if p.grad is not None]
    assert slow <= set(got)
    assert len(got) == len(slow) + 2  # the head


@pytest.mark.parametrize("kind", ["small", "backbone"])
def test_the_exported_network_says_the_same(kind, backbone, draw, shapes):
    learner = make() if kind == "small" else over(backbone)
    drawn = Drawn(learner, draw, shapes, 10)
    learner.begin(drawn, drawn, cache=None)
    _, agreement = export_onnx(learner, drawn)
    assert agreement.different == 0
    assert agreement.max_difference < 1e-4


def test_a_package_needs_no_backbone_folder(backbone):
    learner = over(backbone)
    options = {**json.loads(json.dumps(learner.options)), "backbone": "gone/away"}
    again = get_task("classes").learner(learner.vocabulary, options)
    again.network.load_state_dict(learner.network.state_dict())


def test_known_classes_keep_their_weights():
    old = make(["cúc", "hồng"])
    new = make(["cúc", "hồng", "lan"])
    assert old.widened({"classes": ["lan", "hồng"]}) == {"classes": ["cúc", "hồng", "lan"]}
    adopted = new.adopt(old.network.state_dict(), old.vocabulary)
    assert (adopted.kept, adopted.new, adopted.dropped) == (("cúc", "hồng"), ("lan",), ())
    assert torch.equal(new.network.head.weight[:2], old.network.head.weight)
    assert torch.equal(new.network.stem[0].weight, old.network.stem[0].weight)


def test_another_network_is_not_adopted():
    with pytest.raises(SettingsError, match="another network"):
        make(network={"width": 12}).adopt(make().network.state_dict(), {"classes": NAMES})
