"""How far a release and a day may move what is in force."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_optimizer.release import limits
from cloudai_rts import parameters
from cloudai_rts.parameters import (
    AffinityTerms,
    Document,
    IdentityRecord,
    Indication,
    LatenessTerms,
    PenaltyTerms,
    RiskTerms,
    RuntimeModel,
    ThetaTerms,
)


def learned(u: float, v: float, tau: float, kappa: float = 0.3) -> Document:
    """A document with one cell, one node and one type."""
    return Document(
        Runtime=RuntimeModel(Kappa=kappa, U={"t": {"k": u}}, V={"n": v}, Sigma={"t": 1.0}),
        Tau={"t": tau},
        Theta=ThetaTerms(0, 0, 0, 0),
    )


@given(st.floats(-5, 5), st.floats(-3, 3), st.floats(0.01, 1e6), st.floats(0, 5), st.sampled_from([1.0, 2.5]))
def test_learned_values_stay_within_their_steps(u: float, v: float, tau: float, kappa: float, steps: float) -> None:
    """A tenth of the range a step, tau a factor of two; the result is a valid document."""
    found = limits.learned_within(learned(u, v, tau, kappa), learned(0.0, 0.0, 100.0), steps)
    assert abs(found.Runtime.U["t"]["k"]) <= 1.0 * steps + 1e-3
    assert abs(found.Runtime.V["n"]) <= 0.6 * steps + 1e-3
    assert abs(found.Runtime.Kappa - 0.3) <= 0.5 * steps + 1e-3
    assert 2.0**-steps - 1e-3 <= found.Tau["t"] / 100.0 <= 2.0**steps + 1e-3
    parameters.parse(parameters.dump(found))


def test_what_was_not_known_counts_from_nothing() -> None:
    """A new cell moves one step from 0, a new type's tau is taken; what is not seen any more stays as it was."""
    before = Document(Runtime=RuntimeModel(U={"t": {"old": 2.0}}), Tau={"gone": 7.0})
    found = limits.learned_within(limits.kept(learned(-4.0, 2.0, 9.0), before), before, 1.0)
    assert found.Runtime.U == {"t": {"old": 2.0, "k": -1.0}}
    assert found.Tau == {"gone": 7.0, "t": 9.0}


def test_guesses_are_not_overturned_at_once() -> None:
    """Everybody's error counts from its cold value; one user's own error does not."""
    hostile = Indication(5.0, 2.0, 50)
    new = Document(Runtime=RuntimeModel(Declared={"": hostile, "evil": hostile}))
    found = limits.learned_within(new, Document(), 1.0)
    assert found.Runtime.Declared == {"": Indication(1.0, 0.795, 50), "evil": hostile}


def test_scores_stay_within_a_tenth_of_their_range() -> None:
    """Known cells count from what they were, others from a usual machine's."""
    before = Document(AffinityMatrix={"t": {"n": 4.0}}, PenaltyVector={"n": 0.0})
    new = Document(AffinityMatrix={"t": {"n": -5.0, "m": -5.0}}, PenaltyVector={"n": 9.0, "m": 9.0})
    found = limits.scores_within(new, before, 1.0)
    assert found.AffinityMatrix == {"t": {"n": 3.0, "m": 2.0}}
    assert found.PenaltyVector == {"n": 1.0, "m": 1.5}


def test_who_was_away_for_a_day_is_still_known() -> None:
    """Users and images that the window does not show stay, fading; where room is short the best known do."""
    many = {f"i{count}": IdentityRecord(3.0, 0.2, count) for count in range(limits.REMEMBERED)}
    before = Document(Runtime=RuntimeModel(Declared={"ann": Indication(1.0, 0.3, 40)}, Identity=many))
    new = Document(Runtime=RuntimeModel(Declared={"bob": Indication(0.0, 0.6, 1)}, Identity={"x": many["i1"]}))
    found = limits.kept(new, before).Runtime
    assert found.Declared["ann"] == Indication(1.0, 0.3, 39.8)
    assert len(found.Identity) == limits.REMEMBERED
    assert "i0" not in found.Identity
    assert {"x", f"i{limits.REMEMBERED - 1}"} <= set(found.Identity)


def test_invented_users_take_no_more_room() -> None:
    """Users are free text: of more than there is room for the best known stay, and what all are worth."""
    many = {f"u{count}": Indication(0.0, 0.6, count) for count in range(limits.REMEMBERED + 50)}
    new = Document(Runtime=RuntimeModel(Allowed={"": Indication(0.0, 0.6, 0), **many}))
    found = limits.kept(new, Document()).Runtime.Allowed
    assert len(found) == limits.REMEMBERED
    assert {"", f"u{limits.REMEMBERED + 49}"} <= set(found)
    assert "u0" not in found


@given(st.floats(0, 200), st.floats(0, 1000), st.tuples(*[st.floats(0, 3)] * 3), st.tuples(*[st.floats(0, 3)] * 3))
def test_weights_stay_within_a_quarter_of_their_range(
    alpha: float, risk: float, a: tuple[float, float, float], g: tuple[float, float, float]
) -> None:
    """A day's worth; the order of ordered weights survives."""
    new = Document(
        Lateness=LatenessTerms(Alpha=alpha),
        Risk=RiskTerms(risk, 1.0),
        AffinityW=AffinityTerms(A3=a[0], A1=a[0] + a[1] + 0.01, A2=a[0] + a[1] + a[2] + 0.02),
        PenaltyW=PenaltyTerms(G3=g[0], G2=g[0] + g[1] + 0.01, G1=g[0] + g[1] + g[2] + 0.02),
    )
    found = limits.weights_within_a_day(new, Document())
    assert abs(found.Lateness.Alpha - 20.0) <= 50.0
    assert abs(found.Risk.Alpha - 10.0) <= 250.0
    parameters.parse(parameters.dump(found))


def test_what_is_near_enough_is_not_touched() -> None:
    """Only the far value is pulled in."""
    near = Document(Lateness=LatenessTerms(Alpha=30.0, Beta=9.0))
    found = limits.weights_within_a_day(near, Document())
    assert found.Lateness.Alpha == 30.0
    assert found.Lateness.Beta == pytest.approx(0.5 + 2.5)
