"""The arguments of a verb, which say in one line what they cannot take."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from weft.errors import WeftError, nearest


class Arguments(argparse.ArgumentParser):
    """An ArgumentParser whose errors are WeftErrors, without the usage, with the nearest spelling of an option."""

    def given(self, arguments: Sequence[str]) -> argparse.Namespace:
        options, unknown = self.parse_known_args(arguments)
        if unknown:
            raise WeftError(self.refused(*unknown[0].split("=", 1), *unknown[1:]))
        for action in self._actions:
            if action.option_strings and action.nargs is None and getattr(options, action.dest, None) == "":
                raise WeftError(f"{action.option_strings[0]} is empty; expected {action.metavar or 'a value'}")
        return options

    def refused(self, word: str, *after: str) -> str:
        """What is said of an argument that is not known, and of the value after it."""
        if not word.startswith("-"):
            return f"'{word}' is one argument too many; {self.hint()}"
        what = f"{self.prog.removeprefix('weft ')} has no option '{word}'"
        own = [name for action in self._actions for name in action.option_strings]
        near = nearest(word, [name for name in own if name not in ("-h", "--help")])
        if not near and any(action.metavar == "KEY=VALUE" for action in self._actions):
            from weft.recipe.file import called

            key = word.lstrip("-").replace("-", "_")
            keys = called(key.rpartition(".")[2])
            value = after[0] if after and not after[0].startswith("-") else "..."
            example = f"{key if key in keys else keys[0]}={value}" if keys else "training.steps=5000"
            return f"{what}; settings are given as KEY=VALUE, such as {example}"
        return f"{what}{near or f'; {self.hint()}'}"

    def error(self, message: str) -> NoReturn:
        raise WeftError(f"{message}; {self.hint()}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        sys.stdout.flush()  # the help, while a failure can still be told
        super().exit(status, message)

    def hint(self) -> str:
        return f"{self.prog} --help says what it takes"
