"""deploy/rayjob.yaml has fields of KubeRay's RayJob, with the types its API reference gives."""

from pathlib import Path

import pytest
import yaml
from jsonschema import ValidationError, validate

from iem_batch.arguments import build_parser
from iem_batch.config import settings_from_yaml
from iem_batch.help_text import brief_help

ROOT = Path(__file__).parents[2]

STRING, INTEGER, BOOLEAN = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
PARAMS = {"type": "object", "additionalProperties": STRING}


def record(*required, **properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def listing(items):
    return {"type": "array", "items": items, "minItems": 1}


# requests and limits are Kubernetes quantities, which are strings.
CONTAINER = record(
    "name", "image", name=STRING, image=STRING, resources=record(requests=PARAMS, limits=PARAMS)
)
POD = record(
    "spec",
    spec=record(
        "containers",
        serviceAccountName=STRING,
        terminationGracePeriodSeconds=INTEGER,
        tolerations=listing(PARAMS),
        containers=listing(CONTAINER),
    ),
)
RAY_CLUSTER = record(
    "headGroupSpec",
    rayVersion=STRING,
    enableInTreeAutoscaling=BOOLEAN,
    autoscalerOptions=record(version={"enum": ["v1", "v2"]}, idleTimeoutSeconds=INTEGER),
    headGroupSpec=record("template", rayStartParams=PARAMS, template=POD),
    workerGroupSpecs=listing(
        record(
            "groupName",
            "template",
            groupName=STRING,
            replicas=INTEGER,
            minReplicas=INTEGER,
            maxReplicas=INTEGER,
            rayStartParams=PARAMS,
            template=POD,
        )
    ),
)
RAY_JOB = record(
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=record("name", name=STRING),
    spec=record(
        "entrypoint",
        "rayClusterSpec",
        entrypoint=STRING,
        shutdownAfterJobFinishes=BOOLEAN,
        ttlSecondsAfterFinished=INTEGER,
        backoffLimit=INTEGER,
        rayClusterSpec=RAY_CLUSTER,
    ),
)


@pytest.fixture
def job():
    return yaml.safe_load((ROOT / "deploy/rayjob.yaml").read_text())


def test_fields_and_types(job):
    validate(job, RAY_JOB)


def test_a_quantity_without_quotes_is_refused(job):
    """YAML makes a number of it, which the Kubernetes API does not take."""
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]
    head["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = 4
    with pytest.raises(ValidationError):
        validate(job, RAY_JOB)


def test_the_head_runs_no_tasks(job):
    assert job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_the_entry_point_is_a_command_line_that_parses(job):
    python, script, command, *arguments = job["spec"]["entrypoint"].split()
    assert python == "python"
    assert (ROOT / script).is_file()
    parsed = build_parser(command, brief_help).parse_args(arguments)
    assert [(ROOT / config).is_file() for config in parsed.config] == [True]


@pytest.mark.parametrize("config", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_configurations_parse(config):
    parser = build_parser("segment", brief_help)
    sections, _ = settings_from_yaml(config.read_bytes(), config.name)
    parser.set_defaults(sections)
    parser.instantiate(parser.parse_args(["photos", "run"]))
