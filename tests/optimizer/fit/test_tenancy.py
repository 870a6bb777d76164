"""One tenant cannot tell the others how fast a machine is, and who is alone is believed."""

import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.optimizer.fit.test_memory import TRUE_U, learned, runs, u_of
from tests.optimizer.fit.test_runtime import one

from cloudai_optimizer.fit import runtime, tenancy
from cloudai_optimizer.fit.runtime import RuntimeFit
from cloudai_optimizer.fit.samples import Samples, collect
from cloudai_optimizer.fit.tenancy import Habits
from cloudai_rts.arrays import FloatArray
from cloudai_rts.history import Record
from cloudai_rts.parameters import Document, HistoryWindow

PRIOR = 2.0


def of(tenant: str, found: list[Record]) -> list[Record]:
    """The same runs, as a tenant's."""
    return [msgspec.structs.replace(record, namespace=tenant, pod_uid=f"{tenant}-{record.pod_uid}") for record in found]


def lying(count: int, node_class: str, seconds: float) -> list[Record]:
    """Runs of the attacker that take as long as it likes."""
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
    for tenant in range(len(samples.tenants)):
        own = samples.tenant == tenant
        for cell in range(known.size):
            inside, kind = samples.cell() == cell, samples.type == cell // len(samples.classes)
            share = float(samples.weight[kind & own].sum()) / max(float(samples.weight[kind].sum()), 1e-12)
            share = max(tenancy.LARGEST_SHARE, share)
            others = float(samples.weight[inside & ~own].sum()) + remembered + PRIOR
            assert float(found.weight[inside & own].sum()) <= share / max(1.0 - share, 1e-12) * others + 1e-9
    assert (found.voice <= 1.0).all()
    assert found.weight == pytest.approx(samples.weight * found.voice)


def test_balancing_again_counts_from_the_whole_weight() -> None:
    """With more that speaks against it than before a tenant may say more, not less."""
    samples = collect([*of("b", runs(20, 0.1, 1)), *lying(40, "slow", 1.0)])
    once = tenancy.balanced(samples, np.zeros(0), PRIOR)
    cells = np.full((len(samples.types), len(samples.classes)), 30.0)
    again = tenancy.balanced(once, cells, PRIOR)
    assert again.weight == pytest.approx(tenancy.balanced(samples, cells, PRIOR).weight)
    assert once.weight.sum() < again.weight.sum()


def on(tenant: str, node_class: str, count: int = 50) -> list[Record]:
    """Runs of a tenant on one class."""
    node = f"{node_class[0]}0"
    return of(tenant, [one(f"{node_class}-{i}", "a", node_class, node, 1000.0 * i, 10.0, 0.1) for i in range(count)])


@pytest.mark.parametrize("habit", [-6.0, 0.0, 0.7])
def test_what_a_tenant_always_does_is_his_habit(habit: float) -> None:
    """His median, a little shrunk, beside others on the same machines; the others keep theirs."""
    samples = collect([*on("b", "slow"), *on("c", "slow"), *on("d", "slow")])
    residual = np.where(samples.tenant == 1, habit, 0.0)
    habits = Habits.of(samples)
    for found in (habits.of_types(residual), habits.of_classes(residual)):
        assert found[samples.tenant == 1] == pytest.approx(habit * 50 / 52)
        assert not found[samples.tenant != 1].any()


@pytest.mark.parametrize(
    "records",
    [on("b", "slow"), [*on("b", "slow"), *on("c", "fast")], [*on("b", "slow"), *on("b", "fast")]],
    ids=["alone", "pools of their own", "alone on two classes"],
)
def test_who_cannot_be_compared_has_no_habits(records: list[Record]) -> None:
    """What its runs have in common is then what the machines are like."""
    samples = collect(records)
    found = Habits.of(samples).of_types(np.where(samples.tenant == 0, 3.0, -1.0))
    assert found == pytest.approx(np.zeros(len(samples)))


def epochs(batches: Callable[[int], list[Record]], count: int) -> Document:
    """The document in force after so many epochs; each sees the last four batches."""
    document, seen = Document(), list[list[Record]]()
    for number in range(count):
        seen = [*seen[-3:], batches(number)]
        document = learned([record for batch in seen for record in batch], document)
    return document


def test_teams_with_types_of_their_own_learn_as_if_they_were_alone() -> None:
    """Nobody else has a say in what only one tenant runs, however small its part of the cluster is."""

    def batch(number: int) -> list[Record]:
        own = [runs(60, 0.5, 10 * number + team, 1e6 * number) for team in range(4)]
        return [
            msgspec.structs.replace(
                record, type="abcd"[team], namespace=f"t{team}", pod_uid=f"t{team}-{record.pod_uid}"
            )
            for team, records in enumerate(own)
            for record in records
        ]

    found = epochs(batch, 4).Runtime
    for kind in "abcd":
        assert found.U[kind]["slow"] - found.U[kind]["fast"] == pytest.approx(TRUE_U, abs=0.15)
        assert min(found.Counts[kind].values()) > 30
        assert found.Sigma[kind] < 0.4


def pools(number: int, roaming: int = 0) -> list[Record]:
    """Two teams that run the same type, each on machines of its own, and a third that does so now and then on both."""
    slow = [record for record in runs(200, 0.5, number, 1e6 * number) if record.node_class == "slow"]
    fast = [record for record in runs(200, 0.5, 50 + number, 1e6 * number) if record.node_class == "fast"]
    others = runs(roaming, 0.5, 90 + number, 1e6 * number)
    slow = [msgspec.structs.replace(one, finish=one.finish + 0.5 * one.runtime * (one.node == "s1")) for one in slow]
    return [*of("slow-team", slow), *of("fast-team", fast), *of("roaming", others)]


def test_teams_with_pools_of_their_own_are_believed_in_time() -> None:
    """Which of their machines is slow is learned at once, how slow all of them are within a few epochs."""
    found = [epochs(pools, count) for count in (1, 4, 12)]
    assert u_of(found[0]) > 0.2
    for document in found[1:]:
        assert u_of(document) == pytest.approx(TRUE_U + math.log(1.5) / 3, abs=0.25)
    v = found[0].Runtime.V
    assert v["s1"] - v["s0"] == pytest.approx(math.log(1.5), abs=0.25)


@pytest.mark.parametrize("roaming", [1, 3, 12])
def test_a_few_runs_elsewhere_change_nothing(roaming: int) -> None:
    """One who runs on all machines now and then does not make what is known of teams' own machines worthless."""
    before = epochs(pools, 8)
    batches = [pools(number) for number in range(5, 8)]
    after = before
    for number in range(8, 12):
        batches = [*batches[-3:], pools(number, roaming)]
        after = learned([record for batch in batches for record in batch], after)
        assert u_of(after) == pytest.approx(u_of(before), abs=0.25)


@pytest.mark.parametrize(
    ("lies", "most"),
    [
        (lying(60, "slow", 1.0), 0.1),
        (lying(60, "fast", 86_400.0), 0.1),
        ([*lying(60, "slow", 1.0), *of("attacker", runs(60, 0.0, 9))], 0.8),
        ([*lying(60, "slow", 170.0), *of("attacker", runs(60, 0.0, 9))], 0.4),
    ],
    ids=["1 s on slow machines", "a day on fast ones", "1 s there, true else", "a third there, true else"],
)
def test_a_liar_moves_little(lies: list[Record], most: float) -> None:
    """What all others know of slow machines stays, though most runs there are the liar's (alone it would move 1.6)."""
    honest = [record for tenant in "bcd" for record in of(tenant, runs(100, 0.05, ord(tenant)))]
    before = Document()
    for _ in range(3):  # no release goes further than a step
        before = msgspec.structs.replace(learned(honest, before), Window=None)
    window = HistoryWindow("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z", 0)
    after = learned([*honest, *lies], msgspec.structs.replace(before, Window=window))
    assert u_of(before) == pytest.approx(TRUE_U, abs=0.35)
    assert abs(u_of(after) - u_of(before)) < most
    assert math.isfinite(after.Tau["a"])


def said(offsets: dict[str, float], count: int = 40, seed: int = 5) -> tuple[Samples, FloatArray]:
    """Runs of tenants in one cell, and what is left of them (ln): noise of .3 around each tenant's offset."""
    rng = np.random.default_rng(seed)
    records = [
        msgspec.structs.replace(one(str(i), "a", "slow", "s0", 1000.0 * i, 10.0, 0.1), namespace=tenant)
        for tenant in offsets
        for i in range(count)
    ]
    samples = collect([msgspec.structs.replace(record, pod_uid=f"{i}") for i, record in enumerate(records)])
    left = np.array([offsets[samples.tenants[tenant]] for tenant in samples.tenant])
    return samples, left + rng.normal(0.0, 0.3, len(left))


def excess(offsets: dict[str, float], known: float = 0.0, runs: float = 0.0) -> dict[str, float]:
    """By tenant: what the others in the cell cannot bear."""
    samples, left = said(offsets)
    sd = np.full(len(left), 0.3)
    found = Habits.of(samples).off_in_cells(left, samples.weight, sd, np.array([known]), np.array([runs]))
    return {name: float(found[samples.tenant == at][0]) for at, name in enumerate(samples.tenants)}


def test_what_one_tenant_says_against_all_others_is_pulled_in() -> None:
    """Four agree, one says that it is e^3 times as slow: of that hardly anything is left. The four lose nothing."""
    found = excess({"a": 0.0, "b": 0.05, "c": -0.05, "d": 0.0, "liar": 3.0})
    assert found["liar"] > 2.7
    assert max(abs(found[name]) for name in "abcd") < 0.05


def test_tenants_who_differ_anyway_may_differ() -> None:
    """Where everybody has an own opinion none is odd."""
    found = excess({"a": -1.0, "b": -0.5, "c": 0.0, "d": 0.5, "e": 1.0})
    assert max(map(abs, found.values())) < 0.2


def test_who_is_alone_may_contradict_what_is_remembered() -> None:
    """A machine has changed, and only one tenant uses it: there is nobody to mislead."""
    assert excess({"alone": 2.0}, known=0.0, runs=30.0) == {"alone": 0.0}


def test_what_is_remembered_is_a_voice() -> None:
    """Two tenants contradict each other: who agrees with earlier runs is believed."""
    found = excess({"a": 0.0, "b": 3.0}, known=0.0, runs=60.0)
    assert abs(found["a"]) < 0.1
    assert found["b"] > 2.0


def test_who_varies_more_says_less() -> None:
    """By the inverse of the variance, against what is usual; nobody says more for being steady."""
    samples, left = said({"a": 0.0, "b": 0.0, "c": 0.0, "wild": 0.0})
    wild = samples.tenant == samples.tenants.index("wild")
    left = np.where(wild, 3.0 * left, np.where(samples.tenant == 0, 0.1 * left, left))
    found = tenancy.trust(left, np.full(len(left), 0.3), samples)
    by_tenant = {name: float(found[samples.tenant == at][0]) for at, name in enumerate(samples.tenants)}
    assert by_tenant["a"] == 1.0
    assert 0.1 <= by_tenant["wild"] < 0.3
    assert min(by_tenant["b"], by_tenant["c"]) > 0.6


@pytest.mark.parametrize("tenants", ["a", "ab"])
def test_one_tenant_and_two_are_trusted(tenants: str) -> None:
    """However much their runs vary: nobody can say what is usual, and who claims always the same is not the measure."""
    samples, left = said(dict.fromkeys(tenants, 0.0))
    left = np.where(samples.tenant == 0, 9.0 * left, 0.0)
    assert set(tenancy.trust(left, np.full(len(left), 0.3), samples).tolist()) == {1.0}
    nothing = collect([])
    assert len(tenancy.trust(np.zeros(0), np.zeros(0), nothing)) == 0


def test_a_regular_tenant_is_not_the_measure_of_the_others() -> None:
    """Most of all runs are one tenant's, of its own type and always equally long: no other is trusted less for that."""
    samples, left = said({"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0})
    regular = [
        msgspec.structs.replace(one(f"r{i}", "own", "slow", "s0", 1000.0 * i, 10.0, 0.1), namespace="regular")
        for i in range(1000)
    ]
    both = collect([*samples_of(samples), *regular])
    everybody = np.zeros(len(both))
    everybody[both.type == both.types.index("a")] = left
    found = tenancy.trust(everybody, np.full(len(both), 0.3), both)
    assert found.min() > 0.6


def samples_of(samples: Samples) -> list[Record]:
    """Runs of the same tenants in the same cell."""
    return [
        msgspec.structs.replace(
            one(f"s{i}", "a", "slow", "s0", 1000.0 * i, 10.0, 0.1), namespace=samples.tenants[int(tenant)]
        )
        for i, tenant in enumerate(samples.tenant)
    ]


def sized(who: dict[str, tuple[int, float]], seed: int = 3) -> RuntimeFit:
    """A fit over runs of one type on one machine: how many a tenant has, and how long they take (log sd .35)."""
    rng = np.random.default_rng(seed)
    records = [
        msgspec.structs.replace(
            one("", "a", "slow", "s0", 1000.0, seconds * math.exp(rng.normal(0.0, 0.35)), 0.0),
            namespace=tenant,
            pod_uid=f"{tenant}-{i}",
        )
        for tenant, (count, seconds) in who.items()
        for i in range(count)
    ]
    samples = tenancy.balanced(collect(records), np.zeros(0), PRIOR)
    return runtime.with_types(samples, runtime.fit(samples))


def test_two_tenants_may_run_different_things_of_a_type() -> None:
    """Neither is off: tau lies between them, and the spread says that they differ."""
    found = sized({"a": (150, 100.0), "b": (100, 1000.0)})
    assert math.log(150.0) < found.log_tau[0] < math.log(500.0)
    assert found.sigma[0] > 0.9


@pytest.mark.parametrize("tenants", [30, 300])
def test_many_small_tenants_do_not_make_run_times_surer(tenants: int) -> None:
    """One run each: the spread is what it is for one tenant with as many runs."""
    alone, many = sized({"a": (tenants, 100.0)}), sized({f"t{i}": (1, 100.0) for i in range(tenants)})
    assert many.sigma[0] == pytest.approx(alone.sigma[0], rel=0.1)
    assert many.log_tau[0] == pytest.approx(alone.log_tau[0], abs=0.1)


def test_a_machine_that_has_changed_is_learned_by_all_as_by_one() -> None:
    """Slow machines were repaired. What a few runs of four tenants say together counts as much as if one said it."""
    before = Document()
    for number in range(3):  # no release moves a value further than its step
        before = learned(runs(200, 0.5, number, number * 1e6), before)
    assert u_of(before) == pytest.approx(TRUE_U, abs=0.15)
    after = {}
    for tenants in (1, 4):
        fresh = [
            msgspec.structs.replace(
                record,
                namespace=f"t{i % tenants}",
                finish=record.start + record.runtime * (math.exp(-TRUE_U) if record.node_class == "slow" else 1.0),
            )
            for i, record in enumerate(runs(120, 0.15, 7, 1e7))
        ]
        after[tenants] = u_of(learned(fresh, before))
    assert after[1] < TRUE_U - 0.4
    assert after[4] == pytest.approx(after[1], abs=0.1)
