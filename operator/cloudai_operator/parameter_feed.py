"""The parameters that acceptance rests on: tau by type, and how users' estimates err.

The scheduler reports refused documents to people; here a bad one is simply not taken.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from cloudai_kube.epoch_note import EpochNote
from cloudai_kube.objects import ConfigMap, Meta
from cloudai_rts import contract, parameters
from cloudai_rts.errors import ParameterError
from cloudai_rts.parameters import Document

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ParameterFeed:
    """Store of the reflector on `cloudai-parameters`."""

    use: Callable[[Document], None]
    see_epoch: Callable[[EpochNote], None] = lambda _note: None
    current: Document = field(default_factory=parameters.defaults)
    _has_said: bool = False

    def retain(self, listed: list[Meta]) -> None:
        """Take what a list shows; where the ConfigMap is gone, the built-in defaults hold again."""
        if not any(meta.name == contract.PARAMETERS_CONFIG_MAP for meta in listed):
            self._take(parameters.defaults())

    def apply(self, event: str, config_map: ConfigMap) -> None:
        """Take one change of the ConfigMap."""
        if config_map.metadata.name != contract.PARAMETERS_CONFIG_MAP:
            return
        self._look_for_epoch(config_map.metadata.annotations.get(contract.ANNOTATION_LAST_EPOCH, ""))
        try:
            deleted = event == "DELETED"
            text = config_map.data.get(contract.PARAMETERS_KEY, "")
            document = parameters.defaults() if deleted else parameters.parse(text)
            if not deleted:
                parameters.check_successor(self.current, document)
        except (ParameterError, ValueError, RecursionError) as error:
            _log.info("parameters not taken: %s", error)
            return
        self._take(document)

    def _look_for_epoch(self, note: str) -> None:
        """Tell when an epoch ran last and how it ended; what nobody can read is left out."""
        try:
            epoch = msgspec.json.decode(note, type=EpochNote) if note else None
        except (msgspec.DecodeError, RecursionError):
            return
        if epoch is not None:
            self.see_epoch(epoch)

    def _take(self, document: Document) -> None:
        if document != self.current or not self._has_said:
            self._has_said = True
            self.current = document
            self.use(document)
