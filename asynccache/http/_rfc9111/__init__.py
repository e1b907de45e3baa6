"""RFC 9111 (HTTP caching) as pure functions, one module for each of its sections.

`fields` reads header fields, `stored` is what is kept, `storing` (section 3) says what may be,
`selection` (4.1) which variant answers a request, `freshness` (4.2) how old it is, `validation`
(4.3) when a 304 will do and `invalidation` (4.4) what an unsafe request makes worthless. Nothing
in here waits, reads a clock or knows a framework: the middleware decides with these and acts itself.
"""
