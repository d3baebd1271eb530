"""Turns what went wrong while settings were filled into problems that hold no value."""

from __future__ import annotations

import re
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from sturdyapi.exceptions import SettingProblem, SettingsError, did_you_mean

from .echoes import echoes
from .expectations import choices_of, expectation_of, is_choice_of_types, item_type, model_in
from .faults import REFUSAL
from .secrecy import holds_secret
from .sources import variables_in_use
from .variables import aliases_of, is_case_sensitive, variables_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails
    from pydantic_settings import BaseSettings

__all__ = ["MISSING", "settings_error"]

MISSING = "is missing"
_PLACEHOLDERS = "placeholder secrets"
_PROBLEMS = {
    "missing": MISSING,
    "enum": "is not one of the allowed values",
    "extra_forbidden": "has an entry that it does not know",
    "literal_error": "is not one of the allowed values",
    "finite_number": "is not a finite number",
    "multiple_of": "is out of range",
    "too_short": "is too short",
    "too_long": "is too long",
    "string_too_short": "is too short",
    "string_too_long": "is too long",
    "bytes_too_short": "is too short",
    "bytes_too_long": "is too long",
    "string_pattern_mismatch": "does not have the required form",
    "path_not_file": "is not the path of a file that exists",
    "path_not_directory": "is not the path of a directory that exists",
}
_PROBLEMS_BY_PREFIX = {
    "greater_": "is out of range",
    "less_": "is out of range",
    "bool_": "is neither true nor false",
    "bytes_": "is not text",
    "date_": "is not a date",
    "datetime_": "is not a date and time",
    "decimal_": "is not a number of the required form",
    "dict_": "is not a JSON object",
    "float_": "is not a number",
    "frozen_set_": "is not a list",
    "int_": "is not a whole number",
    "ip_": "is not an IP address or network of the required form",
    "json_": "is not JSON",
    "list_": "is not a list",
    "mapping_": "is not a JSON object",
    "model_": "is not a JSON object",
    "set_": "is not a list",
    "string_": "is not text",
    "time_delta_": "is not a duration",
    "time_": "is not a time",
    "tuple_": "is not a list",
    "url_": "is not a URL of the required form",
    "uuid_": "is not a UUID",
}
# `fastapi run` prints the report through Rich, to which a bracket is markup.
_NO_MARKUP = str.maketrans("[]", "()")
_MAX_MESSAGE = 200


def settings_error(
    settings_class: type[BaseSettings],
    cause: Exception | None,
    problems: Sequence[SettingProblem],
    env_files: Sequence[Path],
) -> SettingsError:
    """Return the error that reports the `problems` with files and what `cause` has to say."""
    found, skipped = list(problems), list[str]()
    if isinstance(cause, ValidationError):
        report = _Report(settings_class, set(variables_in_use(settings_class, env_files)))
        for error in cause.errors():
            # What is missing may stand in the file that could not be read.
            if not (problems and error["type"] == "missing"):
                report.add(error)
        found += report.problems
        skipped += report.skipped_checks
    elif cause is not None:
        found.append(_problem_of_source(settings_class, cause))
        skipped.append("all other settings")
    if problems:
        skipped.append("what is missing")
    return SettingsError(
        settings_class.__name__, dict.fromkeys(found), skipped_checks=dict.fromkeys(skipped)
    )


class _Report:
    """Collects the problems of one `ValidationError`."""

    def __init__(self, settings_class: type[BaseSettings], in_use: set[str]) -> None:
        self.problems: list[SettingProblem] = []
        self.skipped_checks: list[str] = []
        self._settings_class = settings_class
        self._in_use = in_use

    def add(self, error: ErrorDetails) -> None:
        """Add what an error of Pydantic means to the user."""
        raised = error.get("ctx", {}).get("error")
        field = next(iter(error["loc"]), None)
        if error["type"] == "default_factory_not_called":
            return  # follows from another problem
        if isinstance(raised, SettingsError):
            self.problems += raised.problems
        elif field in _fields_by_name(self._settings_class):
            for location in self._locations(error):
                place = _Place(self._settings_class, location, self._in_use)
                self.problems.append(place.problem(error))
                self.skipped_checks += place.skipped_checks(error)
        elif error["type"] == "extra_forbidden":
            self.problems.append(_unknown_keyword(self._settings_class, str(field)))
        else:
            self.problems.append(_problem_of_model_check(self._settings_class, error))
            self.skipped_checks += _checks_behind(self._settings_class, _check_that_raised(error))

    def _locations(self, error: ErrorDetails) -> list[tuple[int | str, ...]]:
        """Return every place that an error speaks of."""
        paths: Iterable[tuple[str, ...]] = [()]
        if error["type"] == REFUSAL:
            paths = error["ctx"]["paths"]
        elif error["type"] == "missing":
            place = _Place(self._settings_class, error["loc"], self._in_use)
            paths = _required_below(place.annotation)
        return [(*error["loc"], *path) for path in paths]


class _Place:
    """Where in the settings an error is: a variable, perhaps an item of its list."""

    def __init__(
        self, settings_class: type[BaseSettings], location: Sequence[int | str], in_use: set[str]
    ) -> None:
        self._settings_class = settings_class
        self._models: list[type[BaseModel]] = [settings_class]
        name, self.field = _fields_by_name(settings_class)[location[0]]
        candidates = variables_of(settings_class, name)
        self._variable = next((each for each in candidates if each in in_use), candidates[0])
        self.annotation: Any = self.field.annotation
        self._name = name
        self._trail: list[str] = []
        for step in location[1:]:
            self._enter(step)

    def problem(self, error: ErrorDetails) -> SettingProblem:
        """Say what is wrong here and what would be right."""
        expected = expectation_of(self.field)
        if error["type"] == REFUSAL:
            words, expected = error["ctx"]["problem"], error["ctx"]["expected"] or expected
        else:
            words = self._words(error)
            expected += _hint(error["input"], choices_of(self.annotation))
        return SettingProblem(
            self._variable, " ".join([*self._trail, words]), expected.translate(_NO_MARKUP)
        )

    def skipped_checks(self, error: ErrorDetails) -> list[str]:
        """Return the checks that did not run because of an error here."""
        skipped = [check for model in reversed(self._models) for check in _model_checks(model)]
        if _built_in_words(error):
            skipped = _field_checks(self._models[-1], self._name) + skipped
        if self._name == "environment":
            skipped.append(_PLACEHOLDERS)
        return skipped

    def _enter(self, step: int | str) -> None:
        model = model_in(self.annotation)
        if isinstance(step, int):
            self._trail.append(f"item {step + 1}")
            self.annotation = item_type(self.annotation)
        elif model:
            self._enter_model(model, step)
        # Other steps are keys of a mapping, which may be secret, or branches of a union.

    def _enter_model(self, model: type[BaseModel], step: str) -> None:
        self._models.append(model)
        if step not in _fields_by_name(model):
            return
        self._name, self.field = _fields_by_name(model)[step]
        self.annotation = self.field.annotation
        if self._trail:
            self._trail.append(self._name)
        else:
            delimiter = self._settings_class.model_config.get("env_nested_delimiter") or "."
            same_case = is_case_sensitive(self._settings_class)
            self._variable += delimiter + (step if same_case else step.upper())

    def _words(self, error: ErrorDetails) -> str:
        if words := _built_in_words(error):
            # Each of several types has its own complaint.
            is_one_of_many = is_choice_of_types(self.annotation) and error["type"] not in _PROBLEMS
            return "is not valid" if is_one_of_many else words
        is_secret = holds_secret(self._name, self.field.annotation)
        return _own_words(error, [(error["input"], is_secret)])


def _required_below(
    annotation: Any, outer: tuple[type[BaseModel], ...] = ()
) -> list[tuple[str, ...]]:
    """Return the paths to what is missing if nothing of a nested model is set."""
    model = model_in(annotation)
    if model is None or model in outer:
        return [()]
    required = {name: field for name, field in model.model_fields.items() if field.is_required()}
    paths = [
        (name, *path)
        for name, field in required.items()
        for path in _required_below(field.annotation, (*outer, model))
    ]
    return paths or [()]


def _built_in_words(error: ErrorDetails) -> str | None:
    if error["type"] in ("value_error", "assertion_error"):
        return None
    if error["type"] in _PROBLEMS:
        return _PROBLEMS[error["type"]]
    for prefix, words in _PROBLEMS_BY_PREFIX.items():
        if error["type"].startswith(prefix):
            return words
    # Only the errors that Pydantic makes itself have a page.
    return "is not valid" if "url" in error else None


def _own_words(error: ErrorDetails, values: Iterable[tuple[object, bool]]) -> str:
    """Return the text of the user's check, unless it repeats one of the values."""
    check = _check_that_raised(error)
    raised = error.get("ctx", {}).get("error")
    message = " ".join((error["msg"] if raised is None else str(raised)).split()).rstrip(".")
    message = message.translate(_NO_MARKUP)[:_MAX_MESSAGE]
    if message and not any(echoes(message, value, is_secret=secret) for value, secret in values):
        return message
    return f"is refused by its check '{check}'" if check else "is refused by its check"


def _problem_of_model_check(
    settings_class: type[BaseSettings], error: ErrorDetails
) -> SettingProblem:
    given = error["input"] if isinstance(error["input"], dict) else {}
    values: list[tuple[object, bool]] = []
    for name, field in settings_class.model_fields.items():
        if not choices_of(field.annotation):
            is_secret = holds_secret(name, field.annotation)
            names = [name, *aliases_of(field, settings_class.model_config)]
            values += [(given[key], is_secret) for key in names if key in given]
            values.append((field.default, is_secret))
    check = _check_that_raised(error)
    return SettingProblem(
        settings_class.__name__,
        _own_words(error, values),
        f"settings that pass the check '{check}'" if check else "settings that pass its checks",
    )


def _unknown_keyword(settings_class: type[BaseSettings], name: str) -> SettingProblem:
    fields = settings_class.model_fields
    return SettingProblem(name, "is no setting", f"a field's name.{did_you_mean(name, fields)}")


def _problem_of_source(settings_class: type[BaseSettings], cause: Exception) -> SettingProblem:
    """Name the field if the source did, else the line that raised; the text may hold a value."""
    named = re.match(r'error \w+ value for field "(\w+)" from source "(\w+)"', str(cause))
    if named and named[1] in settings_class.model_fields:
        variable = variables_of(settings_class, named[1])[0]
        expected = expectation_of(settings_class.model_fields[named[1]])
        return SettingProblem(variable, f"can't be read by {named[2]}", expected)
    *_, last = extract_tb(cause.__traceback__)
    where = f"{Path(last.filename).name}, line {last.lineno}"
    problem = f"{type(cause).__name__} in {last.name} ({where})"
    return SettingProblem(
        settings_class.__name__,
        problem,
        "sources that can be read, and checks that raise ValueError",
    )


def _hint(value: object, choices: list[str]) -> str:
    text = value.strip() if isinstance(value, str) else ""
    hints = (did_you_mean(form, choices) for form in (text, text.lower(), text.upper()))
    return next((f".{hint}" for hint in hints if hint), "")


def _fields_by_name(model: type[BaseModel]) -> dict[int | str | None, tuple[str, FieldInfo]]:
    """Return the fields by every name that an error may give them."""
    found: dict[int | str | None, tuple[str, FieldInfo]] = {}
    for name, field in model.model_fields.items():
        for key in (name, *aliases_of(field, model.model_config)):
            found.setdefault(key, (name, field))
    return found


def _check_that_raised(error: ErrorDetails) -> str | None:
    """Return the name of the validator that refused; the first frame is its own."""
    traceback = getattr(error.get("ctx", {}).get("error"), "__traceback__", None)
    name = traceback.tb_frame.f_code.co_name if traceback else None
    return None if name == "<lambda>" else name


def _model_checks(model: type[BaseModel]) -> list[str]:
    decorators = model.__pydantic_decorators__.model_validators
    return [name for name, item in decorators.items() if item.info.mode != "before"]


def _checks_behind(model: type[BaseModel], failed: str | None) -> list[str]:
    """Return the checks that a failed check of the whole model kept from running."""
    checks = _model_checks(model)
    if failed in checks:
        return checks[checks.index(failed) + 1 :]
    # It came before the fields.
    return ["all other settings", *checks]


def _field_checks(model: type[BaseModel], name: str) -> list[str]:
    decorators = model.__pydantic_decorators__.field_validators
    return [
        check
        for check, item in decorators.items()
        if name in item.info.fields and item.info.mode in ("after", "wrap")
    ]
