"""The errors that tamis raises on purpose, and what is behind an error."""

from collections.abc import Iterator


class TamisError(Exception):
    """Input that tamis cannot work with: says what is wrong, the value, what is allowed, what to do."""


class DataError(TamisError):
    """The data from which a configuration takes values cannot be read; the message is complete by itself."""


class MissingEngineError(TamisError):
    """A program or package that a choice needs is not installed."""


class NotApplicableError(TamisError):
    """A combination of choices that means nothing, such as a random pruner with a descriptor.

    A trial that meets it is recorded as skipped, not as failed.
    """


class StoppedError(TamisError):
    """A search has no use for the rest of a trial, which is recorded as stopped with what it measured so far."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it, each once; one that was unwrapped is the cause of the one that had wrapped it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
