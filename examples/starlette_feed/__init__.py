"""A news feed: a small Starlette application with entity tags, a ttl per route, and a stream beside it."""
