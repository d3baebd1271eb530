"""Checks `.env.example` and `.env` against the settings that they are for."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import Secret, SecretBytes, SecretStr

from sturdyapi.exceptions import SettingsError

from .dsn import Dsn
from .example_file import MARKER, ExampleFile
from .expectations import is_list_of_scalars, item_type
from .git_ignored import GitStatus, git_status
from .report import MISSING
from .secrecy import PLACEHOLDER_LEFT, looks_secret, placeholders_in
from .sources import env_file_encoding, env_file_paths, variables_in_use
from .variables import in_case_of
from .vocabulary import Variable, Vocabulary, kinds_of, told_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pydantic_settings

    from sturdyapi.exceptions import SettingProblem

    from .base import BaseSettings

__all__ = ["EnvCheck", "Finding", "check_env_files", "shown_path"]

_ENVIRONMENT = "environment"
_WRITE = "write it: sturdyapi env --write"
_READABLE = "make it a file in {encoding} that this user may read"
_REFERENCE = re.compile(r"\$\{([^}:]+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with the files or variables; never holds a value."""

    place: str
    """A file, perhaps with its line; `environment`; or the name of a variable."""
    problem: str
    advice: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}; {self.advice}"


class EnvCheck(NamedTuple):
    """What a check has found."""

    findings: list[Finding]
    notes: list[str]
    """What was not checked, or does not count."""


def check_env_files(
    settings_class: type[BaseSettings],
    *,
    others: Iterable[type[pydantic_settings.BaseSettings]] = (),
) -> EnvCheck:
    """Return everything that is wrong with `.env.example`, `.env` and the variables of the process.

    `.env` is checked whatever the environment is, testing too. What is missing counts only where
    there is a `.env`: a fresh checkout has none, and nothing is wrong with it.

    Args:
        settings_class: What the files are for.
        others: Classes whose variables may stand in `.env` too.
    """
    with _silent_dotenv():
        return _Check(settings_class, [Vocabulary(each) for each in others]).run()


def shown_path(path: Path) -> str:
    """Return a path as short as it can be written from the working directory."""
    folder = Path.cwd()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


class _Entry(NamedTuple):
    key: str | None
    """`None` for a line that says nothing."""
    line: int
    has_value: bool


class _EnvFile:
    """What stands in a `.env`."""

    def __init__(self, path: Path, encoding: str) -> None:
        text = path.read_text(encoding)
        self.path = path
        self.place = shown_path(path)
        self.values = dotenv_values(stream=StringIO(text))
        self.references = set(_REFERENCE.findall(text))
        self.entries: list[_Entry] = []
        for binding in parse_stream(StringIO(text)):
            if binding.key is not None or binding.error:
                string = binding.original.string
                blank_lines = string[: len(string) - len(string.lstrip())].count("\n")
                line = binding.original.line + blank_lines
                self.entries.append(_Entry(binding.key, line, binding.value is not None))

    def place_of(self, line: int) -> str:
        return f"{self.place}:{line}"


class _Check:
    def __init__(self, settings_class: type[BaseSettings], others: list[Vocabulary]) -> None:
        self._settings_class = settings_class
        self._vocabulary = Vocabulary(settings_class)
        self._others = others
        self._example = ExampleFile(settings_class)
        self._names_of_others = self._example.names_of_others()
        self._encoding = env_file_encoding(settings_class)
        self._files: list[_EnvFile] = []
        self._unset: list[str] = []
        self._placeholders: set[str] = set()
        self._findings: list[Finding] = []
        self._notes: list[str] = []

    def run(self) -> EnvCheck:
        """Check the files, then the variables that they and the process hold together."""
        self._findings += self._of_example()
        paths = env_file_paths(self._settings_class)
        # Of several the last wins: it is the developer's own, and the others may be committed.
        self._findings += _of_git(paths[-1])
        for path in paths:
            self._read(path)
        in_use = variables_in_use(self._settings_class, [file.path for file in self._files])
        self._unset = [name for name in self._vocabulary.names if name not in in_use]
        for file in self._files:
            self._findings += self._of_entries(file)
        problems = self._load()
        self._findings += self._of_environment(problems)
        self._findings += self._of_problems(problems)
        return EnvCheck(self._findings, self._notes)

    def _of_example(self) -> Iterator[Finding]:
        place = shown_path(self._example.path)
        if not self._example.exists():
            yield Finding(place, "is missing", _WRITE)
            return
        try:
            drift = self._example.drift()
        except (OSError, UnicodeError):
            yield Finding(place, "can't be read", _READABLE.format(encoding="utf-8"))
            return
        if drift is not None:
            yield Finding(place, f"is out of date: it {drift}", _WRITE)

    def _read(self, path: Path) -> None:
        try:
            # Anything but a file or a folder, such as a pipe, is not read at the start either.
            if path.is_file() or path.is_dir():
                self._files.append(_EnvFile(path, self._encoding))
        except (OSError, UnicodeError):
            advice = _READABLE.format(encoding=self._encoding)
            self._findings.append(Finding(shown_path(path), "can't be read", advice))

    def _of_entries(self, file: _EnvFile) -> Iterator[Finding]:
        lines: dict[str, int] = {}
        for key, line, has_value in file.entries:
            place = file.place_of(line)
            if key is None:
                yield Finding(place, "is no line such as NAME=value", "mend or remove it")
            elif not has_value:
                yield Finding(place, "has no '='", "write NAME=value, or remove the line")
            else:
                yield from self._of_key(file, place, key)
                name = in_case_of(self._settings_class, key)
                if name in lines:
                    problem = f"{told_name(key)} stands in line {lines[name]} too"
                    yield Finding(place, problem, "remove one of them: the last one counts")
                lines[name] = line

    def _of_key(self, file: _EnvFile, place: str, key: str) -> Iterator[Finding]:
        variable = self._vocabulary.find(key)
        if variable is None:
            if not self._is_known_elsewhere(key) and key not in file.references:
                yield from self._of_unknown(place, key)
        elif self._holds_placeholder(variable, file.values[key]):
            self._placeholders.add(in_case_of(self._settings_class, key))
            yield Finding(place, f"{key} {PLACEHOLDER_LEFT}", "put in one of your own")

    def _is_known_elsewhere(self, key: str) -> bool:
        return key in self._names_of_others or any(other.find(key) for other in self._others)

    def _of_unknown(self, place: str, key: str) -> Iterator[Finding]:
        has_prefix = self._vocabulary.has_prefix(key)
        meant = self._vocabulary.meant_by(key, among=self._unset)
        if not has_prefix and meant is None:
            return  # stands there for another program
        problem = f"{told_name(key)} is no setting of {self._settings_class.__name__}"
        near = meant or self._vocabulary.nearest_to(key)
        hint = f". Did you mean '{near}'?" if near else ""
        others = f"remove it, or list it below '{MARKER}' in {self._example.path.name}"
        yield Finding(place, problem, f"{'rename it' if meant else others}{hint}")

    def _holds_placeholder(self, variable: Variable, value: Any) -> bool:
        if isinstance(value, dict):
            inner = {key: self._vocabulary.within(variable, key) for key in value}
            return any(
                self._holds_placeholder(inner[key] or Variable(key, Any), item)
                for key, item in value.items()
            )
        if isinstance(value, list):
            one = Variable(variable.name, item_type(variable.annotation))
            return any(self._holds_placeholder(one, item) for item in value)
        if not isinstance(value, str):
            return False
        parsed = _parsed(variable.annotation, value)
        if parsed is not None:
            return self._holds_placeholder(variable, parsed)
        is_secret = looks_secret(variable.name) or _is_secret_type(variable.annotation)
        return (is_secret or "://" in value) and bool(placeholders_in(SecretStr(value)))

    def _load(self) -> tuple[SettingProblem, ...]:
        """Return why the settings can't be loaded; nothing if they can be."""
        env_file = [file.path for file in self._files] or None
        try:
            self._settings_class(_env_file=env_file)
        except SettingsError as error:
            if error.skipped_checks:
                checks = ", ".join(error.skipped_checks)
                self._notes.append(f"Not checked until the settings load: {checks}.")
            return error.problems
        return ()

    def _of_environment(self, problems: Iterable[SettingProblem]) -> Iterator[Finding]:
        missing = [each.variable for each in problems if each.problem == MISSING]
        prefix = self._vocabulary.prefix
        for name in sorted(os.environ):
            if self._vocabulary.find(name) or self._is_known_elsewhere(name):
                continue
            is_ours = prefix and self._vocabulary.has_prefix(name)
            if meant := self._vocabulary.meant_by(name, among=self._unset if is_ours else missing):
                problem = f"{name} is no setting, and {meant} is not set"
                yield Finding(_ENVIRONMENT, problem, "rename it if that was meant")

    def _of_problems(self, problems: Iterable[SettingProblem]) -> Iterator[Finding]:
        missing = [each for each in problems if each.problem == MISSING]
        if missing and not self._files:
            names = ", ".join(each.variable for each in missing)
            self._notes.append(f"No .env was read, so that these may be missing: {names}.")
        for each in problems:
            is_known = each.problem == PLACEHOLDER_LEFT and each.variable in self._placeholders
            if not is_known and (self._files or each not in missing):
                yield self._located(each)

    def _located(self, problem: SettingProblem) -> Finding:
        advice = f"expected {problem.expected}"
        place = self._place_of(problem.variable)
        if place is None:
            return Finding(problem.variable, problem.problem, advice)
        return Finding(place, f"{problem.variable} {problem.problem}", advice)

    def _place_of(self, variable: str) -> str | None:
        if variable in variables_in_use(self._settings_class):
            return _ENVIRONMENT
        for file in reversed(self._files):
            for key, line, _ in reversed(file.entries):
                if key and in_case_of(self._settings_class, key) == variable:
                    return file.place_of(line)
        return None


def _of_git(path: Path) -> Iterator[Finding]:
    status = git_status(path)
    if status is GitStatus.TRACKED:
        advice = f"git rm --cached {path.name}, and change the secrets that were in it"
        yield Finding(shown_path(path), "is tracked by git", advice)
    elif status is GitStatus.NOT_IGNORED:
        yield Finding(shown_path(path), "is not ignored by git", f"add {path.name} to .gitignore")


def _parsed(annotation: Any, text: str) -> Any:
    """Return the items of a list or the JSON that a text holds; `None` for any other text."""
    if text.lstrip().startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            return None
    if is_list_of_scalars(annotation) and "," in text:
        return [item.strip() for item in text.split(",")]
    return None


def _is_secret_type(annotation: Any) -> bool:
    classes = [kind for kind in kinds_of(annotation) if isinstance(kind, type)]
    return any(issubclass(each, Secret | SecretStr | SecretBytes | Dsn) for each in classes)


@contextmanager
def _silent_dotenv() -> Iterator[None]:
    """Keep python-dotenv from warning of lines that are findings of ours."""
    logger = getLogger("dotenv.main")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was_disabled
