from fanet.cli import main
from fanet.segmentation.network.shipped import shipped_models


def test_models_inside_the_package_are_listed_with_what_they_know(capsys):
    assert main(["models", "--trained"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["model", "backbone", "MB"]
    assert [row.split()[0] for row in rows] == [*shipped_models(), "fanet_pico.tiny_imagenet"]
    assert "generated scenes" in rows[shipped_models().index("clutter")]


def test_the_list_is_csv_if_asked_for(capsys):
    assert main(["models", "--trained", "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "model,backbone,mb,trained_on,classes,score,license"
