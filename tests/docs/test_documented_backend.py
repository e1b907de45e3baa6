"""The store that docs/custom-backends.md shows passes the suite that the page recommends."""

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "custom-backends.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

shown: dict[str, Any] = {"__name__": __name__}
for block in BLOCKS:
    if "class " in block:
        exec(compile(block, str(PAGE), "exec"), shown)

pytestmark = pytest.mark.docs

TestFolderBackend = shown["TestFolderBackend"]
TestCacheOnFolderBackend = shown["TestCacheOnFolderBackend"]
