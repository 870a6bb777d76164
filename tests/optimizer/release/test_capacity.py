"""A document that would not fit into a ConfigMap loses what is least founded, and says so."""

import numpy as np
import pytest

from cloudai_optimizer.errors import PublishError
from cloudai_optimizer.release import capacity, publication
from cloudai_optimizer.release.config_map import Published
from cloudai_optimizer.release.reach import Reach, Span
from cloudai_rts import contract, parameters
from cloudai_rts.parameters import HINGE, Document, IdentityRecord, Indication, RuntimeModel

NOW = "2026-01-01T00:00:00.000Z"


def document(identities: int, nodes: int = 0, types: int = 1) -> Document:
    """Identities seen 1, 2, 3 ... times; cells of types and nodes."""
    known = {f"{index:012x}": IdentityRecord(1.0, 0.5, index + 1) for index in range(identities)}
    cells = {f"type-{kind}": {f"node-{index}": 1.234 for index in range(nodes)} for kind in range(types)}
    runtime = RuntimeModel(
        Identity=known,
        Declared={"": Indication(0.0, 0.5, 1), "u": Indication(0.0, 0.5, 9)},
        V={f"node-{index}": 0.123 for index in range(nodes)},
    )
    return Document(Runtime=runtime, AffinityMatrix=cells if nodes else {})


def test_the_most_seen_are_kept() -> None:
    """Half of them; the pooled error of declarations always."""
    found = capacity.trimmed(document(10), 0.5).Runtime
    assert sorted(one.N for one in found.Identity.values()) == [6, 7, 8, 9, 10]
    assert list(found.Declared) == [""]


def test_a_thousand_nodes_fit_whole() -> None:
    """Six types on 1,000 nodes, 2,000 identities: nothing is trimmed."""
    whole = document(2000, 1000, 6)
    change = publication.release(Published(Document(), "", ""), whole, None, NOW, 0.2, {})
    assert change.size_bytes() <= capacity.MAX_BYTES
    active = parameters.parse(change.texts[contract.PARAMETERS_KEY] or "")
    assert active.Runtime == whole.Runtime
    assert active.AffinityMatrix == whole.AffinityMatrix


def test_too_much_is_trimmed_and_said() -> None:
    """14,000 identities do not fit; the evidence says how many are kept."""
    change = publication.release(Published(Document(), "", ""), document(14_000), None, NOW, 0.2, {})
    active = parameters.parse(change.texts[contract.PARAMETERS_KEY] or "")
    assert change.size_bytes() <= capacity.MAX_BYTES
    assert 0 < len(active.Runtime.Identity) < 14_000
    assert "types are kept" in active.Evidence["Trimmed"]


def test_what_cannot_be_made_to_fit_is_refused() -> None:
    """Nothing is published, and the message says what to do."""
    with pytest.raises(PublishError, match="read fewer --hours"):
        publication.release(Published(Document(), "", ""), document(0, 60_000), None, NOW, 0.2, {})


def test_what_scores_were_gives_way_before_what_they_are() -> None:
    """Under `hinge`, where 14,000 cells and their limits of two days do not fit, day after day all cells stay."""
    before = Published(Document(model=HINGE), "", "")
    rng = np.random.default_rng(1)
    for day in range(1, 4):
        cells = rng.uniform(-5, 5, (20, 700)).round(3).tolist()
        nodes = [f"node-{index:04}.example.internal" for index in range(700)]
        matrix = {f"type-{kind}": dict(zip(nodes, row, strict=True)) for kind, row in enumerate(cells)}
        whole = Document(model=HINGE, AffinityMatrix=matrix, PenaltyVector=dict.fromkeys(nodes, 1.0))
        change = publication.release(before, whole, None, f"2026-01-0{day}T00:00:00.000Z", 0.0, {})
        assert change.size_bytes() <= capacity.MAX_BYTES
        texts = {key: text for key, text in change.texts.items() if text}
        active = parameters.parse(texts[contract.PARAMETERS_KEY])
        assert active.AffinityMatrix == matrix
        spans = [
            Span(parameters.parse(texts[low]), parameters.parse(texts[high]))
            for low, high in contract.REACH_KEYS
            if low in texts
        ]
        before = Published(active, texts[contract.PARAMETERS_KEY], "1", None, before.document, "", Reach(*spans))
