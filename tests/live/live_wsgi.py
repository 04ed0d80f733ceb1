"""What gunicorn loads in these tests."""

from tests.live.live_app import build

app = build()
