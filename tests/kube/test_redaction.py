"""Secrets never reach a text that anybody reads."""

import io
import json
import logging
from pathlib import Path

import msgspec
import pytest
from prometheus_client import generate_latest
from tests.api_server import status, until
from tests.scheduler.live import PODS, a_pod, cluster

from cloudai_kube import logs, task_history
from cloudai_kube.errors import ConfigurationError, PrometheusError
from cloudai_kube.prometheus import Prometheus
from cloudai_kube.prometheus_access import Access
from cloudai_kube.redaction import keep_secrets_of, redacted
from cloudai_operator import history
from cloudai_operator.settings import Settings as OperatorSettings
from cloudai_scheduler.settings import Settings as SchedulerSettings

CANARY = "c4nary-s3cret"
FORMS = [
    f"http://user:{CANARY}@127.0.0.1:9",
    f"http://{CANARY}@127.0.0.1:9/path",
    f"http://127.0.0.1:9/?token={CANARY}",
    f"http://127.0.0.1:9/?x=1&api_key={CANARY}&y=2",
    *(f"http://127.0.0.1:9/?{name}={CANARY}" for name in ("key", "auth", "sig", "pwd", "pass", "jwt", "anything")),
    f"http://127.0.0.1:9/{CANARY}-{CANARY}/prometheus",
]
UNREADABLE = [
    f"metrics:{CANARY}@127.0.0.1:9",
    f"//metrics:{CANARY}@127.0.0.1:9",
    f"http:/metrics:{CANARY}@127.0.0.1:9",
    f"http://[metrics:{CANARY}@127.0.0.1:9",
    f"http://metrics:{CANARY} {CANARY}@127.0.0.1:9",
    f"http://metrics:'{CANARY}@127.0.0.1:9",
    f'http://metrics:"{CANARY}@127.0.0.1:9',
    f"127.0.0.1:9/?token={CANARY}",
    f"http://127.0.0.1:{CANARY}",
]
AMBIGUOUS = [f"https://user:p@{CANARY}/x@127.0.0.1:9", f"https://user:{CANARY}@x@127.0.0.1:9"]


@pytest.mark.parametrize("url", AMBIGUOUS)
def test_an_address_of_which_half_a_password_would_be_the_host(url: str) -> None:
    """Refused before anybody is asked under that name."""
    with pytest.raises(ConfigurationError, match="write %40 for @") as raised:
        Access(url)
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize("url", UNREADABLE)
def test_an_address_that_cannot_be_read_is_not_repeated(url: str) -> None:
    """It may hold a password all the same."""
    with pytest.raises(ConfigurationError, match="write http://HOST:PORT") as raised:
        Access(url)
    assert CANARY not in str(raised.value)


def test_what_was_kept_is_cut_out_wherever_it_stands() -> None:
    """Libraries repeat addresses in their own ways: a password alone, with % or without."""
    keep_secrets_of("http://metrics:p%20w'd-7890@h/a-token-in-the-path-of-it/x?anything=v4lue678")
    for secret in ("p%20w'd-7890", "p w'd-7890", "a-token-in-the-path-of-it", "v4lue678"):
        assert secret not in redacted(f"cannot connect as {secret}, see the log")
    keep_secrets_of("mongodb://cloudai:cloudai@h/")  # what is no secret to anybody is left in words
    assert redacted("metrics of h: cloudai.dev/arrival") == "metrics of h: cloudai.dev/arrival"


@pytest.mark.parametrize("url", FORMS)
def test_a_prometheus_that_fails(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the error, nor its causes, nor a logged traceback repeats the address as it was given."""
    with pytest.raises(PrometheusError) as raised:
        Prometheus(Access(url)).ask("up")
    logging.getLogger("x").error("failed", exc_info=raised.value)
    assert CANARY not in str(raised.value)
    assert CANARY not in caplog.text
    assert CANARY not in Access(url).shown


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://u:{CANARY}",
        f"mongodb://u:{CANARY}@h:port/",
        f"mongodb://u:{CANARY}/x@h/",
        f"mongodb://u:{CANARY}@@h/",
        f"mongodb://u:{CANARY}%zz@h/",
    ],
)
def test_a_mongodb_uri_that_cannot_be_read(uri: str) -> None:
    """Whichever process reads it."""
    for read in (history.client, lambda text: task_history.connected(text, "test").__enter__()):
        with pytest.raises(ConfigurationError) as raised:
            read(uri)
        assert CANARY not in str(raised.value)
        assert raised.value.__cause__ is None


def test_every_line_of_the_log(tmp_path: Path) -> None:
    """Messages, arguments and tracebacks."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.RedactingFormatter(logs.FORMAT))
    logger = logging.getLogger("cloudai-test")
    logger.addHandler(handler)
    try:
        raise RuntimeError(f"mongodb://u:{CANARY}@h/ is away; {tmp_path}")
    except RuntimeError:
        logger.exception("asking %s: Authorization: Bearer %s", FORMS[0], CANARY)
    logger.removeHandler(handler)
    assert CANARY not in stream.getvalue()
    assert "is away" in stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "program"), [(OperatorSettings, "cloudai-operator"), (SchedulerSettings, "cloudai-scheduler")]
)
def test_help_and_errors_of_settings(
    kind: type[msgspec.Struct], program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """--help shows defaults, not what the environment holds; an error shows the value without its secret."""
    from cloudai_kube.settings import parse_command_line

    environ = {"MONGODB_URI": FORMS[0], "PROMETHEUS_URL": FORMS[0]}
    aliases = {"MONGODB_URI": "mongodb_uri", "PROMETHEUS_URL": "prometheus_url"}
    aliases = {name: field for name, field in aliases.items() if field in kind.__struct_fields__}
    for arguments in (["--help"], ["--health-port", FORMS[0]]):
        with pytest.raises(SystemExit):
            parse_command_line(kind, program, "text", "example", arguments, environ, aliases)
    shown = capsys.readouterr()
    assert CANARY not in shown.out + shown.err


def test_a_secret_on_the_command_line_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    """The process list shows it to everybody; the note does not repeat it."""
    from cloudai_kube.settings import parse_command_line

    parse_command_line(OperatorSettings, "cloudai-operator", "text", "example", ["--mongodb-uri", FORMS[0]], {})
    said = capsys.readouterr().err
    assert "use CLOUDAI_OPERATOR_MONGODB_URI" in said
    assert CANARY not in said


async def test_what_the_scheduler_says_of_a_refused_bind() -> None:
    """A webhook's address with its credentials: neither in conditions, nor in Events, nor in metrics."""
    async with cluster("a") as here:
        here.server.fail("binding", lambda _: status(403, "Forbidden", f"webhook {FORMS[0]} said no"), times=1)
        here.server.put(PODS, a_pod("p"))
        await until(lambda: here.condition("p").get("reason") == "SchedulerError")
        assert "said no" in here.condition("p")["message"]
        await until(lambda: "FailedScheduling" in here.events("p"))
        text = json.dumps(here.server.objects) + generate_latest(here.scheduler.metrics.registry).decode()
        assert CANARY not in text


@pytest.mark.parametrize("text", ["node a: 3 Insufficient cpu", "https://example.com/a@b", "a token of 5 characters"])
def test_what_is_no_secret_stays(text: str) -> None:
    """As far as it can be told apart."""
    assert redacted(text).replace("***@b", "example.com/a@b") == text
