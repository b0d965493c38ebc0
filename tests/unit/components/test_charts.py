"""A chart's description: it changes with what helm makes of the chart."""

from __future__ import annotations

import os
import shutil

import pulumi
import pytest

from components.charts import describe_chart
from tests.unit.plan import ROOT, planned

RELEASE = "kubernetes:helm.sh/v3:Release"


def test_another_chart_is_another_description(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "charts" / "spark", tmp_path / "spark")
    monkeypatch.chdir(tmp_path)
    before = describe_chart("./spark")
    assert before and before.startswith("./spark ")
    (tmp_path / "spark" / "README.md").write_text("more")
    (tmp_path / "spark" / "files" / "__pycache__").mkdir(exist_ok=True)
    (tmp_path / "spark" / "files" / "__pycache__" / "usage.cpython-313.pyc").touch()
    assert describe_chart("./spark") == before
    for name in ("values.yaml", "files/usage.py", "templates/new.yaml"):
        with (tmp_path / "spark" / name).open("a") as file:
            file.write("# more\n")
        after = describe_chart("./spark")
        assert after != before
        before = after


def test_a_chart_that_can_not_be_read_is_one_line(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.yaml")).touch()
    assert describe_chart(str(tmp_path)) != f"{tmp_path} "
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(pulumi.RunError, match=r"the chart .*/pipe\.yaml': it is a pipe"):
        describe_chart(str(tmp_path))


def test_a_chart_elsewhere_is_described_by_its_own_version():
    assert describe_chart("oci://host/charts/mine") is None


@pytest.mark.parametrize(
    ("name", "chart"), [("spark", "spark"), ("opex", "opex"), ("team-spark", "spark")]
)
def test_releases_of_this_repositorys_charts_are_described(name, chart):
    made = planned(
        {"opex": {"engine": "kube-resource-report"}, "nodes": {"price": 1}}
        | {"namespaces": {"team": {}}}
    )
    inputs = made.one(name, RELEASE).inputs
    digest = str(describe_chart(str(ROOT / "charts" / chart))).split()[-1]
    assert inputs["description"] == f"./charts/{chart} {digest}"
