"""What can be turned while the sandbox runs, in one place, with the providers' real figures as defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .catalogue import PROVIDERS

# Some services send late; SMS-Activate keeps their numbers open longer than the usual 20 minutes.
_LONG_WINDOWS = {"ya": 2400, "ft": 3600, "ig": 3600, "cy": 3600, "wx": 3600}


def _windows() -> dict[str, float | None]:
    return dict.fromkeys(PROVIDERS)


def _locks() -> dict[str, float]:
    return {"fivesim": 0, "smsactivate": 120, "herosms": 120}


@dataclass
class Dials:
    """Times are in seconds. A window of None is the provider's own: 15 minutes at 5sim, 20 at the others."""

    auto_sms_seconds: float = 0
    window_seconds: dict[str, float | None] = field(default_factory=_windows)
    early_cancel_seconds: dict[str, float] = field(default_factory=_locks)
    listing_lag_seconds: float = 0
    latency_ms: float = 0

    def reset(self, auto_sms_seconds: float) -> None:
        """Back to the defaults, in place: the accounts hold on to these dials."""
        self.__dict__.update(Dials(auto_sms_seconds=auto_sms_seconds).__dict__)

    def window(self, provider: str, service: str) -> float:
        """How long a number bought now stays open."""
        fixed = self.window_seconds[provider]
        if fixed is not None:
            return fixed
        if provider == "fivesim":
            return 900
        return _LONG_WINDOWS.get(service, 1200) if provider == "smsactivate" else 1200

    def turn(self, wanted: dict[str, Any]) -> None:
        """Apply new values; a plain number for a per-provider setting sets all three. Raises ValueError."""
        for name in ("auto_sms_seconds", "listing_lag_seconds", "latency_ms"):
            if name in wanted:
                setattr(self, name, float(wanted[name] or 0))
        for name in ("window_seconds", "early_cancel_seconds"):
            if name in wanted:
                value = wanted[name]
                per_provider = value if isinstance(value, dict) else dict.fromkeys(PROVIDERS, value)
                if unknown := set(per_provider) - set(PROVIDERS):
                    raise ValueError(f"{name}: no provider called {', '.join(sorted(unknown))}")
                no_value = None if name == "window_seconds" else 0.0
                getattr(self, name).update({p: no_value if v is None else float(v) for p, v in per_provider.items()})
