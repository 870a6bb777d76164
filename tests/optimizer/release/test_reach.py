"""No value moves further than a quarter of its range in any 24 hours, wherever they begin."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.optimizer.release.test_limits import learned

from cloudai_kube import timestamp
from cloudai_optimizer.release import limits, reach
from cloudai_optimizer.release.reach import DAY_SECONDS, Reach
from cloudai_rts import parameters
from cloudai_rts.parameters import Document, Indication, LatenessTerms, RuntimeModel

BEGIN = 1_800_000_000.0
WISHES = st.lists(
    st.tuples(st.floats(0.0, 0.7), st.floats(-5, 5), st.floats(-3, 3), st.floats(1.0, 1e5), st.floats(0, 200)),
    min_size=2,
    max_size=30,
)


def released(wishes: list[tuple[float, float, float, float, float]]) -> list[tuple[float, Document]]:
    """The course of what is in force, if a release is made after each pause (in days) towards what somebody wishes."""
    at, current, known = BEGIN, learned(0.0, 0.0, 100.0), None
    found: list[tuple[float, Document]] = [(at, current)]
    for pause, u, v, tau, alpha in wishes:
        at += pause * DAY_SECONDS
        near = limits.learned_within(learned(u, v, tau), current, 1.0)
        near = msgspec.structs.replace(near, Lateness=LatenessTerms(Alpha=alpha))
        for origin in known.origins() if isinstance(known, Reach) else [current]:
            near = limits.weights_within_a_day(limits.learned_within(near, origin, limits.DAY_STEPS), origin)
        known = reach.noted(known, current, [near], timestamp.millis(at))
        current = near
        found.append((at, current))
    return found


@given(WISHES)
def test_a_quarter_in_any_day(wishes: list[tuple[float, float, float, float, float]]) -> None:
    """Whatever is wished for, and whenever the releases come."""
    course = released(wishes)
    for index, (_, one) in enumerate(course):
        end = course[index + 1][0] if index + 1 < len(course) else course[index][0]
        for later, other in course[index:]:
            if later - end <= DAY_SECONDS:  # `one` was still in force less than a day before
                assert abs(one.Runtime.U["t"]["k"] - other.Runtime.U["t"]["k"]) <= 2.5 + 1e-6
                assert abs(one.Runtime.V["n"] - other.Runtime.V["n"]) <= 1.5 + 1e-6
                assert abs(one.Lateness.Alpha - other.Lateness.Alpha) <= 50.0 + 1e-6
                assert 2.0**-2.51 <= one.Tau["t"] / other.Tau["t"] <= 2.0**2.51


@given(st.lists(st.tuples(st.floats(0.0, 0.3), st.floats(-5, 5), st.floats(0, 1)), min_size=2, max_size=30))
def test_users_words_move_a_quarter_in_a_day(wishes: list[tuple[float, float, float]]) -> None:
    """Once they are known, whose words they are; types' biases count from nothing."""
    at, current, known = BEGIN, said(0.0, 0.5), None
    course = [(at, current)]
    for pause, bias, share in wishes:
        at += pause * DAY_SECONDS
        near = limits.learned_within(said(bias, share), current, 1.0)
        for origin in known.origins() if isinstance(known, Reach) else [current]:
            near = limits.learned_within(near, origin, limits.DAY_STEPS)
        known = reach.noted(known, current, [near], timestamp.millis(at))
        current = near
        course.append((at, current))
    for index, (_, one) in enumerate(course[:-1]):
        for _, other in [found for found in course[index:] if found[0] - course[index + 1][0] <= DAY_SECONDS]:
            for name in ("Declared", "Allowed"):
                before, after = (getattr(document.Runtime, name)["ann"] for document in (one, other))
                assert abs(before.Bias - after.Bias) <= 2.5 + 2e-3
                assert abs(before.Share - after.Share) <= 0.25 + 2e-3
                before, after = (getattr(document.Runtime, f"{name}Of")["t"] for document in (one, other))
                assert abs(before - after) <= 2.5 + 2e-3


def said(bias: float, share: float) -> Document:
    """What the words of one user, and those about one type, are worth."""
    users, types = {"ann": Indication(bias, 0.5, 9, share)}, {"t": bias}
    return Document(Runtime=RuntimeModel(Declared=users, Allowed=users, DeclaredOf=types, AllowedOf=types))


def test_users_words_take_no_room_where_there_is_none() -> None:
    """What the new documents do not name is forgotten first."""
    full = reach.noted(None, said(1.0, 0.5), [said(1.0, 0.5)], timestamp.millis(BEGIN))
    small = reach.noted(
        full, said(1.0, 0.5), [Document()], timestamp.millis(BEGIN), only_named=True
    ).current.high.Runtime
    assert (small.Declared, small.Allowed, small.DeclaredOf, small.AllowedOf) == ({}, {}, {}, {})


def test_a_steady_drift_is_not_held_up_for_ever() -> None:
    """Two releases a day towards the same goal arrive within days."""
    course = released([(0.5, 5.0, 3.0, 1e4, 200.0)] * 20)
    last = course[-1][1]
    assert (last.Runtime.U["t"]["k"], last.Runtime.V["n"], last.Lateness.Alpha) == (5.0, 3.0, 200.0)


def test_what_was_not_known_was_nothing() -> None:
    """A new class counts from 0, a new type's run time from what it is; what is kept is a valid document."""
    found = reach.noted(None, Document(), [learned(1.0, -0.5, 70.0)], timestamp.millis(BEGIN))
    low, high = found.origins()
    assert (low.Runtime.U, high.Runtime.U) == ({"t": {"k": 0.0}}, {"t": {"k": 1.0}})
    assert (low.Runtime.V, high.Runtime.V) == ({"n": -0.5}, {"n": 0.0})
    assert low.Tau == high.Tau == {"t": 70.0}
    for document in found.origins():
        assert parameters.parse(parameters.dump(document)).createdAt == timestamp.millis(BEGIN)


def test_a_stretch_ends_after_a_day() -> None:
    """Then it is the one before, and the next begins with what was in force."""
    first = reach.noted(None, Document(), [learned(1.0, 0.0, 70.0)], timestamp.millis(BEGIN))
    second = reach.noted(first, learned(1.0, 0.0, 70.0), [learned(2.0, 0.0, 70.0)], timestamp.millis(BEGIN + 90_000))
    assert second.before == first.current
    assert second.current.low.Runtime.U["t"]["k"] == 1.0
    assert len(second.origins()) == 4
    assert reach.noted(second, Document(createdAt="?"), [], "by hand").before == second.current


def test_who_was_away_does_not_begin_anew() -> None:
    """A node that is gone for one release and comes back is still held to what it was."""
    at = timestamp.millis(BEGIN)
    found = reach.noted(None, learned(0.0, 1.5, 100.0), [learned(0.0, 1.5, 100.0)], at)
    away = msgspec.structs.replace(learned(0.0, 0.0, 100.0), Runtime=RuntimeModel(U={"t": {"k": 0.0}}))
    found = reach.noted(found, learned(0.0, 1.5, 100.0), [away], timestamp.millis(BEGIN + 600))
    near = learned(0.0, -3.0, 100.0)
    for origin in found.origins():
        near = limits.learned_within(near, origin, limits.DAY_STEPS)
    assert near.Runtime.V["n"] == 0.0
    small = reach.noted(found, away, [Document()], timestamp.millis(BEGIN + 900), only_named=True)
    assert small.current.low.Tau == {}
    assert small.current.low.Runtime.U == {}
