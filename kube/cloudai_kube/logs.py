"""Logging of every process: one line format, and no secret in any line, whatever wrote it."""

import logging
import sys

from cloudai_kube.redaction import redacted

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class RedactingFormatter(logging.Formatter):
    """Formats a record with its traceback, then cuts credentials out of the whole of it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return redacted(super().format(record))


def complain(program: str, error: object) -> None:
    """Tell the person at the terminal in one line why a program ends."""
    text = " ".join(str(error).split())  # a parser's text has several lines
    sys.stderr.write(f"{program}: {redacted(text)}\n")


def begin(level: str) -> None:
    """Log to standard error from `level` on."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
