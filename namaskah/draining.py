"""Whether this process is about to end and wants no new requests: then it is not ready, and whoever balances the load
sends people elsewhere while it finishes what it has."""


class _Process:
    draining = False


def start() -> None:
    """From now on /health/ready says no."""
    _Process.draining = True


def is_draining() -> bool:
    return _Process.draining
