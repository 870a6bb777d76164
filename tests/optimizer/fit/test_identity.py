"""Tasks that do the same: what was seen of them stands for the next one, as far as it was seen."""

import math

import numpy as np
import pytest

from cloudai_optimizer.fit import identity
from cloudai_optimizer.fit.samples import Samples, collect
from cloudai_rts.history import Record


def samples_of(*identities: str) -> Samples:
    """Runs of 100 s, one for each identity."""
    records = []
    for index, name in enumerate(identities):
        uid, at = f"p{index}", float(index)
        record = Record(uid, uid, "ns", uid, "a", "n", "slow", at, at, at + 100.0, "Succeeded", 1.0, 1.0, identity=name)
        records.append(record)
    return collect(records)


def test_repeated_tasks_are_remembered() -> None:
    """Nine runs of 100 s where the type takes 1,000: shrunk by three runs of the type; seen once is not known."""
    samples = samples_of(*["x"] * 9, "once", "")
    found = identity.identities(samples, samples.log_runtime, np.array([math.log(1000.0)]))
    assert set(found) == {"x"}
    assert found["x"].LogTau == pytest.approx((9 * math.log(100.0) + 3 * math.log(1000.0)) / 12, abs=0.001)
    assert found["x"].N == 9


def test_the_type_stands_where_its_spread_is_less() -> None:
    """An identity that varies more than its type tells nothing."""
    samples = samples_of(*["x"] * 9)
    known = identity.identities(samples, samples.log_runtime, np.array([math.log(1000.0)]))
    wide, narrow = (
        identity.expected(samples, known, np.array([math.log(1000.0)]), np.array([sigma])) for sigma in (1.5, 0.2)
    )
    assert wide.log.tolist() == [known["x"].LogTau] * 9
    assert wide.sd.tolist() == [known["x"].Sd] * 9
    assert narrow.log.tolist() == pytest.approx([math.log(1000.0)] * 9)
    assert narrow.sd.tolist() == pytest.approx([0.2] * 9)
