"""Replaying a stream of tasks on a fleet, decision by decision, with the code that decides in production."""
