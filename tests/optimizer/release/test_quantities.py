"""One table of what is learned: complete, with the ranges of the document's own types."""

import msgspec
import pytest
from msgspec.inspect import FloatType

from cloudai_optimizer.release import quantities
from cloudai_optimizer.release.quantities import LEARNED, SCORES, WEIGHTS, Quantity, Trim
from cloudai_rts.parameters import Document, IdentityRecord, LatenessTerms, RuntimeModel

NOT_LEARNED = {"schemaVersion", "version", "createdAt", "checksum", "model", "Canary", "Window", "Evidence"}


def test_no_learned_key_is_forgotten() -> None:
    """A key that is new in the document is in the table too, or no limit would hold it."""
    paths = [quantity.path for quantity in (*LEARNED, *WEIGHTS, *SCORES)]
    assert len(paths) == len(set(paths))
    keys = {(name,) for name in Document.__struct_fields__ if name not in {*NOT_LEARNED, "Runtime"}}
    inner = {("Runtime", name) for name in RuntimeModel.__struct_fields__ if name != "ReferenceClass"}
    assert set(paths) == keys | inner


@pytest.mark.parametrize(
    ("quantity", "kind", "before", "after"),
    [
        (Quantity(("Theta",), digits=4), FloatType(ge=0, le=5), 1.0, 1.5),
        (Quantity(("Runtime", "V"), unknown=0.0), FloatType(ge=-3, le=3), None, 0.6),
        (Quantity(("Runtime", "Sigma")), FloatType(ge=0.05, le=2), None, 900.0),
        (Quantity(("Tau",), factor=2.0), FloatType(ge=0.001, le=1e7), 3.0, 6.0),
        (Quantity(("Runtime", "Counts")), FloatType(ge=0, le=1e12), 1.0, 900.0),
        (Quantity(("PenaltyVector",), step=1.0), FloatType(ge=-10, le=10), 0.0, 1.0),
    ],
)
def test_a_step(quantity: Quantity, kind: FloatType, before: float | None, after: float) -> None:
    """A tenth of the range; from `unknown` where nothing stood; counts, and what nobody knew, are free."""
    assert quantity.within(kind, 900.0, before, 1.0) == pytest.approx(after)


def test_records_meet_field_by_field() -> None:
    """A record that is in both meets in each number; one that only the other has stays where that is wished."""
    new = Document(Runtime=RuntimeModel(Identity={"a": IdentityRecord(1.0, 0.2, 9)}))
    other = Document(
        Runtime=RuntimeModel(Identity={"a": IdentityRecord(3.0, 0.4, 1), "b": IdentityRecord(5.0, 1.0, 2)})
    )
    identity = Quantity(("Runtime", "Identity"), trim=Trim.LEAST_SEEN)
    highest = identity.met(new, other, lambda _kind, value, before: max(value, before or 0.0))
    assert highest == {"a": IdentityRecord(3.0, 0.4, 9)}
    both = identity.met(new, other, lambda _kind, value, _before: value, keeps_other=True)
    assert both == {"a": IdentityRecord(1.0, 0.2, 9), "b": IdentityRecord(5.0, 1.0, 2)}


def test_values_are_put_back_where_they_stood() -> None:
    """Below Runtime and at the top; everything else stays."""
    before = Document(Runtime=RuntimeModel(Kappa=1.0, Mu=3.0), Tau={"a": 1.0})
    after = quantities.changed(before, {("Runtime", "Mu"): 4.0, ("Tau",): {"b": 2.0}})
    assert after == msgspec.structs.replace(before, Runtime=RuntimeModel(Kappa=1.0, Mu=4.0), Tau={"b": 2.0})


def test_ranges_are_those_of_the_document() -> None:
    """The search, the limits and every reader have one range."""
    assert quantities.bounds("Lateness", "Delta") == (0.02, 1.0)
    assert all(quantities.bounds("Lateness", name)[1] > 0 for name in LatenessTerms.__struct_fields__)
    with pytest.raises(TypeError, match=r"Runtime\.U is no single number"):
        quantities.bounds("Runtime", "U")
    with pytest.raises(TypeError, match="does not stand in the document"):
        quantities.bounds("version", "Alpha")
