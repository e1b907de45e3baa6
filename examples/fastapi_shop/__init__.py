"""A shop: a small FastAPI application with public, per-user, invalidated and stale answers."""
