"""What words are worth is found from runs under a known truth, and noise is not taken for knowledge."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cloudai_optimizer.fit.indication import Expected, Words, heard, indications
from cloudai_optimizer.fit.samples import Samples, collect
from cloudai_rts import prediction
from cloudai_rts.arrays import FloatArray
from cloudai_rts.history import Record
from cloudai_rts.parameters import Indication, RuntimeModel
from cloudai_rts.prediction import COLD_ALLOWED, COLD_DECLARED, FAR_OF_KNOWN, Estimate, Said

SIZE_SD, NOISE_SD, ERROR_SD = 0.8, 0.2, 0.15
TAU = {"a": 100.0, "b": 1000.0}


def drawn(count: int, users: tuple[str, ...] = ("ann",), seed: int = 1) -> tuple[Samples, FloatArray, Expected]:
    """Tasks whose true size nobody but their user knows: samples, what each took, what the type says of it.

    Each user is a tenant.
    """
    rng = np.random.default_rng(seed)
    records = []
    for index in range(count):
        kind = ["a", "b"][int(rng.integers(2))]
        size = rng.normal(0.0, SIZE_SD)
        seconds = TAU[kind] * math.exp(size + rng.normal(0.0, NOISE_SD))
        told = TAU[kind] * math.exp(size + rng.normal(0.0, ERROR_SD))
        user = users[index % len(users)]
        uid, at = f"p{index}", 1e4 * index
        ends = at + seconds
        records.append(
            Record(
                uid, uid, user, uid, kind, "n", "slow", at, at, ends, "Succeeded", 1.0, 1.0, user=user, allowed=2 * told
            )
        )
    samples = collect(records)
    log_tau = np.log([TAU[name] for name in samples.types])
    expected = Expected(log_tau[samples.type], np.full(count, math.hypot(SIZE_SD, NOISE_SD)))
    return samples, samples.log_runtime, expected


def test_deadlines_that_are_twice_the_size() -> None:
    """Bias -ln 2, the error of the words and the share of the variance that they know are found."""
    samples, work, expected = drawn(3000)
    found = indications(samples, work, samples.log_allowed, expected, COLD_ALLOWED)
    for one in found.users.values():
        assert one.Bias == pytest.approx(-math.log(2), abs=0.03)
        assert one.Sd == pytest.approx(ERROR_SD, abs=0.04)
        assert one.Share == pytest.approx(SIZE_SD**2 / (SIZE_SD**2 + NOISE_SD**2), abs=0.03)
    assert set(found.users) == {"ann"}
    assert all(abs(bias) < 0.05 for bias in found.types.values())


def test_what_is_heard_is_as_certain_as_it_says() -> None:
    """Errors after the words were heard have the spread that is claimed: not less, not much more."""
    samples, work, expected = drawn(3000)
    words = indications(samples, work, samples.log_allowed, expected, COLD_ALLOWED)
    known = heard(samples, samples.log_allowed, words, expected)
    errors = (work - known.log) / known.sd
    assert float(errors.std()) == pytest.approx(1.0, abs=0.06)
    assert float(errors.mean()) == pytest.approx(0.0, abs=0.05)
    assert float(known.sd.mean()) < 0.35


def test_deadlines_that_are_twice_the_usual_know_nothing() -> None:
    """k x the type's run time, k 1.5 or 2: a share of exactly 0, and nothing that is known changes."""
    samples, work, expected = drawn(2000)
    multiplier = np.log(np.random.default_rng(2).choice([1.5, 2.0], 2000))
    words = indications(samples, work, expected.log + multiplier, expected, COLD_ALLOWED)
    assert [one.Share for one in words.users.values()] == [0.0]
    known = heard(samples, expected.log + multiplier, words, expected)
    assert np.array_equal(known.log, expected.log)
    assert np.array_equal(known.sd, expected.sd)


def test_users_think_of_other_machines() -> None:
    """Words about one type count from a machine five times as fast: the type's bias takes it, not the error."""
    samples, work, expected = drawn(3000)
    said = samples.log_allowed - math.log(5.0) * (samples.type == samples.types.index("b"))
    found = indications(samples, work, said, expected, COLD_ALLOWED)
    assert found.types["b"] - found.types["a"] == pytest.approx(math.log(5.0), abs=0.05)
    assert found.users["ann"].Sd == pytest.approx(ERROR_SD, abs=0.04)


def test_each_user_is_judged_alone() -> None:
    """One user knows the size, the other allows any time: only the first is listened to."""
    samples, work, expected = drawn(2000, ("ann", "bob"))
    random = expected.log + np.random.default_rng(3).normal(1.0, 1.0, len(samples))
    said = np.where(samples.user == samples.users.index("bob"), random, samples.log_allowed)
    found = indications(samples, work, said, expected, COLD_ALLOWED).users
    assert found["ann"].Share > 0.8
    assert found["bob"].Share < 0.1


def test_few_words_say_what_they_were_taken_for() -> None:
    """Two declarations, both odd: the share of a declaration stays 1; nobody's word: nothing is known."""
    samples, work, expected = drawn(2)
    found = indications(samples, work, expected.log + np.array([2.0, -1.0]), expected, COLD_DECLARED)
    assert {one.Share for one in found.users.values()} == {1.0}
    silent = np.full(len(samples), np.nan)
    assert indications(samples, work, silent, expected, COLD_DECLARED) == Words({}, {}, COLD_DECLARED)
    assert indications(collect([]), work[:0], work[:0], Expected(work[:0], work[:0]), COLD_DECLARED) == Words(
        {}, {}, COLD_DECLARED
    )


def test_who_says_nothing_is_expected_as_before() -> None:
    """Words of others change nothing for tasks without any."""
    samples, _, expected = drawn(10)
    said = samples.log_allowed.copy()
    said[::2] = np.nan
    words = Words({"": Indication(-0.7, 0.1, 9), "ann": Indication(-0.7, 0.1, 9)}, {}, COLD_ALLOWED)
    known = heard(samples, said, words, expected)
    assert np.array_equal(known.log[::2], expected.log[::2])
    assert np.array_equal(known.sd[::2], expected.sd[::2])
    assert (known.sd[1::2] < expected.sd[1::2]).all()


def test_a_tenth_of_wild_words_changes_little() -> None:
    """Words off by a factor of a thousand count less than the others: share and error stay near the truth."""
    samples, work, expected = drawn(2000)
    said = samples.log_allowed.copy()
    said[::10] += math.log(1000.0)
    found = indications(samples, work, said, expected, COLD_ALLOWED).users["ann"]
    assert found.Share > 0.7
    assert found.Bias == pytest.approx(-math.log(2), abs=0.5)


def test_whose_tasks_are_all_alike_knows_them() -> None:
    """Four users of one type, each with tasks of one size, which they declare: the type knows little, they all."""
    samples, _, expected = drawn(200, ("a", "b", "c", "d"))
    size = expected.log + 1.5 * (samples.user - 1.5)
    work = size + np.random.default_rng(4).normal(0.0, 0.05, len(samples))
    wide = Expected(expected.log, np.full(len(samples), 1.7))
    words = indications(samples, work, size, wide, COLD_DECLARED)
    known = heard(samples, size, words, wide)
    assert float(np.abs(work - known.log).max()) < 0.5
    assert float(known.sd.max()) < 0.3


def test_habits_of_users_and_of_types_are_told_apart() -> None:
    """Ann declares a tenth more and runs type a, Bob ten times as much and runs type b: no type has a bias."""
    samples, work, expected = drawn(1200, ("ann", "bob"))
    mine = samples.user == samples.type  # a tenth of the others stays
    told = mine | (np.arange(len(samples)) % 10 == 0)
    declared = work + np.where(samples.user == 0, math.log(1.1), math.log(10.0))
    found = indications(samples, work, np.where(told, declared, np.nan), expected, COLD_DECLARED)
    assert found.users["ann"].Bias == pytest.approx(-math.log(1.1), abs=0.2)
    assert found.users["bob"].Bias == pytest.approx(-math.log(10.0), abs=0.2)
    assert found.types["a"] - found.types["b"] == pytest.approx(0.0, abs=0.25)


@pytest.mark.parametrize("runs", [10, 40, 120])
def test_an_odd_user_among_many(runs: int) -> None:
    """A user who always allows a day where four others allow twice the size is not taken for one of them."""
    users = ("odd", "a", "b", "c", "d")
    samples, work, expected = drawn(5 * runs, users)
    odd = samples.user == samples.users.index("odd")
    said = np.where(odd, math.log(86_400.0), samples.log_allowed)
    known = heard(samples, said, indications(samples, work, said, expected, COLD_ALLOWED), expected)
    assert abs(float((known.log - expected.log)[odd].mean())) < 0.5
    if runs > 10:
        assert float(np.abs(known.log - work)[~odd].mean()) < 0.3


def test_a_stranger_with_an_odd_deadline() -> None:
    """Everybody allows twice the size; a day allowed by a stranger moves what is expected by a little only."""
    samples, work, expected = drawn(1200, ("a", "b", "c", "d"))
    found = indications(samples, work, samples.log_allowed, expected, COLD_ALLOWED)
    runtime = RuntimeModel(Sigma={"a": 0.82}, Allowed=found.users, AllowedOf=found.types)
    usual, odd = (
        prediction.estimate("a", 140.0, Said("stranger", allowed=allowed), runtime) for allowed in (280.0, 86_400.0)
    )
    assert usual.seconds == pytest.approx(140.0, rel=0.2)
    assert usual.log_sd < 0.7
    assert odd.seconds < 6 * usual.seconds
    assert odd.log_sd > usual.log_sd


def test_it_takes_three_tenants_to_tell_what_is_usual() -> None:
    """The only one who sets deadlines is no measure for strangers."""
    samples, work, expected = drawn(600, ("evil/1", "evil/2", "evil/3"))
    one_tenant = replace(samples, tenant=np.zeros(len(samples), np.int64))
    assert "" not in indications(one_tenant, work, samples.log_allowed, expected, COLD_ALLOWED).users
    assert "" in indications(samples, work, samples.log_allowed, expected, COLD_ALLOWED).users


def test_one_who_lies_is_not_the_measure() -> None:
    """One of five declares e^10 times too much: what is usual is what the four others do."""
    users = ("liar", "a", "b", "c", "d")
    samples, work, expected = drawn(600, users)
    said = samples.log_allowed + 10.0 * (samples.user == samples.users.index("liar"))
    honest = indications(samples, work, samples.log_allowed, expected, COLD_DECLARED)
    found = indications(samples, work, said, expected, COLD_DECLARED)
    for name in ("", "a"):
        there, before = found.of(name), honest.of(name)
        assert there.Bias == pytest.approx(before.Bias, abs=0.25)
        assert there.Sd == pytest.approx(before.Sd, abs=0.2)
        assert there.Share == pytest.approx(before.Share, abs=0.05)


def test_fit_and_decision_hear_the_same() -> None:
    """What the fit expects of a run is what a decision would: the log of its mean less half its variance."""
    samples, work, expected = drawn(300)
    words = indications(samples, work, samples.log_allowed, expected, COLD_ALLOWED)
    known = heard(samples, samples.log_allowed, words, expected)
    for index in range(0, 300, 17):
        name = samples.types[samples.type[index]]
        before = Estimate(math.exp(expected.log[index] + 0.5 * expected.sd[index] ** 2), float(expected.sd[index]))
        after = prediction.heard(
            before, math.exp(samples.log_allowed[index]), words.of("ann"), FAR_OF_KNOWN, words.types[name]
        )
        assert math.log(after.seconds) - 0.5 * after.log_sd**2 == pytest.approx(known.log[index])
        assert after.log_sd == pytest.approx(known.sd[index])
