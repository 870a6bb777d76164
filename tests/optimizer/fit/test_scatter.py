"""Where quantiles lie, from runs; and how little one tenant moves them."""

import numpy as np
import pytest

from cloudai_optimizer.fit import scatter
from cloudai_optimizer.fit.samples import Samples, collect
from cloudai_rts.arrays import FloatArray
from cloudai_rts.calibration import NAMES, NORMAL
from cloudai_rts.history import Record


def run(number: int, seconds: float = 1000.0, tenant: str = "t0", outcome: str = "Succeeded") -> Record:
    """A run on one kind of machine."""
    uid, start = f"p{number}", float(number)
    end = start + seconds
    return Record(uid, uid, tenant, uid, "a", "n", "c", start, start, end, outcome, 1.0, 1.0)


def runs(deviation: FloatArray, log_sd: float, tenants: int = 8, begin: int = 0, name: str = "t") -> list[Record]:
    """Runs of an expected 1,000 s that are off by so many sigma."""
    return [
        run(begin + number, 1000.0 * float(np.exp(log_sd * off)), f"{name}{number % tenants}")
        for number, off in enumerate(deviation)
    ]


def shape(samples: Samples, log_sd: float) -> dict[str, dict[str, float]]:
    """As learned if 1,000 s were told of all of them."""
    return scatter.shape(samples, np.full(len(samples), np.log(1000.0)), np.full(len(samples), log_sd))


def test_as_told_nothing_moves() -> None:
    """Normal runs leave the quantiles where they are."""
    drawn = np.random.default_rng(1).normal(0.0, 1.0, 4_000)
    found = shape(collect(runs(drawn, 0.3)), 0.3)
    assert set(found) == {"0.4"}
    assert max(abs(off) for off in found["0.4"].values()) < 0.15


def test_sharper_than_told() -> None:
    """Half the spread moves each quantile half the way."""
    drawn = np.random.default_rng(2).normal(0.0, 0.5, 4_000)
    found = shape(collect(runs(drawn, 0.3)), 0.3)["0.4"]
    assert [found[name] for name in NAMES] == pytest.approx([-0.5 * normal for normal in NORMAL], abs=0.12)


def test_few_runs_say_little() -> None:
    """Ten of them stand against fifty that nobody has seen."""
    found = shape(collect(runs(np.full(10, 2.0), 0.3)), 0.3)["0.4"]
    assert found["0.5"] == pytest.approx(2.0 * 10 / 60, abs=0.01)


def test_one_tenant_moves_it_little() -> None:
    """Five times as many runs as all others together, all far off: no more than a quarter of the weight."""
    honest = np.random.default_rng(3).normal(0.0, 1.0, 400)
    lies = runs(np.full(2_000, 3.0), 0.3, tenants=1, begin=400, name="liar")
    found = shape(collect([*runs(honest, 0.3), *lies]), 0.3)["0.4"]
    assert abs(found["0.5"]) < 0.5
    assert abs(found["0.1"]) < 0.5


def test_a_tenant_beside_a_small_one_is_heard() -> None:
    """Fifty of its runs count, although it has nearly all."""
    drawn = np.random.default_rng(4).normal(0.0, 0.5, 1_000)
    found = shape(collect([*runs(drawn, 0.3, tenants=1), run(2_000, tenant="small")]), 0.3)["0.4"]
    assert found["0.9"] == pytest.approx(-0.5 * 0.5 * NORMAL[5], abs=0.1)


def test_runs_that_failed_say_nothing() -> None:
    """They would have run longer."""
    failed = [run(number, outcome="Failed") for number in range(30)]
    assert shape(collect(failed), 0.3) == {}
