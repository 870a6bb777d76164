"""What words are worth is found from runs under a known truth, and noise is not taken for knowledge."""

import math

import numpy as np
import pytest

from cloudai_optimizer.fit.indication import Expected, Words, heard, indications
from cloudai_optimizer.fit.samples import Samples, collect
from cloudai_rts.arrays import FloatArray
from cloudai_rts.history import Record
from cloudai_rts.parameters import Indication
from cloudai_rts.prediction import COLD_ALLOWED, COLD_DECLARED

SIZE_SD, NOISE_SD, ERROR_SD = 0.8, 0.2, 0.15
TAU = {"a": 100.0, "b": 1000.0}


def drawn(count: int, users: tuple[str, ...] = ("ann",), seed: int = 1) -> tuple[Samples, FloatArray, Expected]:
    """Tasks whose true size nobody but their user knows: samples, what each took, what the type says of it."""
    rng = np.random.default_rng(seed)
    records = []
    for index in range(count):
        kind = ["a", "b"][int(rng.integers(2))]
        size = rng.normal(0.0, SIZE_SD)
        seconds = TAU[kind] * math.exp(size + rng.normal(0.0, NOISE_SD))
        told = TAU[kind] * math.exp(size + rng.normal(0.0, ERROR_SD))
        user = users[index % len(users)]
        uid, at = f"p{index}", 1e4 * index
        record = Record(uid, uid, "ns", uid, kind, "n", "slow", at, at, at + seconds, "Succeeded", 1.0, 1.0, user=user)
        records.append(_with_deadline(record, at + 2.0 * told))
    samples = collect(records)
    log_tau = np.log([TAU[name] for name in samples.types])
    expected = Expected(log_tau[samples.type], np.full(count, math.hypot(SIZE_SD, NOISE_SD)))
    return samples, samples.log_runtime, expected


def _with_deadline(record: Record, deadline: float) -> Record:
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    return Record(**{**fields, "deadline": deadline})


def test_deadlines_that_are_twice_the_size() -> None:
    """Bias -ln 2, the error of the words and the share of the variance that they know are found."""
    samples, work, expected = drawn(3000)
    found = indications(samples, work, samples.log_allowed, expected, COLD_ALLOWED)
    for one in found.users.values():
        assert one.Bias == pytest.approx(-math.log(2), abs=0.03)
        assert one.Sd == pytest.approx(ERROR_SD, abs=0.04)
        assert one.Share == pytest.approx(SIZE_SD**2 / (SIZE_SD**2 + NOISE_SD**2), abs=0.03)
    assert set(found.users) == {"", "ann"}
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
    assert [one.Share for one in words.users.values()] == [0.0, 0.0]
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
    """One knows the size, the other allows what he likes: only the first is listened to."""
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
    assert indications(samples, work, silent, expected, COLD_DECLARED) == Words({}, {})
    assert indications(collect([]), work[:0], work[:0], Expected(work[:0], work[:0]), COLD_DECLARED) == Words({}, {})


def test_who_says_nothing_is_expected_as_before() -> None:
    """Words of others change nothing for tasks without any."""
    samples, _, expected = drawn(10)
    said = samples.log_allowed.copy()
    said[::2] = np.nan
    words = Words({"": Indication(-0.7, 0.1, 9), "ann": Indication(-0.7, 0.1, 9)}, {})
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
