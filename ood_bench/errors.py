"""The errors a user can meet. A message says what was expected, what came, which item, and what to do."""

from __future__ import annotations


class OodBenchError(Exception):
    """Base of every error that is the user's to mend; the command line prints it as one sentence and no traceback."""

    exit_code = 2


class RequestError(OodBenchError):
    """The request cannot be met: unknown name, missing bank, bad input, no permission. Exit code 2."""


class IntegrityError(OodBenchError):
    """Stored data is not what its manifest or record says it is. Exit code 2."""


class CannotScore(OodBenchError):
    """A scorer's refusal: this bank does not meet the scorer's conditions. The cell is skipped with this reason."""

    exit_code = 1
