"""The setting `applications`: what each becomes, what makes it run again, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.fit import require_fit
from components.node import Machine
from components.settings import Settings, SettingsError
from tests.unit.plan import EXISTING, MINIMAL, ROOT, Plan, changed, plan, planned

JOB, CRON_JOB = "kubernetes:batch/v1:Job", "kubernetes:batch/v1:CronJob"
PI = {"app": "spark_jobs/pi.py"}
TEAM = {"namespaces": {"team": {"cpu": 4, "memoryMiB": 6000}}}


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    """Where Pulumi runs the program."""
    monkeypatch.chdir(ROOT)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A program of two files."""
    (tmp_path / "beside.py").write_text("number = 1\n")
    file = tmp_path / "mine.py"
    file.write_text("import beside\n")
    return file


def of(**applications: Any) -> dict[str, Any]:
    """The configuration with these applications."""
    return {"applications": applications}


def driver(job: dict[str, Any]) -> dict[str, Any]:
    """The driver's container in the spec of a Job."""
    (container,) = job["template"]["spec"]["containers"]
    return container


def test_without_the_setting_nothing_is_made_and_nothing_exported():
    made = planned()
    assert [job.name for job in made.of(JOB)] == ["wordcount"] and not made.of(CRON_JOB)
    assert "applications" not in made.exported


def test_an_application_is_a_job_as_the_word_count_is():
    made = plan(of(pi={**PI, "args": [100, "$(POD)"], "retries": 1, "limitMinutes": 5}))
    job, count = made.one("pi", JOB).inputs, made.one("wordcount", JOB).inputs
    assert job["metadata"]["annotations"] == count["metadata"]["annotations"]
    assert job["metadata"]["namespace"] == "spark" and "name" not in job["metadata"]
    assert job["spec"]["backoffLimit"] == 1
    assert job["spec"]["activeDeadlineSeconds"] == 300
    assert "activeDeadlineSeconds" not in count["spec"]
    assert driver(job["spec"])["args"][-3:] == ["/opt/tinderbox/app/pi.py", "100", "$$(POD)"]
    options = made.options_of("pi", JOB)
    assert options.before_create and options.timeouts["create"] == "6m"
    assert {"spark", "pi-app"} <= made.waits_for("pi")
    assert made.one("pi-app").inputs["data"].keys() == {"pi.py", "careful.py", "texts.py"}


def test_one_without_an_end_is_waited_for_until_it_runs_and_goes_before_another_comes():
    made = plan(of(stream={**PI, "limitMinutes": 0, "retries": 100}))
    job, options = made.one("stream", JOB).inputs, made.options_of("stream", JOB)
    assert "activeDeadlineSeconds" not in job["spec"] and job["spec"]["backoffLimit"] == 100
    marks = job["metadata"]["annotations"]
    assert marks["pulumi.com/waitFor"] == "jsonpath={.status.ready}=1"
    # Pulumi would take one that runs for one that is not ready, and make another.
    assert "pulumi.com/replaceUnready" not in marks
    assert options.timeouts["create"] == "11m" and options.goes_first
    assert not made.options_of("wordcount", JOB).goes_first


def test_an_application_with_a_schedule_is_a_cron_job_of_its_name():
    given = {**PI, "schedule": "0 3 * * *", "timeZone": "Europe/Paris", "keep": 5}
    made = plan(of(nightly=given))
    assert not [job for job in made.of(JOB) if job.name == "nightly"]
    cron = made.one("nightly", CRON_JOB).inputs
    assert (cron["metadata"]["name"], cron["metadata"]["namespace"]) == ("nightly", "spark")
    spec = cron["spec"]
    template = spec.pop("jobTemplate")
    assert spec == {
        "schedule": "0 3 * * *",
        "timeZone": "Europe/Paris",
        "concurrencyPolicy": "Forbid",
        "successfulJobsHistoryLimit": 5,
        "failedJobsHistoryLimit": 5,
    }
    assert template["metadata"]["labels"] == {"app": "nightly"}
    assert template["spec"]["activeDeadlineSeconds"] == 3600
    assert {"spark", "nightly-app"} <= made.waits_for("nightly")


def test_all_keys_reach_spark(script):
    (jar := script.with_name("a.jar")).touch()
    team = {
        **PI,
        "app": str(script),
        "namespace": "team",
        "master": "kubernetes",
        "conf": {"spark.speculation": True, "spark.task.maxFailures": 2},
        "pyFiles": [str(ROOT / "spark_jobs" / "patterns.py")],
        "jars": [str(jar)],
        "files": ["https://host/table.csv"],
        "archives": [f"{jar}#unpacked"],
        "driver": {"cores": 1, "memoryMiB": 600, "priorityClass": "batch"},
        "executor": {
            "cores": 1,
            "memoryMiB": 700,
            "instances": 2,
            "tolerations": ["gpu=a:NoSchedule"],
        },
    }
    made = plan({**of(all=team), **TEAM})
    job = made.one("all", JOB).inputs
    assert job["metadata"]["namespace"] == "team"
    assert job["spec"]["template"]["spec"]["priorityClassName"] == "batch"
    args = driver(job["spec"])["args"]
    wanted = {
        *("spark.driver.cores=1", "spark.driver.memory=600m"),
        *("spark.executor.cores=1", "spark.executor.memory=700m", "spark.executor.instances=2"),
        *("spark.speculation=true", "spark.task.maxFailures=2"),
    }
    assert wanted <= set(args)
    given = dict(zip(args[::2], args[1::2], strict=False))
    folder = "/opt/tinderbox/app"
    assert given["--py-files"] == f"{folder}/patterns.py,{folder}/beside.py"
    assert given["--jars"] == f"{folder}/a.jar"
    assert given["--files"] == "https://host/table.csv"
    assert given["--archives"] == f"{folder}/a.jar#unpacked"
    pods = json.loads(made.one("all-app").inputs["data"]["executor-pod.json"])
    (toleration,) = pods["spec"]["tolerations"]
    assert (toleration["key"], toleration["effect"]) == ("gpu", "NoSchedule")
    assert "team-spark" in made.waits_for("all")
    # What is reserved is what is asked for.
    assert driver(job["spec"])["resources"]["requests"] == {"cpu": "1", "memory": "1368Mi"}


def test_a_class_of_a_jar(script):
    (jar := script.with_name("a.jar")).touch()
    made = plan(of(sql={"app": str(jar), "mainClass": "org.example.Main"}))
    args = driver(made.one("sql", JOB).inputs["spec"])["args"]
    assert args[args.index("--class") + 1] == "org.example.Main"


def test_the_outputs_tell_what_the_cluster_does_and_no_secret():
    made = planned({**of(pi=PI, nightly={**PI, "schedule": "@daily"})})
    assert made.exported["applications"]["pi"] == {"state": "succeeded", "result": "of pi"}
    assert made.exported["applications"].keys() == {"pi", "nightly"}
    assert "applications" not in made.secrets


# ---- what runs again


@pytest.mark.parametrize("config", [{}, EXISTING])
def test_another_file_runs_that_application_again_and_no_other(script, config):
    both = {**config, **of(mine={"app": str(script)}, pi=PI)}
    before = plan(both)
    script.with_name("beside.py").write_text("number = 2\n")
    assert changed(before, plan(both)) == {"mine", "mine-app"}
    names = [made.one("mine-app").inputs["metadata"]["name"] for made in (before, plan(both))]
    assert names[0] != names[1]  # so its Job is another one


@pytest.mark.parametrize(
    "more",
    [{"args": ["1"]}, {"conf": {"spark.x": "1"}}, {"executor": {"memoryMiB": 600}}, {"retries": 1}],
)
def test_another_setting_runs_that_application_again_and_no_other(more):
    both = of(mine=PI, pi=PI)
    assert changed(planned(both), plan(of(mine={**PI, **more}, pi=PI))) == {"mine"}


def test_what_is_no_part_of_an_application_runs_none_again():
    both = of(mine=PI, nightly={**PI, "schedule": "@daily"})
    price = {"nodes": {"price": 0.05}}
    assert changed(planned(both), plan({**both, **price})) == {"spark"}
    others = of(mine=PI, nightly={**PI, "schedule": "@weekly"})
    assert changed(planned(both), plan(others)) == {"nightly"}
    fewer = changed(planned(both), plan(of(mine=PI)))
    # Components of its name go as well.
    assert fewer == {"nightly", "nightly-app"}


# ---- what is refused


def refused(config: dict[str, Any], preview: bool = False) -> list[str]:
    """All that the program says, before it has made anything."""
    made = Plan()
    with pytest.raises(pulumi.RunError) as caught:
        plan(config, recorder=made, preview=preview)
    assert not made.made
    return [line.removeprefix("tinderbox:applications") for line in str(caught.value).split("\n")]


@pytest.mark.parametrize("preview", [True, False])
def test_all_that_is_wrong_is_said_at_once_before_anything_is_made(preview):
    config = of(
        spark={},
        wordcount=PI,
        Upper=PI,
        **{"a" * 33: PI, "spark-master": PI},
        late={**PI, "schedule": "0 25 * * *", "timeZone": "Europe/Pari", "keep": 0},
        lost={"app": "no.py", "pyFiles": ["no2.py", "spark_jobs/pi.py"], "namespace": "tem"},
        none={"timeZone": "Europe/Paris"},
        near={**PI, "scedule": "@daily", "driver": {"coers": 1}},
        never={**PI, "limitMinutes": -1},
        large={**PI, "executor": {"memoryMiB": 9000}},
        quota={**PI, "namespace": "team", "master": "kubernetes", "executor": {"instances": 9}},
        place={**PI, "namespace": "team"},
        label={**PI, "conf": {"spark.kubernetes.driver.label.team": "a b"}},
        taint={**PI, "driver": {"tolerations": ["a b"]}},
        suffix={"app": "README.md"},
        jar={"app": "local:///opt/a.jar"},
        ours={**PI, "conf": {"spark.master": "local"}},
        right={**PI, "schedule": "@daily"},
    )
    said = refused({**config, **TEAM}, preview)
    begins = [
        " is 'spark'; it must be names that are not taken",
        " is 'wordcount'; it must be names that are not taken",
        " is 'Upper'; it must be names of up to 32",
        f" is '{'a' * 33}'; it must be names of up to 32",
        " is 'spark-master'; it must be names that are not taken",
        ".late.schedule is '0 25 * * *'; it must be a schedule of cron's",
        ".late.timeZone is 'Europe/Pari'; it must be a time zone such as Europe/Paris",
        ".late.keep is 0; it must be a whole number of at least 1",
        ".near.driver.coers is not a setting (did you mean applications.NAME.driver.cores?)",
        ".near.scedule is not a setting (did you mean applications.NAME.schedule?)",
        ".never.limitMinutes is -1; it must be a whole number of at least 0",
        ".lost.app is 'no.py'; it must be what is here or a URL; no.py can't be read: No such",
        ".lost.pyFiles is 'no2.py, spark_jobs/pi.py'; it must be what is here or a URL; no2.py",
        ".lost.namespace is 'tem'; it must be one of the setting `namespaces` (did you mean team?)",
        ".none.app is None; it must be set",
        ".none.timeZone is 'Europe/Paris'; it must be left out without applications.none.schedule",
        ".large can't be run: an executor of 1 CPU and 9000 MiB fits on no worker",
        ".quota can't be run: the driver and 9 executors would take more than the quota of",
        ".place can't be run: namespace team has a quota, and executors on standalone workers",
        ".label can't be run: driver label team=a b is not taken by Kubernetes",
        ".taint can't be run: a b is no taint: write KEY",
        ".suffix can't be run: README.md is none of .py, .jar and .R",
        ".jar can't be run: local:///opt/a.jar is a jar: say which class to run",
        ".ours can't be run: spark.master can't be set",
    ]
    assert len(said) == len(begins), "\n".join(said)
    for line, begin in zip(said, begins, strict=True):
        assert line.startswith(begin)


def test_files_that_no_config_map_holds(script):
    script.write_text(f"'{'a' * 720_000}'\n")
    (line,) = refused(of(big={"app": str(script)}))
    assert line.startswith(".big can't be run: the files of big have") and "/srv/shared" in line


def test_two_files_of_one_name(script, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "beside.py").write_text("number = 3\n")
    given = {"app": str(script), "files": [str(tmp_path / "other" / "beside.py")]}
    (line,) = refused(of(two=given))
    assert "another file here has the name beside.py" in line


def fit(
    *applications: dict[str, Any],
    nodes: dict[str, Any] | None = None,
    workers: dict[str, Any] | None = None,
) -> None:
    """As the program does it once AWS has said how large the nodes are."""
    named = {f"app-{at}": one for at, one in enumerate(applications)}
    groups = {"nodes": nodes or {}, "workers": workers or {}}
    settings = Settings.parse({**MINIMAL, **of(**named), **groups})
    sizes = {"t3.medium": 4096, "t3.xlarge": 16384}
    require_fit(settings, {type_: Machine(type_, "ami", 2, mib) for type_, mib in sizes.items()})


def test_what_no_node_could_hold_is_refused_each_in_a_line():
    native = {**PI, "master": "kubernetes"}
    with pytest.raises(SettingsError) as caught:
        fit(
            {**PI, "driver": {"memoryMiB": 4000}},
            {**native, "executor": {"cores": 3}},
            native,
            {**native, "conf": {"spark.kubernetes.executor.node.selector.disk": "ssd"}},
        )
    first, second = str(caught.value).split("\n")
    assert first.startswith("tinderbox:applications.app-0 can't be run: the driver of 0.1 CPU and")
    assert second.startswith("tinderbox:applications.app-1 can't be run: an executor of 3.01 CPU")
    fit({**native, "executor": {"memoryMiB": 2500}})
    with pytest.raises(SettingsError, match="no nodes have room at once for the driver"):
        fit(
            {**native, "executor": {"memoryMiB": 2500}, "driver": {"memoryMiB": 500}},
            nodes={"count": 2},
        )


def test_an_encrypted_one_is_refused_for_all_of_it_is_in_a_job():
    given = json.dumps({"pi": {**PI, "args": ["s3cr3t"], "retries": "s3cr3t"}})
    config = {f"tinderbox:{key}": json.dumps(value) for key, value in MINIMAL.items()}
    config["tinderbox:applications"] = given
    pulumi.runtime.set_all_config(config, ["tinderbox:applications"])
    try:
        with pytest.raises(SettingsError) as caught:
            Settings.load()
    finally:
        pulumi.runtime.set_all_config({}, [])
    assert "s3cr3t" not in str(caught.value)
    assert "plain, with no secret in it: name the key of a Secret" in str(caught.value)


def test_two_of_one_name_in_a_text_of_json():
    twice = '{"pi": {"app": "spark_jobs/pi.py"}, "pi": {"app": "spark_jobs/pi.py"}}'
    pulumi.runtime.set_all_config({"tinderbox:applications": twice})
    try:
        with pytest.raises(pulumi.RunError, match="tinderbox: a setting has the key pi twice"):
            Settings.load()
    finally:
        pulumi.runtime.set_all_config({}, [])
