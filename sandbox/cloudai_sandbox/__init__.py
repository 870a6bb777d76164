"""A real control plane on one machine with a simulated fleet: for trying out, tests and benchmarks.

Fakes are only what no machine has: GPUs, kubelets and the run times of tasks.
"""
