"""What would have been learned from a trace before another one comes: the product's own epoch on a replayed history."""

from typing import Final

import msgspec

from cloudai_cli.scenario import TraceScenario
from cloudai_kube.node_use import NodeUse
from cloudai_optimizer.fit import learn
from cloudai_optimizer.rules import Rules
from cloudai_rts.parameters import Document
from cloudai_rts.replay.chooser import LEAST_ALLOCATED, ScoreChooser
from cloudai_rts.replay.engine import Replay
from cloudai_rts.replay.records import records

EPOCHS: Final = 3
"""Releases: none moves a value further than its step."""
LEAST_TASKS: Final = Rules().min_tasks


def learned(history: TraceScenario, seed: int = 0) -> Document:
    """The document in force after the tasks of a trace ran where kube-scheduler's least-allocated puts them."""
    jobs = history.jobs(seed)
    course = Replay(history.world(), jobs, ScoreChooser(LEAST_ALLOCATED)).run()
    known = records(jobs, course, history.nodes, history.tasks)
    document = history.document
    cores = {node.node: node.cpu for node in history.nodes}
    for _ in range(EPOCHS):
        document = learn.from_records(known, document, cores, NodeUse()).document
    return msgspec.structs.replace(document, Window=None)
