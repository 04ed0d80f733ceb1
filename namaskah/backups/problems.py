"""What can go wrong with a backup, each as a sentence for the operator. None of them holds a secret."""


class BackupError(Exception):
    """Something that the operator should read as it stands."""


class NotSetUp(BackupError):
    """A setting is missing."""


class UnderWay(BackupError):
    """Somebody else is at it."""


class StoreDown(BackupError):
    """The store cannot be reached or refuses us."""


class StoreFull(BackupError):
    """Nothing more fits into the store."""


class PieceMissing(BackupError):
    """A file that belongs to a backup is not there."""


class Damaged(BackupError):
    """A file is not what was written."""


class WrongKey(BackupError):
    """The backup is not encrypted for this identity."""


class ProgramFailed(BackupError):
    """pg_dump or pg_restore is missing, too old, or gave up."""


class TargetInUse(BackupError):
    """The database to restore into is not empty."""
