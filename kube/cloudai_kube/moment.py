"""Times that others report, as times or as None: the one place that knows which of them mean "never".

containerd writes the epoch's zero where a container never started, Go's zero time is the year 1, kubelets write null
where they do not know (kubernetes/kubernetes#120331), and a tenant may write anything into an object of their own.
"""

from typing import Final

from cloudai_kube import timestamp
from cloudai_kube.errors import FormatError

EARLIEST: Final = 86_400.0
"""No cluster was there on the first day of 1970: what claims so means that there is no time."""
SKEW_SECONDS: Final = 300.0
"""How far the clocks of two machines of one cluster may differ: what is further off is no time of this pod."""


def read(text: str | None, not_before: str | None = None) -> float | None:
    """Seconds since the epoch, None for "never", for what cannot be read, and for what lies before `not_before`."""
    try:
        seconds = timestamp.parse_optional(text)
        earliest = timestamp.parse_optional(not_before) if not_before else None
    except FormatError:
        return None
    if seconds is None or seconds < EARLIEST:
        return None
    return None if earliest is not None and seconds < earliest - SKEW_SECONDS else seconds


def text(seconds: float | None) -> str:
    """RFC 3339 in whole seconds as containers' times are; empty for None."""
    return "" if seconds is None else timestamp.whole_seconds(seconds)
