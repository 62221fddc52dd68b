"""The command line of weft train."""

from __future__ import annotations

import pytest

from weft.cli.main import main


def test_settings_are_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["train"])
    assert end.value.code == 2
    assert "KEY=VALUE" not in capsys.readouterr().err.splitlines()[-1]
