"""What the doctor says of one thing."""

from dataclasses import asdict, dataclass

OK, WARNING, BAD = "ok", "warning", "bad"


@dataclass(frozen=True)
class Finding:
    """`check` is what was looked at, `says` what was found, `mend` what to do about it (empty where all is well)."""

    check: str
    level: str
    says: str
    mend: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def ok(check: str, says: str) -> Finding:
    return Finding(check, OK, says)


def warning(check: str, says: str, mend: str) -> Finding:
    """It works, and something will hurt later."""
    return Finding(check, WARNING, says, mend)


def bad(check: str, says: str, mend: str) -> Finding:
    """Something does not work, or money or accounts are in danger."""
    return Finding(check, BAD, says, mend)
