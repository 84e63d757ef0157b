"""The tables of `nhan.toml`: every setting's name, type, default and one line of help."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# Refused here: a server that met one later would die of it, and so would the next.
ModelVersion = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}@0*[1-9][0-9]{0,8}$")
]
Share = Annotated[float, Field(ge=0, le=1)]


class Table(BaseModel):
    """A table; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", validate_default=True)


class StorageSettings(Table):
    """Where pictures, models and labels are kept."""

    objects: str = Field("objects", description="object store: a folder or s3://bucket/prefix")
    catalog: str = Field(
        "sqlite:///catalog.db",
        description="catalogue database: sqlite:///FILE or postgresql://host/db",
    )


class ImageSettings(Table):
    """What one picture may cost, at every door."""

    max_bytes: int = Field(10_000_000, gt=0, description="encoded size of a picture, bytes")
    max_pixels: int = Field(40_000_000, gt=0, description="width × height, told from the header")


class SplitSettings(Table):
    """How `freeze` divides samples that do not say where they belong."""

    validation: float = Field(0.1, ge=0, lt=1, description="share used to choose the best epoch")
    test: float = Field(0.1, ge=0, lt=1, description="share locked away for the gate")
    salt: str = Field(
        "", description="changes which samples fall where; set before the first freeze"
    )
    near_duplicate_bits: int = Field(
        3,
        ge=0,
        le=16,
        description="pictures whose 64-bit hashes differ in at most so many bits stay together",
    )


class GateSettings(Table):
    """When a candidate may replace the champion."""

    margin: float = Field(
        0.0, ge=0, description="the candidate's error rate must be lower by at least this much"
    )
    certainty: float = Field(
        0.9,
        ge=0.5,
        le=1,
        description="share of paired bootstrap resamples in which it must be so; 0.5: luck may do",
    )
    slice_tolerance: float = Field(
        0.02, ge=0, description="how much worse any old slice may become (error rate, absolute)"
    )
    min_slice_samples: int = Field(20, ge=1, description="slices smaller than this are not judged")
    max_error: float = Field(
        1.0, gt=0, description="the first champion's error rate must not exceed this"
    )


class ServeSettings(Table):
    """The server."""

    host: str = Field("127.0.0.1", description="main address; any other than loopback needs keys")
    port: int = Field(8000, ge=0, le=65535, description="main port; 0 picks a free one")
    root_path: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="path under which a proxy shows the main address, e.g. /nhan",
    )
    admin_host: str = Field("127.0.0.1", description="admin address; the same rule")
    admin_port: int = Field(8001, ge=0, le=65535, description="admin port")
    workers: int = Field(0, ge=0, description="inference workers; 0 means one per core")
    model: str = Field(
        "", description="the model that /predict asks by default; empty: the only one"
    )
    bundled: bool = Field(
        True, description="answer as the bundled reader too, while its name has no champion"
    )
    poll_s: float = Field(
        1.0, gt=0, description="how often the promotion log is looked at, seconds"
    )
    queue: int = Field(512, ge=1, description="pictures that may wait; one more is answered 429")
    queue_megabytes: int = Field(256, ge=1, description="their bytes together, in millions")
    deadline_s: float = Field(10.0, gt=0, description="from a picture's arrival to its answer")
    work_s: float = Field(
        20.0, gt=0, description="work on one picture; a worker that takes longer is replaced"
    )
    max_body_bytes: int = Field(
        64_000_000, gt=0, description="body of a request with several pictures"
    )
    max_pictures: int = Field(64, ge=1, description="pictures in one request")
    head_s: float = Field(10.0, gt=0, description="time for a request's head to arrive")
    body_s: float = Field(30.0, gt=0, description="time for a request's body to arrive")
    keep_alive_s: int = Field(30, ge=1, description="time between two requests of a connection")
    connections: int = Field(4096, ge=1, description="clients connected at once")
    grace_s: float = Field(25.0, ge=0, description="time to finish at a shutdown, then all is cut")
    linger_s: float = Field(
        0.5, ge=0, description="time to go on accepting at a shutdown, for load balancers"
    )
    keys: str = Field("keys.json", description="file of hashed keys, in the workspace")
    require_keys: bool = Field(False, description="ask for keys on loopback addresses too")
    url_hosts: list[str] = Field(
        [], description="hosts that image_url may name; empty: off; *: any public address"
    )
    cors_origins: list[str] = Field([], description="web origins that may call; empty: none")
    log: Literal["text", "json"] = Field("text", description="form of the log on stderr")
    access_log: bool = Field(False, description="one log line for each request")
    canary: dict[ModelVersion, Share] = Field(
        {}, description="share of a model's requests that a candidate answers: NAME@VERSION = 0.1"
    )
    shadow: list[ModelVersion] = Field(
        [], description="candidates that answer silently beside the champion: NAME@VERSION"
    )


class ReviewSettings(Table):
    """Labelling by people, in the console and at the terminal."""

    hold_minutes: float = Field(
        10.0, gt=0, description="how long a sample that was handed out is given to nobody else"
    )
    suspect: float = Field(
        0.9,
        gt=0,
        le=1,
        description="a model so sure of something other than the label casts doubt on the label",
    )
    tolerance: float = Field(
        0.0,
        ge=0,
        description="opinions that differ by at most this error rate (CER) count as agreeing",
    )


class LoopSettings(Table):
    """Rounds: what came back from use becomes the next version."""

    dataset: str = Field("", description="dataset that rounds freeze; empty: the only one")
    model: str = Field(
        "", description="model that rounds train; empty: the one trained on that dataset"
    )
    start: str = Field(
        "champion",
        description="what training begins from: champion (before there is one: the bundled "
        "reader), scratch, or a MODEL[@V]",
    )
    train: list[str] = Field(
        [], description='training options over the defaults, as for --set: "length.epochs=10"'
    )
    int8: bool = Field(False, description="also make an int8 model, if it loses little")
    audit: Literal["refuse", "warn"] = Field(
        "refuse", description="when the label doctor finds what must be fixed"
    )
    cron: str = Field("", description="`nhan loop watch`: minute hour day month weekday; empty: no")
    min_new_labels: int = Field(
        100, ge=0, description="`nhan loop watch`: a round at so many new labels; 0: not for labels"
    )
    on_drift: bool = Field(
        False, description="`nhan loop watch`: a round when uploads drift and there are new labels"
    )
    drift_psi: float = Field(
        0.25, gt=0, description="stability index (PSI) from which on something has drifted"
    )
    missed: Literal["once", "skip"] = Field(
        "once", description="moments of `cron` while nobody watched: one round at once, or none"
    )
    look_s: float = Field(
        30.0, gt=0, description="`nhan loop watch`: seconds between two looks at what came in"
    )
    server: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="address that must answer with a new champion; empty: that of [serve]",
    )
    verify_s: float = Field(
        30.0, ge=0, description="seconds within which a promoted version must answer"
    )
    budget_samples: int = Field(
        2000,
        ge=0,
        description="samples in each of three short trainings after a promotion, which tell what "
        "more labels would bring; 0: none",
    )


class WebhookSettings(Table):
    """Who is told of labels, datasets, runs, promotions; the key is in NHAN_WEBHOOK_SECRET."""

    urls: list[Annotated[str, StringConstraints(pattern=r"^https?://.+")]] = Field(
        [], description="http(s) addresses that events are posted to"
    )
    events: list[str] = Field([], description="only these events; empty: all")
    timeout_s: float = Field(10.0, gt=0, description="time for an address to answer")
    give_up_h: float = Field(72.0, gt=0, description="hours of retries before one is given up")


class DeploySettings(Table):
    """What `nhan export` writes into other systems' files."""

    image: str = Field("localhost/nhan-serve:latest", description="image of the server")
    train_image: str = Field(
        "localhost/nhan-train:latest", description="image of training and of the loop's steps"
    )
    streamlit_image: str = Field(
        "localhost/nhan-streamlit:latest", description="the server's image with its Streamlit page"
    )
    namespace: str = Field("nhan", description="Kubernetes namespace")
    secret: str = Field(
        "nhan", description="Secret with key, catalog, aws-access-key-id, aws-secret-access-key"
    )
    service_account: str = Field(
        "", description="Kubernetes account of the servers' pods, for roles of a cloud; empty: none"
    )
    min_replicas: int = Field(1, ge=0, description="servers that always run")
    max_replicas: int = Field(4, ge=1, description="servers at most")
    cpu: str = Field("2", description="processors of one server; one inference worker for each")
    memory: str = Field("1Gi", description="memory limit of one server")
    canary_percent: int = Field(
        100, ge=0, le=100, description="share of traffic that a changed InferenceService gets"
    )
    prometheus: str = Field(
        "http://prometheus-operated.monitoring:9090", description="Prometheus, as KEDA reaches it"
    )


class KubeflowSettings(Table):
    """Rounds on Kubeflow Pipelines, and trainings on a cluster."""

    endpoint: str = Field(
        "", description="address of the Kubeflow Pipelines API, https://HOST/pipeline"
    )
    experiment: str = Field("nhan", description="experiment under which runs are listed")
    service_account: str = Field(
        "", description="Kubernetes account of the pods; empty: Kubeflow's"
    )
    cpu: str = Field("1", description="processors of a step")
    memory: str = Field("2Gi", description="memory of a step")
    train_cpu: str = Field("4", description="processors of the step that trains, of each node")
    train_memory: str = Field("8Gi", description="memory of the step that trains, of each node")
    gpus: int = Field(0, ge=0, description="GPUs of the step that trains, of each node")
    gpu: str = Field("nvidia.com/gpu", description="what the cluster calls a GPU")
    nodes: int = Field(1, ge=1, description="`--as trainer`: machines that train together")
    retries: int = Field(2, ge=0, description="how often a failed step is tried again")
    queue: str = Field("", description="`--as trainer`: Kueue queue; empty: none")


class UploadSettings(Table):
    """What is kept of the pictures that users send, and what is looked at first."""

    collect: Literal["all", "sampled", "off"] = Field(
        "all", description="which answered pictures are kept: all, those a policy chose, none"
    )
    durable: bool = Field(
        True, description="a picture is on the local disk before its answer is sent"
    )
    spool: str = Field("spool", description="local folder, in the workspace, where pictures wait")
    spool_megabytes: int = Field(1024, ge=1, description="its size at most, in millions of bytes")
    free_megabytes: int = Field(256, ge=0, description="disk space that the spool leaves to others")
    when_full: Literal["answer", "refuse"] = Field(
        "answer", description="a full spool: answer and keep nothing, or refuse with 503"
    )
    ship_after_s: float = Field(
        2.0, gt=0, description="how long a picture waits before it is sent to the object store"
    )
    keep_days: int = Field(
        0, ge=0, description="pictures that nobody labelled are erased after so many days; 0: never"
    )
    consent_needed: bool = Field(
        False, description="train only with pictures whose sender said X-Nhan-Consent: yes"
    )
    trust_corrections: bool = Field(
        False, description="a correction stands as the label at once; otherwise it is reviewed"
    )
    random_share: float = Field(
        0.02, ge=0, le=1, description="share of pictures queued for review by chance alone"
    )
    random_a_day: int = Field(200, ge=0, description="at most so many by chance a day; 0: none")
    low_confidence: float = Field(
        0.7, ge=0, le=1, description="answers less sure than this are queued for review"
    )
    low_confidence_a_day: int = Field(200, ge=0, description="at most so many a day; 0: none")
    disagreement_a_day: int = Field(
        200, ge=0, description="pictures on which a shadow differs from the champion, a day"
    )
    rare_below: int = Field(
        3, ge=1, description="a character or class is new until it was answered so many times"
    )
    new_content_a_day: int = Field(100, ge=0, description="pictures with new ones queued a day")
    novelty: float = Field(
        4.0,
        gt=0,
        description="standard deviations from the usual size, brightness or detail that are novel",
    )
    novelty_a_day: int = Field(100, ge=0, description="at most so many a day; 0: none")


class LabelStudioSettings(Table):
    """Label Studio, both ways; its token is in NHAN_LABELSTUDIO_TOKEN."""

    url: str = Field("", description="Label Studio's address, as this machine reaches it")
    pictures_url: str = Field(
        "",
        description="this server as labellers' browsers reach it; empty: as [serve] has it",
    )
    server_url: str = Field(
        "", description="this server as Label Studio's machine reaches it; empty: pictures_url"
    )
    link_days: float = Field(
        365.0,
        gt=0,
        description="how long a picture's signed link is good; push and pull renew it at half",
    )
    poll_s: float = Field(
        30.0, gt=0, description="`watch`: seconds between looks where no webhook comes"
    )
