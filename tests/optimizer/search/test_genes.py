"""Whatever the genes, the document is valid, ordered, and within a step of what is in force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai_optimizer.search import genes
from cloudai_rts import parameters
from cloudai_rts.parameters import HINGE, LATENESS, Document

Genes = st.lists(st.floats(-1, 2), min_size=14, max_size=14)


@given(Genes, st.sampled_from([LATENESS, HINGE]))
def test_every_chromosome_is_a_valid_document(drawn: list[float], model: str) -> None:
    """Also a wild one; the order of the weights cannot be broken."""
    found = genes.decode(np.array(drawn[: genes.length(model)]), Document(model=model))
    parameters.parse(parameters.dump(found))
    assert found.AffinityW.A2 > found.AffinityW.A1 > found.AffinityW.A3
    assert found.PenaltyW.G1 > found.PenaltyW.G2 > found.PenaltyW.G3


@given(Genes)
def test_one_release_is_one_step(drawn: list[float]) -> None:
    """A tenth of the logarithmic scale, which is less than twice or half of what is in force."""
    before = Document().Lateness
    found = genes.decode(np.array(drawn[: genes.length(LATENESS)]), Document()).Lateness
    for gene in genes.LATENESS_GENES:
        moved = abs(np.log(getattr(found, gene.name) / getattr(before, gene.name)))
        assert moved <= 0.1 * np.log(gene.high / gene.low) + 1e-3
        assert moved <= np.log(2.0) + 1e-3


def test_what_is_in_force_survives_the_round_trip() -> None:
    """Encode and decode give the same weights."""
    before = Document()
    found = genes.decode(genes.encode(before, before), before)
    assert found.Lateness.Alpha == pytest.approx(20.0, rel=1e-4)
    assert found.Lateness.Delta == pytest.approx(before.Lateness.Delta, rel=1e-3)
    before = Document(model=HINGE)
    found = genes.decode(genes.encode(before, before), before)
    assert found.Risk.Alpha == pytest.approx(10.0, rel=1e-4)
    assert pytest.approx(2.0, abs=0.01) == found.AffinityW.A2


def test_only_what_a_replay_judges_is_varied() -> None:
    """Soft wishes under `lateness`, and the weights of the other model, stay as they are."""
    before = Document()
    found = genes.decode(np.zeros(genes.length(LATENESS)), before)
    assert (found.Lateness.Rho, found.AffinityW, found.Risk) == (before.Lateness.Rho, before.AffinityW, before.Risk)
