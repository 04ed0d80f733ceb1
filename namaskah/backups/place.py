"""The store of the settings."""

from flask import current_app

from namaskah.backups.folder_store import FolderStore
from namaskah.backups.problems import NotSetUp
from namaskah.backups.s3_store import S3Store
from namaskah.backups.stores import Store


def is_set_up() -> bool:
    """Whether the settings name a store."""
    return bool(current_app.config["BACKUP_STORE"])


def store() -> Store:
    """Where our backups lie; nothing is asked of it yet. Raises NotSetUp."""
    config = current_app.config
    place: str = config["BACKUP_STORE"]
    if not place:
        raise NotSetUp("there is no place for backups: set BACKUP_STORE and BACKUP_RECIPIENTS, see docs/backups.md")
    if not place.startswith("s3://"):
        return FolderStore(place)
    return S3Store(
        place,
        config["BACKUP_S3_ENDPOINT"],
        config["BACKUP_S3_REGION"],
        config["BACKUP_S3_KEY_ID"],
        config["BACKUP_S3_SECRET"],
    )
