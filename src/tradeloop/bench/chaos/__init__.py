"""Chaos: the real stack under a seeded schedule of kills, and an account of every event that went in."""
