"""What the optimizer reads: history, nodes and what they do."""
