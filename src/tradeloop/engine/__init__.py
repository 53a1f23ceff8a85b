"""Loops and exactly-once logic, against ports."""
