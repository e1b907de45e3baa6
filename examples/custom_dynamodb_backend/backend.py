"""`DynamoDBBackend`: a table of Amazon DynamoDB as a store.

What DynamoDB does well it is asked to do: a write with a condition is atomic across all processes, and that
is all that `add` and leases need. What it cannot do is not asked of it: to remove by prefix.

An item holds ``k``, the key or, if it is long, its digest; ``whole``, the key; ``v``, the value; ``e``, when
it expires; ``holder`` and ``held_until``, the lease on it; and ``gc``, from when DynamoDB may drop the item.
It does so within days, not seconds: what has expired is judged here, by ``e``.
"""
# mypy: disable-error-code="import-untyped"
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import secrets
import time
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Callable
from hashlib import blake2b
from math import ceil
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError

from asynccache.errors import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    ConfigurationError,
)
from asynccache.protocols import BackendHealth

__all__ = ["DynamoDBBackend"]

MAX_VALUE: Final = 384 * 1024
"""Bytes: an item has at most 400 KiB, its key and the names of its attributes included."""
_MAX_ITEM: Final = 400 * 1024 - 512
_MAX_KEY: Final = 2048
_NEVER: Final = 10**15
_BUSY: Final = {"ProvisionedThroughputExceededException", "ThrottlingException", "InternalServerError"}

Item = dict[str, Any]


class DynamoDBBackend:
    """A store in one table, which `open` makes if it is not there.

    Args:
        table: The table's name.
        region: Where it is; None: as the environment says.
        endpoint: URL of a server that speaks DynamoDB's protocol; None: Amazon's.
        timeout: Seconds an answer may take.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        table: str,
        *,
        region: str | None = None,
        endpoint: str | None = None,
        timeout: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._clock = clock
        # One attempt: to try again is the business of the cache, which has a deadline and a circuit breaker.
        config = AioConfig(
            connect_timeout=timeout,
            read_timeout=timeout,
            max_pool_connections=32,
            retries={"total_max_attempts": 1},
        )
        self._options = {"region_name": region, "endpoint_url": endpoint, "config": config}
        self._clients: dict[AbstractEventLoop, tuple[asyncio.Future[Any], AsyncGenerator[Any]]] = {}

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Read ``dynamodb://table?region=eu-north-1``; `register_scheme` makes `Cache.from_url` come here."""
        parts = urlsplit(url)
        query: dict[str, Any] = dict(parse_qsl(parts.query))
        if unknown := query.keys() - {"region", "endpoint"}:
            raise ConfigurationError(f"unknown option {min(unknown)!r}: dynamodb:// takes region, endpoint")
        return cls(parts.netloc, **query, **options)

    # -- what makes it a store -------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        answer = await self._call("get_item", key, Key=_key(key), ConsistentRead=True)
        return self._value(key, answer.get("Item"))

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        if not _fits(key, value):
            await self.delete(key)
            return False
        await self._call("put_item", key, Item=self._item(key, value, ttl))
        return True

    async def delete(self, key: str) -> bool:
        answer = await self._call("delete_item", key, Key=_key(key), ReturnValues="ALL_OLD")
        return self._value(key, answer.get("Attributes")) is not None

    # -- what it can do besides ------------------------------------------------------------------------

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        absent = "attribute_not_exists(v) OR e <= :now"
        return _fits(key, value) and await self._put_if(absent, key, value, ttl)

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        free = "attribute_not_exists(held_until) OR held_until <= :now"
        change = "SET holder = :holder, held_until = :e, gc = if_not_exists(gc, :gc), whole = :whole"
        token = secrets.token_hex(8)
        names = {"holder": {"S": token}, "whole": {"S": key}, **self._expiry(ttl)}
        return token if await self._update_if(free, key, change, names) else None

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        held = "holder = :holder AND held_until > :now"
        return _fits(key, value) and await self._put_if(held, key, value, ttl, holder={"S": token})

    async def release_lease(self, key: str, token: str) -> None:
        change = "REMOVE holder, held_until"
        await self._update_if("holder = :holder", key, change, {"holder": {"S": token}})

    async def health(self) -> BackendHealth:
        began = time.perf_counter()
        table = (await self._call("describe_table", None))["Table"]
        details = {
            "status": table["TableStatus"],
            "items": table["ItemCount"],
            "bytes": table["TableSizeBytes"],
        }
        latency = (time.perf_counter() - began) * 1000
        return BackendHealth(table["TableStatus"] == "ACTIVE", "dynamodb", latency, details)

    async def open(self) -> None:
        """Make the table if it is not there: it then asks for money by the request."""
        if await self._call("describe_table", None, unless="ResourceNotFoundException"):
            return
        await self._call(
            "create_table",
            None,
            unless="ResourceInUseException",  # another process was faster
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client = await self._client()
        await client.get_waiter("table_exists").wait(TableName=self._table)
        sweeping = {"AttributeName": "gc", "Enabled": True}
        await self._call(
            "update_time_to_live", None, unless="ValidationException", TimeToLiveSpecification=sweeping
        )

    async def aclose(self) -> None:
        """Close the connections of this loop; those of another are closed with it."""
        _, life = self._clients.pop(asyncio.get_running_loop(), (None, None))
        if life is not None:
            await life.aclose()

    # -- items -----------------------------------------------------------------------------------------

    def _expiry(self, ttl: float | None) -> Item:
        """Return when what lives ``ttl`` seconds from now on expires, and when it is garbage."""
        expires = _NEVER if ttl is None else self._clock() + ttl
        return {"e": {"N": repr(expires)}, "gc": {"N": str(ceil(expires))}}

    def _item(self, key: str, value: bytes, ttl: float | None) -> Item:
        return {**_key(key), "v": {"B": value}, "whole": {"S": key}, **self._expiry(ttl)}

    def _value(self, key: str, item: Item | None) -> bytes | None:
        """Return the value in ``item``; None if it has none, expired, or is another key's."""
        if item is None or "v" not in item or item["whole"]["S"] != key:
            return None
        value: bytes = item["v"]["B"]
        return value if self._clock() < float(item["e"]["N"]) else None

    # -- how it asks -----------------------------------------------------------------------------------

    async def _put_if(self, condition: str, key: str, value: bytes, ttl: float | None, **names: Any) -> bool:
        item = self._item(key, value, ttl)
        return await self._if(condition, "put_item", key, names, Item=item)

    async def _update_if(self, condition: str, key: str, change: str, names: Item) -> bool:
        return await self._if(condition, "update_item", key, names, Key=_key(key), UpdateExpression=change)

    async def _if(self, condition: str, operation: str, key: str, names: Item, **arguments: Any) -> bool:
        """Do it if the item meets ``condition``; return whether it did."""
        values = {f":{name}": value for name, value in names.items()}
        if ":now" in condition:
            values[":now"] = {"N": repr(self._clock())}
        answer = await self._call(
            operation,
            key,
            unless="ConditionalCheckFailedException",
            ConditionExpression=condition,
            ExpressionAttributeValues=values,
            **arguments,
        )
        return answer is not None

    async def _call(self, operation: str, key: str | None, *, unless: str = "", **arguments: Any) -> Any:
        """Return the answer; None if it is the error ``unless``."""
        try:
            client = await self._client()
            return await getattr(client, operation)(TableName=self._table, **arguments)
        except (ConnectTimeoutError, ReadTimeoutError) as error:
            raise BackendTimeoutError(str(error), backend="dynamodb", key=key) from error
        except BotoCoreError as error:
            raise BackendUnavailableError(str(error), backend="dynamodb", key=key) from error
        except ClientError as error:
            code: str = error.response["Error"]["Code"]
            if code == unless:
                return None
            kind = BackendUnavailableError if code in _BUSY else BackendError
            raise kind(str(error), backend="dynamodb", key=key) from error

    async def _client(self) -> Any:
        """Return this loop's client: connections of one loop are of no use to another."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            for other in [other for other in self._clients if other.is_closed()]:
                del self._clients[other]
            life = self._life()
            self._clients[loop] = asyncio.ensure_future(anext(life)), life
        started, _ = self._clients[loop]
        try:
            return await asyncio.shield(started)  # others wait for it too
        except Exception:
            self._clients.pop(loop, None)  # the next call tries again
            raise

    async def _life(self) -> AsyncGenerator[Any]:
        """Give a client, and close it when told or when its loop ends: `asyncio.run` ends generators."""
        async with get_session().create_client("dynamodb", **self._options) as client:
            yield client


def _key(key: str) -> Item:
    """Return the item's key: a mark, and ``key`` itself or, where that is too long, its digest."""
    data = key.encode()
    if len(data) < _MAX_KEY:
        return {"k": {"S": f"={key}"}}
    return {"k": {"S": f"#{blake2b(data, digest_size=16).hexdigest()}"}}


def _fits(key: str, value: bytes) -> bool:
    return len(value) <= MAX_VALUE and len(value) + 2 * len(key.encode()) <= _MAX_ITEM
