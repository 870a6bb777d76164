"""The optimizer: publishes the parameters that the scheduler uses."""
