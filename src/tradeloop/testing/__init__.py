"""Parts in memory for tests of graphs and desks: the same ports, the same conformance suite as the real ones."""
