"""Proof: hashes, seals, keys, verification and evidence. Pure: no database, no broker, no settings."""
