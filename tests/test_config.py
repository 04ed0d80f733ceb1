"""Settings complain all at once, in words that say what to do."""

import pytest

from namaskah import config

GOOD = {
    "SECRET_KEY": "x" * 40,
    "BASE_URL": "https://numbers.example",
    "DATABASE_URL": "postgres://me:secret@db/numbers",
    "REDIS_URL": "redis://cache/0",
}


def faults(**changes: str) -> str:
    with pytest.raises(config.ConfigError) as error:
        config.load(GOOD | changes)
    return str(error.value)


def test_a_plain_postgresql_address_means_our_driver() -> None:
    assert config.load(GOOD)["DATABASE_URL"] == "postgresql+psycopg2://me:secret@db/numbers"


def test_all_faults_are_told_together() -> None:
    with pytest.raises(config.ConfigError) as error:
        config.load({"PORT": "eight", "ENVIRONMENT": "live", "FX_RATES": "USD=0"})
    told = str(error.value)
    for name in ("SECRET_KEY", "BASE_URL", "DATABASE_URL", "REDIS_URL", "PORT", "ENVIRONMENT", "FX_RATES"):
        assert name in told


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"SECRET_KEY": "short"}, "SECRET_KEY"),
        ({"ADMIN_SECOND_FACTOR": "no"}, "ADMIN_SECOND_FACTOR"),
        ({"SANDBOX_URL": "http://localhost:8001"}, "SANDBOX_URL"),
        ({"BASE_URL": "http://numbers.example"}, "BASE_URL"),
        ({"BASE_URL": "numbers.example"}, "BASE_URL"),
        ({"DATABASE_URL": "mysql://db/numbers"}, "DATABASE_URL"),
        ({"WALLET_CURRENCY": "BTC"}, "WALLET_CURRENCY"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"MAIL_USE_TLS": "perhaps"}, "MAIL_USE_TLS"),
        ({"SMS_ACTIVATE_PROVIDERS": "herosms"}, "SMS_ACTIVATE_PROVIDERS"),
        ({"SMS_ACTIVATE_PROVIDERS": "herosms=https://hero.example"}, "SMS_ACTIVATE_KEYS has no key for herosms"),
        ({"FX_RATES": "USD=many"}, "FX_RATES"),
        ({"MARGIN_PERCENT": "3", "MIN_MARGIN_PERCENT": "5"}, "MIN_MARGIN_PERCENT"),
    ],
)
def test_production_refuses(changes: dict[str, str], named: str) -> None:
    assert named in faults(**changes)


def test_several_providers_of_one_protocol() -> None:
    loaded = config.load(
        GOOD
        | {
            "SMS_ACTIVATE_PROVIDERS": "herosms=https://hero.example/api?x=1, tiger=https://tiger.example",
            "SMS_ACTIVATE_KEYS": "herosms=a,tiger=b=c",
        }
    )
    assert loaded["SMS_ACTIVATE_PROVIDERS"] == {
        "herosms": "https://hero.example/api?x=1",
        "tiger": "https://tiger.example",
    }
    assert loaded["SMS_ACTIVATE_KEYS"]["tiger"] == "b=c"
