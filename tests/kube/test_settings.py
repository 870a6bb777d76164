"""Settings: defaults, file, environment, flags, and what is refused."""

from pathlib import Path

import pytest

from cloudai_kube.errors import ConfigurationError
from cloudai_kube.settings import load, parse_command_line
from cloudai_operator.settings import Settings as OperatorSettings
from cloudai_scheduler.settings import Settings


def of(file: Path | None = None, environ: dict[str, str] | None = None, **flags: str) -> Settings:
    """Scheduler settings from these sources."""
    return load(
        Settings, "cloudai-scheduler", str(file) if file else None, environ or {}, flags, {"KUBECONFIG": "kubeconfig"}
    )


def test_the_last_source_wins(tmp_path: Path) -> None:
    """File, then environment, then flags."""
    file = tmp_path / "s.yaml"
    file.write_text("bind_connections: 8\nhealth_port: 1\nlog_level: ERROR\n")
    found = of(file, {"CLOUDAI_SCHEDULER_HEALTH_PORT": "2", "CLOUDAI_SCHEDULER_LOG_LEVEL": "INFO"}, log_level="DEBUG")
    assert (found.bind_connections, found.health_port, found.log_level) == (8, 2, "DEBUG")


def test_well_known_variables() -> None:
    """KUBECONFIG and SCHED_SLA_MULTIPLIER are heeded."""
    assert of(environ={"KUBECONFIG": "x"}).kubeconfig == "x"
    found = load(
        OperatorSettings,
        "cloudai-operator",
        None,
        {"SCHED_SLA_MULTIPLIER": "1.5"},
        {},
        {"SCHED_SLA_MULTIPLIER": "sla_multiplier"},
    )
    assert found.sla_multiplier == 1.5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bind_conections: 8", "unknown setting 'bind_conections'"),
        ("bind_connections: many", "bind_connections"),
        ("bind_connections: 0", "bind_connections"),
        ("policy: fifo", "policy"),
        ("- 1", "list"),
        ("a: [", "cannot be read"),
        ("lease_duration_seconds: 5", "lease_renew_deadline_seconds"),
        ("[" * 20_000, "cannot be read"),
        (f"health_port: {'9' * 5000}", "cannot be read"),
        ("health_port: 2026-13-45", "cannot be read"),
        (" " * ((1 << 20) + 1), "longer than 1 MiB"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    """The message names the setting and what would be right."""
    file = tmp_path / "s.yaml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        of(file)


@pytest.mark.parametrize("text", ["2026-13-45", "9" * 5000, "[" * 20_000, "a: b: c"])
def test_bad_flags_are_refused_in_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever stands there: exit code 2, one line."""
    with pytest.raises(SystemExit) as caught:
        parse_command_line(Settings, "cloudai-scheduler", "d", "e", ["--health-port", text], {})
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_without_end_is_refused() -> None:
    """Read up to a bound."""
    with pytest.raises(ConfigurationError, match="longer than 1 MiB"):
        of(Path("/dev/zero"))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """No silent defaults where a file was asked for."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        of(tmp_path / "none.yaml")


def test_bad_flags_end_the_process_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and a message on stderr."""
    with pytest.raises(SystemExit) as caught:
        parse_command_line(Settings, "cloudai-scheduler", "d", "e", ["--health-port", "99999"], {})
    assert caught.value.code == 2
    assert "health_port = 99999" in capsys.readouterr().err


def test_shipped_files_name_every_setting() -> None:
    """config/*.yaml hold all settings with their defaults."""
    root = Path(__file__).parents[2] / "config"
    assert load(Settings, "s", str(root / "scheduler.yaml"), {}, {}, {}) == Settings()
    assert load(OperatorSettings, "o", str(root / "operator.yaml"), {}, {}, {}) == OperatorSettings()
