"""A shop's reports behind asynccache, and a client that shows what the cache does: ``./scripts/demo``.

- `examples.demo.shop`: the application; start reading here.
- `examples.demo.orders`: its database, made on first use.
- `examples.demo.story`: what the client asks, and what must come back.
"""
