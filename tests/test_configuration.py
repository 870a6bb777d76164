"""The settings files that ship with CloudAI hold every setting with its default."""

from pathlib import Path

import msgspec
import pytest
import yaml

from cloudai_operator.settings import Settings as OperatorSettings
from cloudai_scheduler.settings import Settings as SchedulerSettings

CONFIG = Path(__file__).parents[1] / "config"


@pytest.mark.parametrize(("file", "kind"), [("scheduler.yaml", SchedulerSettings), ("operator.yaml", OperatorSettings)])
def test_every_setting_with_its_default(file: str, kind: type[msgspec.Struct]) -> None:
    """A setting that is added or changed is added or changed there too."""
    shipped = yaml.safe_load((CONFIG / file).read_text())
    assert shipped == msgspec.json.decode(msgspec.json.encode(kind()))
