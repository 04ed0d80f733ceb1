"""Backups in a bucket of anybody who speaks S3: Amazon, Cloudflare R2, Backblaze, MinIO, Ceph, …"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import certifi
import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from namaskah.backups.problems import PieceMissing, StoreDown, StoreFull
from namaskah.backups.stores import Item, Readable

# A file is sent in at most ten thousand parts: 312 GiB. One part is in memory at a time.
PART_BYTES = 32 << 20
TIMEOUT = urllib3.Timeout(connect=5, read=60)
RETRIES = urllib3.Retry(total=4, backoff_factor=0.3, status_forcelist=[500, 502, 503, 504])
GONE = {"NoSuchKey", "NotFound"}
FULL = {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"}
FAILURES = (MinioException, urllib3.exceptions.HTTPError, OSError)


class S3Store:
    """`place` is s3://bucket/prefix; the key needs to read, write, list and remove below it, and nothing else."""

    def __init__(self, place: str, endpoint: str, region: str, key_id: str, key: str, part_bytes: int = PART_BYTES):
        self.label = place
        self._bucket, _slash, prefix = place.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._part_bytes = part_bytes
        address = urlsplit(endpoint)
        self._client = Minio(
            endpoint=address.netloc,
            access_key=key_id,
            secret_key=key,
            secure=address.scheme == "https",
            region=region,
            http_client=urllib3.PoolManager(
                timeout=TIMEOUT, retries=RETRIES, ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where()
            ),
        )

    def put(self, path: str, source: Readable) -> int:
        counted = _Counted(source)
        try:
            self._client.put_object(
                self._bucket,
                self._prefix + path,
                cast("Any", counted),
                length=-1,
                part_size=self._part_bytes,
                num_parallel_uploads=1,
            )
        except Exception as error:
            if counted.failure is not None:
                raise counted.failure from None
            if isinstance(error, FAILURES):
                raise self._named(error) from error
            raise
        return counted.bytes

    @contextmanager
    def open(self, path: str) -> Iterator[Readable]:
        try:
            answer = self._client.get_object(self._bucket, self._prefix + path)
        except FAILURES as error:
            if _code(error) in GONE:
                raise PieceMissing(f"{path} is not in {self.label}") from None
            raise self._named(error) from error
        try:
            yield _Answer(answer, self)
        finally:
            answer.close()
            answer.release_conn()

    def items(self, folder: str) -> Iterator[Item]:
        try:
            for found in self._client.list_objects(self._bucket, prefix=f"{self._prefix}{folder}/", recursive=True):
                yield Item(str(found.object_name).removeprefix(self._prefix), found.size or 0)
        except FAILURES as error:
            raise self._named(error) from error

    def size(self, path: str) -> int | None:
        try:
            return self._client.stat_object(self._bucket, self._prefix + path).size
        except FAILURES as error:
            if _code(error) in GONE:
                return None
            raise self._named(error) from error

    def remove(self, path: str) -> None:
        try:
            self._client.remove_object(self._bucket, self._prefix + path)
        except FAILURES as error:
            raise self._named(error) from error

    def _named(self, error: Exception) -> StoreDown | StoreFull:
        """Without what was sent: the headers of a request hold its signature."""
        code = _code(error)
        if code in FULL or (isinstance(error, ServerError) and error.status_code == 507):
            return StoreFull(f"{self.label} is full: make room, or set BACKUP_STORE to another place")
        if code:
            return StoreDown(f"{self.label} refuses us: {code}")
        if isinstance(error, InvalidResponseError | ServerError):
            return StoreDown(f"{self.label} answers what is no S3: look at BACKUP_S3_ENDPOINT")
        return StoreDown(f"{self.label} cannot be reached: {type(error).__name__}")


def _code(error: Exception) -> str:
    """S3's name of an error. The client reads it from application/xml alone, and not everybody calls it that."""
    if isinstance(error, S3Error):
        return str(error.code)
    found = re.search(r"<Code>(\w+)</Code>", str(error)) if isinstance(error, InvalidResponseError) else None
    return found[1] if found else ""


class _Counted:
    """A source on its way out; what it raises is kept, for the client wraps or drops it."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self.bytes = 0
        self.failure: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            chunk = self._source.read(size)
        except BaseException as error:
            self.failure = error
            raise
        self.bytes += len(chunk)
        return chunk


class _Answer:
    """A file on its way in; a connection that breaks says so in our words."""

    def __init__(self, answer: Any, store: S3Store) -> None:
        self._answer, self._store = answer, store

    def read(self, size: int = -1) -> bytes:
        try:
            return cast("bytes", self._answer.read(None if size < 0 else size))
        except FAILURES as error:
            raise self._store._named(error) from error
