"""bench/aws.py: the longest way to the count, and what would shorten it."""

from typing import Any

from bench.aws import Figures, plan, table, totals

URN = "urn:pulumi:engine::tinderbox::"
FIGURES = Figures(
    start=3,
    aws={"call": (2, "a call"), "ec2/instance:Instance": (30, "a guide")},
    steps={"other": 1, "worker-packages": 6},
    more={"worker-packages": (40, "a guess")},
    shorter=[("packages in the image", ["worker-packages"])],
)


def step(type_: str, name: str, **state: Any) -> dict[str, Any]:
    return {"newState": {"urn": f"{URN}{type_}::{name}", "type": type_, **state}}


VPC, NODE, OTHER = "aws:ec2/vpc:Vpc", "aws:ec2/instance:Instance", "command:remote:Command"
STEPS = [
    step(OTHER, "wordcount-result", dependencies=[f"{URN}{OTHER}::tinderbox-engine-worker-1-join"]),
    step(OTHER, "tinderbox-engine-worker-1-join", parent=f"{URN}tinderbox:index:Nodes::nodes"),
    step(
        "tinderbox:index:Nodes",
        "nodes",
        dependencies=[f"{URN}{OTHER}::tinderbox-engine-worker-12-packages"],
    ),
    step(
        OTHER,
        "tinderbox-engine-worker-12-packages",
        provider=f"{URN}pulumi:providers:command::own::id",
        deletedWith=f"{URN}{VPC}::tinderbox-engine-vpc",
    ),
    step("pulumi:providers:command", "own", dependencies=[f"{URN}{NODE}::tinderbox-engine-node"]),
    step(VPC, "tinderbox-engine-vpc", dependencies=[f"{URN}{NODE}::gone"]),
    step(NODE, "tinderbox-engine-node"),
]


def test_the_longest_way_goes_by_all_that_pulumi_waits_for():
    found = plan(STEPS, "engine", FIGURES)
    path = [(one.name, one.start, one.seconds) for one in found.critical()]
    assert path == [
        ("node", 3, 30),
        ("worker-packages", 33, 46),
        ("worker-join", 79, 1),
        ("wordcount-result", 80, 1),
    ]
    assert found.seconds == 81
    assert [one.source for one in found.critical()][:2] == ["a guide", "local cloud; a guess"]


def test_without_one_another_way_is_the_longest():
    node, packages, *_ = plan(STEPS, "engine", FIGURES).critical()
    assert node.saves == 28  # then the VPC's call is what is waited for
    assert packages.saves == 46


def test_what_would_shorten_it_adds_up():
    found = plan(STEPS, "engine", FIGURES)
    assert found.shorter() == [("packages in the image", 41)]
    assert totals([(3, 1)], [found]).splitlines()[-1] == "| 3 | 1 | 81 | 41 |"
    assert table(found.critical()).splitlines()[2] == "| 3 | node | 30 | 28 | a guide |"


def test_every_figure_has_its_source_and_what_would_shorten_is_among_them():
    figures = Figures.read()
    assert all(source for _, source in (*figures.aws.values(), *figures.more.values()))
    for _, names in figures.shorter:
        assert {*names} <= {*figures.more}
