"""Phone numbers to hand out: valid mobile numbers of the country, no two alike."""

from __future__ import annotations

import time
from collections import Counter
from functools import lru_cache

import phonenumbers

from .catalogue import Country


@lru_cache
def _pattern(iso2: str) -> str:
    example = phonenumbers.example_number_for_type(iso2, phonenumbers.PhoneNumberType.MOBILE)
    assert example is not None, f"no mobile example for {iso2}"
    return phonenumbers.national_significant_number(example)


class Numbering:
    """Hands out phone numbers; every number it was told of or gave out is never given out again."""

    def __init__(self) -> None:
        # Starting somewhere else after each start keeps an emptied sandbox from repeating yesterday's numbers.
        self._start = int(time.time()) % 1_000_000
        self._count: Counter[str] = Counter()
        self._used: set[str] = set()

    def remember(self, phone: str) -> None:
        self._used.add(phone)

    def take(self, country: Country) -> str:
        """Digits with the country code and no plus; call under the books' lock."""
        pattern = _pattern(country.iso2)
        while True:
            self._count[country.iso2] += 1
            # 7919 is coprime with a million: every ending comes up once before any comes up twice.
            ending = (self._start + self._count[country.iso2]) * 7919 % 1_000_000
            phone = f"{country.dial}{pattern[:-6]}{ending:06d}"
            if phone not in self._used and phonenumbers.is_valid_number(phonenumbers.parse(f"+{phone}")):
                self._used.add(phone)
                return phone
