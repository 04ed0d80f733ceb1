"""Whether all of it is well: workers' heartbeats, measurements of every minute, and who is told of them.

`heartbeats` says that workers run; `measuring` has one of them look, once a minute, at what customers would notice
(`judging` decides what that means) and keeps it by the day; `totals` counts what happened, for Prometheus. Read by the
status page, by /health and by /metrics (`figures`, `exposition`).
"""

from flask import Blueprint

blueprint = Blueprint("watch", __name__)
