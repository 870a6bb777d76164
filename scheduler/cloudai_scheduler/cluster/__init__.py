"""The scheduler's picture of the cluster: nodes as arrays, pods as small records, kept by watch events."""
