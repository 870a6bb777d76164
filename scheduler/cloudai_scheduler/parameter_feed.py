"""The parameters in force: the ConfigMap is watched (a mount would be a minute late), checked, and swapped in whole."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from cloudai_kube.events import Recorder, Subject
from cloudai_kube.objects import ConfigMap
from cloudai_rts import contract, parameters
from cloudai_rts.errors import ParameterError
from cloudai_rts.parameters import Document
from cloudai_scheduler.metrics import SchedulerMetrics

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ParameterFeed:
    """Store of the reflector on `cloudai-parameters`. Deleting the ConfigMap brings the built-in defaults back."""

    use: Callable[[Document], None]
    recorder: Recorder
    metrics: SchedulerMetrics
    current: Document = field(default_factory=parameters.defaults)
    _text: str | None = None

    def replace(self, objects: list[ConfigMap]) -> None:
        """Take what a list shows."""
        found = [item for item in objects if item.metadata.name == contract.PARAMETERS_CONFIG_MAP]
        if found:
            self.apply("MODIFIED", found[0])
        else:
            self._reset()

    def apply(self, event: str, item: ConfigMap) -> None:
        """Take one change of the ConfigMap."""
        if item.metadata.name != contract.PARAMETERS_CONFIG_MAP:
            return
        if event == "DELETED":
            self._reset()
            return
        text = item.data.get(contract.PARAMETERS_KEY)
        if text == self._text and text is not None:
            return
        self._text = text
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
            self._take(document)
            message = f"version {document.version} ({document.model}) replaces version {before}"
            self.recorder.normal(subject, "ParametersLoaded", message)
            _log.info("parameters: %s", message)

    def _reset(self) -> None:
        self._text = None
        if self.current != parameters.defaults():
            self._take(parameters.defaults())
            _log.info("parameters: the ConfigMap is gone, the built-in defaults are in force")

    def _take(self, document: Document) -> None:
        self.current = document
        self.metrics.reloads.inc()
        self.metrics.version.set(document.version)
        self.use(document)


def _known_key(error: Exception) -> str:
    """The top-level key that is at fault, `other` where it is none of ours: labels must not grow with rubbish."""
    key = error.key.split(".")[0] if isinstance(error, ParameterError) else ""
    return key if key in {*Document.__struct_fields__, contract.PARAMETERS_KEY} else "other"
