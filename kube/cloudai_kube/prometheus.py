"""Questions to Prometheus through prometheus-api-client, with a session that cannot hang, flood or mislead us.

The client alone waits for ever, reads whatever comes, and drops the `warnings` of partial answers. Here every request
has a deadline and a size, and a partial answer is an error: half of the nodes taken for all of them would send
everything to the other half.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util.retry import Retry

from cloudai_kube.errors import PrometheusError
from cloudai_kube.prometheus_access import CLUSTER, Access
from cloudai_kube.redaction import redacted
from cloudai_kube.samples import Sample, Series

MAX_BYTES: Final = 32 << 20
TIMEOUT_SECONDS: Final = 5.0
TOTAL_SECONDS: Final = 10.0
CHUNK: Final = 1 << 16
_Told = TypeVar("_Told", Sample, Series)
_WHOLE_ANSWERS: Final = {"deny_partial_response": "1", "partial_response": "false"}
"""What VictoriaMetrics and Thanos heed, and others ignore: rather no answer than a part of one."""


class _BoundedSession(requests.Session):
    """Requests with a deadline, a size limit and no partial answers."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access
        if access.ca_file:
            self.verify = access.ca_file

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002  whatever it says
        """None is followed, or even prepared: for that requests would read the body whole, whatever its size."""
        return None

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401  the signature of requests
        kwargs["timeout"] = TIMEOUT_SECONDS
        kwargs["stream"] = True
        kwargs["params"] = {**(kwargs.get("params") or {}), **_WHOLE_ANSWERS}
        if self._access.token_file:
            kwargs["headers"] = {**(kwargs.get("headers") or {}), "Authorization": f"Bearer {self._token()}"}
        end = time.monotonic() + TOTAL_SECONDS
        response = super().request(*args, **kwargs)
        if response.is_redirect:
            response.close()
            raise PrometheusError(f"it redirects to {response.headers['Location'][:200]}; use that address instead")
        content = bytearray()
        while chunk := response.raw.read1(CHUNK, decode_content=True):  # as it comes: a full chunk may take for ever
            content += chunk
            if len(content) > MAX_BYTES:
                response.close()
                raise PrometheusError(f"the answer is longer than {MAX_BYTES >> 20} MiB; narrow the scrape targets")
            if time.monotonic() > end:
                response.close()
                raise PrometheusError(f"the answer took longer than {TOTAL_SECONDS:.0f} s")
        response._content = bytes(content)  # noqa: SLF001  requests' own way to hold a body that was read
        if response.status_code == requests.codes.ok:
            _refuse_partial(response)
        return response

    def _token(self) -> str:
        try:
            return Path(self._access.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise PrometheusError(f"the bearer token in {self._access.token_file} cannot be read: {error}") from error


class Prometheus:
    """One server. Blocking: call it from a thread."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.shown = access.shown
        self._asking: threading.Thread | None = None
        session = _BoundedSession(access)
        self._client = PrometheusConnect(access.url.rstrip("/"), session=session, retry=Retry(total=0))

    def ask(self, query: str, at: float | None = None) -> list[Sample]:
        """Samples of an instant query (`at` seconds since the epoch, else now). Raises `PrometheusError`.

        Values may be NaN or infinite: the caller decides and counts.
        """
        params = {} if at is None else {"time": f"{at:.3f}"}
        result = self._answer(lambda: self._client.custom_query(self.access.query(query), params=params))
        return [self._as_asked(sample) for raw in result if (sample := _sample(raw)) is not None]

    def ask_range(self, query: str, begin: float, end: float, step_seconds: float) -> list[Series]:
        """Series of a query over a stretch of time (seconds since the epoch). Raises `PrometheusError`.

        Values may be NaN or infinite: the caller decides and counts.
        """
        times = datetime.fromtimestamp(begin, UTC), datetime.fromtimestamp(end, UTC)
        result = self._answer(
            lambda: self._client.custom_query_range(self.access.query(query), *times, step=f"{step_seconds:.0f}s")
        )
        return [self._as_asked(series) for raw in result if (series := _series(raw)) is not None]

    def _as_asked(self, told: _Told) -> _Told:
        """With the cluster under the name that the query gave it."""
        if self.access.cluster_label != CLUSTER and self.access.cluster_label in told.labels:
            told.labels[CLUSTER] = told.labels.pop(self.access.cluster_label)
        return told

    def _answer(self, ask: Callable[[], list[Any]]) -> list[Any]:
        try:
            result = self._in_time(ask)
            if not isinstance(result, list):
                raise PrometheusError(f"{self.shown} answers with something else than samples: {str(result)[:100]}")
            return result
        except PrometheusError as error:
            raise PrometheusError(redacted(str(error))) from None
        except PrometheusApiClientException as error:
            problem = f"{self.shown}: {str(error)[:300]}"
        except (requests.RequestException, HTTPError) as error:  # the body is read past requests' own translation
            problem = f"{self.shown} does not answer: {_cause(error)}"
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            problem = f"{self.shown} answers with something else than samples: {error}"
        # `from None`: the causes' texts repeat the URL with its credentials, and a logged traceback shows causes.
        raise PrometheusError(redacted(problem)) from None

    def _in_time(self, ask: Callable[[], list[Any]]) -> list[Any]:
        """Ask in a thread of its own: headers that come a byte at a time pass every time-out of a socket.

        A thread that is still waiting is left behind, one at the most.
        """
        if self._asking is not None and self._asking.is_alive():
            raise PrometheusError(f"{self.shown} has not answered an earlier question yet")
        answer: Future[list[Any]] = Future()
        self._asking = threading.Thread(target=_settle, args=(answer, ask), name="prometheus", daemon=True)
        self._asking.start()
        try:
            return answer.result(TOTAL_SECONDS + TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise PrometheusError(f"{self.shown} takes longer than {TOTAL_SECONDS + TIMEOUT_SECONDS:.0f} s") from error


def _settle(answer: Future[list[Any]], ask: Callable[[], list[Any]]) -> None:
    try:
        answer.set_result(ask())
    except Exception as error:  # noqa: BLE001  it is raised again where the answer is waited for
        answer.set_exception(error)


def _cause(error: BaseException) -> str:
    """What the operating system says, if it says anything: the libraries' own texts repeat their objects."""
    if isinstance(error, (requests.Timeout, ReadTimeoutError)):
        return f"nothing came for {TIMEOUT_SECONDS:.0f} s"
    causes: list[BaseException] = [error]
    while (inner := causes[-1].__cause__ or causes[-1].__context__) is not None and inner not in causes:
        causes.append(inner)
    told = next((cause for cause in reversed(causes) if isinstance(cause, OSError) and cause.strerror), None)
    return str(error) if told is None else str(told.strerror)


def _refuse_partial(response: requests.Response) -> None:
    try:
        body = response.json()
    except (ValueError, RecursionError) as error:
        raise PrometheusError(f"the answer is no JSON: {error}") from error
    if not isinstance(body, dict) or body.get("status") != "success":
        raise PrometheusError("the answer says that the query did not succeed")
    if body.get(
        "warnings"
    ):  # Thanos' word for it, and Mimir's: what its queries cannot reach is an error, or stands here
        raise PrometheusError(f"the answer is partial: {str(body['warnings'])[:200]}")
    if body.get("isPartial"):  # VictoriaMetrics' word for it
        raise PrometheusError("the answer is partial: a part of the storage did not answer")


def _series(raw: Any) -> Series | None:  # noqa: ANN401  JSON
    try:
        labels = {str(name): str(text) for name, text in raw["metric"].items()}
        points = [(float(at), float(value)) for at, value in raw["values"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Series(labels, points)


def _sample(raw: Any) -> Sample | None:  # noqa: ANN401  JSON
    try:
        value = float(raw["value"][1])
        labels = {str(name): str(text) for name, text in raw["metric"].items()}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None
    return Sample(labels, value)
