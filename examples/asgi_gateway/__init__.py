"""A small reverse proxy: asynccache as a shared HTTP cache in front of any server, in whatever language."""
