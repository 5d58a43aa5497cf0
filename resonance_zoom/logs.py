"""The technical log, on stderr: text on a terminal, else one JSON object a line.

It names no person and holds no secret; what staff should read is in the journal.
"""

import logging
import sys
import threading
import traceback
from types import TracebackType

import structlog

log = structlog.get_logger("python")


def configure(log_format: str | None) -> None:
    """Set up structlog and the standard library's loggers; None: text on a terminal, else JSON."""
    as_text = log_format == "text" or (log_format is None and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(where_not_with_what),
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if as_text
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in (
        "apscheduler",
        "urllib3",
        "uvicorn",
        "asyncio",
        "alembic",
        "mail.log",
        "sqlalchemy",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)


def tell_what_nobody_catches() -> None:
    """From now on an error that ends this process, or a thread of it, is told in the log.

    By itself Python writes it to the same place with its own words, which are people's.
    """

    def told(
        kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or issubclass(kind, KeyboardInterrupt):
            return
        log.critical("an error that nobody expected", exc_info=(kind, error, trace))

    def told_of_a_thread(what: threading.ExceptHookArgs) -> None:
        told(what.exc_type, what.exc_value, what.exc_traceback)

    sys.excepthook = told
    threading.excepthook = told_of_a_thread


def where_not_with_what(
    exc_info: tuple[type[BaseException], BaseException, TracebackType | None],
) -> str:
    """The kinds of errors and the lines of code that led there, without the errors' own words.

    Those quote values, which are people's: SQLAlchemy's, for one, the parameters of the statement.
    """
    told: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None and len(told) < 10:
        places = "".join(traceback.format_tb(error.__traceback__))
        told.append(f"{type(error).__module__}.{type(error).__qualname__} at\n{places}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "which came of\n".join(told)
