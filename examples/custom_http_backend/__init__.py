"""A store of your own: a cache service over HTTP, and the backend for it. See docs/custom-backends.md.

- `examples.custom_http_backend.service`: the service, to run with uvicorn.
- `examples.custom_http_backend.backend`: the backend; start reading here.
"""
