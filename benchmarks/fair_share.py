"""How many more deadlines do the others miss if one namespace sets absurd ones.

The queue and the shares of the scheduler at work in virtual time: GPUs that are wanted by four namespaces, one of which
submits two fifths of the work. It tells the truth first, then it claims to need everything sooner, by little or by much
(a task that claims too much becomes hopeless, and goes last). With and without fair share, paired by seed.
"""

import argparse
import heapq
import json
import math
import statistics
import sys
from dataclasses import dataclass, field

import msgspec
import numpy as np
from bar import Bar, judge

from cloudai_kube.objects import Pod
from cloudai_rts.fleet import Fleet, NodeSpec
from cloudai_rts.ordering import Standing
from cloudai_rts.task import Task
from cloudai_scheduler.cluster.shares import Shares
from cloudai_scheduler.podclass import PodClass
from cloudai_scheduler.queue import QueuedPod, SchedulingQueue
from cloudai_scheduler.verdicts import Verdicts

GREEDY, HONEST = "greedy", ("red", "green", "blue")
GREEDY_SHARE = 0.4
MEAN_SECONDS, LOG_SD, SLACK = 600.0, 0.8, 3.0
CLAIMS = (1.05, 1.5, 2.0, 2.5)
STEP_SECONDS = 10.0
GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class Job:
    """A task that takes one GPU. Seconds since the beginning."""

    number: int
    namespace: str
    arrival: float
    runtime: float
    deadline: float


@dataclass
class World:
    """GPUs, a queue, and what runs."""

    gpus: int
    half_life_seconds: float
    shares: Shares = field(init=False)
    fleet: Fleet = field(default_factory=Fleet)
    running: list[tuple[float, int, Job]] = field(default_factory=list)
    missed: dict[str, list[bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shares = Shares(self.half_life_seconds)
        self.fleet.put(NodeSpec("n", {"cpu": 1, "pods": 1 << 20, GPU: self.gpus}, "x"))

    def run(self, jobs: list[Job]) -> dict[str, float]:
        """Percent of the deadlines that each namespace misses."""
        queue = SchedulingQueue(self.shares.level)
        known = {str(job.number): job for job in jobs}
        arrivals, now, sampled = iter(jobs), 0.0, -STEP_SECONDS
        following = next(arrivals, None)
        while following is not None or self.running or len(queue):
            moments = [following.arrival] if following is not None else []
            moments += [self.running[0][0]] if self.running else []
            now = min(moments)
            if now - sampled >= STEP_SECONDS:
                sampled = now
                queue.move_up(self.shares.advance(now, self.fleet), now)
            while self.running and self.running[0][0] <= now:
                self._end(heapq.heappop(self.running)[2], now)
            while following is not None and following.arrival <= now:
                queue.add(_entry(following), now)
                following = next(arrivals, None)
            while len(self.running) < self.gpus and (entry := queue.pop(now)) is not None:
                queue.remove(entry.uid)
                job = known[entry.uid]
                self.shares.hold(job.namespace, {GPU: 1})
                heapq.heappush(self.running, (now + job.runtime, job.number, job))
        return {name: 100.0 * statistics.fmean(missed) for name, missed in self.missed.items()}

    def _end(self, job: Job, now: float) -> None:
        self.shares.hold(job.namespace, {GPU: 1}, -1)
        honest = job.arrival + SLACK * job.runtime  # what it really needs, whatever it claims
        self.missed.setdefault(job.namespace, []).append(now > honest)


def _entry(job: Job) -> QueuedPod:
    meta = {"name": str(job.number), "uid": str(job.number), "namespace": job.namespace}
    pod = msgspec.convert({"metadata": meta}, Pod)
    pod_class = PodClass(b"k", {GPU: 1}, {GPU: 1}, frozenset(), Verdicts(pod))
    standing = Standing(0, job.deadline, job.arrival, job.runtime)
    return QueuedPod(pod, pod_class, Task("t", 1, 1, deadline=job.deadline), standing, 0, job.arrival)


def draw(seed: int, gpus: int, load: float, count: int, greedy_slack: float) -> list[Job]:
    """Poisson arrivals at this load; the same but for the deadlines of the greedy one."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(MEAN_SECONDS / (gpus * load), count)
    runtimes = MEAN_SECONDS * np.exp(rng.normal(-(LOG_SD**2) / 2, LOG_SD, count))
    is_greedy = rng.random(count) < GREEDY_SHARE
    others = rng.integers(0, len(HONEST), count)
    jobs = []
    for number, arrival in enumerate(np.cumsum(gaps)):
        runtime = float(runtimes[number])
        name, slack = (GREEDY, greedy_slack) if is_greedy[number] else (HONEST[int(others[number])], SLACK)
        jobs.append(Job(number, name, float(arrival), runtime, float(arrival) + slack * runtime))
    return jobs


def main() -> None:
    """Run all four, print, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/fair_share.py --load 1.05 --seeds 8",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--load", type=float, default=1.05)
    parser.add_argument("--tasks", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--half-life", type=float, default=3600.0, help="seconds")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    bars = []
    for policy, half_life in (("deadlines alone", 0.0), ("fair share", arguments.half_life)):
        for slack in (SLACK, *CLAIMS):
            by_seed = [
                World(arguments.gpus, half_life).run(draw(seed, arguments.gpus, arguments.load, arguments.tasks, slack))
                for seed in range(arguments.seeds)
            ]
            rows[_name(policy, slack)] = {
                "others": statistics.fmean(statistics.fmean(missed[name] for name in HONEST) for missed in by_seed),
                GREEDY: statistics.fmean(missed[GREEDY] for missed in by_seed),
            }
            sys.stderr.write(f"{_name(policy, slack)}: done\n")
        worst = max(rows[_name(policy, slack)]["others"] for slack in CLAIMS)
        harm = worst - rows[_name(policy, SLACK)]["others"]
        limit = 1.0 if half_life else math.inf
        bars.append(Bar(f"{policy}: points that the others miss more, at the worst claim", harm, most=limit))
    if arguments.output == "json":
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    for name, row in rows.items() if arguments.output == "text" else ():
        sys.stdout.write(f"{name:>45}: others miss {row['others']:.1f} %, the greedy one {row[GREEDY]:.1f} %\n")
    judge(bars)


def _name(policy: str, slack: float) -> str:
    return f"{policy}, deadlines of {slack:g} run times" + (" (true)" if slack == SLACK else "")


if __name__ == "__main__":
    main()
