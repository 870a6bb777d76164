"""Whether a candidate is better: the guard before a release, the canary after it."""
