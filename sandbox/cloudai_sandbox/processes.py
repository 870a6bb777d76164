"""Child processes that never outlive their parent, not even when it is killed."""

import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cloudai_sandbox.errors import StartError

_PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Child:
    """One running process and its log file."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def check(self) -> None:
        """Raise `StartError` with the last words of its log if it has ended."""
        if not self.alive():
            tail = self.log.read_text(errors="replace")[-1500:]
            raise StartError(f"{self.name} ended with code {self.process.returncode}; its log {self.log} ends:\n{tail}")

    def stop(self, timeout_seconds: float = 15.0) -> int:
        """SIGTERM, after the timeout SIGKILL. Returns the exit code."""
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()


@dataclass(slots=True)
class Children:
    """All children of one sandbox, stopped in reverse order."""

    folder: Path
    running: list[Child] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str] | None = None) -> Child:
        """Start a process whose output goes to `<folder>/<name>.log`; it dies with us.

        Must be called from the main thread: the kernel ends the child when the *thread* that started it ends.
        """
        if threading.current_thread() is not threading.main_thread():
            raise StartError("children must be started from the main thread, or they end with the thread")
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{name}.log"
        parent = os.getpid()
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
                preexec_fn=lambda: _die_with(parent),  # noqa: PLW1509  only a system call, safe before exec
            )
        child = Child(name, process, log)
        self.running.append(child)
        return child

    def stop(self) -> None:
        """Stop all, last started first."""
        while self.running:
            self.running.pop().stop(5.0)


def _die_with(parent: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody uses now; all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def wait_until_gone(pid: int, timeout_seconds: float) -> bool:
    """Whether a process that is not our child has ended in time."""
    end = time.monotonic() + timeout_seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False
