"""`resonance-zoom`: the list of its commands, and how each ends. stdout is data, stderr messages.

Exit codes: 0 ok, 1 failed, 2 usage, 75 try again later, 78 configuration.
"""

import os
import sys
from importlib import import_module

import click

from resonance_zoom import __version__
from resonance_zoom.errors import ResonanceError
from resonance_zoom.printing import say

# Each with the room that it is in, which is opened when somebody asks for the command: all of them
# would cost every command a second at start.
COMMANDS = {
    "rehearse": "launching",
    "demo": "launching",
    "check": "checking",
    "plan": "checking",
    "run": "launching",
    "web": "launching",
    "clock": "launching",
    "status": "reading",
    "log": "reading",
    "registrants": "reading",
    "letters": "reading",
    "who": "reading",
    "invite": "showing",
    "letter": "showing",
    "test-letter": "showing",
    "site": "showing",
    "sync": "acting",
    "resend": "acting",
    "cancel": "acting",
    "pause": "acting",
    "resume": "acting",
    "sign-out": "acting",
    "held": "keeping",
    "export": "keeping",
    "erase": "keeping",
    "purge": "keeping",
    "close": "keeping",
    "backup": "keeping",
    "restore": "keeping",
    "migrate-to": "moving",
    "breach-report": "accounting",
    "processing-record": "accounting",
}


class _Commands(click.Group):
    """The commands of the list, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 — click passes it
        """In the order in which a campaign needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 — click passes it
        """None when there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        room = import_module(f"resonance_zoom.commands.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(room, cmd_name.replace("-", "_"))
        return command

    def invoke(self, ctx: click.Context) -> None:
        """A reader who left early (`log | head`) has seen enough: that ends a command well.

        Here and not in main(): click would end with 1 before.
        """
        try:
            super().invoke(ctx)
            if sys.stdout is not None:  # `>&-`
                sys.stdout.flush()
        except BrokenPipeError:
            # What is still to be written goes nowhere, or Python would complain about it at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="resonance-zoom")
def cli() -> None:
    """Runs a campaign of Zoom meetings: creates them, learns who registers, and sends everyone
    their own link at once and reminders before.

    Start with: resonance-zoom check
    """


def main() -> None:
    """The entry point: errors become one line and an exit code."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort as stop:
        # Ctrl-C, or a question that was not answered with yes.
        if isinstance(stop.__cause__, KeyboardInterrupt):
            sys.exit(130)
        say("Nothing was done.")
        sys.exit(1)
    except ResonanceError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except OSError as error:
        # A disk that is full, a folder that is not ours: what no command expects.
        place = f"{error.filename}: " if error.filename else ""
        say(f"error: {place}{error.strerror or error}")
        if place:
            say("It must be there, and writable for this user. See: resonance-zoom check")
        sys.exit(1)


def _tell(error: ResonanceError) -> None:
    lines = getattr(error, "problems", None)
    for line in lines or [error.message]:
        say(line if lines else f"error: {line}")
    if error.remedy:
        say(error.remedy)
