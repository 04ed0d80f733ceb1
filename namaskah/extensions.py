"""Flask extensions, instances only; `create_app()` ties them to the application."""

from flask_babel import Babel
from flask_compress import Compress
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager
from flask_mail import Mail
from flask_migrate import Migrate
from flask_sock import Sock
from flask_wtf import CSRFProtect
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

login = LoginManager()
csrf = CSRFProtect()
mail = Mail()
babel = Babel()
migrate = Migrate()
compress = Compress()
sock = Sock()
# The figures are in limits.py. Without Redis the same limits are counted in each process, instead of answering 500; all
# that a request runs into are looked at, so that it is told the longest of their waits.
limiter = Limiter(
    get_remote_address,
    strategy="moving-window",
    in_memory_fallback_enabled=True,
    swallow_errors=True,
    fail_on_first_breach=False,
)


class RedisHandle:
    """The process's Redis client, made when the settings are known. Every call fails within 200 ms when it is away."""

    def __init__(self) -> None:
        self._client: Redis | None = None

    def init_app(self, url: str) -> None:
        self._client = Redis.from_url(
            url,
            socket_connect_timeout=0.2,
            socket_timeout=0.2,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    @property
    def client(self) -> "Redis":
        if self._client is None:
            raise RuntimeError("create_app() has not run")
        return self._client


redis = RedisHandle()
