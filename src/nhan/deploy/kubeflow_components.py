"""The tasks of the pipeline, as Kubeflow compiles functions: their source travels in the YAML.

Therefore their bodies stand alone: they import this package, which the image holds, and nothing
else of ours. This module keeps real annotations, which kfp reads.
"""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Metrics, Model, Output


def make_components(image: str) -> dict[str, Any]:
    """The components by what they give: `begin`, `record`, `dataset`, `model`, `metrics`."""

    def made(function: Any) -> Any:
        return dsl.component(
            function, base_image=image, packages_to_install=[], install_kfp_package=False
        )

    return {
        "begin": made(begin_round),
        "record": made(do_step),
        "dataset": made(freeze_dataset),
        "model": made(train_model),
        "metrics": made(evaluate_model),
    }


def begin_round(dataset: str, model: str, because: str, again: bool, key: str) -> int:
    """Begin a round; the same run of the pipeline always gets the same one."""
    from nhan.deploy import kubeflow_step

    return kubeflow_step.begin(dataset, model, because, again=again, key=key)


def do_step(name: str, number: int, record: Output[Artifact]) -> NamedTuple(  # type: ignore[valid-type]
    "Outcome", [("state", str), ("because", str)]
):
    """Do one step of a round; its record is the artifact's metadata."""
    from nhan.deploy import kubeflow_step

    done = kubeflow_step.do(name, number)
    record.metadata.update(kubeflow_step.metadata_of(done))
    return (done.state, done.because)


def freeze_dataset(name: str, number: int, dataset: Output[Dataset]) -> NamedTuple(  # type: ignore[valid-type]
    "Outcome", [("state", str), ("because", str)]
):
    """Do the step that freezes; the artifact is the dataset version."""
    from nhan.deploy import kubeflow_step

    done = kubeflow_step.do(name, number)
    dataset.metadata.update(kubeflow_step.metadata_of(done))
    dataset.uri = kubeflow_step.uri_of(done) or dataset.uri
    return (done.state, done.because)


def train_model(name: str, number: int, model: Output[Model]) -> NamedTuple(  # type: ignore[valid-type]
    "Outcome", [("state", str), ("because", str)]
):
    """Do the step that trains; the artifact is the candidate."""
    from nhan.deploy import kubeflow_step

    done = kubeflow_step.do(name, number)
    model.metadata.update(kubeflow_step.metadata_of(done))
    model.uri = kubeflow_step.uri_of(done) or model.uri
    return (done.state, done.because)


def evaluate_model(name: str, number: int, metrics: Output[Metrics]) -> NamedTuple(  # type: ignore[valid-type]
    "Outcome", [("state", str), ("because", str)]
):
    """Do the step that scores; the numbers are the artifact's."""
    from nhan.deploy import kubeflow_step

    done = kubeflow_step.do(name, number)
    for key, value in kubeflow_step.metadata_of(done).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            metrics.log_metric(key, value)
        else:
            metrics.metadata[key] = value
    return (done.state, done.because)
