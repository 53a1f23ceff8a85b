"""What the trade talks about: events, decisions, actions. Pydantic and nothing else."""
