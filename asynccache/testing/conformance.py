"""What every store, and every cache, must do: pytest classes to inherit from.

For a store of your own::

    import pytest_asyncio
    from asynccache.testing import BackendConformance


    class TestMyBackend(BackendConformance):
        @pytest_asyncio.fixture
        async def backend(self):
            store = MyBackend("localhost")
            await store.open()
            yield store
            await store.aclose()

Capabilities the store does not have are skipped, with the reason. Needs pytest and pytest-asyncio, in
strict or auto mode; the tests carry their own marks.
"""

from __future__ import annotations

from asynccache.testing._conformance.atomic import Adding, Counting
from asynccache.testing._conformance.bulk import Clearing, Many
from asynccache.testing._conformance.concurrency import Concurrency
from asynccache.testing._conformance.expiry import Existing, Expiry, Touching
from asynccache.testing._conformance.facade_damage import FacadeDamage
from asynccache.testing._conformance.facade_invalidating import FacadeInvalidating
from asynccache.testing._conformance.facade_loading import FacadeLoading
from asynccache.testing._conformance.facade_values import FacadeValues
from asynccache.testing._conformance.facade_writing import FacadeWriting
from asynccache.testing._conformance.keys import Keys
from asynccache.testing._conformance.leases import Leases
from asynccache.testing._conformance.lifecycle import Bus, Health, Lifecycle
from asynccache.testing._conformance.swapping import Swapping
from asynccache.testing._conformance.values import Values

__all__ = ["BackendConformance", "CacheConformance"]


class BackendConformance(
    Values,
    Keys,
    Expiry,
    Many,
    Adding,
    Counting,
    Swapping,
    Touching,
    Existing,
    Clearing,
    Leases,
    Bus,
    Health,
    Lifecycle,
    Concurrency,
):
    """The meaning of `asynccache.protocols`, as tests. Inherit, override the fixture ``backend``, run.

    A subclass may also set:

    - ``self.clock`` (in the fixture): the `FakeClock` the store was given. The suite then turns it
      instead of waiting, and also tests the exact moment of expiry.
    - ``slack``: how late, in seconds, a store that runs on real time may notice an expiry.
    - ``max_value_bytes``: the largest value the store takes, where it has a limit.
    - ``persistent``: whether values survive closing and opening again, where that is promised.

    ``advance(seconds)`` can be overridden for a store whose time passes in another way. The suite uses keys
    of its own for each test, and some short ones ("a", "b", ...): run it on a store for tests.
    """


class CacheConformance(FacadeValues, FacadeWriting, FacadeLoading, FacadeInvalidating, FacadeDamage):
    """The meaning of `Cache`, as tests, over any store and configuration. Inherit, override ``backend``, run.

    Attributes are those of `BackendConformance`, and ``options``: what `CacheConfig` is given beside the
    store, the clock and the namespace (codec, compression, encryption keys ...), and ``cache_type`` for a
    subclass of `Cache`. Where that is not enough, override the fixture ``config``; its ``clock`` must be
    ``self.clock`` if that is set.
    """
