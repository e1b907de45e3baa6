"""The stores that docs/custom-backends.md shows pass the suite that the page recommends."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from asynccache.config import GuardConfig
from asynccache.protocols import CacheBackendProtocol
from asynccache.testing import BackendConformance

PAGE = Path(__file__).parents[2] / "docs" / "custom-backends.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

shown: dict[str, Any] = {"__name__": __name__}
for block in BLOCKS:
    if "class " in block:
        exec(compile(block, str(PAGE), "exec"), shown)

pytestmark = pytest.mark.docs

TestFolderBackend = shown["TestFolderBackend"]
TestCacheOnFolderBackend = shown["TestCacheOnFolderBackend"]
TestCacheOnFolderBackend.options = {"guard": GuardConfig(timeout=30.0)}  # a busy machine does not reach it


class TestFasterFolderBackend(BackendConformance):
    @pytest_asyncio.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[CacheBackendProtocol]:
        yield shown["FasterFolderBackend"](tmp_path)
