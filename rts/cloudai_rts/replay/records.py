"""What a replay's runs would look like in history: simulated experience for fits, benchmarks and tests."""

from collections.abc import Sequence

import numpy as np

from cloudai_rts.history import SUCCEEDED, Record
from cloudai_rts.replay.engine import Course
from cloudai_rts.replay.job import Job
from cloudai_rts.replay.world import classes_of
from cloudai_rts.traces import FleetNode, TraceTask


def records(
    jobs: Sequence[Job], course: Course, nodes: Sequence[FleetNode], tasks: Sequence[TraceTask] | None = None
) -> list[Record]:
    """One record for each job that ended; `tasks` add what users said. The clock is the replay's."""
    classes = classes_of(nodes)
    ended = []
    for index, job in enumerate(jobs):
        if not np.isfinite(course.finish[index]):
            continue
        slot = int(course.node[index])
        known = job.known
        ended.append(
            Record(
                pod_uid=job.name,
                task_uid=job.name,
                namespace="default",
                name=job.name,
                type=known.type,
                node=nodes[slot].node,
                node_class=classes[slot],
                arrival=known.arrival,
                start=float(course.start[index]),
                finish=float(course.finish[index]),
                outcome=SUCCEEDED,
                cpu=known.cpu,
                memory=known.memory,
                gpu=known.gpu,
                gpu_resource=known.gpu_resource,
                deadline=job.due,
                reference_runtime=known.reference_runtime,
                log_sd=known.log_sd,
                user="" if tasks is None else tasks[index].user,
                declared=None if tasks is None else tasks[index].expected_runtime_s,
                allowed=None if tasks is None else tasks[index].allowed_s,
                load=float(course.load[index]),
                used_cpu=job.cpu_used,
            )
        )
    return ended
