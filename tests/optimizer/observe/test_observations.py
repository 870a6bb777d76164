"""What was measured of pods finds its way into the records of their runs."""

import msgspec
import pytest

from cloudai_kube.pod_use import PodUse
from cloudai_optimizer.observe.observations import LONGEST_MEASURED_SECONDS, MEASURED_SECONDS, _measured_from, with_use
from cloudai_rts import contract
from cloudai_rts.history import RUNNING, Record

NOW = 1_000_000.0
RUN = Record(
    "p", "t", "ml", "job", "x", "n", "k", NOW - 200, NOW - 110, NOW - 10, "Succeeded", 4.0, 1e9, parameters_version=3
)
POD = contract.pod_name("job", "t", 1)


@pytest.mark.parametrize(
    ("record", "use", "expected"),
    [
        (RUN, PodUse(250.0, NOW - 10, 5e8, 1.5), (2.5, 5e8, 1.5)),
        (RUN, PodUse(250.0, NOW - 60), (5.0, None, None)),
        (RUN, PodUse(3.0, NOW - 107), (None, None, None)),
        (RUN, PodUse(1e9, NOW - 10), (None, None, None)),
        (msgspec.structs.replace(RUN, outcome=RUNNING), PodUse(250.0, NOW - 10), (None, None, None)),
        (msgspec.structs.replace(RUN, finish=NOW - 5000), PodUse(250.0, NOW - 10), (None, None, None)),
        (msgspec.structs.replace(RUN, used_cpu=1.0), PodUse(250.0, NOW - 10, 5e8), (1.0, None, None)),
        (msgspec.structs.replace(RUN, namespace="other"), PodUse(250.0, NOW - 10), (None, None, None)),
    ],
)
def test_use_of_a_run(record: Record, use: PodUse, expected: tuple[float | None, ...]) -> None:
    """Cores are seconds over how long it had run then; too short, impossible, old, running: nothing; once is enough."""
    found = with_use(record, {("ml", POD): use}, NOW - MEASURED_SECONDS)
    assert (found.used_cpu, found.used_memory, found.used_gpu) == expected


@pytest.mark.parametrize(
    ("newest", "seconds"),
    [
        (None, MEASURED_SECONDS),
        (NOW - 60.0, MEASURED_SECONDS),
        (NOW - 3600.0, 3600.0),
        (NOW - 9e5, LONGEST_MEASURED_SECONDS),
        (NOW + 60.0, MEASURED_SECONDS),
    ],
)
def test_how_far_back_minutes_are_read(newest: float | None, seconds: float) -> None:
    """To where those that are kept end: no minute is lost between two epochs an hour apart."""
    assert _measured_from(newest, NOW) == NOW - seconds
