"""A trace out of `kubectl get pods --all-namespaces -o json`: pods that succeeded and are still there.

A node selector or a required node affinity may name GPU products; a task of a trace can be held to one only.
"""

import re
from collections import Counter
from typing import Final

import msgspec

from cloudai_cli.errors import InputError
from cloudai_cli.imported import SERIAL, Run
from cloudai_kube import timestamp
from cloudai_kube.demand import requests_of
from cloudai_kube.errors import FormatError
from cloudai_kube.objects import NodeSelectorTerm, Pod, PodSpec
from cloudai_rts.contract import CPU, MAX_SECONDS
from cloudai_rts.nodeclass import RULES

COMMAND: Final = "kubectl get pods --all-namespaces -o json"
_SUCCEEDED: Final = "Succeeded"
_MILLI: Final = 1000.0
_SPACE: Final = re.compile(r"\s+")


class _PodList(msgspec.Struct):
    items: list[msgspec.Raw]


def read(text: str) -> tuple[list[Run], Counter[str]]:
    """The pods as runs, in order of creation, and why others are left out. Raises `InputError`."""
    try:
        pods = msgspec.json.decode(text.removeprefix("\ufeff"), type=_PodList).items
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InputError(
            f"this is no list of pods ({_SPACE.sub(' ', str(error))}); write it with: {COMMAND}"
        ) from error
    runs: list[Run] = []
    left_out: Counter[str] = Counter()
    for raw in pods:
        try:
            run = _run(msgspec.json.decode(raw, type=Pod))
        except (msgspec.MsgspecError, RecursionError, UnicodeError, FormatError):
            run = "cannot be read"
        if isinstance(run, Run):
            runs.append(run)
        else:
            left_out[run] += 1
    return sorted(runs, key=lambda run: (run.created, run.uid)), left_out


def _run(pod: Pod) -> Run | str:
    """A pod, or why it is none of ours."""
    if pod.status.phase != _SUCCEEDED:
        return "did not succeed"
    ends = [status.state.terminated for status in pod.status.containerStatuses if status.state.terminated is not None]
    started = [moment for end in ends if (moment := timestamp.parse_optional(end.startedAt)) is not None]
    finished = [moment for end in ends if (moment := timestamp.parse_optional(end.finishedAt)) is not None]
    created = timestamp.parse_optional(pod.metadata.creationTimestamp)
    if not started or not finished or created is None or not 0 < max(finished) - min(started) <= MAX_SECONDS:
        return "have no times, or contradicting ones"
    meta, amounts = pod.metadata, requests_of(pod)
    requests = {name: amount / _MILLI if name == CPU else float(amount) for name, amount in amounts.items()}
    owner = next((reference.name for reference in meta.ownerReferences if reference.controller), meta.name)
    return Run(
        uid=meta.uid,
        name=f"{meta.namespace}/{meta.name}",
        workload=f"{meta.namespace}/{SERIAL.sub('', owner)}",
        created=min(created, *started),
        started=min(started),
        completed=max(finished),
        requests=requests,
        gpu_products=frozenset(_selected(pod.spec) or _required(pod.spec)),
    )


def _selected(spec: PodSpec) -> set[str]:
    return {spec.nodeSelector[label] for label in RULES.product_labels if spec.nodeSelector.get(label)}


def _required(spec: PodSpec) -> set[str]:
    """The products that required node affinity allows; empty where one of its terms leaves them open."""
    affinity = spec.affinity.nodeAffinity if spec.affinity else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity else None
    named = [_named(term) for term in required.nodeSelectorTerms] if required else []
    return set.union(*named) if named and all(named) else set()


def _named(term: NodeSelectorTerm) -> set[str]:
    expressions = (each for each in term.matchExpressions if each.key in RULES.product_labels and each.operator == "In")
    return {value for expression in expressions for value in expression.values}
