"""docs/http.md says where each rule of the RFCs is kept: the places are there, every section is told."""

import importlib
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
RULES = re.findall(
    r"^\| (?P<rule>.+?) \| .+ \| `(?P<where>[\w.]+)` \|$",
    PAGE.partition("\n## The rules, one by one\n")[2],
    re.MULTILINE,
)
SECTIONS = [
    *("3", "3.1", "3.2", "3.3", "3.4", "3.5", "4", "4.1", "4.2", "4.2.1", "4.2.2", "4.2.3", "4.2.4"),
    *(
        "4.3.1",
        "4.3.2",
        "4.3.3",
        "4.3.4",
        "4.3.5",
        "4.4",
        "5.1",
        "5.2",
        "5.2.1",
        "5.2.2",
        "5.3",
        "5.4",
        "5.5",
    ),
    *("9.3.3", "14.1.2", "15.3.7"),
]
RFCS = ["5861", "8246", "9110", "9111", "9211", "9213"]

pytestmark = pytest.mark.docs


def test_every_line_of_the_table_is_a_rule() -> None:
    table = PAGE.partition("\n## The rules, one by one\n")[2]
    assert len(RULES) == len(re.findall(r"^\| ", table, re.MULTILINE)) - 2


@pytest.mark.parametrize("where", sorted({where for _, where in RULES}))
def test_the_place_is_there(where: str) -> None:
    module, *names = where.split(".")
    within = "asynccache.http" if module.startswith("_") or module in {"cache_status", "rules"} else ""
    place = importlib.import_module(f"{within or 'asynccache.http._rfc9111'}.{module}")
    for name in names:
        place = getattr(place, name)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_section_is_told(section: str) -> None:
    told = [part for rule, _ in RULES for part in re.findall(r"(?<![\w.])\d+(?:\.\d+)*(?![\w.])", rule)]
    assert section in told


@pytest.mark.parametrize("rfc", RFCS)
def test_the_rfc_is_told(rfc: str) -> None:
    assert any(rule.startswith(f"**RFC {rfc}**") for rule, _ in RULES)
