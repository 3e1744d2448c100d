"""Settings: the only reader of the TOML file and of the environment.

Every setting has a section and a name: ``dlr.batch_size`` in the file's table ``[dlr]`` is
``BILLING_DLR_BATCH_SIZE`` in the environment, which wins over the file. The whole is validated
at once, across fields, so that what cannot work is refused before anything is started.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

ENV_PREFIX = "BILLING_"
CONFIG_VARIABLE = "BILLING_CONFIG"
DEFAULT_FILE = Path("config/billing.toml")
DAY = 86_400.0
TYPING_ERROR = 0.85  # how alike two names are for one to be meant by the other
MAX_QUORUM_PREFETCH = 2000
MAX_CLASSIC_PREFETCH = 65_535

Seconds = Annotated[float, Field(gt=0, le=100 * 365 * DAY, allow_inf_nan=False)]


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
QueueType = Literal["quorum", "classic"]


class ConfigError(Exception):
    """The settings cannot work; ``problems`` says why, one readable line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Section(BaseModel):
    """A table of the file. An unknown name in it is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Jasmin(Section):
    """Where the gateway's RabbitMQ is."""

    amqp_host: str = Field("localhost", min_length=1, description="RabbitMQ host")
    amqp_port: int = Field(5672, ge=1, le=65_535, description="RabbitMQ port")
    amqp_user: str = Field("jasmin", description="RabbitMQ user")
    amqp_password: SecretStr = Field(SecretStr("jasmin"), description="RabbitMQ password")
    amqp_vhost: str = Field("/", min_length=1, description="RabbitMQ virtual host")
    amqp_heartbeat: int = Field(
        30, ge=5, le=600, description="seconds between AMQP heartbeats; a dead link shows in three"
    )


class Database(Section):
    """Where the CDRs, accounts and ledger are."""

    url: SecretStr = Field(
        description="PostgreSQL URL, for example postgresql://billing:secret@db.example:5432/billing"
    )
    command_timeout: Seconds = Field(
        60, description="seconds after which an unanswered statement counts as an outage"
    )

    @model_validator(mode="after")
    def _is_postgresql(self) -> Database:
        if not _is_postgresql_url(self.url.get_secret_value()):
            raise ValueError(
                "url: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with any of "
                "/ : @ ? # [ ] % in user or password written as %2F %3A %40 %3F %23 %5B %5D %25"
            )
        return self


class Stream(Section):
    """How one queue is consumed and written."""

    batch_size: int = Field(1000, ge=1, le=50_000, description="events in one transaction at most")
    flush_ms: int = Field(
        100, ge=1, le=60_000, description="milliseconds that an event waits for its batch at most"
    )
    prefetch: int = Field(
        2000, ge=1, le=MAX_CLASSIC_PREFETCH, description="unacknowledged messages for each worker"
    )
    queue_type: QueueType = Field("quorum", description="quorum or classic")
    max_body_bytes: int = Field(
        65_536, ge=1024, description="a longer message body is dead-lettered unread"
    )

    @model_validator(mode="after")
    def _prefetch_covers_batches(self) -> Stream:
        if self.prefetch < 2 * self.batch_size:
            raise ValueError(
                f"prefetch: {self.prefetch} is less than 2 x batch_size (2 x {self.batch_size}), "
                "but one batch must be able to fill while one commits; set prefetch to "
                f"{2 * self.batch_size} or more, or batch_size to {max(1, self.prefetch // 2)} "
                "or less"
            )
        if self.queue_type == "quorum" and self.prefetch > MAX_QUORUM_PREFETCH:
            raise ValueError(
                f"prefetch: {self.prefetch} is more than a quorum queue should be asked for "
                f"({MAX_QUORUM_PREFETCH}); lower it, or set queue_type to classic"
            )
        return self


class Dlr(Stream):
    """Delivery receipts: queue billing_service.dlr."""

    timezone: str = Field("UTC", description="zone of the receipts' dates, which never carry one")
    receipt_log: bool = Field(True, description="keep a row for each receipt as it came")
    receipt_log_keep: Seconds = Field(
        30 * DAY, description="seconds that a row of the receipt log is kept"
    )
    link_keep: Seconds = Field(
        30 * DAY, description="seconds that an operator's id stays linked to its message"
    )

    @model_validator(mode="after")
    def _timezone_exists(self) -> Dlr:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"timezone: {self.timezone!r} is no zone of the IANA database; "
                "use a name such as UTC or Europe/Madrid"
            ) from None
        return self


class Bill(Stream):
    """Billing events: queue billing_service.submit_sm_resp."""

    batch_size: int = Field(500, ge=1, le=50_000, description="events in one transaction at most")
    prefetch: int = Field(
        1000, ge=1, le=MAX_CLASSIC_PREFETCH, description="unacknowledged messages for each worker"
    )


class Parking(Section):
    """Events that came before their CDR, their account or their link."""

    ttl: Seconds = Field(DAY, description="seconds that an event waits before it is dead-lettered")
    guess_grace: Seconds = Field(
        120, description="seconds before an unmatched receipt's id is also read in another base"
    )
    part_grace: Seconds = Field(
        600,
        description="seconds before an unmatched receipt may be taken for a part of a long message",
    )

    @model_validator(mode="after")
    def _grace_ends_before_ttl(self) -> Parking:
        if self.part_grace >= self.ttl:
            raise ValueError(
                f"part_grace: {self.part_grace:g} s is not less than ttl ({self.ttl:g} s), so that "
                "receipts for parts of long messages would be dead-lettered instead"
            )
        return self


class Http(Section):
    """/metrics, /healthz and /readyz of the supervisor."""

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(9108, ge=0, le=65_535, description="port to listen on; 0 takes a free one")


class Log(Section):
    """What is said while running."""

    level: Annotated[LogLevel, BeforeValidator(_upper)] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR"
    )
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, JSON elsewhere"
    )


class Settings(BaseSettings):
    """All settings, validated. Build it with :func:`load`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="forbid",
        frozen=True,
    )

    workers: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        le=256,
        description="worker processes; default: one for each core",
    )
    shutdown_timeout: Seconds = Field(
        30, description="seconds to flush, commit and acknowledge after SIGTERM"
    )
    jasmin: Jasmin = Field(default_factory=Jasmin)
    database: Database
    dlr: Dlr = Field(default_factory=Dlr)
    bill: Bill = Field(default_factory=Bill)
    parking: Parking = Field(default_factory=Parking)
    http: Http = Field(default_factory=Http)
    log: Log = Field(default_factory=Log)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the environment first, then the file (given as initial values)."""
        return env_settings, init_settings


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
    named = path or (Path(os.environ[CONFIG_VARIABLE]) if CONFIG_VARIABLE in os.environ else None)
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
    problems = _unknown_variables()
    try:
        settings = Settings(**values)
    except SettingsError as error:
        raise ConfigError([*problems, str(error)]) from error
    except ValidationError as error:
        problems += filter(None, map(_explain, error.errors()))
    if problems:
        raise ConfigError(problems)
    return settings


def effective(settings: Settings, path: Path | None = None) -> Iterator[Effective]:
    """Yield every setting with its value (secrets masked) and where it came from."""
    values = _read_toml(find_file(path))
    for section, name, field in _fields():
        holder = getattr(settings, section) if section else settings
        in_file = values.get(section, {}) if section else values
        variable = _variable(section, name)
        yield Effective(
            name=f"{section}.{name}" if section else name,
            value=_shown(getattr(holder, name)),
            variable=variable,
            origin="environment"
            if variable in os.environ
            else "file"
            if name in in_file
            else "default",
            description=field.description or "",
        )


def _fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """Yield (section or "", name, field) for every setting."""
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            for inner, inner_field in kind.model_fields.items():
                yield name, inner, inner_field
        else:
            yield "", name, field


def _variable(section: str, name: str) -> str:
    return ENV_PREFIX + (f"{section}_{name}" if section else name).upper()


def _read_toml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text: {error.reason}"]) from error
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from error


def _unknown_variables() -> list[str]:
    """Name BILLING_* variables that are nearly a setting's, or in one of its sections.

    A typing error must not pass in silence; but others use the prefix too, Kubernetes for one,
    which puts BILLING_SERVICE_HOST into every pod beside a Service named billing.
    """
    known = {_variable(section, name) for section, name, _ in _fields()} | {CONFIG_VARIABLE}
    sections = tuple({_variable(section, "") for section, _, _ in _fields() if section})
    problems = []
    for variable in sorted(os.environ):
        name = variable.upper()
        if name.startswith(ENV_PREFIX) and variable not in known:
            suggestion = _nearest(name, known)
            if suggestion or name.startswith(sections):
                problems.append(f"{variable}: no such setting{suggestion}")
    return problems


def _nearest(word: str, known: set[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=TYPING_ERROR)
    return f"; did you mean {close[0]}?" if close else ""


def _explain(item: Mapping[str, Any]) -> str | None:
    """Turn one of pydantic's errors into a line that names the setting and its variable."""
    location = [str(part) for part in item["loc"]]
    if item["type"] == "missing" and location == ["database"]:
        location.append("url")
    message = str(item["msg"]).removeprefix("Value error, ")
    if len(location) == 1 and ": " in message:  # a check across the fields of a section
        name, _, rest = message.partition(": ")
        return f"{location[0]}.{name} ({_variable(location[0], name)}): {rest}"
    name = ".".join(location)
    variable = ENV_PREFIX + "_".join(location).upper()
    if item["type"] == "extra_forbidden":
        if variable in os.environ:
            return None  # _unknown_variables has named it
        known = {f"{s}.{n}" if s else n for s, n, _ in _fields()}
        return f"{name} ({variable}): no such setting{_nearest(name, known)}"
    if item["type"] == "missing":
        return f"{name} ({variable}) is not set: {_description(location)}"
    # What was given for a whole section, or for a secret, is not repeated.
    plain = len(location) == 2 or not isinstance(item["input"], dict | str)
    secret = "password" in name or "url" in name
    given = f", not {item['input']!r}" if plain and not secret else ""
    return f"{name} ({variable}): {message[0].lower()}{message[1:]}{given}"


def _description(location: list[str]) -> str:
    for section, name, field in _fields():
        if location == ([section, name] if section else [name]):
            return field.description or ""
    return ""


def _is_postgresql_url(text: str) -> bool:
    """Whether a URL names a server and a database, and hides no password in the wrong place."""
    try:
        parts = urlsplit(text)
        database = parts.path.removeprefix("/")
        return (
            parts.scheme in {"postgresql", "postgres"}
            and bool(database)
            and not set(database) & set("/@:")
            and parts.port != 0  # raises where there is no number
        )
    except ValueError:
        return False


def _shown(value: object) -> str:
    """Show a value as TOML would write it, without its secrets."""
    if isinstance(value, SecretStr):
        if not _is_postgresql_url(value.get_secret_value()):
            return '"********"'
        parts = urlsplit(value.get_secret_value())
        host = parts.netloc.rpartition("@")[2]
        user = parts.username or ""
        shown = parts._replace(netloc=f"{user}:********@{host}" if parts.password else parts.netloc)
        return f'"{shown._replace(query="").geturl()}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    return f'"{value}"' if isinstance(value, str) else str(value)
