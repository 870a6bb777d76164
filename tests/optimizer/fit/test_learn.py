"""The whole fit: it has the spreads that the scheduler has, so that what people are told comes true."""

import math

import numpy as np

from cloudai_kube.node_use import NodeUse
from cloudai_optimizer.fit import learn
from cloudai_rts import calibration, prediction
from cloudai_rts.history import SUCCEEDED, Record
from cloudai_rts.parameters import Document
from cloudai_rts.prediction import Said
from cloudai_rts.tau import TauStore

IDENTITIES = 20
LOG_SD = 0.12
SIZES = np.exp(np.random.default_rng(7).normal(math.log(1000.0), 1.0, IDENTITIES))


def runs(count: int, first: int, seed: int) -> list[Record]:
    """Tasks that are run again and again, of very different sizes, on machines that are alike."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(first, first + count):
        which = int(rng.integers(IDENTITIES))
        came, took = 50.0 * number, float(SIZES[which] * math.exp(rng.normal(0.0, LOG_SD)))
        records.append(
            Record(
                pod_uid=f"p{number}",
                task_uid=f"t{number}",
                namespace=f"team-{which % 6}",
                name=f"x{number}",
                type="train",
                node=f"n{number % 10}",
                node_class="NVIDIA-V100",
                arrival=came,
                start=came + 1.0,
                finish=came + 1.0 + took,
                outcome=SUCCEEDED,
                cpu=4.0,
                memory=1e9,
                gpu=1.0,
                gpu_resource="nvidia.com/gpu",
                identity=f"id{which}",
                load=0.0,
                used_cpu=1.0,
            )
        )
    return records


def test_what_is_told_of_tasks_that_are_run_again_comes_true() -> None:
    """Their own spread is that of their runs: the fit and the scheduler must not have two of them."""
    document, cores = Document(), {f"n{number}": 96.0 for number in range(10)}
    known = runs(800, 0, 1)
    for _ in range(4):
        document = learn.from_records(known, document, cores, NodeUse()).document
    runtime, tau = document.Runtime, TauStore(document.Tau)
    scores = []
    for record in runs(1500, 10_000, 2):
        said = Said(record.namespace, None, None, record.identity)
        found = prediction.estimate(record.type, tau.get(record.type), said, runtime)
        expected = math.log(found.seconds) + runtime.V.get(record.node, 0.0)
        deviation = (math.log(record.runtime) - expected + 0.5 * found.log_sd**2) / found.log_sd
        scores.append(calibration.normal_score(deviation, found.log_sd, runtime.Shape))
    inside = np.mean(np.abs(scores) < 1.2816)
    late = np.mean(np.array(scores) > 1.2816)
    assert 0.74 < inside < 0.86
    assert 0.06 < late < 0.14
