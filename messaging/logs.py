"""Logs, for every process the same: structlog over the standard `logging`, so that libraries' lines look like ours.

A line is an event's fixed name and keys of a closed vocabulary (`log_keys`). What cannot be known to be harmless does not get
through: an unknown key is refused in tests, and dropped and counted elsewhere; a value is a number, a short text or an error,
never an object; an error is told by `safe_text`, its traceback by places alone; a library's arguments are looked at likewise.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from contextvars import Context, copy_context
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, TextIO, cast

from prometheus_client import Counter

from contracts.metrics import LOG_KEYS_DROPPED
from messaging.absent import absent
from messaging.log_keys import ALWAYS, KEYS
from messaging.log_repeats import OnceInAWhile
from messaging.safe_text import one_line, safe_text
from messaging.setting import Choice

# structlog takes rich where it is there, to paint tracebacks with: ours are told by places alone, and rich (which orderctl needs)
# is a fifth of all that a worker imports.
with absent("rich"):
    import structlog
    from structlog.stdlib import BoundLogger, ProcessorFormatter
    from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

Format = Literal["console", "json"]
Log = BoundLogger

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMAT: Final = Choice("LOG_FORMAT", "console", ("console", "json"), "lines for people, or a JSON object a line")
LOG_LEVEL: Final = Choice("LOG_LEVEL", "INFO", LEVELS, "the least that is told")
#: Chatty libraries: what matters of these is told by us.
QUIET: Final = ("aiokafka", "faust", "mode")
MAX_FRAMES: Final = 30

#: How many keys were dropped because the vocabulary does not have them; on every process's `/metrics`.
DROPPED: Final = Counter(LOG_KEYS_DROPPED.name, LOG_KEYS_DROPPED.help, registry=None)


class UnknownLogKeyError(Exception):
    """A log call used a key that is not in `messaging/log_keys.py`, or a value that is no plain fact: add the word or leave it out.

    Not one of the runtime's errors: those are waited out, and this one is a fault in the code."""


@dataclass(slots=True)
class _Strictness:
    refuse: bool = False


_strictness: Final = _Strictness()


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How to log: for people (`console`) or for machines (`json`), and from which level on."""

    format: Format = "console"
    level: str = "INFO"


def load_log_settings(env: Mapping[str, str] = os.environ) -> LogSettings:
    """`LOG_FORMAT` and `LOG_LEVEL`. Raises `SettingsError`."""
    return LogSettings(cast(Format, LOG_FORMAT.read(env)), LOG_LEVEL.read(env))


def get_logger(name: str) -> Log:
    """The logger of a module. `log.warning("event-name", key=value)`; an error as it is: `error=error`."""
    ours: list[Processor] = [
        structlog.stdlib.filter_by_level,
        structlog.contextvars.merge_contextvars,
        _only_known_facts,
        _told_exception,
        _handed_over,
    ]
    return cast(
        Log, structlog.wrap_logger(logging.getLogger(name), processors=ours, wrapper_class=structlog.stdlib.BoundLogger)
    )


def context(**facts: Any) -> Context:
    """A context for tasks: every line of theirs, and of those that they start, has these facts."""
    made = copy_context()
    made.run(structlog.contextvars.bind_contextvars, **facts)
    return made


def refuse_unknown_keys(refuse: bool = True) -> None:
    """Have a log call outside the vocabulary raise `UnknownLogKeyError`. For tests: elsewhere a log line must not end anything."""
    _strictness.refuse = refuse


def configure(
    settings: LogSettings, service: str, identity: str, levels: Mapping[str, int | str] | None = None
) -> None:
    """Have the whole process log so, to stderr, uncaught errors included. `levels`: of some loggers."""
    handler = _ToStderr()
    handler.addFilter(OnceInAWhile(QUIET))
    handler.setFormatter(formatter(settings.format, service, identity, colors=sys.stderr.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [*(one for one in root.handlers if not isinstance(one, _ToStderr)), handler]
    root.setLevel(settings.level)
    for name, level in {**dict.fromkeys(QUIET, logging.WARNING), **(levels or {})}.items():
        logging.getLogger(name).setLevel(level)
    sys.excepthook = _crashed


class _ToStderr(logging.StreamHandler[TextIO]):
    """To what is stderr when the line is written."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def formatter(format_: Format, service: str, identity: str, *, colors: bool = False) -> logging.Formatter:
    """What makes a line of a record, ours or a library's."""

    def add_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {"service": service, "identity": identity, **event}

    if format_ == "json":
        render: Processor = structlog.processors.JSONRenderer()
    else:
        render = structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="at", pad_event_to=0)
    return _Formatter(
        foreign_pre_chain=[_told_exception],
        processors=[
            structlog.stdlib.add_log_level,
            _add_logger_name,
            add_process,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            ProcessorFormatter.remove_processors_meta,
            _in_order,
            render,
        ],
    )


# --- our own lines --------------------------------------------------------------------------------------------------------


def _only_known_facts(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    told: EventDict = {}
    for name, value in event.items():
        if name in ("exc_info", "event"):
            told[name] = value
        elif name in KEYS and _is_fact(value):
            told[name] = _fact(value)
        elif _strictness.refuse:
            raise UnknownLogKeyError(f"{name}={type(value).__name__} cannot be logged; see messaging/log_keys.py.")
        else:
            DROPPED.inc()
    return told


def _is_fact(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(one, int | str) for one in value)
    return value is None or isinstance(value, bool | int | float | str | BaseException)


def _fact(value: Any) -> Any:
    if isinstance(value, BaseException):
        return safe_text(value)
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, list | tuple):
        return [one_line(one) if isinstance(one, str) else one for one in value]
    return value


def _handed_over(logger: WrappedLogger, name: str, event: EventDict) -> tuple[tuple[EventDict], dict[str, Any]]:
    """To the standard logging, without the error itself: other handlers would print it with its words."""
    args, keywords = ProcessorFormatter.wrap_for_formatter(logger, name, event)
    return args, {**keywords, "exc_info": None}


# --- errors ---------------------------------------------------------------------------------------------------------------


def _told_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    error = _error_of(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = traceback_of(error)
    return event


def _error_of(info: ExcInfo | BaseException | bool | None) -> BaseException | None:
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple):
        return info[1]
    return sys.exc_info()[1] if info else None


def traceback_of(error: BaseException) -> str:
    """Where an error and its causes came from: types, places, and texts that cannot hold data. No values, no source."""
    lines = [safe_text(error)]
    frames = traceback.extract_tb(error.__traceback__)
    if len(frames) > MAX_FRAMES:
        lines.append(f"  ({len(frames) - MAX_FRAMES} more)")
    lines += [f"  at {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames[-MAX_FRAMES:]]
    if isinstance(error, BaseExceptionGroup):
        lines += [f"including {traceback_of(one)}" for one in error.exceptions]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        lines.append(f"caused by {traceback_of(cause)}")
    return "\n".join(lines)


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("process").critical("crashed", exc_info=(kind, error, trace))


# --- libraries' lines -----------------------------------------------------------------------------------------------------


class _Formatter(ProcessorFormatter):
    """Also takes the lines of libraries, whose arguments may be anything."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record if isinstance(record.msg, MutableMapping) else _harmless(record))


def _harmless(record: logging.LogRecord) -> logging.LogRecord:
    """A copy of a library's record: arguments that are no plain facts are told by their type, and of many lines the first counts
    (asyncio puts the objects that it found into those below)."""
    copy = logging.makeLogRecord(record.__dict__)
    if isinstance(record.args, Mapping):
        copy.args = cast(Any, {name: _harmless_argument(value) for name, value in record.args.items()})
    elif record.args:
        copy.args = tuple(_harmless_argument(value) for value in record.args)
    try:
        text = copy.getMessage()
    except (TypeError, ValueError, KeyError):  # a format that wants what an argument no longer is
        text = str(record.msg)
    copy.msg, copy.args = one_line(text.partition("\n")[0]), None
    return copy


def _harmless_argument(value: object) -> object:
    if isinstance(value, BaseException):
        return safe_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and len(value) <= 200 and "@" not in value and not any(c.isspace() for c in value):
        return value
    return f"<{type(value).__name__}>"


def _in_order(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What every line has comes first."""
    return {**{name: event[name] for name in ALWAYS if name in event}, **event}


def _add_logger_name(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {**event, "logger": event["_record"].name}
