"""One tenant cannot tell the others how fast a machine is, and who is alone is believed."""

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.optimizer.fit.test_memory import TRUE_U, learned, runs, u_of
from tests.optimizer.fit.test_runtime import one

from cloudai_optimizer.fit import tenancy
from cloudai_optimizer.fit.samples import Samples, collect
from cloudai_rts.history import Record
from cloudai_rts.parameters import Document, HistoryWindow

PRIOR = 2.0


def of(tenant: str, found: list[Record]) -> list[Record]:
    """The same runs, as a tenant's."""
    return [msgspec.structs.replace(record, namespace=tenant, pod_uid=f"{tenant}-{record.pod_uid}") for record in found]


def lying(count: int, node_class: str, seconds: float) -> list[Record]:
    """Runs of the attacker that take as long as he likes."""
    node = f"{node_class[0]}0"
    return of("attacker", [one(str(i), "a", node_class, node, 1000.0 * i, seconds, 0.1) for i in range(count)])


@pytest.mark.parametrize("tenants", [["a"], []])
def test_a_single_tenant_is_believed(tenants: list[str]) -> None:
    """Where nobody else is there, weights stay as they are, to the last bit."""
    samples = collect([record for tenant in tenants for record in of(tenant, runs(40, 0.1, 1))])
    found = tenancy.balanced(samples, np.zeros(0), PRIOR)
    assert found.weight.tolist() == samples.weight.tolist()
    assert set(found.voice.tolist()) <= {1.0}


@given(
    who=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=60),
    remembered=st.floats(0.0, 30.0),
)
def test_nobody_has_more_than_his_share(who: list[tuple[int, int, int]], remembered: float) -> None:
    """Of no cell, type or node, beside the others, what is remembered and what is assumed."""
    records = [
        msgspec.structs.replace(
            one(str(i), "ab"[kind], "slow", f"s{node}", 1000.0 * i, 10.0, 0.1), namespace=f"tenant-{tenant}"
        )
        for i, (tenant, kind, node) in enumerate(who)
    ]
    samples = collect(records)
    known = np.full((len(samples.types), len(samples.classes)), remembered)
    found = tenancy.balanced(samples, known, PRIOR)
    overall = np.bincount(samples.tenant, weights=samples.weight) / samples.weight.sum()
    allowed = np.maximum(tenancy.LARGEST_SHARE, overall)
    for tenant in range(len(samples.tenants)):
        for cell in range(known.size):
            inside = samples.cell() == cell
            own = float(found.weight[inside & (samples.tenant == tenant)].sum())
            others = float(samples.weight[inside & (samples.tenant != tenant)].sum()) + remembered + PRIOR
            assert own <= allowed[tenant] / max(1.0 - allowed[tenant], 1e-12) * others + 1e-9
    assert (found.voice <= 1.0).all()
    assert found.weight == pytest.approx(samples.weight * found.voice)


def test_balancing_again_counts_from_the_whole_weight() -> None:
    """With more that speaks against him than before he may say more, not less."""
    samples = collect([*of("b", runs(20, 0.1, 1)), *lying(40, "slow", 1.0)])
    once = tenancy.balanced(samples, np.zeros(0), PRIOR)
    cells = np.full((len(samples.types), len(samples.classes)), 30.0)
    again = tenancy.balanced(once, cells, PRIOR)
    assert again.weight == pytest.approx(tenancy.balanced(samples, cells, PRIOR).weight)
    assert once.weight.sum() < again.weight.sum()


def drawn(tenants: int) -> Samples:
    """Runs of so many tenants."""
    return collect([record for tenant in range(tenants) for record in of(f"t{tenant}", runs(50, 0.0, tenant))])


@pytest.mark.parametrize("habit", [-6.0, 0.0, 0.7])
def test_what_a_tenant_always_does_is_his_habit(habit: float) -> None:
    """His median, a little shrunk; of one who is alone with a type nothing is said."""
    samples = drawn(2)
    residual = np.where(samples.tenant == 1, habit, 0.0)
    found = tenancy.habits(residual, samples)
    assert found[samples.tenant == 1] == pytest.approx(habit * 50 / 52)
    assert not found[samples.tenant == 0].any()
    alone = replace(samples, tenants=["t"], tenant=np.zeros_like(samples.tenant))
    assert not tenancy.habits(residual + 3.0, alone).any()


@pytest.mark.parametrize(
    ("lies", "most"),
    [
        (lying(60, "slow", 1.0), 0.1),
        (lying(60, "fast", 86_400.0), 0.1),
        ([*lying(60, "slow", 1.0), *of("attacker", runs(60, 0.0, 9))], 0.4),
        ([*lying(60, "slow", 170.0), *of("attacker", runs(60, 0.0, 9))], 0.4),
    ],
    ids=["1 s on slow machines", "a day on fast ones", "1 s there, true else", "a third there, true else"],
)
def test_a_liar_moves_little(lies: list[Record], most: float) -> None:
    """What all others know of slow machines stays, though most runs there are his."""
    honest = [record for tenant in "bcd" for record in of(tenant, runs(100, 0.05, ord(tenant)))]
    before = Document()
    for _ in range(3):  # no release goes further than a step
        before = msgspec.structs.replace(learned(honest, before), Window=None)
    window = HistoryWindow("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z", 0)
    after = learned([*honest, *lies], msgspec.structs.replace(before, Window=window))
    assert u_of(before) == pytest.approx(TRUE_U, abs=0.35)
    assert abs(u_of(after) - u_of(before)) < most
    assert math.isfinite(after.Tau["a"])
