"""Command line: one verb, one function in ``needle/commands``. Every verb has ``--help``; bad input is one line and exit code 2."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from needle import __version__
from needle.commands import browse, corpora, data, generate, learn, measure, reports, teachers, use
from needle.errors import Stopped, UserError
from needle.terminal import say

USAGE_ERROR = typer.BadParameter.__bases__[0]
"""Parent of all mistakes on the command line itself (typer does not export it by name)."""

STOPPED = 130
"""Exit code after Ctrl-C (128 + SIGINT), as shells have it."""

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Distil tool calling into a 26M-parameter student.", rich_markup_mode=None, pretty_exceptions_enable=False)
for verbs in (use, generate, data, browse, corpora, teachers, learn, measure, reports):
    app.add_typer(verbs.app)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    if version:
        print(f"needle {__version__}")
        raise typer.Exit


def guarded(action: Callable[[], Any], debug: bool = False) -> int:
    """Run ``action``; turn what a person can mend into one line on stderr. Returns the exit code (0, 1, 2, or 130 for Ctrl-C)."""
    try:
        result = action()
        if result == STOPPED:  # what typer makes of Ctrl-C, without a word
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except typer.Exit as stop:
        return stop.exit_code
    except USAGE_ERROR as error:
        error.show()
        return 2
    except (KeyboardInterrupt, typer.Abort):
        say("stopped; what was finished is kept, the same command continues (training: with --resume)", error=True)
        return STOPPED
    except Stopped as stop:  # says more than the line above
        say(str(stop), error=True)
        return STOPPED
    except UserError as error:
        if debug:
            raise
        say(f"needle: {' '.join(str(error).split())}", error=True)
        return 2
    except OSError as error:
        if debug:
            raise
        remedy = "free some space and run the same command again" if error.errno == errno.ENOSPC else "check the path and its rights"
        say(f"needle: {error.filename or 'file'}: {error.strerror or error}; {remedy}", error=True)
        return 2


def main() -> None:
    """Entry point of the ``needle`` command."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    debug = "--debug" in sys.argv[1:]
    sys.exit(guarded(lambda: app(standalone_mode=False), debug))


if __name__ == "__main__":
    main()
