"""The model: what a task is, what a fleet is, how risk is computed and which node is chosen.

Pure by design: arrays in, decisions out. No Kubernetes, no I/O, no clock and no global random state, so that the
scheduler (live) and a replay (offline) judge a parameter set with the very same code.
"""
