"""Ten thousand spoilt documents: none does harm, every valid one is taken."""

import json
import random
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from cloudai_kube.objects import ConfigMap, Meta
from cloudai_rts import contract, parameters
from cloudai_rts.parameters import CanaryShare, Document, LatenessTerms
from cloudai_scheduler.metrics import SchedulerMetrics
from cloudai_scheduler.parameter_feed import ParameterFeed

COUNT = 10_000
VALUES: tuple[Any, ...] = (
    None,
    True,
    "x",
    "",
    [],
    {},
    -1,
    0,
    1e308,
    -1e308,
    1e-320,
    "NaN",
    [[[]]],
    {"a": {"b": 1}},
    2**70,
)


class Silent:
    """A recorder that counts warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, _subject: object, reason: str, _message: str) -> None:
        """Count."""
        self.warnings.append(reason)

    def normal(self, *_: object) -> None:
        """Nothing."""


class Taken:
    """What was taken into use."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.candidates: list[Document | None] = []

    def __call__(self, document: Document, candidate: Document | None) -> None:
        """Take."""
        self.documents.append(document)
        self.candidates.append(candidate)


def feed() -> tuple[ParameterFeed, Taken, Silent]:
    """A feed and what it does."""
    taken, recorder = Taken(), Silent()
    return ParameterFeed(taken, recorder, SchedulerMetrics(CollectorRegistry())), taken, recorder  # type: ignore[arg-type]  # a recorder in memory


def config_map(text: str, candidate: str = "") -> ConfigMap:
    """The object as the API server shows it."""
    binary = {contract.CANDIDATE_KEY: candidate} if candidate else {}
    return ConfigMap(Meta(name=contract.PARAMETERS_CONFIG_MAP), {contract.PARAMETERS_KEY: text}, binary)


def text_of(version: int, rng: random.Random) -> str:
    """A valid document."""
    weights = LatenessTerms(Alpha=rng.uniform(1, 200), Beta=rng.uniform(0, 10))
    return parameters.dump(Document(version=version, Lateness=weights, Tau={"a": rng.uniform(1, 1e4)}))


def spoilt(text: str, rng: random.Random) -> str:
    """One of many ways to break it; sometimes with a checksum that fits."""
    kind = rng.randrange(6)
    if kind == 0:
        return text[: rng.randrange(len(text))]
    if kind == 1:
        position = rng.randrange(len(text))
        return text[:position] + chr(rng.randrange(32, 0x2FFF)) + text[position + 1 :]
    if kind == 2:
        return text.replace("0.5", rng.choice(["NaN", "Infinity", "-Infinity", "1e999"]), 1)
    if kind == 3:
        return text[:-1] + ',"version":99}'
    raw = json.loads(text)
    group = rng.choice([key for key, value in raw.items() if isinstance(value, dict) and value])
    if kind == 4:
        raw[group][rng.choice(sorted(raw[group]))] = rng.choice(VALUES)
    else:
        raw[rng.choice([*raw, "surprise"])] = rng.choice(VALUES)
    if rng.random() < 0.8:
        raw["checksum"] = parameters.checksum_of({key: value for key, value in raw.items() if key != "checksum"})
    return json.dumps(raw)


def test_ten_thousand_documents() -> None:
    """None raises, nothing out of bounds is taken, and each valid one (every hundredth at least) is in use at once."""
    rng = random.Random(7)
    found, taken, recorder = feed()
    valid = 0
    for number in range(COUNT):
        good = text_of(1000 + number, rng)
        found.apply("MODIFIED", config_map(good if number % 100 == 0 else spoilt(good, rng)))
        if number % 100 == 0:
            valid += 1
            assert taken.documents[-1].version == 1000 + number
    assert len(taken.documents) >= valid
    for document in taken.documents:
        assert parameters.parse(parameters.dump(document)) == msgspec.structs.replace(
            document, checksum=parameters.parse(parameters.dump(document)).checksum
        )
    assert len(recorder.warnings) > COUNT / 2


def test_a_document_cut_off_anywhere() -> None:
    """After any of its bytes, with a key twice, or as large as an object can be: refused, and what was good stays."""
    found, taken, recorder = feed()
    found.apply("ADDED", config_map(text_of(5, random.Random(1))))
    before = len(taken.documents)
    whole = parameters.dump(Document(version=6, Tau={"a": 5.0}))
    texts = [whole[:end] for end in range(len(whole))]
    texts.append(whole.replace('"Tau"', '"Tau": {"a": 9.0},\n "Tau"', 1))
    texts.append(whole[:-1] + " " * (1 << 20) + "}")
    for text in texts:
        found.apply("MODIFIED", config_map(text))
    assert len(taken.documents) == before
    assert len(recorder.warnings) > 0
    found.apply("MODIFIED", config_map(whole))
    assert taken.documents[-1].version == 6


def test_deleting_the_config_map_is_the_kill_switch() -> None:
    """The built-in parameters hold again."""
    found, taken, _ = feed()
    found.apply("ADDED", config_map(text_of(5, random.Random(1))))
    found.retain([])
    assert taken.documents[-1] == parameters.defaults()


def test_a_canary_needs_its_candidate() -> None:
    """With it both are taken; without it, spoilt, or of another version, everybody is the control."""
    share = CanaryShare(8, "2026-01-01T00:00:00Z", 0.2)
    active = parameters.dump(Document(version=7, Canary=share))
    good = parameters.pack(parameters.dump(Document(version=8)))
    wrong = parameters.pack(parameters.dump(Document(version=9)))
    for packed, works in ((good, True), ("", False), ("rubbish", False), (good[:40], False), (wrong, False)):
        found, taken, recorder = feed()
        found.apply("ADDED", config_map(active, packed))
        assert taken.documents[-1].version == 7
        assert (taken.candidates[-1] is not None) == works
        assert ("CanaryRefused" in recorder.warnings) != works
