import builtins
import socket
import sys

import pytest

from fanet.cli import main


def test_page_without_gradio_names_the_extra(monkeypatch, capsys):
    real = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name.split(".")[0] == "gradio":
            raise ModuleNotFoundError("No module named 'gradio'", name="gradio")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "fanet.web.app", raising=False)
    assert main(["demo", "--web"]) == 2
    assert capsys.readouterr().err == 'fanet: error: gradio is not installed: pip install "fanet[web]"\n'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "7000"], "--port is for the page: give --web too, or use fanet predict"),
        (["--model", "bags"], "--model is for the page: give --web too, or use fanet predict"),
        (["--web", "--port", "70000"], "there is no port 70000: give one from 1 to 65535"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message, capsys):
    assert main(["demo", *arguments]) == 2
    assert capsys.readouterr().err == f"fanet: error: {message}\n"


def test_own_model_that_is_missing_is_refused_before_the_page_opens(capsys, tmp_path):
    assert main(["demo", "--web", "--model", str(tmp_path / "none")]) == 2
    assert "none: no such folder or file" in capsys.readouterr().err


def test_port_that_is_taken_is_refused(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["demo", "--web", "--port", str(port)]) == 2
    assert f"error: port {port} is taken or not allowed: give another" in capsys.readouterr().err
