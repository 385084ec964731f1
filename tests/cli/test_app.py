"""The frame: what `--help` costs, how commands end, and that `--json` prints one object and nothing else."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import counterfactory
from counterfactory.cli import answer, app, explain, main
from counterfactory.errors import CounterfactoryError

SCRIPT = Path(sys.executable).with_name("counterfactory")


def test_help_lists_every_command_and_leaves_torch_alone() -> None:
    done = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True)
    assert all(f"\n  {name} " in done.stdout for name in app.COMMANDS)
    code = "import sys; from counterfactory.cli import main; main(['--help']); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.endswith(
        "False\n"
    )


def test_nothing_asked_is_help_and_the_version_is_the_packages(capsys) -> None:
    assert main([]) == 0 and "Usage: counterfactory" in capsys.readouterr().out
    assert main(["--version"]) == 0 and capsys.readouterr().out == f"{counterfactory.__version__}\n"


@pytest.mark.parametrize("command", app.COMMANDS)
def test_every_command_has_help_with_json_and_none_of_its_options_bare(command: str, capsys) -> None:
    assert main([command, "--help"]) == 0
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "what", "hint"),
    [
        (["wrld"], "unknown command", "did you mean 'worlds'"),
        (
            ["systems", "--serch", "x"],
            "No such option: --serch (Possible options: --search)",
            "counterfactory systems --help",
        ),
        (["explain"], "Missing argument 'system'", "counterfactory explain --help"),
        (["worlds", "--n", "many"], "Invalid value for '--n'", "counterfactory worlds --help"),
        (["explain", "causal_diffea"], "unknown system", "did you mean 'causal_diffae'"),
        (["systems", "--room", "atic"], "unknown room", "choose one of"),
    ],
)
def test_errors_have_four_parts_on_stderr_or_as_json_on_stdout(args: list[str], what: str, hint: str, capsys) -> None:
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == "" and "given" in err and "expected" in err and "try" in err
    assert main([*args, "--json"]) == 2
    out, err = capsys.readouterr()
    error = json.loads(out)["error"]
    assert what in error["what"] and hint in error["try"] and error["expected"] and error["given"]
    assert err == ""


def test_ctrl_c_exits_130_with_one_line(monkeypatch, capsys) -> None:
    def interrupted(system: str) -> answer.Answer:
        raise KeyboardInterrupt

    monkeypatch.setattr(explain, "explain", interrupted)
    assert main(["explain", "causal_diffae"]) == 130
    out, err = capsys.readouterr()
    assert out == "" and err == "interrupted\n"


def test_a_real_interrupt_while_working(tmp_path) -> None:
    code = "import sys; from counterfactory.cli import main; sys.exit(main())"
    command = [
        sys.executable,
        "-c",
        code,
        "worlds",
        "pendulum:image_size=1024",
        "--n",
        "64",
        "--do",
        "angle=3",
        "--out",
        "big.png",
    ]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(4)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130 and err == "interrupted\n"
    assert not list(tmp_path.iterdir())  # no half-written picture


def test_other_errors_are_not_swallowed(monkeypatch) -> None:
    def broken(system: str) -> answer.Answer:
        raise ZeroDivisionError

    monkeypatch.setattr(explain, "explain", broken)
    with pytest.raises(ZeroDivisionError):
        main(["explain", "causal_diffae"])


def test_error_text_is_shown_as_it_is(capsys) -> None:
    answer.fail(CounterfactoryError("what [red]", given="[bold]x[/bold]", expected="y", hint="z"), json=False)
    err = capsys.readouterr().err
    assert "what [red]" in err and "[bold]x[/bold]" in err


def test_a_reader_that_stops_early_is_no_error() -> None:
    command = f"{SCRIPT} explain causal_diffae | head -n 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True)
    assert done.stdout.startswith("Causal diffusion autoencoder") and done.stderr == ""
