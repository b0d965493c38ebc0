"""OpexRelease: the chart's values, the volume, and what goes without it."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components.settings import Settings
from tests.unit.plan import EXISTING, MINIMAL, ROOT, Plan, changed, planned

RELEASE = "kubernetes:helm.sh/v3:Release"
REPORT: dict[str, Any] = {"opex": {"engine": "kube-resource-report"}, "nodes": {"price": 0.05}}
ANALYTICS: dict[str, Any] = {"opex": {"engine": "kube-opex-analytics"}, "nodes": {"price": 0.05}}
BOTH = pytest.mark.parametrize("config", [REPORT, ANALYTICS])


def values(plan: Plan) -> dict[str, Any]:
    return plan.one("opex", RELEASE).inputs["values"]


def refused(**config: Any) -> str:
    """The one line with which the settings are refused."""
    with pytest.raises(pulumi.RunError) as caught:
        Settings.parse({**MINIMAL, **config})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_an_engine_there_is_nothing_of_it():
    plan = planned()
    assert not [made.name for made in plan.made if "opex" in made.name]
    assert "opex" not in plan.exported


@BOTH
def test_it_adds_its_own_and_touches_nothing_else(config):
    with_price = planned({"nodes": config["nodes"]})
    component = "tinderbox-test"
    own = {component, "opex", "opex-namespace", "opex-volume", "opex-claim"}
    assert changed(with_price, planned(config)) == own


@BOTH
def test_nothing_waits_for_it(config):
    plan = planned(config)
    for made in plan.made:
        if "opex" not in made.name and not made.type.startswith("tinderbox:"):
            waited = plan.options_of(made.name, made.type).depends_on
            assert not [name for name in waited if "opex" in name], made.name


@BOTH
def test_volume_and_claim_are_bound_to_each_other_and_outlive_the_release(config):
    plan = planned(config)
    volume, claim = plan.one("opex-volume").inputs, plan.one("opex-claim").inputs
    name = {key: claim["metadata"][key] for key in ("name", "namespace")}
    assert volume["spec"]["claimRef"] == name == {"name": "opex-shared", "namespace": "opex"}
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume["spec"]["hostPath"] == {"path": "/srv/shared/opex", "type": "Directory"}
    assert values(plan)["volume"] == {"claimName": "opex-shared"}
    assert "opex-claim" in plan.options_of("opex", RELEASE).depends_on


def test_a_claim_that_finds_no_volume_is_told_soon():
    assert planned(REPORT).options_of("opex-claim").timeouts["create"] == "2m"


def test_every_node_makes_the_folder_for_the_engines_uid():
    script = planned(REPORT).one("control-plane-storage").inputs["stdin"]
    assert 'install -d -m 2775 -o 4583 -g 4583 "$shared/opex"' in script


@BOTH
def test_the_output_says_where_it_is_and_how_to_get_there(config):
    output = planned(config).exported["opex"]
    assert output == {
        "engine": config["opex"]["engine"],
        "url": "http://opex.opex.svc",
        "command": "make opex-forward STACK=test",
        "namespace": "opex",
        "service": "opex",
        "hourlyRate": 0.15,
    }


def test_analytics_have_the_rate_of_all_nodes():
    plan = planned({**ANALYTICS, "nodes": {"price": 0.05, "count": 4}})
    assert values(plan)["hourlyRate"] == 0.2
    assert values(plan)["costModel"] == "CHARGE_BACK"


def test_the_report_has_the_price_of_a_month_by_region_and_type():
    (price,) = values(planned(REPORT))["prices"]
    assert price == {"region": "eu-central-1", "instanceType": "t3.medium", "monthly": 36.525}


def test_another_node_leaves_a_report_as_it_is():
    """Its price is by node; a rate of all nodes would upgrade the release for nothing."""
    more = {**REPORT, "nodes": {"price": 0.05, "count": 4}}
    assert values(planned(more)) == values(planned(REPORT))


def test_nodes_of_others_may_lack_the_labels():
    prices = values(planned({**EXISTING, **REPORT}))["prices"]
    assert {"region": "unknown", "instanceType": "unknown", "monthly": 36.525} in prices


def test_models_without_money_need_no_price():
    plan = planned({"opex": {"engine": "kube-opex-analytics", "costModel": "RATIO"}})
    assert values(plan)["costModel"] == "RATIO"
    assert "hourlyRate" not in values(plan)
    assert plan.exported["opex"]["hourlyRate"] is None


def test_another_chart_and_another_image():
    own = {**REPORT["opex"], "chart": "oci://host/charts/mine", "image": "host/mine:1"}
    release = planned({**REPORT, "opex": own}).one("opex", RELEASE).inputs
    assert release["chart"] == "oci://host/charts/mine"
    assert release["values"]["image"] == "host/mine:1"
    assert (ROOT / planned(REPORT).one("opex", RELEASE).inputs["chart"] / "Chart.yaml").exists()


@pytest.mark.parametrize("price", [0, -1, 0.0, "much", True, float("nan"), float("inf")])
@pytest.mark.parametrize("engine", ["kube-opex-analytics", "kube-resource-report"])
def test_a_price_that_is_none(engine, price):
    assert "tinderbox:nodes.price is " in refused(opex={"engine": engine}, nodes={"price": price})


@pytest.mark.parametrize(
    ("opex", "named"),
    [
        ({"engine": "kubecost"}, "opex.engine is 'kubecost'; it must be kube-opex"),
        ({"engine": "kube-resource-report"}, "nodes.price is None; it must be the USD an hour"),
        ({"engine": "kube-opex-analytics"}, "nodes.price is None; it must be the USD an hour"),
        ({"engine": "kube-opex-analytics", "costModel": "FREE"}, "opex.costModel is 'FREE'"),
    ],
)
def test_a_bad_setting_is_named(opex, named):
    assert named in refused(opex=opex)


@pytest.mark.parametrize(
    ("opex", "named"),
    [
        ({"chart": "/nowhere"}, "opex.chart is '/nowhere'"),
        ({"image": "untagged"}, "opex.image is 'untagged'"),
    ],
)
def test_a_bad_chart_or_image_is_named(opex, named):
    assert named in refused(opex={**REPORT["opex"], **opex}, nodes=REPORT["nodes"])
