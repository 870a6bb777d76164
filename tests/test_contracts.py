"""docs/contracts.md is complete: what the code has, the page names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from cloudai_kube.class_rules import Rules
from cloudai_operator.settings import Settings as OperatorSettings
from cloudai_rts import contract, parameters
from cloudai_rts.traces import FleetNode, TraceTask
from cloudai_scheduler import conditions
from cloudai_scheduler.settings import Settings as SchedulerSettings

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")


def schema() -> Any:
    """The Task's schema."""
    crd = yaml.safe_load((ROOT / "crds" / "task.yaml").read_text(encoding="utf-8"))
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def words() -> Iterator[str]:
    """Every name that somebody outside of a process reads or writes."""
    yield from schema()["spec"]["properties"]
    yield from schema()["spec"]["properties"]["sla"]["properties"]
    yield from schema()["status"]["properties"]
    yield from schema()["status"]["properties"]["attempts"]["items"]["properties"]
    yield from (
        text for name, text in vars(contract).items() if name.startswith(("ANNOTATION", "LABEL")) and _ours(text)
    )
    yield from (contract.PARAMETERS_CONFIG_MAP, contract.RULES_CONFIG_MAP, contract.PARAMETERS_KEY, contract.RULES_KEY)
    yield from (contract.TASK_HISTORY, contract.TASKS, contract.ASSIGNMENTS, contract.RESULTS, contract.WORKER_STATS)
    yield from contract.DEADLINE_SOURCES
    yield from parameters.Document.__struct_fields__
    yield from parameters.LatenessTerms.__struct_fields__
    yield from parameters.RuntimeModel.__struct_fields__
    yield from (conditions.UNSCHEDULABLE, conditions.DEFERRED, conditions.NOT_SUPPORTED, conditions.SCHEDULER_ERROR)
    for kind in (Rules, SchedulerSettings, OperatorSettings):
        yield from kind.__struct_fields__
    yield from (*TraceTask.__dataclass_fields__, *FleetNode.__dataclass_fields__)


def _ours(text: object) -> bool:
    return isinstance(text, str) and text.startswith(f"{contract.GROUP}/")


@pytest.mark.parametrize("word", sorted(set(words())))
def test_a_name_stands_on_the_page(word: str) -> None:
    """Nobody has to read the code to learn a name."""
    assert word in PAGE


def test_the_bounds_of_the_parameters_are_those_of_the_code() -> None:
    """The page tells the bounds of the weights in the order of the code."""
    limits = msgspec.json.schema(parameters.LatenessTerms)["$defs"]["LatenessTerms"]["properties"].values()
    told = ", ".join(f"{_number(limit['minimum'])}..{_number(limit['maximum'])}" for limit in limits)
    assert told in PAGE


def _number(value: float) -> str:
    return f"{value:g}".removeprefix("0") or "0"
