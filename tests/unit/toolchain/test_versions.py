"""Pins, and what is made of the versions that commands print."""

import re
import tomllib

import pytest

from toolchain import paths, versions

MODULES = [*versions.go_modules().values(), *versions.releases()]
IDS = [f"{module.name}-{module.version}" for module in MODULES]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v3.260.0", (3, 260, 0)),
        ("Client Version: v1.36.4\nKustomize Version: v5.8.1", (1, 36, 4)),
        ("v3.22.0+g1234567", (3, 22, 0)),
        ("Client Version: v1.32.4-dispatcher", (1, 32, 4)),
        ("helm 4.1", (4, 1, 0)),
        ("no version here", None),
        ("", None),
    ],
)
def test_the_first_version_in_what_a_command_prints(text, expected):
    assert versions.parse(text) == expected


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        ((3, 1, 0), {"major": 3}, True),
        ((4, 0, 0), {"major": 3}, False),
        ((1, 35, 9), {"major": 1, "minor": 36, "skew": 1}, True),
        ((1, 37, 0), {"major": 1, "minor": 36, "skew": 1}, True),
        ((1, 34, 0), {"major": 1, "minor": 36, "skew": 1}, False),
        ((2, 36, 0), {"major": 1, "minor": 36, "skew": 1}, False),
        (None, {"major": 3}, False),
    ],
)
def test_which_versions_fit(version, wanted, expected):
    assert versions.fits(version, wanted) is expected


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_go_mod_and_versions_toml_pin_the_same(module):
    folder = paths.CHECKOUT / "toolchain" / "go" / module.name
    text = (folder / f"{module.pinned}.mod").read_text("utf-8")
    assert (folder / f"{module.pinned}.sum").exists()
    if module.module:
        assert re.search(rf"{re.escape(module.module)} {re.escape(module.version)}$", text, re.M)


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_what_is_built_is_what_go_sum_was_made_for(module):
    """A package that tools.go or main.go does not import has no checksums in go.sum."""
    folder = paths.CHECKOUT / "toolchain" / "go" / module.name
    sources = "".join(file.read_text("utf-8") for file in folder.glob("*.go"))
    for package in module.commands.values():
        assert package == "." or f'"{package}"' in sources


def test_stamps_have_their_version_filled_in():
    stamps = versions.go_modules()["kubernetes"].stamps
    assert stamps["k8s.io/component-base/version.gitVersion"] == "v1.36.4"
    assert stamps["k8s.io/component-base/version.gitMinor"] == "36"
    for further in versions.releases():
        if further.name == "kubernetes":
            assert further.stamps["k8s.io/component-base/version.gitVersion"] == further.version
    assert list(versions.go_modules()["pulumi-kubernetes"].stamps.values()) == ["4.25.0"]


def test_cli_and_plugins_that_are_built_are_of_the_sdks_releases():
    modules = versions.go_modules()
    built = {name: module for name, module in modules.items() if name.startswith("pulumi")}
    assert set(built) == {"pulumi", "pulumi-kubernetes"}
    for package, module in built.items():
        assert module.release.removeprefix("v") == versions.requirement_version(package)
    assert versions.pins()["tools"]["pulumi"]["download"] == versions.requirement_version("pulumi")


def test_plugins_are_asked_for_in_the_versions_of_the_sdks():
    assert versions.requirement_version("pulumi-command") == "1.2.1"
    with pytest.raises(LookupError, match="pulumi-none"):
        versions.requirement_version("pulumi-none")


def test_every_requirement_is_pinned_and_constraints_agree():
    text = "".join(
        (paths.CHECKOUT / name).read_text("utf-8")
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    constraints = (paths.CHECKOUT / "toolchain" / "constraints.txt").read_text("utf-8")
    pinned = {
        name.lower().replace("_", "-"): version
        for name, version in re.findall(r"^([\w.-]+)==(\S+)$", constraints, re.M)
    }
    asked = re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)$", text, re.M)
    assert len(asked) == len([x for x in text.splitlines() if x and x[0] not in "#-"])
    for name, version in asked:
        assert pinned[name.lower().replace("_", "-")] == version


def test_pyproject_is_valid_toml():
    tomllib.loads((paths.CHECKOUT / "pyproject.toml").read_text("utf-8"))
