"""A candidate is judged by the same tenants' other tasks, and nobody ends or prolongs a trial alone."""

import math
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_optimizer.errors import PublishError
from cloudai_optimizer.judge import canary
from cloudai_optimizer.judge.canary import PROMOTED, ROLLED_BACK, RUNNING
from cloudai_rts.history import Record
from cloudai_rts.ordering import share_of
from cloudai_rts.parameters import CanaryShare, Document

BEGUN = "2026-01-01T00:00:00.000Z"
CONTROL, CANDIDATE, SHARE = 6, 7, 0.2
ACTIVE = Document(version=CONTROL, Canary=CanaryShare(CANDIDATE, BEGUN, SHARE))


def uids(is_tried: bool, prefix: str) -> list[str]:
    """UIDs that the hash deals to a side."""
    wanted = (f"{prefix}-{i}" for i in count())
    found: list[str] = []
    while len(found) < 400:
        uid = next(wanted)
        if (share_of(uid) < SHARE) == is_tried:
            found.append(uid)
    return found


SIDES = {True: uids(True, "t"), False: uids(False, "c")}


def runs(version: int, late: int, number: int, tenant: str = "a", dealt: bool | None = None) -> list[Record]:
    """Runs of a tenant under a version, the first `late` of them late; `dealt`: the side of their hash."""
    side = version == CANDIDATE if dealt is None else dealt
    return [
        Record(
            f"{tenant}-{version}-{i}", SIDES[side][i], tenant, "x", "t", "n", "k", 0, 10, 20, "Succeeded", 1, 1,
            deadline=15.0 if i < late else 30.0, parameters_version=version,
        )
        for i in range(number)
    ]  # fmt: skip


def judged(*parts: list[Record], now: float = 100.0) -> canary.Verdict:
    """The verdict over these runs."""
    return canary.judge(ACTIVE, [one for part in parts for one in part], 0.0, now)


@pytest.mark.parametrize(
    ("tried_late", "control_late", "tried", "result"),
    [
        (5, 40, 100, PROMOTED),
        (20, 80, 100, PROMOTED),  # the same share: not worse than its control
        (45, 80, 100, ROLLED_BACK),
        (5, 40, 60, RUNNING),
    ],
)
def test_a_canary_is_judged_by_its_control(tried_late: int, control_late: int, tried: int, result: str) -> None:
    """The control are the other tasks of the same period."""
    found = judged(runs(CANDIDATE, tried_late, tried), runs(CONTROL, control_late, 400))
    assert found.result == result
    assert (found.canary_late, found.control_late) == pytest.approx((tried_late / tried, control_late / 400))


def test_what_tenants_differ_by_is_nobodys_merit() -> None:
    """The candidate got the tenant who is always late more often; within each tenant both sides are alike."""
    hasty = [runs(CANDIDATE, 54, 60, "hasty"), runs(CONTROL, 90, 100, "hasty")]
    calm = [runs(CANDIDATE, 3, 60, "calm"), runs(CONTROL, 15, 300, "calm")]
    assert judged(*hasty, *calm).result == PROMOTED


HONEST = [
    one
    for tenant in ("a", "b", "c", "d")
    for one in (runs(CANDIDATE, 1, 25, tenant), runs(CONTROL, 5, 100, tenant))
]  # fmt: skip
HARMED = [
    one
    for tenant in ("a", "b", "c", "d")
    for one in (runs(CANDIDATE, 12, 25, tenant), runs(CONTROL, 5, 100, tenant))
]  # fmt: skip


def test_a_tenant_who_fails_on_purpose_ends_no_good_trial() -> None:
    """A hundred late runs that claim the candidate's version: without a control of the same tenant they say nothing.

    A tenant that has one, and is late whenever the candidate places it, is harmed as far as anybody can tell.
    """
    assert judged(*HONEST, runs(CANDIDATE, 100, 100, "evil")).result == PROMOTED
    assert judged(*HONEST, runs(CANDIDATE, 100, 100, "evil", dealt=False)).result == PROMOTED
    assert judged(*HONEST, runs(CANDIDATE, 20, 20, "harmed"), runs(CONTROL, 4, 80, "harmed")).result == ROLLED_BACK


def test_a_tenant_who_claims_success_prolongs_no_bad_trial() -> None:
    """Half of the others' tasks are late under the candidate; forged good runs on either side do not hide that."""
    assert judged(*HARMED, runs(CANDIDATE, 0, 160, "evil")).result == ROLLED_BACK
    assert judged(*HARMED, runs(CANDIDATE, 0, 160, "evil"), runs(CONTROL, 160, 160, "evil")).result == ROLLED_BACK


@given(st.integers(1, 160), st.integers(1, 240), st.booleans())
def test_nobody_sees_what_the_others_do_not(tried: int, control: int, helps: bool) -> None:
    """Up to four ninths of the runs are one tenant's: its claims move the difference by what chance allows at most."""
    own = [
        runs(CANDIDATE, 0 if helps else tried, tried, "evil"),
        runs(CONTROL, control if helps else 0, control, "evil"),
    ]
    usual, found = judged(*HONEST).difference, judged(*HONEST, *own).difference
    chance = 2.0 * math.sqrt(0.25 * (1 / tried + 1 / control))
    share = max(0.25, (tried + control) / (500 + tried + control))
    assert abs(found - usual) <= share * (chance + abs(usual)) + 1e-9


def simulated(tenants: int, tried: int, control: int, late: float, harm: float, seed: int) -> str:
    """How a trial ends: so many tasks a tenant on either side, shares of late ones under control and candidate."""
    rng = np.random.default_rng(seed)
    parts = []
    for tenant in range(tenants):
        name = f"t{tenant}"
        parts += [runs(CANDIDATE, int(rng.binomial(tried, harm)), tried, name)]
        parts += [runs(CONTROL, int(rng.binomial(control, late)), control, name)]
    return judged(*parts, now=90_000.0).result


@pytest.mark.parametrize(("tenants", "tried", "control"), [(1, 100, 400), (4, 30, 120), (40, 3, 12), (100, 1, 4)])
def test_how_often_a_trial_ends_rightly(tenants: int, tried: int, control: int) -> None:
    """Large tenants or many tiny ones: harm that triples what is late is seen, none is seen where there is none."""
    ends = [
        [simulated(tenants, tried, control, 0.05, share, seed) == ROLLED_BACK for seed in range(60)]
        for share in (0.05, 0.15)
    ]
    assert np.mean(ends[0]) <= 0.25
    assert np.mean(ends[1]) >= 0.8


def test_rubbish_is_not_counted() -> None:
    """Runs that contradict themselves, that are there twice, that began before, that are of other versions."""
    good = [*HONEST]
    twice = [one for part in good for one in part]
    future = [
        Record("f", SIDES[True][0], "a", "x", "t", "n", "k", 0, 1e9, 2e9, "Succeeded", 1, 1, deadline=1.0,
               parameters_version=CANDIDATE)
    ]  # fmt: skip
    found, clean = judged(*good, twice, future, runs(99, 50, 50)), judged(*good)
    assert found == clean


def test_the_end_without_enough_deadlines() -> None:
    """After a day what there is decides; nothing comparable, or a clock that was set back: back to the control."""
    few = [runs(CANDIDATE, 0, 10), runs(CONTROL, 0, 40)]
    assert judged(*few, now=3600.0).result == RUNNING
    assert judged(*few, now=90_000.0).result == PROMOTED
    assert judged(runs(CANDIDATE, 0, 10), now=90_000.0).result == ROLLED_BACK
    assert judged(*few, now=-1.0).result == ROLLED_BACK


def test_without_a_canary_there_is_nothing_to_judge() -> None:
    """That is an error of the caller."""
    with pytest.raises(PublishError, match="no canary"):
        canary.judge(Document(), [], 0.0, 1.0)
