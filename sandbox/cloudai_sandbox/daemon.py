"""The sandbox as a background process: `up`, `down`, `status`, and what they leave in the state folder."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloudai_sandbox.control_plane import Say
from cloudai_sandbox.errors import SandboxError, StartError
from cloudai_sandbox.processes import wait_until_gone
from cloudai_sandbox.sandbox import RESTART_SECONDS, Sandbox

MARKER: Final = ".cloudai-sandbox"
START_SECONDS: Final = 1800.0
"""Cold builds take minutes."""


def default_folder() -> Path:
    """Where the state of the user's sandbox lies."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "cloudai" / "sandbox"


@dataclass(frozen=True, slots=True)
class State:
    """What a running sandbox tells about itself."""

    pid: int
    kubeconfig: str
    server: str
    etcd: str
    logs: str
    ports: dict[str, int]


def read_state(folder: Path) -> State | None:
    """Return the state of a sandbox that runs, None if none does."""
    try:
        raw: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        state = State(**raw)
        command = Path(f"/proc/{state.pid}/cmdline").read_bytes()
    except (OSError, ValueError, TypeError):
        return None
    return state if b"cloudai_sandbox" in command else None


def up(folder: Path, options: list[str], say: Say) -> State:
    """Start a sandbox in the background and wait until it is ready; one that runs already is used as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once: the second one finds what the first one started
        running = read_state(folder)
        if running is not None:
            say(f"already running (pid {running.pid})")
            return running
        return _start(folder, options, say)


def _start(folder: Path, options: list[str], say: Say) -> State:
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise StartError(f"{folder} is not empty and not a sandbox's: give --state an empty or new folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    (folder / MARKER).touch()
    log = folder / "progress.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cloudai_sandbox", "serve", "--state", str(folder), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return _wait(folder, process, log, say)
    except BaseException:  # also Ctrl-C: nothing must be left running that nobody knows of
        process.terminate()
        process.wait()
        raise


def _wait(folder: Path, process: "subprocess.Popen[bytes]", log: Path, say: Say) -> State:
    shown = 0
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        shown = _show(log, shown, say)
        state = read_state(folder)
        if state is not None:
            _show(log, shown, say)
            return state
        if process.poll() is not None:
            _show(log, shown, say)
            raise StartError(f"the sandbox ended with code {process.returncode}; see {log}")
        time.sleep(0.1)
    raise StartError(f"the sandbox is not ready after {START_SECONDS:.0f} s; see {log}")


def down(folder: Path, say: Say) -> bool:
    """Stop the running sandbox and wait until it is gone. False if none was running."""
    state = read_state(folder)
    if state is None:
        return False
    os.kill(state.pid, signal.SIGTERM)
    if not wait_until_gone(state.pid, 40.0):
        say("it does not stop: killing it; its children die with it")
        os.kill(state.pid, signal.SIGKILL)
        wait_until_gone(state.pid, 5.0)
    (folder / "state.json").unlink(missing_ok=True)
    return True


def serve(sandbox: Sandbox) -> int:
    """Run a sandbox in the foreground until SIGTERM, starting operator and scheduler again where they end."""
    stopping = serving = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True
        if not serving:
            raise SystemExit(1)  # still starting: `with` stops what runs already

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    state_file = sandbox.folder / "state.json"
    try:
        with sandbox:
            state = {
                "pid": os.getpid(),
                "kubeconfig": str(sandbox.plane.kubeconfig),
                "server": sandbox.plane.server,
                "etcd": sandbox.plane.etcd_server,
                "logs": str(sandbox.children.folder),
                "ports": sandbox.ports,
            }
            draft = state_file.with_suffix(".draft")
            draft.write_text(json.dumps(state), encoding="utf-8")
            draft.rename(state_file)
            serving = True
            while not stopping:
                time.sleep(RESTART_SECONDS)
                sandbox.check()
                for name in sandbox.revive():
                    sandbox.say(f"{name} ended and was started again")
    except SandboxError as error:
        sandbox.say(f"error: {error}")
        return 1
    finally:
        state_file.unlink(missing_ok=True)
    return 0


def _show(log: Path, shown: int, say: Say) -> int:
    text = log.read_text(errors="replace")
    whole = text.rfind("\n") + 1
    for line in text[shown:whole].splitlines():
        say(line)
    return max(shown, whole)
