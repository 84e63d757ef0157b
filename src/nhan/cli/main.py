"""The table of commands, and the one place where errors become exit codes.

A command's module is imported only when that command runs, so `nhan serve` never waits for torch
and `nhan --help` for nothing.
"""

from __future__ import annotations

import difflib
import errno
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

import typer

from nhan import __version__
from nhan.cli.encoding import speak_utf8
from nhan.errors import Interrupted, NhanError, UserError

# name -> (module with `command` or `app`, one line for `nhan --help`)
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("nhan.cli.init", "Make a workspace."),
    "import": ("nhan.cli.import_", "Take labelled pictures in."),
    "synth": ("nhan.cli.synth", "Write a folder of synthetic Vietnamese lines."),
    "audit": ("nhan.cli.audit", "Label doctor: find what must be fixed before training."),
    "freeze": ("nhan.cli.freeze", "Freeze the labelled samples into a dataset version."),
    "diff": ("nhan.cli.diff", "Compare two dataset versions."),
    "train": ("nhan.cli.train", "Train a model on a dataset version."),
    "tune": ("nhan.cli.tune", "Search for better training options."),
    "evaluate": ("nhan.cli.evaluate", "Score a model on a frozen test set; write a report."),
    "promote": ("nhan.cli.promote", "Make a version the champion, if the gate agrees."),
    "rollback": ("nhan.cli.rollback", "Bring the previous champion back."),
    "models": ("nhan.cli.models", "List models, versions, scores and the promotion log."),
    "predict": ("nhan.cli.predict", "Answer for picture files and folders."),
    "serve": ("nhan.cli.serve", "Answer over HTTP."),
    "uploads": ("nhan.cli.uploads", "What users sent: intake, list, export, erase."),
    "streamlit": ("nhan.cli.streamlit", "Show the Streamlit page, a client of a server."),
    "keys": ("nhan.cli.keys", "Make, list and revoke the keys of a server."),
    "review": ("nhan.cli.review", "Label what the model is least sure of; settle disputes."),
    "loop": ("nhan.cli.loop", "Rounds: what came back from use becomes the next version."),
    "labelstudio": ("nhan.cli.labelstudio", "Label with Label Studio: setup, push, pull, watch."),
    "trace": ("nhan.cli.trace", "Where an answer comes from, down to the pixels and people."),
    "backup": ("nhan.cli.backup", "Write the workspace into one file."),
    "restore": ("nhan.cli.restore", "Make a workspace of a backup, on the same engines or others."),
    "gc": ("nhan.cli.gc", "Clear away what nothing refers to any more."),
    "export": ("nhan.cli.export", "Write a model in another system's form."),
    "doctor": ("nhan.cli.doctor", "Explain what this machine and workspace have and lack."),
}

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What the system says of a path that a person can mend.
_PATHS = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)

_CONTEXT = {"help_option_names": ["-h", "--help"]}


@dataclass
class _Call:
    """A command line, taken apart: options of every command, the command, the rest."""

    workspace: str = ""
    verbose: bool = False
    version: bool = False
    help: bool = False
    name: str = ""
    rest: list[str] = field(default_factory=list)


def run(arguments: list[str] | None = None) -> None:
    """Entry point: run a command and turn its outcome into an exit code.

    0 success, 1 a failed job, 2 the user's mistake, 130 interrupted.
    """
    speak_utf8()
    call = _Call()
    try:
        call = _take_apart(sys.argv[1:] if arguments is None else arguments)
        sys.exit(_dispatch(call))
    except NhanError as error:
        _fail(error, error.exit_code, verbose=call.verbose)
    except typer.TyperException as error:  # a wrong option or a missing argument
        context = getattr(error, "ctx", None)
        path = context.command_path if context else f"nhan {call.name}"
        problem = UserError(error.format_message(), hint=f"{path} --help")
        _fail(problem, problem.exit_code, verbose=False)
    except (KeyboardInterrupt, typer.Abort):
        _fail(Interrupted(), Interrupted.exit_code)
    except BrokenPipeError:  # `nhan models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        named = _of_system(error)
        _fail(named, named.exit_code, verbose=call.verbose)
    except Exception as error:
        _fail(_unexpected(error), 1, verbose=call.verbose)


def _of_system(error: OSError) -> NhanError:
    """What the operating system refused, in a sentence: a path, the rights to it, the disk."""
    said = error.strerror or str(error)
    where = str(error.filename) if error.filename is not None else ""
    if error.errno in _NO_ROOM:
        return NhanError(
            f"{where or 'the disk'}: {said}", hint="make room, then run the same command again"
        )
    if error.errno in _PATHS and where:
        return UserError(f"{where}: {said}", hint="look at the path, and at the rights to it")
    return _unexpected(error)


def _unexpected(error: Exception) -> NhanError:
    return NhanError(
        f"unexpected {type(error).__name__}: {error}",
        hint="run it again with --verbose and report what it prints",
    )


def _fail(error: NhanError, exit_code: int, *, verbose: bool = False) -> None:
    """`error: what` and `hint: what to do` on stderr; a traceback only when asked for."""
    if verbose:
        logging.getLogger("nhan").exception("failed")
    typer.echo(f"error: {error.message}", err=True)
    if error.hint:
        typer.echo(f"hint: {error.hint}", err=True)
    sys.exit(exit_code)


def _take_apart(arguments: list[str]) -> _Call:
    """Find the command; --workspace and --verbose may stand before or after it."""
    call = _Call()
    words = iter(arguments)
    for word in words:
        if word == "--":
            call.rest += [word, *words]
        elif word == "--workspace" or (word == "-w" and not call.name):
            call.workspace = next(words, "")
            if not call.workspace:
                raise UserError("--workspace needs a folder", hint="--workspace DIR")
        elif word.startswith("--workspace="):
            call.workspace = word.partition("=")[2]
            if not call.workspace:
                raise UserError("--workspace needs a folder", hint="--workspace DIR")
        elif word == "--verbose":
            call.verbose = True
        elif not call.name and word in ("--help", "-h"):
            call.help = True
        elif not call.name and word == "--version":
            call.version = True
        elif not call.name and word.startswith("-"):
            raise UserError(f"no option {word}", hint="nhan --help")
        elif not call.name:
            call.name = word
        else:
            call.rest.append(word)
    return call


def _dispatch(call: _Call) -> int:
    if call.workspace:
        os.environ["NHAN_WORKSPACE"] = call.workspace
    logging.basicConfig(
        level=logging.INFO if call.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    if call.version:
        typer.echo(f"nhan {__version__}")
        return 0
    if call.help or not call.name:
        return _invoke(_listing(), ["--help"], "nhan")
    if call.name not in COMMANDS:
        close = difflib.get_close_matches(call.name, list(COMMANDS), n=1)
        raise UserError(
            f"no command {call.name!r}",
            hint=f"did you mean `nhan {close[0]}`?" if close else "nhan --help",
        )
    module = import_module(COMMANDS[call.name][0])
    if hasattr(module, "app"):  # a command with commands of its own
        if not call.rest:
            own = ", ".join(getattr(typer.main.get_command(module.app), "commands", ()))
            raise UserError(
                f"nhan {call.name} needs one of its commands: {own}",
                hint=f"nhan {call.name} --help",
            )
        module.app.info.context_settings = _CONTEXT
        return _invoke(module.app, call.rest, f"nhan {call.name}")
    return _invoke(_single(call.name, module.command), call.rest, f"nhan {call.name}")


def _invoke(app: typer.Typer, words: list[str], program: str) -> int:
    try:
        outcome = app(words, prog_name=program, standalone_mode=False)
    except SystemExit as ended:  # Typer calls a reader that has gone a failure
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        raise
    if outcome == Interrupted.exit_code:  # Typer swallows it; the user should hear what to do
        raise KeyboardInterrupt
    return outcome if isinstance(outcome, int) else 0


def _new_app() -> typer.Typer:
    return typer.Typer(
        rich_markup_mode=None,
        add_completion=False,
        context_settings=_CONTEXT,
        epilog="Every command takes --workspace DIR (else NHAN_WORKSPACE, else the nearest "
        "nhan.toml upward) and --verbose.",
    )


def _single(name: str, function: Callable[..., None]) -> typer.Typer:
    app = _new_app()
    app.command(name)(function)
    return app


def _listing() -> typer.Typer:
    """`nhan --help`: one line a command, none of them imported."""
    app = _new_app()

    @app.callback()
    def nhan() -> None:
        """From labelled pictures to a served model that its users make better.

        Example: nhan init shop && cd shop && nhan import ../lines && nhan freeze lines
        """

    for name, (_, summary) in COMMANDS.items():

        def stub() -> None:
            """Never called: only its name and summary are shown."""

        app.command(name, short_help=summary)(stub)
    return app
