"""What is learned from history, one formula a module. Pure: arrays in, parameters out."""
