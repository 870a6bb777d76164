"""Learning from history, one formula a module. Pure: arrays in, parameters out."""
