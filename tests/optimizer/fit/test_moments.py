"""How much words know, worked out by hand."""

import numpy as np
import pytest

from cloudai_optimizer.fit.moments import Moments


def moments(off: list[float], words: list[float], times: int = 1) -> Moments:
    """Of runs that all count alike, each so many times."""
    count = float(len(off) * times)
    return Moments.of(np.array(off * times), np.array(words * times), np.ones(len(off) * times), count)


def test_sums_by_hand() -> None:
    """off 1, -1, 2 and words 1, 0, 1: sums 2 and 2, squares 6, products 3, squares of words 2."""
    found = moments([1.0, -1.0, 2.0], [1.0, 0.0, 1.0])
    assert found == Moments(3.0, 3.0, 2.0, 2.0, 6.0, 3.0, 2.0)


def test_words_that_know_half() -> None:
    """Products 3 over squares 6: half, once there are enough runs to be sure; the prior while there are few."""
    assert moments([1.0, -1.0, 2.0], [1.0, 0.0, 1.0]).share(0.0, 0.6) == 0.0
    assert moments([1.0, -1.0, 2.0], [1.0, 0.0, 1.0], 1000).share(0.0, 0.6) == pytest.approx(0.5, abs=0.01)
    assert moments([1.0, -1.0, 2.0], [1.0, 0.0, 1.0], 1000).share(1.0, 0.6) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("words", "share"), [([3.0, -3.0], 1.0), ([-1.0, 1.0], 0.0)])
def test_a_share_is_a_share(words: list[float], share: float) -> None:
    """Words that exaggerate know all, words that say the contrary nothing."""
    assert moments([1.0, -1.0], words, 100).share(0.5, 0.6) == share


def test_errors_by_hand() -> None:
    """Share 0: all of the words, 2; share 1: what lies between words and off, 2 - 6 + 6; .5: 2 - 3 + 1.5 - 1.5 < 0."""
    found = moments([1.0, -1.0, 2.0], [1.0, 0.0, 1.0])
    assert found.error(0.0) == 2.0
    assert found.error(1.0) == 2.0
    assert found.error(0.5) == 0.0


def test_a_bias_that_is_not_the_own_is_an_error() -> None:
    """Words moved by 1: 2, 1, 2 have 9 between them and nothing."""
    assert moments([1.0, -1.0, 2.0], [1.0, 0.0, 1.0]).error(0.0, 1.0) == 9.0
