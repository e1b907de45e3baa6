"""A suite that cannot fail proves nothing: every fault in faulty_*.py is caught, and only faults."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

BACKENDS = Path(__file__).with_name("faulty_backends.py")
CACHES = Path(__file__).with_name("faulty_caches.py")

FAULTY_BACKENDS: Mapping[str, str] = {
    "ReturnsExpired": "test_expires",
    "ExpiresLate": "test_exact_expiry",
    "WholeSeconds": "test_exact_expiry",
    "MemcachedThirtyDays": "test_long_lives",
    "ReadingProlongs": "test_reading_does_not_prolong",
    "SetKeepsOldExpiry": "test_set_replaces_the_expiry",
    "LosesEmpty": "test_value_comes_back",
    "Bytearray": "test_value_comes_back",
    "TextOnly": "test_value_comes_back",
    "KeepsOldWhenTooLarge": "test_too_large_value_is_refused",
    "TruncatesLarge": "test_too_large_value_is_refused",
    "TruncatesKeys": "test_awkward_keys_are_apart",
    "IgnoresCase": "test_awkward_keys_are_apart",
    "NormalisesUnicode": "test_awkward_keys_are_apart",
    "StripsKeys": "test_awkward_keys_are_apart",
    "StopsAtNul": "test_awkward_keys_are_apart",
    "ObeysKeys": "test_a_key_cannot_carry_a_command",
    "DeleteAlwaysTrue": "test_delete_tells_that_nothing_was_there",
    "DeleteByPrefix": "test_delete_leaves_others",
    "ManySwapsValues": "test_absent_keys_are_left_out",
    "ManyBelievesTheLastDuplicate": "test_duplicate_keys",
    "ManyNamesAbsent": "test_absent_keys_are_left_out",
    "ManyCountsDeleted": "test_bulk_and_single_forms_agree",
    "ManyForgetsTtl": "test_bulk_set_expires",
    "AddNotAtomic": "test_one_of_fifty_adds",
    "AddRenewsExpiry": "test_refused_add_changes_no_expiry",
    "IncrNotAtomic": "test_a_thousand_increments",
    "IncrDropsTtl": "test_incr_keeps_the_expiry",
    "IncrStopsAtZero": "test_incr_counts",
    "IncrInitialIsFirstAnswer": "test_incr_starts_at_initial",
    "IncrInFloats": "test_incr_is_exact_beyond_floats",
    "IncrOverwritesText": "test_incr_of_something_else",
    "IncrPads": "test_counters_are_plain_decimals",
    "IncrKeepsLease": "test_lease_is_void",
    "VersionIsValue": "test_swap_of_what_changed",
    "VersionIsSize": "test_swap_is_accepted_once",
    "VersionedLosesEmpty": "test_get_versioned_reads",
    "VersionedSeesExpired": "test_swap_of_what_expired",
    "SwapNotAtomic": "test_counting_by_swaps",
    "SwapIgnoresVersion": "test_one_of_fifty_swaps",
    "SwapRevives": "test_swap_of_what_changed",
    "SwapKeepsOldExpiry": "test_swap_expires",
    "SwapRaises": "test_swap_is_accepted_once",
    "TouchRevives": "test_touch_of_an_absent_key",
    "TouchOnlyProlongs": "test_touch_shortens",
    "ExistsSeesExpired": "test_exists",
    "ClearAll": "test_clear_is_exact",
    "ClearByGlob": "test_prefix_is_no_pattern",
    "ClearFirstThousand": "test_clear_of_a_thousand",
    "ClearKeepsLeases": "test_lease_is_void",
    "DeleteOfAbsentKeepsLease": "test_lease_is_void",
    "SetKeepsLease": "test_lease_is_void",
    "LeaseNotAtomic": "test_one_of_fifty_racers",
    "LeaseTokensRepeat": "test_tokens_are_unique",
    "LeaseNeverExpires": "test_lease_runs_out",
    "AnyoneReleases": "test_strangers",
    "AnyoneFills": "test_strangers",
    "LeaseHidesValue": "test_a_lease_is_no_value",
    "BusReachesOne": "test_every_subscriber_hears_everything_in_order",
    "BusOutOfOrder": "test_every_subscriber_hears_everything_in_order",
    "Unwell": "test_health",
    "CloseOnlyOnce": "test_close_twice",
    "ReopenRevives": "test_reopen",
    "Desynchronises": "test_cancelled_calls_harm_no_other",
    "DesynchronisedCounter": "test_cancelled_calls_harm_no_other",
    "LeaksSlots": "test_cancelled_calls_harm_no_other",
    "WrongLoop": "test_second_event_loop",
}
FAULTY_CACHES: Mapping[str, str] = {
    "SharesValues": "test_nobody_shares_mutable_values",
    "NoneIsMiss": "test_none_is_a_value",
    "DecodesLoosely": "test_typed_decoding",
    "TakesAnyTtl": "test_bad_ttls",
    "ChecksLate": "test_bad_keys",
    "IgnoresTags": "test_tags",
    "SoftIsHard": "test_soft_invalidation",
    "ClearsNothing": "test_clear_is_exact",
    "JoinsNames": "test_namespaces_are_apart",
    "KeepsOldWhenRefused": "test_too_large_values_are_refused",
    "Naive": "test_nothing_outdated_is_stored",
    "CachesErrors": "test_errors_are_not_cached",
    "TrustsTheStore": "test_flipped_bits",
    "KeepsCounters": "test_incr_after_clear",
    "WrapsNumbers": "test_incr_beyond_64_bits",
}
CAUGHT_BY: Mapping[str, str] = {**FAULTY_BACKENDS, **FAULTY_CACHES}
"""Each fault and the test that is there for it; others may fail as well."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], set[str]]:
    """Run the suite as a user would, in pytest-asyncio's strict mode; give the outcomes by class and test."""
    folder = tmp_path_factory.mktemp("conformance")
    (folder / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\n"
    )
    chosen = [
        f"{file}::Test{fault}::{test}"
        for file, faults in ((BACKENDS, FAULTY_BACKENDS), (CACHES, FAULTY_CACHES))
        for fault, test in faults.items()
    ]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", "-W", "error"]
    command += [
        "-c",
        str(folder / "pytest.ini"),
        f"--junitxml={folder / 'report.xml'}",
        f"{BACKENDS}::TestHonest",
    ]
    # Without CI: there pytest writes out the whole difference of values that are a megabyte long.
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}
    done = subprocess.run(
        [*command, *chosen], capture_output=True, text=True, check=False, timeout=110, env=environment
    )
    assert done.returncode == 1, done.stdout + done.stderr
    seen: dict[tuple[str, str], set[str]] = {}
    for case in ET.parse(folder / "report.xml").iter("testcase"):
        name = case.attrib["classname"].rpartition(".Test")[2], case.attrib["name"].partition("[")[0]
        seen.setdefault(name, set()).add(case[0].tag if len(case) else "passed")
    return seen


def test_honest_store_passes(outcomes: dict[tuple[str, str], set[str]]) -> None:
    """A store that does everything right passes everything, and nothing is skipped."""
    honest = {test: found for (store, test), found in outcomes.items() if store == "Honest"}
    assert len(honest) > 60
    assert {test: found for test, found in honest.items() if found != {"passed"}} == {}


@pytest.mark.parametrize("fault", CAUGHT_BY)
def test_fault_is_caught(outcomes: dict[tuple[str, str], set[str]], fault: str) -> None:
    """The test that is there for the fault fails (and does not merely err in its set-up)."""
    assert "failure" in outcomes[fault, CAUGHT_BY[fault]]


@pytest.mark.parametrize(
    "file, listed",
    [(BACKENDS, {"Honest", *FAULTY_BACKENDS}), (CACHES, {"Sound", *FAULTY_CACHES})],
    ids=["backends", "caches"],
)
def test_every_fault_is_listed(file: Path, listed: set[str]) -> None:
    """A fault added to one of the files has to be named here."""
    assert set(re.findall(r"^class Test(\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE)) == listed
