"""The parameters in force: the ConfigMap is watched (a mount would be a minute late), checked, and swapped in whole."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from cloudai_kube.events import Recorder, Subject
from cloudai_kube.objects import ConfigMap, Meta
from cloudai_rts import contract, parameters
from cloudai_rts.errors import ParameterError
from cloudai_rts.parameters import Document
from cloudai_scheduler.metrics import SchedulerMetrics

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ParameterFeed:
    """Store of the reflector on `cloudai-parameters`. Deleting the ConfigMap brings the built-in defaults back."""

    use: Callable[[Document, Document | None], None]
    recorder: Recorder
    metrics: SchedulerMetrics
    current: Document = field(default_factory=parameters.defaults)
    _text: str | None = None
    _candidate: str | None = None

    def __post_init__(self) -> None:
        self._show_weights(self.current)

    def retain(self, listed: list[Meta]) -> None:
        """Take what a list shows: without the ConfigMap the defaults are in force."""
        if not any(meta.name == contract.PARAMETERS_CONFIG_MAP for meta in listed):
            self._reset()

    def apply(self, event: str, item: ConfigMap) -> None:
        """Take one change of the ConfigMap."""
        if item.metadata.name != contract.PARAMETERS_CONFIG_MAP:
            return
        if event == "DELETED":
            self._reset()
            return
        text, packed = item.data.get(contract.PARAMETERS_KEY), item.binaryData.get(contract.CANDIDATE_KEY)
        if text is not None and (text, packed) == (self._text, self._candidate):
            return
        self._text, self._candidate = text, packed
        subject = Subject.of("v1", "ConfigMap", item.metadata)
        try:
            if text is None:
                raise ParameterError(contract.PARAMETERS_KEY, "is missing; the document belongs under this key")
            document = parameters.parse(text)
            parameters.check_successor(self.current, document)
        except (ParameterError, ValueError, RecursionError) as error:
            self.metrics.refused.labels(_known_key(error)).inc()
            kept = f"; version {self.current.version} stays in force"
            self.recorder.warning(subject, "ParametersRefused", f"{error}{kept}")
            _log.warning("parameters refused: %s%s", error, kept)
            return
        if document != self.current:
            before = self.current.version
            candidate = self._tried(document, packed, subject)
            self._take(document, candidate)
            message = f"version {document.version} ({document.model}) replaces version {before}"
            self.recorder.normal(subject, "ParametersLoaded", message)
            _log.info("parameters: %s", message)

    def _tried(self, document: Document, packed: str | None, subject: Subject) -> Document | None:
        """The document that a share of the tasks is to be tried with; None without a canary."""
        if document.Canary is None:
            return None
        try:
            candidate = parameters.unpack(packed or "")
            if candidate.version != document.Canary.Version:
                raise ParameterError(
                    "Canary", f"is version {document.Canary.Version}, the candidate {candidate.version}"
                )
        except (ParameterError, ValueError, RecursionError) as error:
            self.metrics.refused.labels("Canary").inc()
            self.recorder.warning(
                subject, "CanaryRefused", f"{error}; all tasks are placed by version {document.version}"
            )
            return None
        return candidate

    def _reset(self) -> None:
        self._text = None
        if self.current != parameters.defaults():
            self._take(parameters.defaults(), None)
            _log.info("parameters: the ConfigMap is gone, the built-in defaults are in force")

    def _show_weights(self, document: Document) -> None:
        for name, weight in msgspec.structs.asdict(document.Lateness).items():
            self.metrics.weights.labels(name).set(weight)

    def _take(self, document: Document, candidate: Document | None) -> None:
        self.current = document
        self.metrics.reloads.inc()
        self.metrics.version.set(document.version)
        self._show_weights(document)
        self.use(document, candidate)


def _known_key(error: Exception) -> str:
    """The top-level key that is at fault, `other` where it is none of ours: labels must not grow with rubbish."""
    key = error.key.split(".")[0] if isinstance(error, ParameterError) else ""
    return key if key in {*Document.__struct_fields__, contract.PARAMETERS_KEY} else "other"
