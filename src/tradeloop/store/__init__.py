"""PostgreSQL: the only place that holds SQL."""
