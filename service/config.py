"""Reads the settings: the only reader of the TOML file and of the environment.

Every setting has a section and a name: ``dlr.batch_size`` in the file's table ``[dlr]`` is
``BILLING_DLR_BATCH_SIZE`` in the environment, which wins over the file. A secret may also be in a
file of its own: ``BILLING_DATABASE_URL_FILE`` names that of ``database.url``. The whole is
validated at once, across fields, so that what cannot work is refused before anything is started.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from service.database_url import is_postgresql_url
from service.settings import (
    ENV_PREFIX,
    SECRET_FILES,
    SECTIONS,
    Http,
    HttpAlone,
    Settings,
    fields,
    variable_of,
)

Kind = TypeVar("Kind", bound=BaseSettings)

CONFIG_VARIABLE = "BILLING_CONFIG"
DEFAULT_FILE = Path("config/billing.toml")
UNITS = {"seconds", "milliseconds"}  # with which the description of a time begins
TYPING_ERROR = 0.85  # how alike two names are for one to be meant by the other


class ConfigError(Exception):
    """The settings cannot work; ``problems`` says why, one readable line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Effective(NamedTuple):
    """One setting as it will be used, for ``check-config``."""

    name: str
    value: str
    variable: str
    origin: Literal["environment", "file", "default"]
    description: str


def find_file(path: Path | None) -> Path | None:
    """Return the file to read: ``path``, else $BILLING_CONFIG, else config/billing.toml if there.

    Raises:
        ConfigError: a file was named and does not exist.
    """
    by_variable = _file_of(CONFIG_VARIABLE)
    named = path or (Path(by_variable) if by_variable else None)
    if named is None:
        return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
    try:
        named.stat()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError([f"{named}: {reason}; give a file with --config"]) from error
    return named


def load(path: Path | None = None) -> Settings:
    """Read and validate everything.

    Raises:
        ConfigError: something cannot work; all that is known to be wrong is listed.
    """
    values = _read_toml(find_file(path))
    problems = [*_unknown_variables(), *_no_tables(values), *_read_secrets(values)]
    return _validated(Settings, values, problems)


def load_http(path: Path | None = None) -> Http:
    """Read where a service that runs answers, whatever else is set or is not.

    Raises:
        ConfigError: that cannot work.
    """
    values = _read_toml(find_file(path))
    return _validated(HttpAlone, values, _no_tables(values)).http


def _validated(kind: type[Kind], values: Mapping[str, Any], problems: list[str]) -> Kind:
    try:
        settings = kind(**values)
    except ValidationError as error:
        problems += filter(None, map(_explain, error.errors()))
    if problems:
        raise ConfigError(problems)
    return settings


def effective(settings: Settings, path: Path | None = None) -> Iterator[Effective]:
    """Yield every setting with its value (secrets masked) and where it came from."""
    values = _read_toml(find_file(path))
    for section, name, field in fields():
        holder = getattr(settings, section) if section else settings
        in_file = values.get(section, {}) if section else values
        variable = _variable_in_force(section, name)
        yield Effective(
            name=f"{section}.{name}" if section else name,
            value=shown(getattr(holder, name)),
            variable=variable,
            origin="environment"
            if variable in os.environ
            else "file"
            if name in in_file
            else "default",
            description=field.description or "",
        )


def _read_toml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(_read_text(path))
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text: {error.reason}"]) from error
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from error


def _read_text(path: Path) -> str:
    """Read a file, but none that might never end, nor give an answer.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read, or is no text.
    """
    if not (path.is_file() or path == Path(os.devnull)) and path.exists() and not path.is_dir():
        raise OSError(0, "no regular file")
    return path.read_text(encoding="utf-8")


def _no_tables(values: MutableMapping[str, Any]) -> list[str]:
    """Name, and take out of ``values``, what stands in a section's place and is no table.

    The environment's variables of that section would hide it.
    """
    sections = {section for section, _, _ in fields() if section}
    wrong = [name for name in values if name in sections and not isinstance(values[name], dict)]
    for name in wrong:
        del values[name]
    return [f"{name}: expected a table, [{name}]" for name in wrong]


def _file_of(variable: str) -> str | None:
    """Return the file that a variable names; an empty one names none."""
    return os.environ.get(variable) or None


def _variable_in_force(section: str, name: str) -> str:
    """Return the variable that a setting is given by: its own, or that of its secret's file."""
    variable = variable_of(section, name)
    file = f"{variable}_FILE"
    return file if file in SECRET_FILES and _file_of(file) else variable


def _read_secrets(values: MutableMapping[str, Any]) -> list[str]:
    """Put the secrets whose files are named in the environment into ``values``.

    Returns:
        What is wrong with them.
    """
    problems = []
    for variable, (section, name) in SECRET_FILES.items():
        path = _file_of(variable)
        if path is None:
            continue
        if variable.removesuffix("_FILE") in os.environ:
            problems.append(f"{variable}: {variable.removesuffix('_FILE')} is set too; unset one")
            continue
        try:
            text = _read_text(Path(path))
        except UnicodeDecodeError:
            problems.append(f"{variable}: {path}: not UTF-8 text")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            problems.append(f"{variable}: {path}: cannot be read: {reason}")
        else:
            secret = text.removesuffix("\n").removesuffix("\r")
            if secret:
                values.setdefault(section, {})[name] = secret
            else:
                problems.append(f"{variable}: {path}: is empty")
    return problems


def _unknown_variables() -> list[str]:
    """Name BILLING_* variables that are nearly a setting's, or in one of its sections.

    A typing error must not pass in silence; but others use the prefix too, Kubernetes for one,
    which puts BILLING_SERVICE_HOST into every pod beside a Service named billing.
    """
    known = {variable_of(section, name) for section, name, _ in fields()}
    known |= {CONFIG_VARIABLE, *SECRET_FILES}
    sections = tuple(f"{section}_" for section in SECTIONS)
    problems = []
    for variable in sorted(os.environ):
        name = variable.upper()
        if name.startswith(ENV_PREFIX) and variable not in known:
            suggestion = _nearest(name, known)
            if not suggestion and name in SECTIONS:
                example = min(each for each in known if each.startswith(f"{name}_"))
                suggestion = f"; its settings are given one by one, as {example}"
            if suggestion or name.startswith(sections):
                problems.append(f"{variable}: no such setting{suggestion}")
    return problems


def _nearest(word: str, known: set[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=TYPING_ERROR)
    return f"; did you mean {close[0]}?" if close else ""


def _explain(item: Mapping[str, Any]) -> str | None:
    """Turn one of pydantic's errors into a line that names the setting and its variable.

    Returns:
        None where something else that is wrong is named already.
    """
    kind, location, message = item["type"], list(item["loc"]), str(item["msg"])
    if kind == "default_factory_not_called":
        return None  # it depends on another that is wrong
    if kind == "extra_forbidden":
        return _explain_unknown([str(part) for part in location])
    if kind == "missing":
        return _explain_missing(*location)
    message = message.removeprefix("Value error, ").replace("a valid tuple", "a list")
    known = {(section, name): field for section, name, field in fields()}
    if ("", location[0]) in known:
        location.insert(0, "")
    elif len(location) == 1:  # a check across the fields of a section
        name, _, rest = message.partition(": ")
        return f"{_title(location[0], name)}: {rest}"
    section, name, *inside = location
    field = known[section, name]
    expected = _expected(kind, message, field, variable_of(section, name)) if not inside else None
    # A secret is not repeated.
    given = "" if field.annotation is SecretStr else f", not {item['input']!r}"
    return f"{_title(section, name)}: {_place(inside)}{expected or _lower(message)}{given}"


def _explain_unknown(location: list[str]) -> str | None:
    if variable_of(*location[-2:] if len(location) > 1 else ("", *location)) in os.environ:
        return None  # _unknown_variables has named it
    name = ".".join(location)
    known = {f"{section}.{each}" if section else each for section, each, _ in fields()}
    return f"{name}: no such setting{_nearest(name, known)}"


def _explain_missing(section: str, name: str = "url") -> str | None:
    """Name a setting that must be given; the one section that must is there for its URL."""
    if _variable_in_force(section, name) != variable_of(section, name):
        return None  # _read_secrets has said why
    descriptions = {(s, n): field.description for s, n, field in fields()}
    return f"{_title(section, name)} is not set: {descriptions[section, name]}"


def _title(section: str, name: str) -> str:
    return f"{section}.{name} ({_variable_in_force(section, name)})".removeprefix(".")


def _place(inside: list[str | int]) -> str:
    """Say where in a list or table a value is."""
    parts = [
        f"item {part + 1}" if isinstance(part, int) else f'"{part}"'
        for part in inside
        if part != "[key]"
    ]
    return f"{', '.join(parts)}: " if parts else ""


def _expected(kind: str, message: str, field: FieldInfo, variable: str) -> str | None:
    """Say what form a value has, where that is more than pydantic says."""
    if field.examples:
        example = field.examples[0]
        if variable in os.environ:
            return f"expected JSON, such as {json.dumps(example)}"
        return f"expected a value such as {shown(example)}"
    if field.annotation is bool:
        return "expected true or false"
    first_word = (field.description or "").partition(" ")[0]
    unit = first_word if first_word in UNITS else ""
    if kind.startswith(("greater_than", "less_than")):
        return f"{_lower(message)} {unit}".rstrip()
    if kind.startswith(("int_", "float_", "finite_")):
        number = "whole number" if field.annotation is int else "number"
        unit = f" of {unit}" if unit else ""
        example = f", such as {shown(field.default)}" if field.default_factory is None else ""
        return f"expected a {number}{unit}{example}"
    return None


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def shown(value: object) -> str:
    """Show a value as TOML would write it, without its secrets."""
    if isinstance(value, SecretStr):
        return f'"{_masked(value.get_secret_value())}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        inner = ", ".join(f'"{name}" = {shown(rule)}' for name, rule in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, float):
        return f"{value:.15g}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _masked(secret: str) -> str:
    """Hide a secret, but of a URL only its password and parameters."""
    if not is_postgresql_url(secret):
        return "********"
    parts = urlsplit(secret)
    host = parts.netloc.rpartition("@")[2]
    user = parts.username or ""
    shown = parts._replace(netloc=f"{user}:********@{host}" if parts.password else parts.netloc)
    return shown._replace(query="").geturl()
