"""HTTP dates, read and written without regard to locale or time zone (RFC 9110 section 5.6.7)."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

__all__ = ["format_http_date", "http_date"]

_DAY: Final = 86400
_EPOCH: Final = date(1970, 1, 1).toordinal()
_LAST: Final = (date.max.toordinal() + 1 - _EPOCH) * _DAY - 1
_FIRST: Final = (date.min.toordinal() - _EPOCH) * _DAY
_LONGEST: Final = len("Wednesday, 06-Nov-94 08:49:37 GMT")

_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH: Final = {name.lower().encode(): number for number, name in enumerate(_MONTHS, 1)}


def _pattern(form: str) -> re.Pattern[bytes]:
    parts = {
        "long": "(?:" + "|".join(_WEEKDAYS).lower() + ")",
        "short": "(?:" + "|".join(name[:3] for name in _WEEKDAYS).lower() + ")",
        "month": "(?P<month>" + "|".join(_MONTHS).lower() + ")",
        "time": r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)",
    }
    return re.compile(form.format(**parts).encode())


_FORMS: Final = (
    _pattern(r"{short}, (?P<day>\d\d) {month} (?P<year>\d\d\d\d) {time} gmt"),  # IMF-fixdate
    _pattern(r"{long}, (?P<day>\d\d)-{month}-(?P<year>\d\d) {time} gmt"),  # RFC 850
    _pattern(r"{short} {month} (?P<day>\d\d| \d) {time} (?P<year>\d\d\d\d)"),  # asctime
)


def http_date(value: bytes, now: float | None = None) -> float | None:
    """Return an HTTP date as seconds since the epoch, or None if it is none of the three formats.

    The format is taken strictly but in any case, and no zone but GMT is valid, as RFC 9111 section
    4.2 asks of caches. The weekday must be the name of one, not the right one: it says nothing that
    the date does not, and no other implementation checks it. A leap second is the next minute's first.

    Args:
        value: The field value.
        now: Seconds since the epoch; a two-digit year is the latest that is at most 50 years ahead
            of it. Without it, years from 70 on belong to the last century.
    """
    text = value.strip()
    if len(text) > _LONGEST:
        return None
    text = text.lower()
    for form in _FORMS:
        if match := form.fullmatch(text):
            return _seconds(match, now)
    return None


def _seconds(match: re.Match[bytes], now: float | None) -> float | None:
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    if hour > 23 or minute > 59 or second > 60:
        return None
    time_of_day = hour * 3600 + minute * 60 + second
    year, month, day = int(match["year"]), _MONTH[match["month"]], int(match["day"])
    if len(match["year"]) == 2:
        year = _full_year(year, (month, day, time_of_day), now)
    try:
        ordinal = date(year, month, day).toordinal()
    except ValueError:
        return None
    return float((ordinal - _EPOCH) * _DAY + time_of_day)


def _full_year(two_digits: int, rest: tuple[int, int, int], now: float | None) -> int:
    if now is None:
        return two_digits + (1900 if two_digits >= 70 else 2000)
    today = date.fromordinal(_EPOCH + int(now // _DAY))
    latest = today.year + 50
    year = latest - (latest - two_digits) % 100
    return year - 100 if year == latest and rest > (today.month, today.day, now % _DAY) else year


def format_http_date(seconds: float) -> bytes:
    """Return seconds since the epoch, rounded down and within the years 1 to 9999, as an IMF-fixdate."""
    days, rest = divmod(int(min(max(seconds, _FIRST), _LAST) // 1), _DAY)
    day = date.fromordinal(_EPOCH + days)
    hour, rest = divmod(rest, 3600)
    minute, second = divmod(rest, 60)
    return (
        f"{_WEEKDAYS[day.weekday()][:3]}, {day.day:02} {_MONTHS[day.month - 1]} {day.year:04}"
        f" {hour:02}:{minute:02}:{second:02} GMT"
    ).encode()
