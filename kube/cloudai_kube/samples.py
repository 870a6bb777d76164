"""What Prometheus answers: values with their labels. Reading them needs no client."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One value with its labels."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time with their labels; times in seconds since the epoch. Values may be NaN or infinite."""

    labels: dict[str, str]
    points: list[tuple[float, float]]
