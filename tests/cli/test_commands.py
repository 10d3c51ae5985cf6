from __future__ import annotations

import os
import signal
import subprocess
import sys
import types

import pytest

from snnjax.cli import main
from snnjax.cli.commands import COMMANDS, quiet_compiler
from snnjax.runs import Interrupted


def pretend(monkeypatch, error: BaseException) -> None:
    """Let `snnjax doctor` fail with `error`."""

    def run(arguments: list[str]) -> None:
        raise error

    module = types.SimpleNamespace(run=run)
    monkeypatch.setattr("snnjax.cli.commands.importlib.import_module", lambda name: module)


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name}" in text for name in COMMANDS)


def test_no_command_is_an_error(capsys):
    assert main([]) == 2
    assert "usage" in capsys.readouterr().out


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["evalaute"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "snnjax: error: there is no command 'evalaute'; did you mean 'evaluate'?\n"
    )


@pytest.mark.parametrize(
    "error", [ValueError("two\n  lines"), FileNotFoundError("two lines"), ImportError("two lines")]
)
def test_an_expected_error_is_one_line(monkeypatch, capsys, error):
    pretend(monkeypatch, error)
    assert main(["doctor"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "snnjax doctor: error: two lines\n"
    assert captured.out == ""


def test_an_error_without_words_shows_its_type(monkeypatch, capsys):
    pretend(monkeypatch, ValueError())
    assert main(["doctor"]) == 2
    assert "error: ValueError" in capsys.readouterr().err


def test_debug_keeps_the_traceback(monkeypatch):
    pretend(monkeypatch, ValueError("why"))
    with pytest.raises(ValueError, match="why"):
        main(["doctor", "--debug"])
    monkeypatch.setenv("SNNJAX_DEBUG", "1")
    with pytest.raises(ValueError, match="why"):
        main(["doctor"])


def test_a_defect_keeps_its_traceback(monkeypatch):
    pretend(monkeypatch, KeyError("ours"))
    with pytest.raises(KeyError):
        main(["doctor"])


@pytest.mark.parametrize(
    ("stop", "words", "code"),
    [
        (KeyboardInterrupt(), "snnjax doctor: KeyboardInterrupt", 130),
        (Interrupted("runs/x", 3, "snnjax train --resume"), "step 3, which is saved", 130),
        (Interrupted("x", 3, "snnjax train", signal.SIGTERM), "Resume with: snnjax train", 0),
    ],
)
def test_interruption_has_its_own_code_and_says_how_to_go_on(
    monkeypatch, capsys, stop, words, code
):
    """A preemption that is saved is no failure."""
    pretend(monkeypatch, stop)
    assert main(["doctor"]) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_documents_itself(command, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: snnjax {command}" in text
    assert "--debug" in text


def test_the_process_returns_the_code():
    command = [sys.executable, "-c", "import sys; from snnjax.cli import main; sys.exit(main())"]
    result = subprocess.run([*command, "trian"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_a_reader_that_goes_away_is_no_error():
    """As `snnjax --help | head -1` does, whose pipe is closed while it is written."""
    code = "import sys; from snnjax.cli import main; sys.exit(main(['--help'] * 1))"
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(0.5)\n" + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 128 + 13
    assert error == ""


def test_alarms_of_the_compiler_stay_from_the_screen(monkeypatch):
    """They are shown where a defect is looked for, and a level that the user chose stays."""
    name = "TF_CPP_MIN_LOG_LEVEL"
    for given, argument, want in ((None, "x", "3"), ("1", "x", "1"), (None, "--debug", None)):
        monkeypatch.delenv(name, raising=False)
        if given is not None:
            monkeypatch.setenv(name, given)
        quiet_compiler([argument])
        assert os.environ.get(name) == want
