"""Progress bars on terminals, and a line for a stage that takes long."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar while the block runs; call the yielded function with the number of items just done."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.advance(task, done)


@contextmanager
def announced_if_slow(what: str, after_s: float = 2.0) -> Iterator[None]:
    """Print ``what`` to the standard error if the block takes longer than ``after_s`` seconds.

    Only the main thread of a process speaks: workers of a sweep run trials in other threads.
    """
    if not what or threading.current_thread() is not threading.main_thread():
        yield
        return
    timer = threading.Timer(after_s, lambda: print(f"{what} ...", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
