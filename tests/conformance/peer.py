"""The real kube-scheduler as an oracle: what its filters say of a pod, node by node and word by word.

It runs with an extender that takes note of the nodes that passed all filters, and then refuses each of them: no pod is
ever bound, so a whole batch of pods is judged against one cluster.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from cloudai_sandbox import binaries
from cloudai_sandbox.control_plane import ControlPlane
from cloudai_scheduler.profile import Profile

RECORDED: Final = "recorded"
"""The extender's reason against each node; it stands in the message beside those of the filters."""
_CONFIG: Final = """apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {{leaderElect: false}}
clientConnection: {{kubeconfig: "{kubeconfig}", qps: 5000, burst: 10000}}
percentageOfNodesToScore: 100
profiles: {profiles}
"""
PROFILED: Final = "profiled-scheduler"
PROFILE: Final = Profile(
    added_affinity={
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["hdd"]}]},
                {"matchExpressions": [{"key": "rack", "operator": "In", "values": ["1", "2"]}]},
            ]
        },
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 40, "preference": {"matchExpressions": [{"key": "rack", "operator": "In", "values": ["1"]}]}}
        ],
    },
    ignored_resources=("example.com/one",),
    ignored_resource_groups=("ignored.example",),
    weights={"NodeAffinity": 7, "ImageLocality": 0, "NodeResourcesFit": 3, "NodeResourcesBalancedAllocation": 0},
)
"""What a second scheduler name has, there and here."""
_EXTENDER: Final = """extenders:
  - {{urlPrefix: "http://127.0.0.1:{port}", filterVerb: filter, nodeCacheCapable: true}}
"""


def profiles() -> list[dict[str, Any]]:
    """The stock profile, and `PROFILE` as kube-scheduler's configuration has it."""
    enabled = [{"name": name, "weight": weight} for name, weight in PROFILE.weights.items() if weight]
    disabled = [{"name": name} for name in PROFILE.weights]
    arguments = {
        "NodeAffinity": {"addedAffinity": PROFILE.added_affinity},
        "NodeResourcesFit": {
            "ignoredResources": list(PROFILE.ignored_resources),
            "ignoredResourceGroups": list(PROFILE.ignored_resource_groups),
        },
    }
    more = {
        "plugins": {"score": {"enabled": enabled, "disabled": disabled}},
        "pluginConfig": [{"name": name, "args": args} for name, args in arguments.items()],
    }
    return [{"schedulerName": "default-scheduler"}, {"schedulerName": PROFILED, **more}]


class Recorder:
    """The extender: nodes that passed all filters, by the pod's UID."""

    def __init__(self) -> None:
        self.passed: dict[str, frozenset[str]] = {}
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            """One request of kube-scheduler."""

            def do_POST(self) -> None:
                """Take note, and refuse."""
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                names = asked["nodenames"] if "nodenames" in asked else asked["NodeNames"]
                uid = (asked.get("pod") or asked["Pod"])["metadata"]["uid"]
                recorder.passed[uid] = frozenset(names)
                answer = json.dumps({"nodenames": [], "failedNodes": dict.fromkeys(names, RECORDED)}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@contextmanager
def running(plane: ControlPlane, folder: Path, records: bool = True) -> Iterator[Recorder]:
    """kube-scheduler on a control plane, and what it says. Unless it `records`, it binds and evicts as it likes."""
    recorder = Recorder()
    thread = threading.Thread(target=recorder.server.serve_forever, daemon=True)
    thread.start()
    config = folder / "kube-scheduler.yaml"
    port = recorder.server.server_address[1]
    text = _CONFIG + _EXTENDER if records else _CONFIG
    config.write_text(text.format(kubeconfig=plane.kubeconfig, port=port, profiles=json.dumps(profiles())))
    program = binaries.ensure((binaries.PEER,)).path(binaries.PEER)
    child = plane.children.start(binaries.PEER, [program, f"--config={config}", "--secure-port=0"])
    try:
        yield recorder
    finally:
        child.stop()
        recorder.server.shutdown()
        recorder.server.server_close()
        thread.join(5)
