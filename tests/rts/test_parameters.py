"""The parameter document: whole or not at all, and the message names the key."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudai_rts import parameters
from cloudai_rts.errors import ParameterError

SIX = {
    "Theta": {"Theta1": 0.1, "Theta2": 0.1, "Theta3": 0.3, "Theta4": 0.2},
    "Risk": {"Alpha": 10, "Beta": 1},
    "AffinityW": {"A1": 1, "A2": 2, "A3": 0.5},
    "PenaltyW": {"G1": 2, "G2": 1, "G3": 0.5},
    "AffinityMatrix": {"mixed": {"node-1": 1.25}},
    "PenaltyVector": {"node-1": 0.5},
}


def text_of(changes: dict[str, Any] | None = None, remove: str = "", sign: bool = True) -> str:
    """A full document, changed at dotted keys, with a right checksum."""
    raw = json.loads(parameters.dump(parameters.defaults()))
    raw["version"] = 3
    for key, value in (changes or {}).items():
        target = raw
        *path, last = key.split(".")
        for part in path:
            target = target[part]
        target[last] = value
    if remove:
        *path, last = remove.split(".")
        target = raw
        for part in path:
            target = target[part]
        del target[last]
    if sign and "checksum" in raw:
        raw["checksum"] = parameters.checksum_of(raw)
    return json.dumps(raw)


def test_defaults_survive_a_round_trip() -> None:
    """What dump writes, parse reads."""
    document = parameters.parse(parameters.dump(parameters.defaults()))
    assert msgspec.structs.replace(document, checksum="") == parameters.defaults()


def test_the_source_documents_own_format() -> None:
    """Only the six keys: version 0, model hinge, no checksum needed."""
    document = parameters.parse(json.dumps(SIX))
    assert (document.version, document.model) == (0, "hinge")
    assert document.AffinityMatrix["mixed"]["node-1"] == 1.25


BAD: list[tuple[str, str, str]] = [
    ("Theta.Theta1 too large", text_of({"Theta.Theta1": 5.01}), "Theta.Theta1"),
    ("Theta.Theta4 negative", text_of({"Theta.Theta4": -0.1}), "Theta.Theta4"),
    ("Risk.Alpha too large", text_of({"Risk.Alpha": 1001}), "Risk.Alpha"),
    ("Risk.Beta text", text_of({"Risk.Beta": "1"}), "Risk.Beta"),
    ("Risk.Beta true", text_of({"Risk.Beta": True}), "Risk.Beta"),
    ("A3 above A1", text_of({"AffinityW.A3": 1.5}), "AffinityW"),
    ("G2 above G1", text_of({"PenaltyW.G2": 3}), "PenaltyW"),
    ("affinity out of bounds", text_of({"AffinityMatrix": {"mixed": {"n": 5.5}}}), "AffinityMatrix"),
    ("penalty negative without G4", text_of({"PenaltyVector": {"n": -1}}), "PenaltyVector.n"),
    ("penalty too large", text_of({"PenaltyVector": {"n": 11}}), "PenaltyVector"),
    ("unknown key", text_of({"Surprise": 1}), "document"),
    ("unknown inner key", text_of({"Lateness.Gamma": 1}), "Lateness"),
    ("wrong schema version", text_of({"schemaVersion": 2}), "schemaVersion"),
    ("negative version", text_of({"version": -1}), "version"),
    ("fractional version", text_of({"version": 1.5}), "version"),
    ("unknown model", text_of({"model": "magic"}), "model"),
    ("Tau zero", text_of({"Tau": {"mixed": 0}}), "Tau"),
    ("Tau too long", text_of({"Tau": {"mixed": 4e7}}), "Tau"),
    ("Delta too small", text_of({"Lateness.Delta": 0.01}), "Lateness.Delta"),
    ("Alpha too large", text_of({"Lateness.Alpha": 200.5}), "Lateness.Alpha"),
    ("u out of bounds", text_of({"Runtime.U": {"mixed": {"c": 5.1}}}), "Runtime.U"),
    ("v out of bounds", text_of({"Runtime.V": {"n": -3.1}}), "Runtime.V"),
    ("sigma too small", text_of({"Runtime.Sigma": {"mixed": 0.01}}), "Runtime.Sigma"),
    ("missing top key", text_of(remove="Theta"), "Theta"),
    ("missing inner key", text_of(remove="Theta.Theta3"), "Theta"),
    ("missing lateness weight", text_of(remove="Lateness.Psi"), "Lateness.Psi"),
    ("missing kappa", text_of(remove="Runtime.Kappa"), "Runtime.Kappa"),
    ("missing checksum", text_of(remove="checksum"), "checksum"),
    ("missing version", text_of(remove="version"), "version"),
    ("wrong checksum", text_of({"Risk.Alpha": 11}, sign=False), "checksum"),
    ("NaN", text_of().replace('"Alpha": 10.0', '"Alpha": NaN'), "document"),
    ("Infinity", text_of().replace('"Alpha": 10.0', '"Alpha": Infinity'), "document"),
    ("1e999", text_of().replace('"Alpha": 10.0', '"Alpha": 1e999'), "document"),
    ("duplicate key", text_of().replace('"Alpha": 10.0', '"Alpha": 10.0, "Alpha": 9.0'), "Alpha"),
    ("no JSON", "{", "document"),
    ("empty", "", "document"),
    ("a list", "[]", "document"),
    ("too long", '"' + "x" * (parameters.MAX_DOCUMENT_BYTES + 1) + '"', "document"),
    ("too much evidence", text_of({"Evidence": {"note": "x" * 17_000}}), "Evidence"),
    ("deeply nested", "[" * 100_000, "document"),
    ("evidence without end", text_of({"Evidence": {"Tasks": int("1" * 400)}}), "Evidence"),
    ("evidence beyond what floats count", text_of({"Evidence": {"a": {"b": [2e15]}}}), "Evidence"),
    ("deep evidence", text_of({"Evidence": json.loads('{"a":' * 40 + "1" + "}" * 40)}), "Evidence"),
    ("a version beyond exact floats", text_of({"version": 2**53 + 1}), "version"),
    ("a canary on most of the tasks", text_of({"Canary": {"Version": 4, "Since": "", "Share": 0.51}}), "Canary"),
]


@pytest.mark.parametrize(("what", "text", "key"), BAD, ids=[row[0] for row in BAD])
def test_bad_documents_are_refused_by_key(what: str, text: str, key: str) -> None:
    """Each is refused as a whole, and the error names where the trouble is."""
    with pytest.raises(ParameterError) as caught:
        parameters.parse(text)
    assert caught.value.key.startswith(key), what
    assert len(str(caught.value)) > len(caught.value.key) + 5


@given(st.binary(max_size=400))
def test_rubbish_never_raises_anything_else(rubbish: bytes) -> None:
    """Whatever bytes come, the answer is a ParameterError."""
    with pytest.raises(ParameterError):
        parameters.parse(rubbish)


@settings(max_examples=300)
@given(st.integers(0, 5000), st.sampled_from(["cut", "NaN", "-1", "1e308", "null", '"x"', "{}"]))
def test_a_damaged_document_is_refused_or_unchanged(position: int, damage: str) -> None:
    """Cut anywhere, or with a value replaced: refused, unless the damage changed nothing that counts."""
    text = text_of()
    position %= len(text)
    damaged = text[:position] if damage == "cut" else text[:position] + damage + text[position + 1 :]
    try:
        document = parameters.parse(damaged)
    except ParameterError:
        return
    assert document == parameters.parse(text)


def test_versions_only_grow() -> None:
    """An older document, or other content under the same version, is refused; the same again is nothing new."""
    third = parameters.parse(text_of())
    with pytest.raises(ParameterError, match="lower than 3"):
        parameters.check_successor(third, parameters.parse(text_of({"version": 2})))
    with pytest.raises(ParameterError, match="other content"):
        parameters.check_successor(third, parameters.parse(text_of({"Risk.Alpha": 11})))
    parameters.check_successor(third, third)
    parameters.check_successor(third, parameters.parse(text_of({"version": 4})))
    parameters.check_successor(
        parameters.parse(json.dumps(SIX)), parameters.parse(json.dumps({**SIX, "Risk": {"Alpha": 1, "Beta": 1}}))
    )


def test_versions_grow_in_steps() -> None:
    """A jump that nobody could follow is refused: it would block every later version for ever."""
    third = parameters.parse(text_of())
    parameters.check_successor(third, parameters.parse(text_of({"version": 3 + parameters.MAX_VERSION_STEP})))
    with pytest.raises(ParameterError, match="version"):
        parameters.check_successor(third, parameters.parse(text_of({"version": 4 + parameters.MAX_VERSION_STEP})))
