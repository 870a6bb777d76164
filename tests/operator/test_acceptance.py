"""What acceptance freezes."""

import math
from typing import Any

import pytest
from tests.operator.conftest import T0, a_task

from cloudai_operator import acceptance
from cloudai_rts.parameters import Document, Indication, RuntimeModel
from cloudai_rts.tau import TauStore


@pytest.mark.parametrize(
    ("sla", "seconds", "source"),
    [
        ({"finishBy": "2026-01-01T02:00:00Z"}, 7200, "FinishBy"),
        ({"finishWithin": "90m"}, 5400, "FinishWithin"),
        ({"expectedRuntime": "10m"}, 1200, "Expected"),
        ({"expectedRuntime": "10m", "multiplier": "3.5"}, 2100, "Expected"),
        ({}, 240, "Default"),  # k = 2 times the 120 s of a cpu-light task that nothing is known of
        ({"multiplier": 5}, 600, "Default"),
    ],
)
def test_the_deadline_and_who_said_so(sla: dict[str, Any], seconds: float, source: str) -> None:
    """The user's own word first, then k x the declared, then k x what is known of the type (EDD 3.4)."""
    terms = acceptance.terms(a_task(sla=sla), T0, TauStore(), Document(), 2.0)
    assert (terms.deadline.at - T0, terms.deadline.source) == (seconds, source)


def test_a_learned_type() -> None:
    """The deadline rests on what was learned, and says so."""
    terms = acceptance.terms(a_task(), T0, TauStore({"cpu-light": 300.0}), Document(), 2.0)
    assert (terms.deadline.at - T0, terms.deadline.source) == (600.0, "Learned")


@pytest.mark.parametrize(
    ("sla", "seconds"),
    [
        ({"finishWithin": "10m"}, 300.0),
        ({"finishBy": "2026-01-01T00:10:00Z"}, 300.0),
        ({}, 3600.0),  # k x what is known of the type says nothing that is not known
    ],
)
def test_who_knows_his_tasks_is_believed(sla: dict[str, Any], seconds: float) -> None:
    """A user whose own deadlines are twice what their tasks take: ten minutes allowed, five expected."""
    heard = Indication(-math.log(2), 0.05, 100)
    runtime = RuntimeModel(Sigma={"cpu-light": 1.0}, Allowed={"ns": heard})
    terms = acceptance.terms(a_task(sla=sla), T0, TauStore({"cpu-light": 3600.0}), Document(Runtime=runtime), 2.0)
    assert terms.reference_runtime == pytest.approx(seconds, rel=0.02)
    assert terms.log_sd == pytest.approx(0.11 if sla else 1.0, abs=0.01)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"type": "my-own"}, "my-own"),
        ({"gpus": 1}, "gpu-inference"),
        ({"gpus": 4}, "gpu-training"),
        ({"gpus": 1, "resources": {"limits": {"cpu": "8"}}}, "mixed"),
        ({"resources": {"limits": {"cpu": "8"}}}, "cpu-heavy"),
        ({"resources": {"limits": {"memory": "64Gi"}}}, "memory-heavy"),
        ({"resources": {"requests": {"cpu": "500m"}}}, "cpu-light"),
    ],
)
def test_types(spec: dict[str, Any], expected: str) -> None:
    """Inferred only where the user named none."""
    assert acceptance.type_of(a_task(**spec)) == expected
