"""The money suite stands on the tools of the numbers' and the wallet's tests."""

import pytest
from flask import Flask

from namaskah.sandbox import Sandbox
from tests.numbers.conftest import watched_calls as watched_calls
from tests.wallet.counter import Counter


@pytest.fixture
def counter(app: Flask, sandbox: Sandbox) -> Counter:
    return Counter(sandbox)
