"""The search for weights: genes, the genetic algorithm, and the fitness of a candidate in a replay."""
