"""Settings complain all at once, in words that say what to do."""

import secrets

import pytest

from namaskah import config, strength
from namaskah.numbers import strays
from namaskah.wallet.models import LedgerTransaction

PASSWORD = secrets.token_urlsafe(24)
GOOD = {
    "SECRET_KEY": secrets.token_urlsafe(48),
    "BASE_URL": "https://numbers.example",
    "DATABASE_URL": f"postgres://me:{PASSWORD}@db/numbers",
    "REDIS_URL": f"redis://:{PASSWORD}@cache/0",
}
LIVE_KEY = "sk_" + "live_" + secrets.token_hex(20)
TEST_KEY = "sk_" + "test_" + secrets.token_hex(20)


def faults(**changes: str) -> str:
    with pytest.raises(config.ConfigError) as error:
        config.load(GOOD | changes)
    return str(error.value)


def test_a_plain_postgresql_address_means_our_driver() -> None:
    assert config.load(GOOD)["DATABASE_URL"] == f"postgresql+psycopg2://me:{PASSWORD}@db/numbers"


def test_seller_and_tax_are_read_as_receipts_show_them() -> None:
    found = config.load(GOOD | {"SELLER_ADDRESS": "2 Broad Street ; Lagos;", "TAX_RATE": "7.5"})
    assert (found["SELLER_ADDRESS"], found["TAX_RATE"], found["TAX_NAME"]) == ("2 Broad Street\nLagos", 750, "VAT")


def test_networks_are_a_list() -> None:
    assert config.load(GOOD)["PAYSTACK_WEBHOOK_IPS"] == ()
    found = config.load(GOOD | {"PAYSTACK_WEBHOOK_IPS": "52.31.139.75, 52.49.173.0/24,2001:db8::/32"})
    assert found["PAYSTACK_WEBHOOK_IPS"] == ("52.31.139.75", "52.49.173.0/24", "2001:db8::/32")


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
        ({"SMS_ACTIVATE_PROVIDERS": "Hero SMS=https://hero.example"}, "'Hero SMS'"),
        ({"SMS_ACTIVATE_PROVIDERS": f"{'n' * 25}=https://hero.example"}, f"'{'n' * 25}'"),
        ({"FX_RATES": "USD=many"}, "FX_RATES"),
        ({"PAYSTACK_WEBHOOK_IPS": "52.31.139.75/8"}, "PAYSTACK_WEBHOOK_IPS"),
        ({"PAYSTACK_WEBHOOK_IPS": "api.paystack.co"}, "PAYSTACK_WEBHOOK_IPS"),
        ({"TAX_RATE": "7.555"}, "TAX_RATE"),
        ({"TAX_RATE": "101"}, "TAX_RATE"),
        ({"TAX_NAME": "V" * 41}, "TAX_NAME"),
        ({"SELLER_NAME": "王 Ltd"}, "receipts cannot show 王"),
        ({"SELLER_ADDRESS": "a" * 301}, "SELLER_ADDRESS"),
        ({"SELLER_TIMEZONE": "Lagos"}, "SELLER_TIMEZONE"),
        ({"MARGIN_PERCENT": "3", "MIN_MARGIN_PERCENT": "5"}, "MIN_MARGIN_PERCENT"),
        ({"MESSAGE_RETENTION_HOURS": "0"}, "MESSAGE_RETENTION_HOURS is 1 at least"),
        ({"UNCONFIRMED_ACCOUNT_DAYS": "1"}, "UNCONFIRMED_ACCOUNT_DAYS is 2 at least"),
        ({"GATEWAY_REPORT_DAYS": "99999999999999"}, "GATEWAY_REPORT_DAYS is 1 at least and 36500 at most"),
    ],
)
def test_production_refuses(changes: dict[str, str], named: str) -> None:
    assert named in faults(**changes)


def test_a_providers_name_has_room_in_the_ledger() -> None:
    name = "herosms_eu-2" + "n" * 12
    loaded = config.load(
        GOOD | {"SMS_ACTIVATE_PROVIDERS": f"{name}=https://x.example", "SMS_ACTIVATE_KEYS": f"{name}={PASSWORD}"}
    )
    assert name in loaded["SMS_ACTIVATE_PROVIDERS"]
    reference = strays.order_reference(name, "9" * 64)
    columns = LedgerTransaction.__table__.columns
    assert len(reference) <= columns["reference"].type.length  # type: ignore[attr-defined]
    assert len(f"provider_refund_due:{reference}") <= columns["idempotency_key"].type.length  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"SECRET_KEY": secrets.token_hex(16)[:-1]}, "SECRET_KEY is too short"),
        ({"SECRET_KEY": "x" * 64}, "SECRET_KEY contains 'xxxxx'"),
        ({"SECRET_KEY": "ab" * 32}, "SECRET_KEY is not random"),
        ({"SECRET_KEY": "7c1e5d40" * 8}, "SECRET_KEY is not random"),
        ({"SECRET_KEY": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ"}, "SECRET_KEY is not random"),
        ({"SECRET_KEY": f"changeme-{PASSWORD}"}, "SECRET_KEY contains 'changeme'"),
        ({"SECRET_KEY": f"my-Secret-{PASSWORD}"}, "SECRET_KEY contains 'secret'"),
        ({"SECRET_KEYS_OLD": "y" * 40}, "SECRET_KEYS_OLD holds a key that is not random"),
        ({"SECRET_KEYS_OLD": f"{GOOD['SECRET_KEY']}"}, "SECRET_KEYS_OLD holds the present SECRET_KEY"),
        ({"PROVIDER_WEBHOOK_TOKEN": secrets.token_hex(8)}, "PROVIDER_WEBHOOK_TOKEN is too short"),
        ({"PAYSTACK_SECRET_KEY": TEST_KEY}, "PAYSTACK_SECRET_KEY is no live key"),
        ({"PAYSTACK_SECRET_KEY": "sandbox-paystack"}, "PAYSTACK_SECRET_KEY is no live key"),
        ({"PAYSTACK_SECRET_KEY": "sk_" + "live_" + "x" * 40}, "PAYSTACK_SECRET_KEY is a placeholder"),
        ({"PAYSTACK_SECRET_KEY": LIVE_KEY, "PAYSTACK_BASE_URL": "http://pay.example"}, "PAYSTACK_BASE_URL"),
        ({"FIVESIM_TOKEN": "sandbox-fivesim"}, "FIVESIM_TOKEN is a placeholder"),
        ({"FIVESIM_TOKEN": PASSWORD, "FIVESIM_BASE_URL": "http://5sim.example/v1"}, "FIVESIM_BASE_URL"),
        (
            {"SMS_ACTIVATE_PROVIDERS": "a=http://a.example", "SMS_ACTIVATE_KEYS": f"a={PASSWORD}"},
            "SMS_ACTIVATE_PROVIDERS for a must start with https",
        ),
        ({"DATABASE_URL": "postgresql://me@db.example/numbers"}, "DATABASE_URL has no password"),
        ({"DATABASE_URL": "postgresql://me:" + "postgres@db.example/x"}, "DATABASE_URL has a password that is guessed"),
        ({"REDIS_URL": "redis://cache.example/0"}, "REDIS_URL has no password"),
        ({"MAIL_USERNAME": "us"}, "MAIL_PASSWORD is missing"),
        ({"MAIL_SERVER": "mx.example", "MAIL_USERNAME": "us", "MAIL_PASSWORD": PASSWORD}, "MAIL_USE_TLS"),
    ],
)
def test_production_refuses_secrets_that_are_none(changes: dict[str, str], named: str) -> None:
    told = faults(**changes)
    assert named in told
    for secret in changes.values():
        if len(secret) > 30:
            assert secret not in told
    if "the present" not in named:
        config.load(GOOD | changes | {"ENVIRONMENT": "development"})


def test_all_weak_secrets_are_told_at_once_with_how_to_make_good_ones() -> None:
    told = faults(SECRET_KEY="short", PROVIDER_WEBHOOK_TOKEN="short", REDIS_URL="redis://cache/0", FIVESIM_TOKEN="x")
    for name in ("SECRET_KEY", "PROVIDER_WEBHOOK_TOKEN", "REDIS_URL", "FIVESIM_TOKEN"):
        assert name in told
    assert "python3 -c 'import secrets; print(secrets.token_urlsafe(48))'" in told


@pytest.mark.parametrize(
    "changes",
    [
        {"SECRET_KEY": secrets.token_hex(16)},
        {"SECRET_KEY": secrets.token_hex(32), "SECRET_KEYS_OLD": f"{secrets.token_hex(32)}, {secrets.token_hex(32)}"},
        {"PAYSTACK_SECRET_KEY": LIVE_KEY, "PROVIDER_WEBHOOK_TOKEN": secrets.token_urlsafe(24)},
        {"DATABASE_URL": "postgresql://localhost/numbers", "REDIS_URL": "redis://127.0.0.1/0"},
        {"DATABASE_URL": "postgresql:///numbers?host=/run/postgresql", "REDIS_URL": "redis://[::1]/0"},
        {"DATABASE_URL": f"postgresql://me@db/numbers?password={PASSWORD}", "REDIS_URL": "unix:///run/redis.sock"},
        {"MAIL_USERNAME": "us", "MAIL_PASSWORD": PASSWORD, "MAIL_SERVER": "mx.example", "MAIL_USE_TLS": "yes"},
        {"MAIL_USERNAME": "us", "MAIL_PASSWORD": PASSWORD},
    ],
)
def test_production_takes_good_secrets(changes: dict[str, str]) -> None:
    config.load(GOOD | changes)


@pytest.mark.no_cover
def test_random_secrets_are_hardly_ever_called_weak() -> None:
    made = [make(size) for _ in range(500) for make, size in ((secrets.token_urlsafe, 48), (secrets.token_hex, 16))]
    assert [secret for secret in made if strength.weakness(secret)] == []


def test_several_providers_of_one_protocol() -> None:
    loaded = config.load(
        GOOD
        | {
            "SMS_ACTIVATE_PROVIDERS": "herosms=https://hero.example/api?x=1, tiger=https://tiger.example",
            "SMS_ACTIVATE_KEYS": "herosms=a1b2c3d4e5,tiger=b1b2c3d4=c",
        }
    )
    assert loaded["SMS_ACTIVATE_PROVIDERS"] == {
        "herosms": "https://hero.example/api?x=1",
        "tiger": "https://tiger.example",
    }
    assert loaded["SMS_ACTIVATE_KEYS"]["tiger"] == "b1b2c3d4=c"
