"""The entry of the command, run as a process of its own."""

import os
import subprocess
import sys

import pytest

ENTRY = """
import atexit, gc, sys
sys.argv = ["weft", "--version"]
atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count() > 1_000))
from weft.cli.main import main
main()
"""


BUFFERED = os.environ | {"PYTHONUNBUFFERED": ""}
VERSION, HELP = (
    [sys.executable, "-c", f"import sys; sys.argv[1:] = {words}; from weft.cli.main import main; main()"]
    for words in (["--version"], ["recipe", "--help"])
)


def test_a_command_looks_for_garbage_seldom_and_not_when_it_leaves():
    result = subprocess.run([sys.executable, "-c", ENTRY], check=True, capture_output=True, text=True)
    assert result.stdout.splitlines()[1] == "10000 True"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")  # noqa: PTH110
@pytest.mark.parametrize("command", [VERSION, HELP])
def test_a_full_disk_is_told_of_when_the_last_of_the_output_is_written(command):
    with open("/dev/full", "wb") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=BUFFERED)
    assert (result.returncode, result.stderr) == (2, "weft: standard output: No space left on device\n")


def test_a_pipe_that_nobody_reads_ends_a_command_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(VERSION, stdout=writing, stderr=subprocess.PIPE, text=True, env=BUFFERED)
    os.close(writing)
    assert (result.returncode, result.stderr) == (141, "")


def test_a_command_works_with_its_output_closed():
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *VERSION]
    result = subprocess.run(closed, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, result.stderr) == (0, "")
