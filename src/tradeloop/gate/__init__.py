"""What may leave a graph: the guard over decisions, the allow-list and the switch over effects."""
