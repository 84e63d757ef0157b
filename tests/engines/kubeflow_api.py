"""A small stand-in for the API of Kubeflow Pipelines: real HTTP, bodies checked by its own models.

Run by Kubeflow's environment: `kubeflow_api.py PORT LOG`. Every request is written to the log as
one JSON line, with what was wrong with it, if anything.
"""

import json
import re
import sys
import uuid
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

port, log = int(sys.argv[1]), sys.argv[2]
api = kfp_server_api.ApiClient()
pipelines, versions, experiments, runs, recurring = {}, {}, {}, {}, {}
V = "/apis/v2beta1"


def check(body, kind):
    """Whether a JSON body is what the model says: no unknown key, the right types."""
    model = getattr(kfp_server_api, kind)
    allowed = set(model.attribute_map.values())
    if unknown := set(body) - allowed:
        raise ValueError(f"{kind} has no {sorted(unknown)}")
    parsed = api.deserialize(SimpleNamespace(data=json.dumps(body)), kind)
    again = api.sanitize_for_serialization(parsed)
    if set(again) != {key for key in body if body[key] is not None}:
        raise ValueError(f"{kind} reads {body} as {again}")
    return body


def check_pipeline(text):
    """Whether an uploaded file is a pipeline specification, and a Kubernetes part beside it."""
    spec, *platform = [document for document in yaml.safe_load_all(text) if document]
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    for document in platform:
        json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())
    return {"pipeline_spec": spec, "platform_spec": platform[0] if platform else {}}


def check_runtime(body):
    """Whether a run names a version that is there, and gives parameters that it takes."""
    reference = body["pipeline_version_reference"]
    version = versions[reference["pipeline_version_id"]]
    if version["pipeline_id"] != reference["pipeline_id"]:
        raise ValueError("the version is of another pipeline")
    if body["experiment_id"] not in experiments:
        raise ValueError("no such experiment")
    taken = version["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    if unknown := set(body["runtime_config"].get("parameters", {})) - set(taken):
        raise ValueError(f"the pipeline takes no {sorted(unknown)}")


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def answer(self):
        address = urlsplit(self.path)
        path, query = address.path.removeprefix("/pipeline"), parse_qs(address.query)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        note = {"method": self.command, "path": path, "token": self.headers.get("Authorization")}
        try:
            status, reply = self.route(path, {k: v[0] for k, v in query.items()}, data, note)
        except Exception as error:
            note["wrong"] = f"{type(error).__name__}: {error}"
            status, reply = 400, {"error": note["wrong"], "code": 3}
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(json.dumps(note) + "\n")
        encoded = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815  the names that http.server calls

    def route(self, path, query, data, note):
        if path == f"{V}/healthz":
            return 200, {"multi_user": False}
        if path in (f"{V}/pipelines/upload", f"{V}/pipelines/upload_version"):
            return 200, self.upload(path, query, data)
        body = json.loads(data) if data else {}
        note["body"] = body
        if path == f"{V}/pipelines":
            return 200, {"pipelines": list(pipelines.values())}
        if found := re.fullmatch(f"{V}/pipelines/([^/]+)/versions", path):
            own = [v for v in versions.values() if v["pipeline_id"] == found[1]]
            return 200, {"pipeline_versions": own, "total_size": len(own)}
        if path == f"{V}/experiments":
            if self.command == "POST":
                check(body, "V2beta1Experiment")
                return 200, keep(experiments, {**body, "experiment_id": str(uuid.uuid4())})
            return 200, {"experiments": list(experiments.values())}
        if path == f"{V}/runs" and self.command == "POST":
            check_runtime(check(body, "V2beta1Run"))
            return 200, keep(runs, {**body, "run_id": str(uuid.uuid4()), "state": "RUNNING"})
        if found := re.fullmatch(f"{V}/runs/([^/]+)", path):
            runs[found[1]]["state"] = "SUCCEEDED"
            return 200, runs[found[1]]
        if path == f"{V}/recurringruns":
            if self.command == "POST":
                check_runtime(check(body, "V2beta1RecurringRun"))
                return 200, keep(recurring, {**body, "recurring_run_id": str(uuid.uuid4())})
            return 200, {"recurringRuns": list(recurring.values())}
        if (found := re.fullmatch(f"{V}/recurringruns/([^/]+)", path)) and self.command == "DELETE":
            recurring.pop(found[1])
            return 200, {}
        return 404, {"error": f"no {self.command} {path}", "code": 5}

    def upload(self, path, query, data):
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        (part,) = BytesParser().parsebytes(head + data).get_payload()
        spec = check_pipeline(part.get_payload(decode=True).decode())
        pipeline = query.get("pipelineid") or str(uuid.uuid4())
        if path.endswith("/upload"):
            keep(pipelines, {"pipeline_id": pipeline, "display_name": query["name"]})
        elif pipeline not in pipelines:
            raise ValueError("no such pipeline")
        version = {
            "pipeline_version_id": str(uuid.uuid4()),
            "pipeline_id": pipeline,
            "display_name": query["name"],
            "pipeline_spec": spec,
        }
        versions[version["pipeline_version_id"]] = version
        return pipelines[pipeline] if path.endswith("/upload") else version


def keep(where, entry):
    own = {id(pipelines): "pipeline_id", id(experiments): "experiment_id",
           id(runs): "run_id", id(recurring): "recurring_run_id"}  # fmt: skip
    where[entry[own[id(where)]]] = entry
    return entry


ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
