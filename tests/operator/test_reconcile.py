"""From Task and pods to a plan: every state, every end, and every crash between two writes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudai_kube import timestamp
from cloudai_operator.reconcile import refused

WorldClass = Any  # the fixture of conftest.py


def test_from_apply_to_complete(world: WorldClass) -> None:
    """Pending, Scheduled, Running, Complete, and the deadline was met."""
    one = world(sla={"finishWithin": "1h"})
    states = []
    one.settle()
    states.append(one.task.status.state)
    one.bind(decision='{"policy":"rts","lateProbability":0.25,"parametersVersion":7,"predictedRuntimeSeconds":60}')
    one.settle()
    states.append(one.task.status.state)
    one.report("Running")
    one.settle()
    states.append(one.task.status.state)
    assert (one.task.status.latePercent, one.task.status.parametersVersion) == (25, 7)
    one.now += 60
    one.report("Succeeded", 0)
    one.settle()
    states.append(one.task.status.state)
    assert states == ["Pending", "Scheduled", "Running", "Complete"]
    assert one.condition("DeadlineMet") == ("True", "Met")
    assert (one.task.status.runtimeSeconds, one.task.status.attempts[0].outcome) == (5.0, "Succeeded")
    assert one.notices == ["Accepted", "Scheduled", "Completed"]


def test_late_is_said_when_it_happens(world: WorldClass) -> None:
    """DeadlineMet turns False at the deadline, not at the end, and the plan wakes for it."""
    one = world(sla={"finishWithin": "1m"})
    one.settle()
    assert one.step().wake_at == one.now + 60
    one.step(61)
    assert one.condition("DeadlineMet") == ("False", "Passed")
    assert "DeadlineMissed" in one.notices


def test_failures_wait_longer_each_time_until_the_limit(world: WorldClass) -> None:
    """10 s, 20 s; the third failure with backoffLimit 2 is the end."""
    one = world(backoffLimit=2)
    one.settle()
    pauses = []
    for _ in range(2):
        one.fail(1)
        one.settle()
        assert (one.task.status.state, one.condition("Scheduled")[1]) == ("Retrying", "Retrying")
        pauses.append(timestamp.parse(one.task.status.retryTime) - one.now)
        one.step(pauses[-1])
    assert pauses == [10, 20]
    one.fail(1)
    one.settle()
    assert one.condition("Failed") == ("True", "BackoffLimitExceeded")
    assert (one.task.status.failed, one.task.status.attemptCount) == (3, 3)


@pytest.mark.parametrize(
    ("status", "counter"),
    [
        ({"reason": "OutOfcpu", "containerStatuses": []}, "rejected"),
        ({"reason": "TaintToleration", "containerStatuses": []}, "rejected"),
        ({"reason": "AWordOfTheNextRelease", "containerStatuses": []}, "rejected"),
        ({"reason": "Evicted", "message": "Pod ephemeral local storage usage exceeds the total limit"}, "failed"),
        ({"reason": "Evicted", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}, "disrupted"),
        ({"reason": "NodeShutdown"}, "disrupted"),
        ({"conditions": [{"type": "DisruptionTarget", "status": "True"}]}, "disrupted"),
        ({}, "failed"),
    ],
)
def test_who_is_to_blame(world: WorldClass, status: dict[str, Any], counter: str) -> None:
    """Only the Task's own failures count against backoffLimit 0."""
    one = world(backoffLimit=0)
    one.settle()
    one.bind()
    one.report("Failed", 1, **status)
    one.settle()
    assert getattr(one.task.status, counter) == 1
    assert one.task.status.finished() == (counter == "failed")


def test_a_pod_that_was_deleted_by_someone_is_a_disruption(world: WorldClass) -> None:
    """Gone, or killed by the deletion's SIGTERM: a new pod at once, no failure."""
    one = world(backoffLimit=0)
    one.settle()
    one.bind()
    one.report("Failed", 143)
    one.pod().metadata.deletionTimestamp = timestamp.whole_seconds(one.now + 30)
    one.pod().metadata.deletionGracePeriodSeconds = 30
    one.settle()
    assert (one.task.status.disrupted, one.task.status.failed, one.task.status.attemptCount) == (1, 0, 2)
    one.pods.clear()
    one.settle()
    assert one.task.status.disrupted == 2


def test_a_failure_before_the_deletion_is_a_failure(world: WorldClass) -> None:
    """Cleaning up a failed pod does not excuse it."""
    one = world(backoffLimit=0)
    one.settle()
    one.fail()
    one.pod().metadata.deletionTimestamp = timestamp.whole_seconds(one.now + 120)
    one.pod().metadata.deletionGracePeriodSeconds = 30
    one.settle()
    assert one.task.status.failed == 1


def test_a_node_that_is_gone(world: WorldClass) -> None:
    """After its grace the attempt is disrupted and its pod removed by force; before that nothing happens."""
    one = world()
    one.settle()
    one.bind("n9")
    one.report("Running")
    one.gone_nodes["n9"] = one.now + 30
    plan = one.step(1)
    assert (plan.deletions, plan.wake_at) == ([], one.gone_nodes["n9"])
    plan = one.step(30)
    assert [deletion.force for deletion in plan.deletions if deletion.force] == [True]
    one.settle()
    assert (one.task.status.disrupted, one.task.status.attemptCount) == (1, 2)


def test_suspend_stops_the_clock_and_not_the_deadline(world: WorldClass) -> None:
    """activeDeadlineSeconds counts active time only."""
    one = world(activeDeadlineSeconds=100, sla={"finishWithin": "1h"})
    one.settle()
    deadline = one.task.status.deadline
    one.task.spec.suspend = True
    one.step(60)
    assert (one.task.status.state, len(one.pods)) == ("Suspended", 0)
    one.task.spec.suspend = False
    one.step(1000)
    assert one.task.status.deadline == deadline
    assert not one.task.status.finished()
    one.step(39)
    assert not one.task.status.finished()
    one.step(2)
    assert one.condition("Failed") == ("True", "DeadlineExceeded")
    assert one.pods == {}


def test_created_suspended_it_arrives_when_resumed(world: WorldClass) -> None:
    """Its deadline counts from then."""
    one = world(suspend=True, sla={"finishWithin": "1h"})
    one.step()
    assert (one.task.status.state, one.task.status.arrivalTime) == ("Suspended", "")
    one.task.spec.suspend = False
    one.step(500)
    assert timestamp.parse(one.task.status.deadline) == one.now + 3600


def test_a_changed_deadline_reaches_the_pod(world: WorldClass) -> None:
    """finishWithin may be changed; the first promise stays on record."""
    one = world(sla={"finishWithin": "1h"})
    one.settle()
    first = one.task.status.deadline
    one.task.spec.sla.finishWithin = "2h"
    one.settle()
    assert one.task.status.originalDeadline == first
    assert one.pod().metadata.annotations["cloudai.dev/deadline"] == one.task.status.deadline != first


def test_a_multiplier_may_give_way_to_a_definite_deadline(world: WorldClass) -> None:
    """Nothing that a user may write is without effect."""
    one = world(sla={"multiplier": "3", "expectedRuntime": "10m"})
    one.settle()
    assert timestamp.parse(one.task.status.deadline) == one.now + 1800
    one.task.spec.sla.multiplier, one.task.spec.sla.finishWithin = None, "20m"
    one.settle()
    assert timestamp.parse(one.task.status.deadline) == one.now + 1200


def test_ttl(world: WorldClass) -> None:
    """Removed so long after the end, not before."""
    one = world(ttlSecondsAfterFinished=60)
    one.settle()
    one.bind()
    one.report("Succeeded", 0)
    one.settle()
    one.step(59)
    assert not one.removed
    one.step(1)
    assert one.removed


def test_why_a_container_does_not_start(world: WorldClass) -> None:
    """ImagePullBackOff is in the condition and, once, an event."""
    one = world()
    one.settle()
    one.bind()
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    one.report("Pending", containerStatuses=[{"name": "task", "state": waiting}])
    one.settle()
    assert one.condition("Running") == ("False", "ImagePullBackOff")
    assert one.notices.count("ImagePullBackOff") == 1


def test_waiting_and_deferral_are_shown(world: WorldClass) -> None:
    """The scheduler's words are the Task's condition and, once a reason, its event."""
    one = world()
    one.settle()
    told = {"type": "PodScheduled", "status": "False", "reason": "Deferred", "message": "waiting for a better node"}
    one.pod().status.conditions = msgspec.convert([told], list[type(one.task.status.condition("Running"))])  # type: ignore[misc]  # the type of a condition
    one.settle()
    one.step(60)
    assert (one.task.status.state, one.condition("Scheduled")) == ("Deferred", ("False", "Deferred"))
    assert one.notices.count("Deferred") == 1


def test_a_refused_pod_is_tried_again(world: WorldClass) -> None:
    """Quota: no attempt is counted, the pause grows, and the reason is shown."""
    one = world()
    one.step(crash="pods")
    pauses = []
    for _ in range(3):
        one.task.status = refused(one.task, "QuotaExceeded", "exceeded quota: gpu", one.rules, one.now)
        pauses.append(timestamp.parse(one.task.status.retryTime) - one.now)
        assert one.step().creation is None
        one.now += pauses[-1]
    assert pauses == [10, 20, 40]
    assert one.condition("Scheduled") == ("False", "QuotaExceeded")
    assert one.step().creation is not None
    assert one.task.status.attemptCount == 0


def test_a_stray_pod_beside_the_live_one_is_deleted(world: WorldClass) -> None:
    """One live pod an attempt: what is booked as ended must not go on."""
    one = world()
    one.settle()
    stray = one.pod()
    one.pods.clear()
    one.settle()
    one.pods[stray.metadata.uid] = stray
    plan = one.step()
    assert [deletion.pod.uid for deletion in plan.deletions] == [stray.metadata.uid]


def test_a_label_that_was_taken_away_comes_back(world: WorldClass) -> None:
    """Without it our own watch would lose sight of the pod."""
    one = world()
    one.settle()
    del one.pod().metadata.labels["cloudai.dev/task"]
    one.step()
    assert one.pod().metadata.labels["cloudai.dev/task"] == "t"


def test_rubbish_in_the_decision_annotation(world: WorldClass) -> None:
    """Strangers may write there; the status stays within its schema."""
    for text in ("{", "[]", '{"lateProbability":"x","parametersVersion":-3,"predictedCompletionTime":7}', "[" * 9999):
        one = world()
        one.settle()
        one.bind(decision=text)
        one.settle()
        assert (one.task.status.latePercent, one.task.status.parametersVersion) == (None, None)


def test_a_pod_that_cannot_start_is_tried_elsewhere(world: WorldClass) -> None:
    """Its image cannot be pulled there: after the start deadline the attempt ends, and the node is avoided."""
    one = world(sla={"finishWithin": "5h"})
    one.settle()
    one.bind("windows")
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no matching manifest"}}
    one.report("Pending", containerStatuses=[{"name": "task", "state": waiting}])
    plan = one.step()
    assert plan.wake_at == one.now + one.rules.start_seconds
    one.step(one.rules.start_seconds - 1)
    assert one.task.status.attempts[0].outcome == ""
    plan = one.step(1)
    assert (one.task.status.attempts[0].outcome, len(plan.deletions)) == ("Rejected", 1)
    assert "ErrImagePull" in one.task.status.attempts[0].message
    one.step(10)
    assert one.pod().metadata.annotations["cloudai.dev/avoided-nodes"] == "windows"


@pytest.mark.parametrize("prepared", [True, False])
def test_an_image_that_is_being_pulled_has_all_the_time(world: WorldClass, prepared: bool) -> None:
    """Network and volumes that do not come have not."""
    one = world()
    one.settle()
    one.bind("n")
    condition = {"type": "PodReadyToStartContainers", "status": str(prepared)}
    creating = {"name": "task", "state": {"waiting": {"reason": "ContainerCreating"}}}
    one.report("Pending", containerStatuses=[creating], conditions=[condition])
    one.step()
    one.step(3600)
    assert (one.task.status.attempts[0].outcome == "") is prepared


def test_a_dead_machine_whose_node_stays(world: WorldClass) -> None:
    """Its pod can no longer say what became of it: disrupted after a time, tried elsewhere though it is still shown."""
    one = world(backoffLimit=0)
    one.settle()
    one.bind("cold")
    one.report("Running")
    dead = one.pod()
    one.unready_nodes.add("cold")
    dead.metadata.deletionTimestamp = timestamp.whole_seconds(one.now + 30)
    one.step()
    assert one.task.status.attempts[0].outcome == ""
    one.step(61)
    assert one.task.status.attempts[0].outcome == "Disrupted"
    one.settle()
    assert one.task.status.attemptCount == 2
    assert len(one.pods) == 2
    assert one.pod().metadata.uid != dead.metadata.uid


def test_a_known_start_is_kept(world: WorldClass) -> None:
    """The node was started again and the kubelet knows nothing of the container any more."""
    one = world(backoffLimit=0)
    one.settle()
    one.bind("n")
    one.report("Running")
    one.settle()
    begun = one.task.status.attempts[0].startTime
    lost = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None, "finishedAt": None}}
    one.report("Failed", containerStatuses=[{"name": "task", "state": lost}])
    one.step(60)
    attempt = one.task.status.attempts[0]
    assert (attempt.outcome, attempt.startTime) == ("Disrupted", begun)
    assert begun


def test_a_sidecar_that_runs_on_is_ended(world: WorldClass) -> None:
    """The Task is complete when its own container is."""
    one = world()
    one.settle()
    one.bind("n")
    one.report("Running")
    one.step(60)
    done = {"terminated": {"exitCode": 0, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:18Z"}}
    containers = [{"name": "istio-proxy", "state": {"running": {}}}, {"name": "task", "state": done}]
    one.report("Running", containerStatuses=containers)
    plan = one.step()
    assert (one.task.status.state, one.task.status.runtimeSeconds) == ("Complete", 18.0)
    assert len(plan.deletions) == 1


def test_a_prediction_whose_time_has_passed_does_not_stand_there(world: WorldClass) -> None:
    """It was a guess, and it was wrong."""
    one = world(sla={"finishWithin": "1h"})
    one.settle()
    told = timestamp.millis(one.now + 60)
    one.bind(decision=f'{{"policy":"rts","lateProbability":0.12,"predictedCompletionTime":"{told}"}}')
    one.report("Running")
    plan = one.step()
    assert (one.task.status.predictedCompletionTime, one.task.status.latePercent) == (told, 12)
    assert "12 % chance of missing its deadline" in one.task.status.condition("Scheduled").message
    assert plan.wake_at == one.now + 60
    one.step(61)
    assert (one.task.status.predictedCompletionTime, one.task.status.latePercent) == ("", None)


def test_a_decision_from_before_the_bind_is_not_believed(world: WorldClass) -> None:
    """Its author may write it as long as there is no Binding, whose own replaces it."""
    one = world()
    one.settle()
    one.pod().metadata.annotations["cloudai.dev/decision"] = '{"policy":"rts","predictedRuntimeSeconds":1e-3}'
    one.step(1)
    assert one.task.status.attempts[0].decision == {}
    one.bind(decision='{"policy":"rts","predictedRuntimeSeconds":60}')
    one.step(1)
    assert one.task.status.attempts[0].decision["predictedRuntimeSeconds"] == 60


def test_the_chance_of_being_late_goes_with_the_deadline(world: WorldClass) -> None:
    """When it has passed it is known; the expected end stays."""
    one = world(sla={"finishWithin": "10m"})
    one.settle()
    told = timestamp.millis(one.now + 2000)
    one.bind(decision=f'{{"policy":"rts","lateProbability":0.6,"predictedCompletionTime":"{told}"}}')
    one.step(1)
    assert one.task.status.latePercent == 60
    one.step(600)
    assert (one.task.status.latePercent, one.task.status.predictedCompletionTime) == (None, told)


def test_a_decision_that_is_changed_later_is_not_believed(world: WorldClass) -> None:
    """What the scheduler wrote with the Binding is what history gets."""
    one = world()
    one.settle()
    one.bind(decision='{"policy":"rts","predictedRuntimeSeconds":60}')
    one.settle()
    one.pod().metadata.annotations["cloudai.dev/decision"] = '{"policy":"rts","predictedRuntimeSeconds":1e-9}'
    one.report("Succeeded", 0)
    one.settle()
    assert one.task.status.attempts[0].decision["predictedRuntimeSeconds"] == 60


def test_pods_are_linux_only_unless_the_task_says_otherwise(world: WorldClass) -> None:
    """Their security settings are."""
    for spec, expected in (
        ({}, {"kubernetes.io/os": "linux"}),
        ({"nodeSelector": {"zone": "a"}}, {"zone": "a", "kubernetes.io/os": "linux"}),
        ({"nodeSelector": {"kubernetes.io/os": "windows"}}, {"kubernetes.io/os": "windows"}),
    ):
        one = world(**spec)
        one.settle()
        assert one.pod().spec.nodeSelector == expected


Step = st.sampled_from(["bind", "run", "succeed", "fail", "reject", "delete", "suspend", "resume", "wait", "crash"])


@given(st.lists(Step, max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_history_leads_to_two_live_pods_or_a_lost_task(steps: list[str]) -> None:
    """Whatever happens in whatever order, with crashes between the writes: one live pod at most, each end once."""
    from tests.operator.conftest import World

    one = World(backoffLimit=3)
    for step in steps:
        live = [pod for pod in one.pods.values() if pod.status.phase not in {"Succeeded", "Failed"}]
        assert len(live) <= 1
        if step == "suspend":
            one.task.spec.suspend = True
        elif step == "resume":
            one.task.spec.suspend = False
        elif live and step == "bind":
            one.bind()
        elif live and step in {"run", "succeed", "fail", "reject"}:
            one.bind()
            reason: dict[str, Any] = {"reason": "OutOfcpu", "containerStatuses": []} if step == "reject" else {}
            code = {"run": None, "succeed": 0, "fail": 1, "reject": 0}[step]
            one.report({"run": "Running", "succeed": "Succeeded"}.get(step, "Failed"), code, **reason)
        elif live and step == "delete":
            del one.pods[one.pod().metadata.uid]
        one.step(30.0, crash="pods" if step == "crash" else "")
        one.step(1.0)
    status = one.task.status
    ended = status.succeeded + status.failed + status.rejected + status.disrupted
    deleted = sum(attempt.outcome == "Deleted" for attempt in status.attempts)
    assert ended + deleted + status.active == status.attemptCount
    if not status.finished():
        one.task.spec.suspend = False
        one.step(400.0)
        one.step(400.0)
        assert one.pods
