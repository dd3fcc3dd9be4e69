"""The `ast_net` command: fast help, an exit code and one clear line for every user error."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import click
import cv2
import pytest

from ast_net_ros import cli
from ast_net_ros.model import DeviceError, WeightsError
from ast_net_ros.vision.video import VideoError

OLD_OPENCV = tuple(int(part) for part in cv2.__version__.split(".")[:2]) < (4, 6)


def ast_net(*arguments):
    code = "from ast_net_ros.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


HEAVY = ("aiohttp", "av", "cv2", "matplotlib", "numpy", "onnxruntime", "rclpy", "rosbags", "torch")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["--help"], 0, "annotate"),
        (["--version"], 0, "ast_net 0."),
        (["annotate", "--help"], 0, "--overlay"),
        (["evaluate", "--help"], 0, "--labels"),
        (["evaluate-temporal", "--help"], 0, "--faces"),
        (["rate", "--help"], 0, "--rater"),
        (["rate", "absent", "--rater", "anna"], 1, "recording 'absent': no such file or folder"),
        (["fit", "--help"], 0, "--person"),
        (["annotate", "absent.mp4", "-o", "out"], 1, "video absent.mp4: no such file"),
        (["evaluate", "absent", "-o", "out"], 1, "recording 'absent': no such file or folder"),
    ],
)
def test_help_and_missing_files_import_nothing_heavy(arguments, exit_code, words):
    code = (
        "import sys; from click.testing import CliRunner; from ast_net_ros.cli import ast_net\n"
        "result = CliRunner().invoke(ast_net, sys.argv[1:]); print(result.output)\n"
        f"print('CODE', result.exit_code, 'LOADED', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert words in run.stdout and f"CODE {exit_code} LOADED []" in run.stdout, run.stdout


def test_every_listed_command_exists_under_its_name():
    context = click.Context(cli.ast_net)
    for name in cli.ast_net.list_commands(context):
        command = cli.ast_net.get_command(context, name)
        assert command is not None and command.name == name


def test_commands_that_moved_name_their_replacement():
    run = ast_net("bench")
    assert run.returncode == 2 and "make bench" in run.stderr


@pytest.mark.parametrize(
    ("module", "extra"),
    [("rosbags.rosbag2", "evaluate"), ("av", "rate"), ("ray", "ray"), ("rerun", "viewer"), ("torch", "torch")],
)
def test_a_missing_library_names_the_pip_extra(module, extra):
    message = cli.user_message(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert message is not None and f"pip install 'ast_net_ros[{extra}]'" in message


def test_annotate_reports_what_ran(media, tmp_path):
    run = ast_net(
        "annotate", media / "single_face.mp4", "--output", tmp_path / "out", "--device", "cpu", "--seconds", 0.5
    )
    assert run.returncode == 0, run.stderr
    assert "15 frames" in run.stdout and "on cpu" in run.stdout and "weights " in run.stdout
    assert (tmp_path / "out" / "estimates.csv").is_file() and (tmp_path / "out" / "plot.png").is_file()


def test_a_user_error_is_one_line_on_stderr(tmp_path):
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(bytes(range(256)) * 20)
    run = ast_net("annotate", noise, "--output", tmp_path / "out")
    assert run.returncode == 1 and run.stdout == ""
    # The FFmpeg of OpenCV before 4.6 cannot be silenced.
    lines = [line for line in run.stderr.splitlines() if not (OLD_OPENCV and line.startswith("[mov,mp4,"))]
    assert len(lines) == 1 and lines[0].startswith("Error: video ") and "not a video" in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["annotate"], "Missing argument 'VIDEO...'"),
        (["annotate", "x.mp4"], "Missing option '--output'"),
        (["annotate", "x.mp4", "--output", "o", "--max-faces", "0"], "Invalid value for '--max-faces'"),
        (["annotate", "x.mp4", "--output", "o", "--image-rotation", "45"], "45 is not one of 0, 90, 180, 270"),
        (["annotat"], "No such command 'annotat'"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_why(arguments, words):
    run = ast_net(*arguments)
    assert run.returncode == 2 and words in run.stderr and "Traceback" not in run.stderr


def test_user_errors_have_messages_and_bugs_have_tracebacks():
    for error in (VideoError("video x: gone"), WeightsError("weights y: cut"), DeviceError("device z: absent")):
        assert cli.user_message(error) == str(error)
    assert cli.user_message(PermissionError(13, "Permission denied", "/x")) == "/x: Permission denied"
    assert "environment" in (cli.user_message(ModuleNotFoundError("No module named 'torch'")) or "")
    for fault in (ValueError("internal"), KeyError("k"), TypeError("t"), RuntimeError("r")):
        assert cli.user_message(fault) is None


def test_the_version_is_that_of_package_xml(pytestconfig):
    manifest = pytestconfig.rootpath / "package.xml"
    assert cli.package_version() == ElementTree.parse(manifest).findtext("version")
