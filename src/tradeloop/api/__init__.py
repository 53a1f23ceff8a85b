"""The HTTP API: who asks, what they may, and the routes under /api/v1."""
