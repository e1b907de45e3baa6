"""asynccache for FastAPI."""
