"""Progress bars on stderr, where a person looks on; nothing where a program does."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from orderctl.load.result import Progress as RunProgress


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[facts]}"),
        console=console,
        disable=not console.is_terminal,
    )


class Bar:
    """One bar. Use it as `with`."""

    def __init__(self, title: str, total: int) -> None:
        self._progress = _progress()
        self._task = self._progress.add_task(title, total=total, facts="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """One more is done."""
        self._progress.advance(self._task)


class Bars:
    """A bar for the setup and one for the orders. Use it as `with`."""

    def __init__(self, setup_title: str = "catalogue and customers") -> None:
        self._progress = _progress()
        self._setup_title = setup_title
        self._setup: TaskID | None = None
        self._orders: TaskID | None = None

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_setup(self, answered: int, asked: int) -> None:
        """So many of the setup's commands are answered."""
        if self._setup is None:
            self._setup = self._progress.add_task(self._setup_title, total=asked, facts="")
        self._progress.update(self._setup, completed=answered, total=asked)

    def on_progress(self, now: RunProgress) -> None:
        """So far are the orders."""
        if self._orders is None:
            self._orders = self._progress.add_task("orders", total=now.total, facts="")
        self._progress.update(self._orders, completed=now.ended, facts=facts(now))


def facts(now: RunProgress) -> str:
    """The counts on one line."""
    told = [f"sent {now.sent}", f"completed {now.completed}", f"failed {now.failed}", f"cancelled {now.cancelled}"]
    if now.rejected:
        told.append(f"rejected {now.rejected}")
    if now.p50_s is not None and now.p99_s is not None:
        told.append(f"p50 {milliseconds(now.p50_s)} p99 {milliseconds(now.p99_s)}")
    return "  ".join(told)


def milliseconds(seconds: float | None) -> str:
    """`0.0314` -> `31 ms`."""
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"
