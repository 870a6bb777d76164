"""Whatever file is named on a command line: exit code 2 and one line, never a traceback."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.api_server import running

from cloudai_cli.__main__ import main as cli
from cloudai_optimizer.__main__ import main as optimizer

HEADER = "arrival_s,name,type,cpu,memory_bytes,gpu,reference_runtime_s,sla_multiplier\n"
FLEET = "node,cpu,memory_bytes,gpu,gpu_product,storage_bytes,pods\nn1,8,1000000,0,,0,110\n"
TASKS = {
    "empty": b"",
    "binary": bytes(range(256)),
    "no header": b"1,2,3\n",
    "a header alone": HEADER.encode(),
    "NaN": HEADER.encode() + b"0,a,t,nan,1,0,1,2\n",
    "infinite": HEADER.encode() + b"0,a,t,1,1,0,inf,2\n",
    "huge": HEADER.encode() + b"0,a,t,1," + b"9" * 5000 + b",0,1,2\n",
    "negative": HEADER.encode() + b"0,a,t,-1,1,0,1,2\n",
    "an endless field": HEADER.encode() + b'0,"' + b"a" * 200_000 + b",t,1,1,0,1,2\n",
    "null bytes": HEADER.encode() + b"0,a\0b,t,1,1,0,1,2\n",
    "half a surrogate": HEADER.encode() + b"0,\xed\xa0\x80,t,1,1,0,1,2\n",
}
DOCUMENTS = {
    "empty": b"",
    "binary": bytes(range(256)),
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "aliases without end": b"a: &a [x,x]\nb: &b [*a,*a]\nLateness: *b\n",
    "a number without end": b"Risk: {Alpha: " + b"9" * 5000 + b", Beta: 1}",
    "a Python object": b"Risk: !!python/object/apply:os.system ['true']",
    "an unknown key": b"Surprise: 1",
    "a key that is no text": b"1: 2",
    "NaN": b"Risk: {Alpha: .nan, Beta: 1}",
    "a date": b"Risk: {Alpha: 2026-01-01, Beta: 1}",
    "bytes": b"Evidence: {x: !!binary aGVsbG8=}",
    "a set": b"Evidence: {x: !!set {a, b}}",
    "a key of a number": b"Evidence: {1: 2}",
    "a key of nothing": b"Evidence: {null: 2}",
    "a reference to itself": b"Evidence: &e {x: *e}",
    "infinite evidence": b"Evidence: {x: .inf}",
    "half a surrogate": b'Evidence: {x: "\\ud800"}',
}


@pytest.mark.parametrize("name", TASKS)
def test_traces(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`simulate` says what is wrong with the file."""
    tasks, fleet = tmp_path / "tasks.csv", tmp_path / "fleet.csv"
    tasks.write_bytes(TASKS[name])
    fleet.write_text(FLEET)
    with pytest.raises(SystemExit) as end:
        cli(["simulate", "--tasks", str(tasks), "--fleet", str(fleet)])
    assert_one_line(end.value.code, capsys.readouterr().err)


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_documents(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`publish` refuses them, and changes nothing."""
    file, kubeconfig = tmp_path / "document", tmp_path / "kubeconfig"
    file.write_bytes(DOCUMENTS[name])
    async with running() as (server, _):
        kubeconfig.write_text(json.dumps(reaching(server.url)))
        with pytest.raises(SystemExit) as end:
            await asyncio.to_thread(optimizer, ["--kubeconfig", str(kubeconfig), "publish", str(file)])
        assert {request.partition(" ")[0] for request in server.requests} == {"GET"}
    assert_one_line(end.value.code, capsys.readouterr().err)


def reaching(url: str) -> dict[str, Any]:
    """A kubeconfig for a server on the loopback."""
    return {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": url}}],
        "users": [{"name": "x", "user": {"token": "t"}}],
    }


def assert_one_line(code: object, errors: str) -> None:
    """Exit code 2, one line that says what to do."""
    assert code == 2, errors
    assert errors.count("\n") == 1, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["try", "--image", "x", "--kubeconfig", "KUBECONFIG"],
        ["simulate", "--from-cluster", "--kubeconfig", "KUBECONFIG"],
        ["import", "--from-prometheus", "1d", "--prometheus-url", "http://[::1"],
        ["import", "--from-prometheus", "1d", "--prometheus-url", "http://h", "--matchers", "bogus"],
    ],
)
def test_configurations(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A kubeconfig that is none, an address that is none."""
    broken = tmp_path / "kubeconfig"
    broken.write_text("clusters: [\n  - {")
    with pytest.raises(SystemExit) as end:
        cli([str(broken) if one == "KUBECONFIG" else one for one in arguments])
    assert_one_line(end.value.code, capsys.readouterr().err)
