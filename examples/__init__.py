"""Applications that use asynccache, each in a folder of its own."""
