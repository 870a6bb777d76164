"""An epoch against a cluster: read, decide, publish, tell. The deciding is done by `epoch` and `publication`."""

import logging
import multiprocessing
import tempfile
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np

from cloudai_kube import timestamp
from cloudai_kube.errors import FormatError
from cloudai_kube.prometheus_access import Access
from cloudai_kube.scope import EVERYWHERE, Scope
from cloudai_kube.transport import Transport
from cloudai_optimizer import epoch as algorithm
from cloudai_optimizer import progress
from cloudai_optimizer.epoch import FITTED, REFUSED, TUNED, Outcome
from cloudai_optimizer.errors import (
    MEASUREMENT,
    RECORD,
    ClockError,
    HistoryError,
    PublishError,
    TelemetryError,
    counted,
)
from cloudai_optimizer.fit import learn
from cloudai_optimizer.judge import canary
from cloudai_optimizer.judge.canary import PROMOTED, ROLLED_BACK, RUNNING
from cloudai_optimizer.observe import observations
from cloudai_optimizer.observe.observations import Past, Sources
from cloudai_optimizer.progress import Reporter
from cloudai_optimizer.release import announcement, config_map, publication
from cloudai_optimizer.release.config_map import Change, Published
from cloudai_optimizer.rules import Rules
from cloudai_optimizer.search.genetic import Generation
from cloudai_rts import contract
from cloudai_rts.errors import ParameterError

_log = logging.getLogger(__name__)
FROZEN: Final = "frozen"
MAX_CLOCK_SECONDS: Final = 300.0
_EVENTS: Final = {
    FITTED: announcement.FITTED,
    TUNED: announcement.TUNED,
    PROMOTED: announcement.CANARY_PROMOTED,
    ROLLED_BACK: announcement.CANARY_ROLLED_BACK,
}


@dataclass(frozen=True, slots=True)
class Options:
    """What an epoch is run with. `window_seconds` is how far back history counts."""

    namespace: str
    rules: Rules = field(default_factory=Rules)
    workers: int = 2
    seed: int = 1
    window_seconds: float = 86_400.0
    share: float = publication.SHARE
    mongodb_uri: str = ""
    prometheus: Access | None = None
    mongodb_ca_file: str = ""
    scheduler_name: str = contract.SCHEDULER_NAME
    scope: Scope = EVERYWHERE
    dry_run: bool = False
    progress: Reporter = progress.silent

    def sources(self) -> Sources:
        """Where an epoch looks; a dry run leaves no trace."""
        return Sources(
            self.mongodb_uri,
            self.prometheus,
            self.window_seconds,
            not self.dry_run,
            self.namespace,
            self.scheduler_name,
            self.scope,
            self.mongodb_ca_file,
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What an epoch did."""

    result: str
    reason: str
    version: int
    published: bool
    seconds: float
    outcome: Outcome | None = None
    verdict: canary.Verdict | None = None

    def dropped(self) -> dict[str, int] | None:
        """What could not be used, by what it was and what was wrong with it; None where nothing was looked at."""
        return None if self.outcome is None else _dropped(self.outcome)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        fields: dict[str, Any] = {
            "result": self.result,
            "reason": self.reason,
            "version": self.version,
            "published": self.published,
            "seconds": round(self.seconds, 3),
        }
        if self.outcome is not None:
            fields["evidence"] = self.outcome.evidence()
            fields["dropped"] = self.dropped()
            fields["generations"] = [asdict(generation) for generation in self.outcome.generations]
        if self.verdict is not None:
            fields["canary"] = self.verdict.text()
        return fields

    def text(self) -> str:
        """For people."""
        what = f"version {self.version} is published" if self.published else f"version {self.version} stays in force"
        return f"{self.result}: {self.reason}; {what}; took {self.seconds:.1f} s"


def _dropped(outcome: Outcome) -> dict[str, int]:
    return counted(RECORD, outcome.dropped) | counted(MEASUREMENT, outcome.unmeasured)


async def epoch(transport: Transport, options: Options) -> Report:
    """One epoch. Raises `PublishError` if someone else published meanwhile, `KubeError` if the cluster is away.

    Raises `ClockError`, `HistoryError` or `TelemetryError` where what would be learned from is not to be believed.
    """
    begun = time.monotonic()
    before = await config_map.read(transport, options.namespace)
    now = _now(transport)
    if before.frozen or before.document.Canary is not None:
        await _keep_watching(transport, options, now)
    if before.frozen and before.document.Canary is None:
        return Report(FROZEN, before.frozen, before.document.version, False, time.monotonic() - begun)
    past = await _past(transport, options, before, now)
    if before.document.Canary is not None:
        verdict = canary.judge(before.document, past.records, _since(before), now)
        if before.frozen and verdict.result != ROLLED_BACK:  # what does harm is taken back all the same
            return Report(FROZEN, before.frozen, before.document.version, False, time.monotonic() - begun)
        if verdict.result == RUNNING:  # nothing may change under it, or neither side could be judged
            version = before.document.version
            return Report(RUNNING, verdict.text(), version, False, time.monotonic() - begun, None, verdict)
        change = publication.end_canary(before, verdict, timestamp.millis(now))
        return await _publish(transport, options, before, change, verdict.result, verdict.text(), begun, verdict)
    outcome = _believed(await _decide(transport, options, before, past, now))
    if outcome.document is None:
        return Report(outcome.result, outcome.reason, before.document.version, False, time.monotonic() - begun, outcome)
    outcome.seconds = time.monotonic() - begun
    change = _change(before, outcome, options, timestamp.millis(now))
    return await _publish(transport, options, before, change, outcome.result, outcome.reason, begun, None, outcome)


async def _past(transport: Transport, options: Options, before: Published, now: float) -> Past:
    """History. If it cannot be read for so long that a canary is overdue, that is judged by nothing: it ends."""
    try:
        return await observations.history(transport, options.sources(), now)
    except HistoryError:
        if before.document.Canary is None or now - _since(before) <= canary.LONGEST_SECONDS:
            raise
        return Past([])


def _now(transport: Transport) -> float:
    """Seconds since the epoch. A clock that has jumped would make all of history too old, or of the future."""
    now, server = time.time(), transport.server_time()
    if server is not None and abs(now - server) > MAX_CLOCK_SECONDS:
        raise ClockError(
            f"the clock here is {abs(now - server):.0f} s {'ahead of' if now > server else 'behind'} the API server's; "
            "set it right. The parameters stay as they are"
        )
    return now


async def _keep_watching(transport: Transport, options: Options, now: float) -> None:
    """Where nothing may change what is measured is kept all the same: later nobody could ask for it any more.

    Nothing of it may stand in the way of a canary that does harm.
    """
    try:
        past = await observations.history(transport, options.sources(), now)
        await observations.look(transport, options.sources(), past.records, now)
    except (TelemetryError, HistoryError) as error:
        _log.warning("%s", error)


async def fit(transport: Transport, options: Options) -> Outcome:
    """Fit only, publish nothing; also where nothing has finished since the last epoch.

    Raises `ClockError`, `HistoryError`, `PublishError` for parameters that nobody can read, or `KubeError`.
    """
    before = await config_map.read(transport, options.namespace)
    now = _now(transport)
    past = await observations.history(transport, options.sources(), now)
    seen = await observations.look(transport, replace(options, prometheus=None).sources(), past.records, now)
    rules = replace(options.rules, search_tasks=len(past.records) + 1, only_news=False)
    with ThreadPoolExecutor(1) as executor:
        return _believed(
            algorithm.run(
                seen.records,
                seen.machines,
                before.document,
                rules,
                np.random.default_rng(options.seed),
                executor,
                now,
                seen.use,
                unreadable=past.unreadable,
            )
        )


def _believed(outcome: Outcome) -> Outcome:
    if outcome.result == REFUSED:
        raise HistoryError(f"{outcome.reason}; the parameters stay as they are", _dropped(outcome))
    return outcome


async def _decide(transport: Transport, options: Options, before: Published, past: Past, now: float) -> Outcome:
    seen = await observations.look(transport, options.sources(), past.records, now)
    rng = np.random.default_rng(options.seed)
    of = options.rules.generations

    def report(generation: Generation) -> None:
        options.progress(generation.number, of, generation.best, generation.mean, generation.worst)

    with _executor(options.workers) as executor:
        outcome = algorithm.run(
            seen.records,
            seen.machines,
            before.document,
            options.rules,
            rng,
            executor,
            now,
            seen.use,
            before.reach,
            past.unreadable,
            report,
        )
    outcome.unmeasured = dict(seen.dropped)
    return outcome


def _executor(workers: int) -> Executor:
    """Processes that replay candidates; one thread where there is no place for the socket that processes need."""
    try:
        tempfile.gettempdir()
    except OSError as error:  # a read-only root without a volume for temporary files
        _log.warning("%s; candidates are replayed one after the other", error)
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("forkserver"))


def _change(before: Published, outcome: Outcome, options: Options, created_at: str) -> Change:
    if outcome.document is None:
        raise RuntimeError("nothing was decided")
    tuned = outcome.result == TUNED
    fitted = learn.keep_weights(outcome.document, before.document) if tuned else outcome.document
    try:
        return publication.release(
            before, fitted, outcome.document if tuned else None, created_at, options.share, outcome.evidence()
        )
    except ParameterError as error:
        raise PublishError(f"what was learned would be refused by every reader ({error}); nothing changes") from error


async def _publish(
    transport: Transport,
    options: Options,
    before: Published,
    change: Change,
    result: str,
    reason: str,
    begun: float,
    verdict: canary.Verdict | None,
    outcome: Outcome | None = None,
) -> Report:
    version = before.document.version
    if not options.dry_run:
        await config_map.write(transport, options.namespace, change, before)
        version = publication.version_of(change)
        begun_canary = change.texts.get(contract.CANDIDATE_KEY) is not None
        event = announcement.CANARY_BEGUN if begun_canary else _EVENTS[result]
        await announcement.announce(transport, options.namespace, event, f"version {version}: {reason}")
    return Report(result, reason, version, not options.dry_run, time.monotonic() - begun, outcome, verdict)


def _since(before: Published) -> float:
    tried = before.document.Canary
    try:
        return timestamp.parse(tried.Since) if tried is not None else 0.0
    except FormatError:
        return 0.0
