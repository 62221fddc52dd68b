"""What is replaced in one step, and what is written to as it is."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from weft.files import passes_on, write_text


def test_files_and_folders_are_not_passed_on_and_pipes_are(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not passes_on(tmp_path / "file") and not passes_on(tmp_path) and not passes_on(tmp_path / "none")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert passes_on(tmp_path / "pipe")


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs /dev/null")
def test_a_device_stays_what_it_is() -> None:
    before = os.stat("/dev/null").st_ino  # noqa: PTH116
    assert passes_on(Path("/dev/null"))
    write_text(Path("/dev/null"), "gone")
    assert os.stat("/dev/null").st_ino == before  # noqa: PTH116


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs /dev/shm")
def test_a_file_in_shared_memory_is_replaced_in_one_step() -> None:
    with TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "card.md"
        write_text(path, "first")
        assert not passes_on(path)
        with path.open() as before:
            write_text(path, "second")
            assert (before.read(), path.read_text()) == ("first", "second")
