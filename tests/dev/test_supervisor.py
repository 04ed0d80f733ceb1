"""The supervisor of `make run`, on toy programs: everything stops together, and nobody has to guess why."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from dev.process import is_running

ROOT = Path(__file__).parents[2]

TOY = """
import json, sys
from pathlib import Path
from dev.screen import Screen
from dev.supervisor import Supervisor, until_stopped

logs, programs, verbose = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3] == "verbose"
screen = Screen()

def work():
    with Supervisor(screen, logs, cwd=logs, verbose=verbose) as supervisor:
        print(supervisor.run("setup", [sys.executable, "-c", "print('made 3')"], {}))
        for name, program in programs.items():
            supervisor.start(name, [sys.executable, "-u", "-c", program], {}, grace=1.0)
        screen.line("all started")
        supervisor.watch({})

sys.exit(until_stopped(screen, work))
"""

WRITE_PID = "import os, pathlib, time, signal; pathlib.Path('{0}.pid').write_text(str(os.getpid())); "
STEADY = WRITE_PID + "time.sleep(600)"
NOTES_ITS_END = WRITE_PID + (
    "signal.signal(signal.SIGTERM, lambda *_: (open('ends', 'a').write('{0} '), os._exit(0))); time.sleep(600)"
)
DEAF = WRITE_PID + "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
DIES = WRITE_PID + "print('first line'); print('disk is full'); time.sleep(0.3); raise SystemExit(7)"


class Toy:
    """One run of the toy, its programs writing their process ids into `folder`."""

    def __init__(self, folder: Path, verbose: bool = False, output: int = subprocess.PIPE, **programs: str) -> None:
        filled = {name: program.format(name) for name, program in programs.items()}
        self.folder, self.names = folder, list(programs)
        self.process = subprocess.Popen(
            [sys.executable, "-c", TOY, str(folder), json.dumps(filled), "verbose" if verbose else "quiet"],
            stdout=output,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def pids(self) -> list[int]:
        """Process ids of all the programs, once every one has written its own."""
        until = monotonic() + 15
        while True:
            written = [file.read_text() for file in self.folder.glob("*.pid")]
            if len(written) == len(self.names) and all(written):
                sleep(0.2)  # for the signal handlers that come next
                return [int(pid) for pid in written]
            assert monotonic() < until, "the programs did not start"
            sleep(0.02)

    def end(self) -> tuple[int, str]:
        """Exit code and everything it printed."""
        output, _ = self.process.communicate(timeout=15)
        return self.process.returncode, output


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    leftover = [file.stem for file in tmp_path.glob("*.pid") if is_running(int(file.read_text()))]
    assert leftover == [], "something was left running"


def test_a_dying_program_stops_the_others_and_is_named_with_its_last_lines(folder: Path) -> None:
    code, output = Toy(folder, steady=STEADY, web=DIES).end()
    assert code == 1
    assert "['made 3']" in output
    assert "web has ended (exit code 7). Its last lines:\n    first line\n    disk is full" in output
    assert (folder / "web.log").read_text() == "first line\ndisk is full\n"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_way_of_stopping_is_clean_and_stops_the_last_started_first(folder: Path, sent: signal.Signals) -> None:
    toy = Toy(folder, sandbox=NOTES_ITS_END, worker=NOTES_ITS_END, web=NOTES_ITS_END)
    toy.pids()
    toy.process.send_signal(sent)
    code, output = toy.end()
    assert code == 0
    assert output.endswith("Stopped.\n")
    assert (folder / "ends").read_text() == "web worker sandbox "


def test_a_closed_terminal_stops_everything_even_when_no_shell_passes_the_news_on(folder: Path) -> None:
    ours, its_terminal = pty.openpty()
    toy = Toy(folder, output=its_terminal, web=NOTES_ITS_END)
    os.close(its_terminal)
    toy.pids()
    os.close(ours)
    assert toy.process.wait(10) == 0
    assert (folder / "ends").read_text() == "web "


def test_a_program_deaf_to_sigterm_is_killed_and_a_second_ctrl_c_does_not_leave_it_behind(folder: Path) -> None:
    toy = Toy(folder, steady=STEADY, deaf=DEAF)
    toy.pids()
    began = monotonic()
    toy.process.send_signal(signal.SIGINT)
    sleep(0.3)
    toy.process.send_signal(signal.SIGINT)
    assert toy.end()[0] == 0
    assert monotonic() - began < 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_sigkill_of_the_supervisor_ends_its_programs(folder: Path) -> None:
    toy = Toy(folder, steady=STEADY, other=STEADY)
    pids = toy.pids()
    toy.process.kill()
    toy.process.communicate()
    until = monotonic() + 10
    while any(is_running(pid) for pid in pids):
        assert monotonic() < until
        sleep(0.05)


TALKS = WRITE_PID + (
    "print('a page was asked for'); print('WARNING mail is slow'); print('Traceback (most recent call last):'); "
    "print('  File x'); print('and on'); time.sleep(0.3); raise SystemExit(1)"
)


def test_only_warnings_and_errors_are_shown_and_everything_when_verbose(folder: Path) -> None:
    quiet = Toy(folder, web=TALKS).end()[1].split("web has ended")[0]
    assert "     web | WARNING mail is slow\n" in quiet
    assert "     web | Traceback (most recent call last):\n     web |   File x\n" in quiet
    assert "asked for" not in quiet
    assert "and on" not in quiet
    (folder / "web.pid").unlink()
    assert "     web | a page was asked for\n" in Toy(folder, verbose=True, web=TALKS).end()[1]


def test_a_failing_step_says_what_it_said(folder: Path) -> None:
    script = TOY.replace("print('made 3')", "import sys; sys.exit('no such table')")
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), "{}", "quiet"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 1
    assert "setup has ended (exit code 1). Its last lines:\n    no such table" in done.stdout
