"""README and docs say what is so: settings, make targets, files, tests, messages, prices."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pyspark
import pytest
import yaml

from components.settings import Settings, SettingsError
from components.spark.places import spark_place
from submission import measuring
from tests.examples import applications_of
from tests.unit.plan import EXISTING, MINIMAL, ROOT, plan, planned

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# What `make` and `python -m` write into a checkout.
MADE = {".venv", ".tinderbox", "inventory.json"}


def section(heading: str) -> str:
    """The README from one heading to the next."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", README.read_text(), re.M | re.S)
    assert found, heading
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, without the lines of dashes."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in table if not set("".join(row)) <= set("-: ")]


def code(text: str) -> list[str]:
    """What stands in backticks on one line."""
    return re.findall(r"`([^`\n]+)`", text)


def test_the_table_of_outputs_is_that_of_the_program():
    listed = {name for row in rows(section("Outputs"))[1:] for name in code(row[0])}
    opex = {"nodes": {"price": 0.1}, "opex": {"engine": "kube-opex-analytics"}}
    more = {"namespaces": {"team": {}}, "applications": {"pi": {"app": "spark_jobs/pi.py"}}}
    assert listed == set(planned(opex | more).exported)


@pytest.mark.parametrize("config", [None, EXISTING])
def test_the_stack_has_a_readme_whose_places_can_be_filled(config):
    made = planned(config)
    assert made.exported["readme"] == (ROOT / "Pulumi.README.md").read_text()
    places = re.findall(r"\$\{outputs\.(\w+)[^}]*\}", made.exported["readme"])
    assert places
    assert set(places) <= set(made.exported) - made.secrets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_exists(page: Path):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = re.findall(r"(?:^|`|&& |; )make ([a-z0-9-]+)\b", page.read_text(), re.M)
    assert set(named) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path):
    text = page.read_text()
    headings = {
        re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", text, re.M)
    }
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for target in targets:
        place, _, anchor = target.partition("#")
        if re.match(r"https?:", target):
            continue
        assert not place or (page.parent / place).exists(), target
        assert place or anchor in headings, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page: Path):
    """What is in backticks and begins with a folder or a file of the checkout."""
    top = {place.name for place in ROOT.iterdir()} - MADE
    for name in code(page.read_text()) + re.findall(r"\((tests/[\w/.]+)", page.read_text()):
        path = name.split("::")[0].split(" ")[0].rstrip("/")
        if path.split("/")[0] not in top or any(mark in path for mark in "*<…"):
            continue
        assert (ROOT / path).exists(), name


def test_every_folder_of_the_checkout_is_on_the_map():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    folders = {line.split("/")[0] for line in listed.stdout.splitlines() if "/" in line}
    shown = {name.split("/")[0] for row in rows(section("Map")) for name in code(row[0])}
    assert {folder for folder in folders if not folder.startswith(".")} <= shown


def test_every_test_that_is_named_exists():
    """As `tests/unit/test_x.py::test_y`, or further ones of the same file as `::test_z`."""
    named = 0
    for page in PAGES:
        file = ""
        for found in re.findall(r"`(tests/[\w/]+\.py)?::(\w+)`", page.read_text()):
            file = found[0] or file
            tree = ast.parse((ROOT / file).read_text())
            functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert found[1] in functions, f"{page.name}: {file}::{found[1]}"
            named += 1
    assert named > 10


def test_the_messages_in_troubleshooting_are_the_programs():
    """`…` stands for what differs; what is between is a text of the sources."""
    folders = ("components", "submission", "console", "localcloud", "toolchain")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.*")]
    files = [file for file in files if file.suffix in (".py", ".sh")]
    # Strings that are split over lines, and what is filled in.
    sources = "\n".join(file.read_text() for file in files)
    sources = re.sub(r'"\s*\n\s*f?"', "", sources)
    messages = [code(row[0])[0] for row in rows(section("Troubleshooting"))[1:]]
    assert len(messages) >= 5
    for message in messages:
        for piece in re.split(r"\s*…\s*", message):
            assert piece.strip() in sources, piece


def test_the_sum_of_the_costs_is_right():
    table = rows(section("On AWS"))[1:]
    parts, total = table[:-1], table[-1]
    for column in (1, 2):
        figures = [float(row[column]) for row in parts]
        assert float(total[column]) == pytest.approx(sum(figures), abs=0.002 * column**4)
    for row in table:
        assert float(row[2]) == pytest.approx(float(row[1]) * 730, abs=0.4)


def test_the_picture_is_well_formed_and_describes_itself():
    picture = ElementTree.parse(ROOT / "docs" / "architecture.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert picture.find(f"{space}title") is not None
    assert picture.find(f"{space}desc") is not None
    assert 'src="docs/architecture.svg"' in README.read_text()


def test_an_application_of_the_users_own_can_be_written_as_shown():
    (lines,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "spark.md").read_text(), re.M | re.S
    )
    made = plan(also=lines)
    template = made.one("pi", "kubernetes:batch/v1:Job").inputs["spec"]["template"]
    assert template["spec"]["containers"][0]["args"][-2:] == ["/opt/tinderbox/app/pi.py", "100"]
    assert "spark" in made.waits_for("pi")


def test_the_stacks_applications_are_taken_as_shown():
    text = (ROOT / "docs" / "applications.md").read_text()
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)
    made = plan({"applications": yaml.safe_load(shown)["tinderbox:applications"]})
    assert made.one("pi", "kubernetes:batch/v1:Job")
    cron = made.one("nightly", "kubernetes:batch/v1:CronJob").inputs["spec"]
    assert (cron["schedule"], cron["timeZone"]) == ("0 3 * * *", "Europe/Paris")
    refusals = text.partition("## What is refused")[2].split("```")[1].strip()
    wrong = {
        "nightly": {"app": "report.py", "schedule": "@daily", "timeZone": "Europe/Pari"},
        "pi": {"app": "spark_jobs/pi.py", "executor": {"memoryMiB": 9000}},
    }
    with pytest.raises(SettingsError) as caught:
        plan({"applications": wrong})
    said = str(caught.value).split("\n")
    for line, told in zip(said, refusals.splitlines(), strict=True):
        assert line.startswith(told.partition("…")[0])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_examples_settings_are_taken_as_they_stand_on_top_of_it(example: Path, tmp_path: Path):
    ((name, given),) = applications_of(example, tmp_path).items()
    assert ROOT / given["app"] == example
    (tmp_path / "packages.tar.gz").touch()  # which a command of the example's makes
    made = plan({"applications": {name: given}})
    kind = "CronJob" if "schedule" in given else "Job"
    assert made.one(name, f"kubernetes:batch/v1:{kind}")
    assert f"](../examples/{example.name})" in (ROOT / "docs" / "applications.md").read_text()


@pytest.mark.parametrize("operator", ["apache", "kubeflow"])
def test_an_operators_application_names_what_the_stack_makes(operator):
    text = (ROOT / "docs" / "spark" / "operators" / f"{operator}.yaml").read_text()
    place = spark_place(Settings.parse(MINIMAL))
    metadata, spec = (yaml.safe_load(text)[key] for key in ("metadata", "spec"))
    assert metadata["namespace"] == place.namespace
    for named in (
        place.image,
        place.service_account,
        place.claim,
        f"file://{measuring.FOLDER}/events",
    ):
        assert named in _values(spec)
    assert place.image.endswith(f":{spec.get('sparkVersion', pyspark.__version__)}-python3")


def _values(spec: object) -> list[object]:
    """All that is at the ends of a manifest."""
    if isinstance(spec, dict):
        return [value for part in spec.values() for value in _values(part)]
    if isinstance(spec, list):
        return [value for part in spec for value in _values(part)]
    return [spec]
