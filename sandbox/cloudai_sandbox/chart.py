"""Generated files: schema and table of values of the chart, from `values.yaml` and the settings; two pages of docs.

`values.yaml` says what there is, of which type and what it is for (`# --`); here stands only what a default cannot say.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from cloudai_operator.settings import Settings as OperatorSettings
from cloudai_optimizer.settings import Settings as OptimizerSettings
from cloudai_rts import contract
from cloudai_sandbox import constants, metrics
from cloudai_scheduler.settings import Settings as SchedulerSettings

CHART: Final = Path(__file__).parents[2] / "charts" / "cloudai"
CRD: Final = Path(__file__).parents[2] / "crds" / "task.yaml"
_SETTINGS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "scheduler": SchedulerSettings,
    "operator": OperatorSettings,
    "optimizer": OptimizerSettings,
}
_FROM_VALUES: Final = frozenset(
    {
        "kubeconfig",
        "namespace",
        "scheduler_name",
        "scheduler_names",
        "mode",
        "watch_namespaces",
        "leader_elect",
        "health_host",
        "health_port",
        "break_glass_minutes",
        "mongodb_uri",
        "mongodb_ca_file",
        "prometheus_url",
        "prometheus_matchers",
        "prometheus_cluster_label",
        "prometheus_token_file",
        "prometheus_ca_file",
    }
)
"""Settings that follow from other values; given twice, one of the two would be ignored."""
_NAMES: Final = {"type": "string", "pattern": contract.NAME_PATTERN, "maxLength": 63}
_STRINGS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
_OWN_LABELS: Final = {**_STRINGS, "patternProperties": {r"^(app\.kubernetes\.io|helm\.sh)/": False}}
_ANY: Final = {"type": "object"}
_OBJECTS: Final = {"type": "array", "items": {"type": "object"}}
_PORTS: Final = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}}
_PULL_SECRETS: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {"name": {"type": "string", "minLength": 1}},
    },
}
_BY_NAME: Final[Mapping[str, Mapping[str, Any]]] = {
    "affinity": _ANY,
    "annotations": _STRINGS,
    "commonLabels": _OWN_LABELS,
    "dnsConfig": _ANY,
    "dnsPolicy": {"enum": ["", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]},
    "extraArgs": {"type": "array", "items": {"type": "string"}},
    "imagePullSecrets": _PULL_SECRETS,
    "labels": _STRINGS,
    "nodeSelector": _STRINGS,
    "podAnnotations": _STRINGS,
    "podLabels": _OWN_LABELS,
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "replicas": {"type": "integer", "minimum": 1, "maximum": 9},
    "resources": _ANY,
    "schedulerName": _NAMES,
    "strategy": _ANY,
    "schedulerNames": {"type": "array", "items": _NAMES, "uniqueItems": True, "maxItems": 16},
    "mode": {"type": "string", "enum": ["schedule", "observe"]},
    "watchNamespaces": {"type": "array", "items": _NAMES, "uniqueItems": True, "maxItems": 100},
    "breakGlassMinutes": {"type": "number", "minimum": 0, "maximum": 1440},
    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "maxUnavailable": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]+%$"}]},
    "startingDeadlineSeconds": {"type": "integer", "minimum": 10},
    "activeDeadlineSeconds": {"type": "integer", "minimum": 30},
    "schedule": {"type": "string", "pattern": r"^(@[a-z]+|(\S+\s+){4}\S+)$"},
    "value": {"type": ["integer", "string"]},
}
_BY_PATH: Final[Mapping[str, Mapping[str, Any]]] = {
    "networkPolicy.apiServerPorts": _PORTS,
    "networkPolicy.prometheusPorts": _PORTS,
    "networkPolicy.mongodbPorts": _PORTS,
    "priorityClass.value": {"type": "integer", "minimum": -2147483648, "maximum": 1000000000},
    "gpuNodePool.value": {"type": "string", "minLength": 1, "maxLength": 63},
    "prometheus.url": {"type": "string", "pattern": "^(https?://.+)?$"},
    "mongodb.uri": {"type": "string", "pattern": r"^(mongodb(\+srv)?://.+)?$"},
    "test.timeoutSeconds": {"type": "integer", "minimum": 10, "maximum": 3600},
}
_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string"}


@dataclass(frozen=True, slots=True)
class Value:
    """One documented value: its path, its default and what it is for."""

    path: str
    default: Any
    description: str


def values(text: str) -> list[Value]:
    """The documented values of a `values.yaml`, in their order. Raises `ValueError` for one without `# --`."""
    told = dict(_descriptions(text))
    return [Value(path, default, told.get(path, "")) for path, default in _leaves(yaml.safe_load(text), "", told)]


def _leaves(node: Any, path: str, told: Mapping[str, str]) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  YAML
    """Paths down to the values that are described, or to what is no mapping."""
    for name, child in node.items():
        here = f"{path}.{name}" if path else name
        if isinstance(child, dict) and child and here not in told:
            yield from _leaves(child, here, told)
        elif here not in told:
            raise ValueError(f"values.yaml: {here} has no comment that begins with '# --'; say what it is for")
        else:
            yield here, child


def _descriptions(text: str) -> Iterator[tuple[str, str]]:
    """Path and comment of each key that a comment `# --` stands above."""
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("#"):
            words = bare.removeprefix("#").strip()
            comment = [words.removeprefix("--").strip()] if words.startswith("--") else [*comment, words][-9:]
            continue
        name, colon, _ = bare.partition(":")
        if not colon or not name.isidentifier():
            comment = []
            continue
        indent = len(line) - len(line.lstrip())
        parents = [parent for parent in parents if parent[0] < indent]
        if comment:
            yield ".".join([*(parent for _, parent in parents), name]), " ".join(comment)
        parents.append((indent, name))
        comment = []


def schema(text: str) -> dict[str, Any]:
    """JSON schema of a `values.yaml`: closed but for what Kubernetes itself checks."""
    root: dict[str, Any] = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of CloudAI"}
    root |= _closed()
    for value in values(text):
        *parents, name = value.path.split(".")
        node = root
        for parent in parents:
            node = node["properties"].setdefault(parent, _closed())
        node["properties"][name] = {"description": value.description, **_of(value)}
    root["properties"]["global"]["additionalProperties"] = True  # parent charts put their own values there
    return root


def _closed() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _of(value: Value) -> Mapping[str, Any]:
    component, _, name = value.path.rpartition(".")
    if name == "settings":
        return _settings(_SETTINGS[component])
    if value.path in _BY_PATH:
        return _BY_PATH[value.path]
    if name in _BY_NAME:
        return _BY_NAME[name]
    if isinstance(value.default, list):
        return _OBJECTS
    if isinstance(value.default, dict):
        return _ANY
    known = {"type": _TYPES[type(value.default)]}
    return {**known, "minimum": 0} if known["type"] in {"integer", "number"} else known


def _settings(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The settings of a process without those that other values are about."""
    _, components = msgspec.json.schema_components([kind])
    settings = _inlined(components[kind.__name__]["properties"], components)
    return {**_closed(), "properties": {name: settings[name] for name in settings if name not in _FROM_VALUES}}


def _inlined(node: Any, components: Mapping[str, Any]) -> Any:  # noqa: ANN401  JSON
    """The schema with each reference replaced by what it refers to."""
    if isinstance(node, dict):
        name = str(node.get("$ref", "")).rpartition("/")[2]
        if name:
            return _inlined(components[name], components)
        return {key: _inlined(value, components) for key, value in node.items()}
    return [_inlined(element, components) for element in node] if isinstance(node, list) else node


def table(text: str) -> str:
    """The values as a table in Markdown."""
    lines = ["| value | default | what it is |", "| --- | --- | --- |"]
    for value in values(text):
        default = json.dumps(value.default).replace("|", "\\|")
        lines.append(f"| `{value.path}` | `{default}` | {value.description.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def generated(chart: Path = CHART) -> dict[Path, str]:
    """Every generated file with the text that it has to have."""
    text = (chart / "values.yaml").read_text(encoding="utf-8")
    page = (chart / "README.md.in").read_text(encoding="utf-8")
    return {
        chart / "values.schema.json": json.dumps(schema(text), indent=1) + "\n",
        chart / "README.md": page.replace("{{ values }}", table(text)),
        chart / "files" / "task.yaml": CRD.read_text(encoding="utf-8"),
        constants.PAGE: constants.page(),
        metrics.PAGE: metrics.page(),
    }


def main() -> None:
    """Write what has changed: `make chart`."""
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
