"""Files of a command line: read up to a bound, whatever they are."""

import os
import threading
from pathlib import Path

import pytest

from cloudai_kube import bounded_file


def test_a_file_within_the_bound(tmp_path: Path) -> None:
    """Read as UTF-8."""
    file = tmp_path / "x"
    file.write_text("zwölf", encoding="utf-8")
    assert bounded_file.read(file, 6) == "zwölf"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"1234567", "it is longer than"),
        (b"\xff\xfea\x00", r"it is no UTF-8 text \(byte 0 is 0xff\); convert it"),
        (b"zw\xf6lf", r"byte 2 is 0xf6"),
        (b"\xed\xa0\x80", "it is no UTF-8 text"),
    ],
)
def test_what_cannot_be_text(tmp_path: Path, content: bytes, said: str) -> None:
    """Too long, UTF-16, Latin-1, half a surrogate: the message says what to do."""
    file = tmp_path / "x"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        bounded_file.read(file, 6)


def test_a_pipe_without_an_end(tmp_path: Path) -> None:
    """Reading stops at the bound."""
    file = tmp_path / "pipe"
    os.mkfifo(file)

    def write() -> None:
        try:
            with file.open("wb") as stream:
                while True:
                    stream.write(b"x" * 65_536)
        except BrokenPipeError:
            return

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(ValueError, match="longer than 1 MiB"):
        bounded_file.read(file, 1 << 20)
    writer.join(5)
    assert not writer.is_alive()
