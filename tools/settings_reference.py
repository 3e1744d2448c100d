"""Writes docs/settings.md from the settings themselves: ``python -m tools.settings_reference``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import GenericAlias
from typing import Any, Final, Literal, get_args, get_origin
from uuid import UUID

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from service.config import shown
from service.settings import LONGEST_SECONDS, SECRET_FILES, Settings, fields, variable_of

FILE: Final = Path(__file__).parent.parent / "docs" / "settings.md"

HEAD: Final = """\
# Settings

Every setting as the service has it: `make docs` writes this page, and a test holds it to that.
[config/billing.toml](../config/billing.toml) explains what each choice means,
[operations.md](operations.md) how to make it.

A setting is given in a TOML file (`--config`, `$BILLING_CONFIG` or `config/billing.toml`), in the
table that is named here, or by its environment variable, which wins. Lists and tables in a variable
are JSON: `BILLING_REFUND_RECEIPTS='["rejected"]'`. Settings that cannot work, alone or together,
end the service with exit code 2 and a list of what is wrong; `billing-service check-config` shows
the values in force, and where each comes from.
"""

TOP: Final = "At the head of the file, before any table."
COLUMNS: Final = ("Setting", "Variable", "Default", "Values", "What it is")


def reference() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_tables()])


def _tables() -> Iterator[str]:
    """Yield a heading, what the section's class says of itself, and its table, for each section."""
    here = None
    for section, name, field in fields():
        if section != here:
            yield "" if here is not None else f"## The service\n\n{TOP}\n"
            if section:
                kind = Settings.model_fields[section].annotation
                yield f"## [{section}]\n\n{inspect.getdoc(kind)}\n"
            yield _row(*COLUMNS)
            yield _row(*["---"] * len(COLUMNS))
            here = section
        variable = variable_of(section, name)
        text, _, default = (field.description or "").partition("; default: ")
        if f"{variable}_FILE" in SECRET_FILES:
            text += f"; may be in a file that `{variable}_FILE` names"
        yield _row(f"`{name}`", f"`{variable}`", default or _default(field), _values(field), text)
    yield ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "none: must be set"
    default = field.default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    return f"`{shown(default)}`"


def _values(field: FieldInfo) -> str:
    """Say what may be given: a range, a choice, or a form."""
    limits = {name: _limits(field, name) for name in ("gt", "ge", "le")}
    low = f"{max(limits['ge']):,}" if limits["ge"] else ""
    high = f"{min(limits['le']):,}" if limits["le"] else ""
    if low and high:
        return f"{low} to {high}"
    above = f"{low} or more" if low else "above 0" if limits["gt"] else ""
    below = f"{high} at most" if high else ""
    return ", ".join(filter(None, (above, below))) or _form(field.annotation)


def _limits(field: FieldInfo, kind: str) -> list[float]:
    """Return the limits of one kind, but the one that every span of time has."""
    found = (getattr(limit, kind, None) for limit in field.metadata)
    return [limit for limit in found if limit not in (None, LONGEST_SECONDS)]


def _form(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{shown(value)}`" for value in get_args(kind))
    if isinstance(kind, GenericAlias) and get_origin(kind) is tuple:
        return f"list of {_form(get_args(kind)[0])}"
    if isinstance(kind, GenericAlias) and get_origin(kind) is dict:
        key, value = get_args(kind)
        return f"table, by {'UUID' if key is UUID else 'name'}, each a {_form(value)}"
    return "`true`, `false`" if kind is bool else "text"


if __name__ == "__main__":
    FILE.write_text(reference())
