"""HTTP dates: the three formats, strictly, without locale, zone or clock (RFC 9110 section 5.6.7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from asynccache.http._rfc9111.fields import format_http_date, http_date

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOVEMBER_1994 = 784111777.0
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def at(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "value",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
    ],
)
def test_the_three_examples_of_the_rfc(value: bytes) -> None:
    """All three formats name the same moment, in any case (RFC 9111 section 4.2)."""
    assert http_date(value) == NOVEMBER_1994
    assert (
        http_date(value.lower())
        == http_date(value.upper())
        == http_date(b" " + value + b" ")
        == NOVEMBER_1994
    )


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"0",
        b"-1",
        b"784111777",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 94 08:49:37 GMT",
        b"Sun 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06  Nov 1994 08:49:37 GMT",
        b"Sun, 06-Nov-1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 8:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49 GMT",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 EST",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:37 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"Sun, 31 Feb 1994 08:49:37 GMT",
        b"Sun, 29 Feb 1900 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Son, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nox 1994 08:49:37 GMT",
        b"Sun, 06-Nov-94 08:49:37 GMT",
        b"Sunday Nov  6 08:49:37 1994",
        b"Sun Nov 6 08:49:37 1994",
        b"1994-11-06T08:49:37Z",
        b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, \u0660\u0666 Nov 1994 08:49:37 GMT".encode(),
    ],
)
def test_anything_else_is_no_date(value: bytes) -> None:
    """Other formats, zones and impossible dates are invalid rather than guessed."""
    assert http_date(value) is None


def test_a_wrong_weekday_is_tolerated() -> None:
    """The weekday must be one, but the date alone counts."""
    assert http_date(b"Mon, 06 Nov 1994 08:49:37 GMT") == NOVEMBER_1994


def test_a_leap_second_is_the_next_minute() -> None:
    """Second 60 is in the grammar."""
    assert http_date(b"Sat, 31 Dec 2016 23:59:60 GMT") == at(2017, 1, 1)


@pytest.mark.parametrize(
    "value,now,expected",
    [
        (b"Sunday, 06-Nov-94 08:49:37 GMT", at(2026, 11, 21), at(1994, 11, 6, 8, 49, 37)),
        (b"Sunday, 06-Nov-76 08:49:37 GMT", at(2026, 11, 6, 8, 49, 37), at(2076, 11, 6, 8, 49, 37)),
        (b"Sunday, 06-Nov-76 08:49:38 GMT", at(2026, 11, 6, 8, 49, 37), at(1976, 11, 6, 8, 49, 38)),
        (b"Sunday, 06-Nov-77 08:49:37 GMT", at(2026, 11, 21), at(1977, 11, 6, 8, 49, 37)),
        (b"Sunday, 06-Nov-26 08:49:37 GMT", at(2026, 11, 21), at(2026, 11, 6, 8, 49, 37)),
        (b"Sunday, 01-Jan-01 00:00:00 GMT", at(2099, 12, 31), at(2101, 1, 1)),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", None, NOVEMBER_1994),
        (b"Sunday, 06-Nov-69 08:49:37 GMT", None, at(2069, 11, 6, 8, 49, 37)),
    ],
)
def test_two_digit_years(value: bytes, now: float | None, expected: float) -> None:
    """More than 50 years ahead means the past century; without a clock the epoch divides them."""
    assert http_date(value, now) == expected


def test_writing_the_example_of_the_rfc() -> None:
    """Dates are written as IMF-fixdate, fractions of seconds rounded down."""
    assert format_http_date(NOVEMBER_1994 + 0.999) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_http_date(-0.5) == b"Wed, 31 Dec 1969 23:59:59 GMT"


def test_writing_never_fails_for_want_of_a_year() -> None:
    """Times beyond the calendar are written as its ends."""
    assert format_http_date(float("inf")) == b"Fri, 31 Dec 9999 23:59:59 GMT"
    assert format_http_date(float("-inf")) == b"Mon, 01 Jan 0001 00:00:00 GMT"


@given(st.integers(-62135596800, 253402300799))
def test_dates_round_trip(seconds: int) -> None:
    """What is written is read as the same second, in agreement with the standard library's calendar."""
    written = format_http_date(seconds)
    moment = EPOCH + timedelta(seconds=seconds)

    assert http_date(written) == seconds
    assert int(written[5:7]) == moment.day
    assert int(written[12:16]) == moment.year
    assert written[17:25].decode() == moment.strftime("%H:%M:%S")


@given(st.datetimes(datetime(1970, 1, 1), datetime(2069, 12, 31)))  # noqa: DTZ001 - made aware below
def test_old_formats_round_trip(moment: datetime) -> None:
    """RFC 850 and asctime dates are read as the same second as the IMF-fixdate."""
    imf = format_http_date(moment.replace(tzinfo=UTC).timestamp()).decode()
    weekday, day, month, year, clock = imf[:3], imf[5:7], imf[8:11], imf[12:16], imf[17:25]
    long = next(d for d in WEEKDAYS if d[:3] == weekday)

    assert http_date(imf.encode()) == http_date(f"{long}, {day}-{month}-{year[2:]} {clock} GMT".encode())
    assert http_date(imf.encode()) == http_date(f"{weekday} {month} {int(day):2} {clock} {year}".encode())
