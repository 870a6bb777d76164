"""Files that people name on a command line: read up to a bound, whatever they are."""

from pathlib import Path
from typing import Final

MAX_BYTES: Final = 256 << 20


def read(file: Path, most: int = MAX_BYTES) -> str:
    """The text of a file. Raises `OSError` or `ValueError` (also for text that is no UTF-8, or longer than `most`)."""
    with file.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is longer than {most >> 20} MiB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte {error.start} is 0x{content[error.start]:02x}"
        raise ValueError(f"it is no UTF-8 text ({byte}); convert it, for example with iconv --to-code=UTF-8") from error
