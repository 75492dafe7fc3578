"""The commands. Each imports its modules only when it runs, so that `--help` answers at once."""

import sys


def main() -> None:
    """Run the command line. A DaybookError ends it with one line on standard error and exit code 1."""
    from daybook import failpoints
    from daybook.cli.commands import app
    from daybook.errors import DaybookError

    failpoints.arm()
    try:
        app()
    except DaybookError as error:
        from daybook.logs import printable

        sys.stderr.write(f"daybook: {printable(str(error))}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
