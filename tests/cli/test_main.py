"""The entry of the command, run as a process of its own."""

import subprocess
import sys

ENTRY = """
import atexit, gc, sys
sys.argv = ["weft", "--version"]
atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count() > 1_000))
from weft.cli.main import main
main()
"""


def test_a_command_looks_for_garbage_seldom_and_not_when_it_leaves():
    result = subprocess.run([sys.executable, "-c", ENTRY], check=True, capture_output=True, text=True)
    assert result.stdout.splitlines()[1] == "10000 True"
