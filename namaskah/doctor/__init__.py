"""`flask doctor`: looks at a real environment, says what is well and what is not, and how to mend it.

It changes nothing, costs nothing and prints no secret. Each module looks at one thing we stand on and is built from
plain settings, so that the doctor works where the application would not even start: `python -m namaskah.doctor`.
"""

from namaskah.doctor.examining import examine
from namaskah.doctor.findings import BAD, OK, WARNING, Finding

__all__ = ["BAD", "OK", "WARNING", "Finding", "examine"]
