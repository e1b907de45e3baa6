"""asynccache for Starlette."""
