"""The one exception for mistakes a user can mend: one line that says what is wrong and what to do."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input from outside (file, schema, endpoint, setting).

    The message is one line: what is wrong, where, and the remedy. The command line prints it and exits with code 2.
    """


class Stopped(UserError):
    """Ctrl-C, with the exact state in words. The command line prints it and exits with code 130."""
