"""Applications: what they may be, and the manifests that they become."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pytest
import usage

from submission import measuring
from submission.application import Application, SparkPodSpec, literally
from submission.check import check
from submission.errors import ApplicationError
from submission.manifests import LARGEST_BY_CONFIGMAP, Manifests, manifests
from submission.resolve import resolve
from tests.place import PLACE

PI = Application(name="pi", app="local:///opt/pi.py", arguments=("100",))
NATIVE = dataclasses.replace(PI, master="kubernetes")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A program in a file here."""
    file = tmp_path / "mine.py"
    file.write_text("print(1)\n")
    return file


def pod(made: Manifests) -> dict:
    """The Job's pod."""
    return made.job["spec"]["template"]["spec"]


def arguments(made: Manifests) -> list[str]:
    """What spark-submit is called with."""
    return pod(made)["containers"][0]["args"]


def conf(made: Manifests) -> dict[str, str]:
    """The properties on spark-submit's command line."""
    args = arguments(made)
    pairs = [args[i + 1] for i, argument in enumerate(args) if argument == "--conf"]
    return dict(pair.split("=", 1) for pair in pairs)


def executor_template(made: Manifests) -> dict:
    """What Spark makes the executors' pods from."""
    assert made.files is not None
    return json.loads(made.files["data"]["executor-pod.json"])


def test_an_application_of_the_image_needs_no_files():
    made = manifests(resolve(PI, PLACE))
    assert made.files is None
    args = arguments(made)
    assert args[:2] == ["--master", "spark://master:7077"]
    assert args[-2:] == ["local:///opt/pi.py", "100"]
    assert "name" not in made.job["metadata"]
    assert "serviceAccountName" not in pod(made)
    assert pod(made)["automountServiceAccountToken"] is False


def test_files_here_go_along_and_urls_stay(script, tmp_path):
    lib = tmp_path / "lib.zip"
    lib.write_bytes(b"PK\xff\x00")
    app = Application(
        name="mine", app=str(script), py_files=(str(lib), "s3a://b/x.py"), archives=(f"{lib}#env",)
    )
    made = manifests(resolve(app, PLACE))
    assert made.files is not None
    assert made.files["data"] == {"mine.py": "print(1)\n"}
    assert base64.b64decode(made.files["binaryData"]["lib.zip"]) == b"PK\xff\x00"
    args = arguments(made)
    assert args[args.index("--py-files") + 1] == "/opt/tinderbox/app/lib.zip,s3a://b/x.py"
    assert args[args.index("--archives") + 1] == "/opt/tinderbox/app/lib.zip#env"
    assert args[-1] == "/opt/tinderbox/app/mine.py"
    mounts = {m["name"]: m["mountPath"] for m in pod(made)["containers"][0]["volumeMounts"]}
    assert mounts["app"] == "/opt/tinderbox/app"
    (volume,) = [v for v in pod(made)["volumes"] if v["name"] == "app"]
    assert volume["configMap"]["name"] == made.files["metadata"]["name"]


def test_the_modules_beside_a_program_go_along(script):
    """Those that it imports, and that they import, as Python finds them by hand."""
    texts = {
        "mine": "import json, one.part\nfrom two import x\ndef f():\n    import late\n",
        "one": "import three, mine\nfrom . import other\n",
        "two": "import given\n",
        "three": "broken(",
        "late": "",
        "other": "",
        "given": "import beyond\n",
        "beyond": "",
    }
    for name, text in texts.items():
        script.with_name(f"{name}.py").write_text(text)
    app = Application(name="mine", app=str(script), py_files=(f"{script.parent}/given.py",))
    args = arguments(manifests(resolve(app, PLACE)))
    carried = [name.rpartition("/")[2] for name in args[args.index("--py-files") + 1].split(",")]
    assert carried[0] == "given.py" and len(carried) == len(set(carried))
    assert set(carried) == {f"{n}.py" for n in ("given", "one", "two", "late", "three", "beyond")}


def test_a_pipe_among_the_files_is_refused_and_not_waited_for(script):
    os.mkfifo(script.parent / "pipe")
    app = Application(name="mine", app=str(script), files=(f"{script.parent}/pipe",))
    with pytest.raises(ApplicationError, match="/pipe can't be read: it is a pipe"):
        manifests(resolve(app, PLACE))


@pytest.mark.parametrize("retries", [0, 3])
def test_a_failed_driver_is_started_again_as_often_as_asked(retries):
    made = manifests(resolve(dataclasses.replace(PI, retries=retries), PLACE))
    assert made.job["spec"]["backoffLimit"] == retries


def test_wrong_arguments_are_not_tried_again_and_a_pod_that_gave_way_was_no_try():
    final = {
        "action": "FailJob",
        "onExitCodes": {"containerName": "driver", "operator": "In", "values": [2]},
    }
    gave_way = {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    again, never = (
        manifests(resolve(dataclasses.replace(PI, retries=retries), PLACE)) for retries in (2, 0)
    )
    assert again.job["spec"]["podFailurePolicy"]["rules"] == [final, gave_way]
    # What is not to run again doesn't, whoever took its pod away.
    assert never.job["spec"]["podFailurePolicy"]["rules"] == [final]
    assert pod(again)["restartPolicy"] == "Never"  # or there can be no such policy
    assert pod(again)["containers"][0]["name"] == "driver"


def test_all_of_sparks_pods_have_a_locale_and_tell_why_they_ended():
    made = manifests(resolve(dataclasses.replace(NATIVE, deploy_mode="cluster"), PLACE))
    assert made.files is not None
    templates = [
        json.loads(made.files["data"][f"{role}-pod.json"]) for role in ("driver", "executor")
    ]
    for spec in [pod(made), *(template["spec"] for template in templates)]:
        container = spec["containers"][0]
        assert {"name": "LC_ALL", "value": "C.UTF-8"} in container["env"]
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    own = dataclasses.replace(PI, driver=SparkPodSpec(env={"LC_ALL": "de_DE.UTF-8"}))
    (container,) = pod(manifests(resolve(own, PLACE)))["containers"]
    locales = [item["value"] for item in container["env"] if item["name"] == "LC_ALL"]
    assert locales == ["de_DE.UTF-8"]


def test_another_content_is_another_config_map(script):
    app = Application(name="mine", app=str(script))
    before = manifests(resolve(app, PLACE)).files
    assert before == manifests(resolve(app, PLACE)).files
    script.write_text("print(2)\n")
    after = manifests(resolve(app, PLACE)).files
    assert before and after and before["metadata"]["name"] != after["metadata"]["name"]


def test_what_the_user_wrote_is_not_filled_in():
    app = dataclasses.replace(
        PI, arguments=(literally("$(POD)"), "$(POD)"), conf={"spark.x": "$(POD_IP)"}
    )
    made = manifests(resolve(app, PLACE))
    assert arguments(made)[-2:] == ["$$(POD)", "$(POD)"]
    assert conf(made)["spark.x"] == "$$(POD_IP)"
    assert conf(made)["spark.driver.host"] == "$(POD_IP)"


def test_the_users_properties_win():
    app = dataclasses.replace(PI, conf={"spark.app.name": "mine"})
    assert conf(manifests(resolve(app, PLACE)))["spark.app.name"] == "mine"


def test_sizes_become_properties_and_the_drivers_limit():
    app = dataclasses.replace(
        PI,
        driver=SparkPodSpec(memory_mib=1000, overhead_mib=500),
        executor=SparkPodSpec(cores=2, memory_mib=700),
        instances=3,
    )
    made = manifests(resolve(app, PLACE))
    found = conf(made)
    assert found["spark.driver.memory"] == "1000m"
    assert found["spark.executor.memory"] == "700m"
    assert found["spark.executor.cores"] == "2"
    assert found["spark.cores.max"] == "6"  # three executors, as a standalone master counts
    assert pod(made)["containers"][0]["resources"]["limits"] == {"memory": "1500Mi"}


def test_natively_the_driver_makes_its_executors_and_owns_them():
    made = manifests(resolve(dataclasses.replace(NATIVE, instances=3), PLACE))
    assert arguments(made)[:2] == ["--master", "k8s://https://kubernetes.default.svc"]
    found = conf(made)
    assert found["spark.kubernetes.namespace"] == "apps"
    assert found["spark.kubernetes.driver.pod.name"] == "$(POD)"
    assert found["spark.executor.instances"] == "3"
    assert found["spark.kubernetes.executor.container.image"] == "host/spark:1"
    assert pod(made)["serviceAccountName"] == "robot"
    assert pod(made)["automountServiceAccountToken"] is True


def test_who_submitted_it_and_its_labels_are_properties_of_it():
    """From which usage.json has them, however it is run."""
    bare = resolve(dataclasses.replace(NATIVE), PLACE).conf
    assert not {measuring.USER_PROPERTY, measuring.LABELS_PROPERTY} & bare.keys()
    labels = {"team": "data", "a": "b"}
    own = dataclasses.replace(NATIVE, user="$(ann)", driver=SparkPodSpec(labels=labels))
    conf = resolve(own, PLACE).conf
    assert conf[measuring.USER_PROPERTY] == "$$(ann)"
    assert conf[measuring.LABELS_PROPERTY] == "a=b,team=data"
    by_property = {"spark.kubernetes.driver.label.team": "etl"}
    conf = resolve(dataclasses.replace(NATIVE, conf=by_property), PLACE).conf
    assert conf[measuring.LABELS_PROPERTY] == "team=etl"
    assert usage.LABELS_PROPERTY == measuring.LABELS_PROPERTY
    assert usage.USER_PROPERTY == measuring.USER_PROPERTY


def test_executors_have_the_volume_the_secret_and_no_rights():
    spec = executor_template(manifests(resolve(NATIVE, PLACE)))["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsUser"] == 185
    container, sampler = spec["containers"]
    for each in (container, sampler):
        assert each["securityContext"]["allowPrivilegeEscalation"] is False
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    programs = {"usage": "/opt/tinderbox/usage"}
    assert mounts == {"shared": "/srv/shared", "auth": "/opt/tinderbox/auth", **programs}
    sources = {volume["name"]: volume for volume in spec["volumes"]}
    assert sources["shared"]["persistentVolumeClaim"] == {"claimName": "files"}
    # Spark would take it from the environment before it does from the file.
    assert "_SPARK_AUTH_SECRET" not in [item["name"] for item in container["env"]]


def test_in_cluster_mode_the_jobs_pod_submits_and_the_driver_has_one_of_its_own():
    app = dataclasses.replace(
        NATIVE,
        deploy_mode="cluster",
        arguments=(literally("$(POD)"), "$(POD)"),
        driver=SparkPodSpec(image="d:1", memory_mib=600, labels={"team": "x"}, cpu_request="50m"),
    )
    made = manifests(resolve(app, PLACE))
    (container,) = pod(made)["containers"]
    assert container["image"] == "host/spark:1"  # it needs Python, whatever the driver's has
    assert container["command"][5:] == [  # behind first_executor.py
        "python3",
        "/opt/tinderbox/usage/cluster_driver.py",
        "/opt/tinderbox/app/driver-pod.json",
        "$(POD)-driver",
        "--",
        "/opt/spark/bin/spark-submit",
    ]
    args = container["args"]
    assert args[args.index("--deploy-mode") + 1] == "cluster"
    # The first look makes "$$(POD)" of it, the second, in the driver's pod, "$(POD)".
    assert args[-2:] == ["$$$$(POD)", "$(POD)"]
    found = conf(made)
    assert found["spark.kubernetes.driver.pod.name"] == "$(POD)-driver"
    assert found["spark.kubernetes.driver.container.image"] == "d:1"
    assert found["spark.kubernetes.driver.request.cores"] == "50m"
    assert found["spark.driver.memory"] == "600m"
    assert "spark.driver.host" not in found
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert found["spark.kubernetes.file.upload.path"] == f"file://{env['UPLOADS']}"
    assert made.files is not None
    driver = json.loads(made.files["data"]["driver-pod.json"])
    assert driver["metadata"]["labels"] == {"app": "pi", "team": "x"}
    assert driver["spec"]["serviceAccountName"] == "robot"
    assert driver["spec"]["securityContext"]["runAsUser"] == 185
    (container,) = driver["spec"]["containers"]
    assert container["command"][-3:] == ["$(POD)", "--", "/opt/entrypoint.sh"]
    assert {"name": "usage", "mountPath": "/opt/tinderbox/usage"} in container["volumeMounts"]
    assert conf(made)["spark.tinderbox.run"] == "$(POD)"


def test_a_driver_is_measured():
    made = manifests(resolve(dataclasses.replace(PI, output="/srv/shared/out"), PLACE))
    (container,) = pod(made)["containers"]
    measured = ["/opt/tinderbox/usage/measured.py", "--beside", "/srv/shared/out"]
    where = ["/srv/shared/spark", "$(POD)", "--", "/opt/spark/bin/spark-submit"]
    assert container["command"][-len([*measured, *where]) :] == [*measured, *where]
    assert {"name": "usage", "mountPath": "/opt/tinderbox/usage"} in container["volumeMounts"]
    assert {"name": "usage", "configMap": {"name": "usage"}} in pod(made)["volumes"]


@pytest.mark.parametrize(
    ("python", "printed"),
    [
        ("", "submit --class x a  b\n"),
        (
            "echo",
            "/opt/tinderbox/usage/measured.py /srv/shared/spark $(POD) -- submit --class x a  b\n",
        ),
    ],
)
def test_where_there_is_no_python_a_driver_is_not_measured_but_runs(tmp_path, python, printed):
    """As in the official image for R."""
    for name, program in (("submit", "echo submit"), ("python3", python)):
        if program:
            (tmp_path / name).write_text(f'#!/bin/sh\n{program} "$@"\n')
            (tmp_path / name).chmod(0o755)
    command = [*measuring.measured(program="submit"), "--class", "x", "a  b"]
    ran = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, printed)


def test_an_executors_pod_is_sampled_by_a_container_that_sees_it_and_can_not_fail():
    spec = executor_template(manifests(resolve(NATIVE, PLACE)))["spec"]
    assert spec["shareProcessNamespace"] is True
    executor, sampler = spec["containers"]
    assert executor["name"] == "executor"
    assert sampler["command"][-1].startswith("python3 /opt/tinderbox/usage/sampler.py --pod ")
    assert sampler["command"][-1].endswith(" || true")
    volumes = {volume["name"] for volume in spec["volumes"]}
    assert {mount["name"] for mount in sampler["volumeMounts"]} <= volumes
    # Where there is a quota, Kubernetes refuses a pod without them.
    assert {"requests", "limits"} == set(sampler["resources"])


def test_driver_and_executors_have_each_their_own():
    toleration = {"key": "gpu", "operator": "Exists"}
    app = dataclasses.replace(
        NATIVE,
        driver=SparkPodSpec(
            image="d:1", node_selector={"disk": "ssd"}, secret_env={"TOKEN": "mine:key"}
        ),
        executor=SparkPodSpec(
            image="e:1",
            labels={"team": "x"},
            annotations={"why": "test"},
            tolerations=(toleration,),
            secrets={"mine": "/secrets"},
            priority_class="batch",
        ),
    )
    made = manifests(resolve(app, PLACE))
    driver, executor = pod(made), executor_template(made)
    assert driver["containers"][0]["image"] == "d:1"
    assert driver["nodeSelector"] == {"disk": "ssd"}
    assert "tolerations" not in driver and "nodeSelector" not in executor["spec"]
    env = {item["name"]: item.get("valueFrom") for item in driver["containers"][0]["env"]}
    assert env["TOKEN"] == {"secretKeyRef": {"name": "mine", "key": "key"}}
    assert conf(made)["spark.kubernetes.executor.container.image"] == "e:1"
    assert executor["metadata"]["labels"] == {"app": "pi", "team": "x"}
    assert executor["metadata"]["annotations"] == {"why": "test"}
    assert executor["spec"]["tolerations"] == [toleration]
    assert executor["spec"]["priorityClassName"] == "batch"
    container, sampler = executor["spec"]["containers"]
    assert sampler["image"] == "e:1"
    assert {"name": "secret-0", "mountPath": "/secrets"} in container["volumeMounts"]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"master": "yarn"}, "no master 'yarn': it must be standalone or kubernetes, or a URL"),
        ({"master": "http://host:1"}, "no master 'http://host:1'"),
        ({"master": "spark://host"}, "no master 'spark://host'"),
        ({"deploy_mode": "server"}, "no deploy mode 'server'"),
        ({"deploy_mode": "cluster"}, "deploy mode cluster needs the master kubernetes"),
        ({"app": "local:///a.jar"}, "say which class to run"),
        ({"conf": {"spark.kubernetes.namespace": "x"}}, "spark.kubernetes.namespace can't be set"),
        ({"app": "local:///a.sh"}, "none of .py, .jar and .R"),
        ({"name": "Pi_1"}, "no application's name"),
        ({"name": "p" * 33}, "no application's name"),
    ],
)
def test_what_no_application_can_be(what, said):
    with pytest.raises(ApplicationError, match=said):
        check(dataclasses.replace(PI, **what))


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("/no/such/pi.py", "/no/such/pi.py can't be read: No such file"),
        ("ftp://host/pi.py", "no file here and none of local://"),
        ("/", "none of .py"),
    ],
)
def test_an_application_that_does_not_exist(app, said):
    with pytest.raises(ApplicationError, match=said):
        manifests(resolve(dataclasses.replace(PI, app=app), PLACE))


def test_files_that_no_config_map_takes(tmp_path, script):
    odd = tmp_path / "with space.py"
    odd.write_text("")
    with pytest.raises(ApplicationError, match="rename the file"):
        manifests(resolve(dataclasses.replace(PI, app=str(odd)), PLACE))
    other = tmp_path / "other" / script.name
    other.parent.mkdir()
    other.write_text("print(3)\n")
    with pytest.raises(ApplicationError, match="has the name mine.py, too"):
        manifests(resolve(dataclasses.replace(PI, app=str(script), files=(str(other),)), PLACE))
    script.write_bytes(b"#" * (LARGEST_BY_CONFIGMAP + 1))
    with pytest.raises(ApplicationError, match=f"{LARGEST_BY_CONFIGMAP} can go along"):
        manifests(resolve(dataclasses.replace(PI, app=str(script)), PLACE))


def test_larger_files_are_waited_for_where_somebody_brings_them(tmp_path):
    jar = tmp_path / "large.jar"
    jar.write_bytes(b"PK" * LARGEST_BY_CONFIGMAP)
    app = dataclasses.replace(NATIVE, app=str(jar), main_class="Main")
    made = manifests(resolve(app, PLACE), can_upload=True)
    assert made.files is None
    assert set(made.uploads) == {"large.jar", "executor-pod.json"}
    (receiver,) = pod(made)["initContainers"]
    (volume,) = [volume for volume in pod(made)["volumes"] if volume["name"] == "app"]
    assert volume == {"name": "app", "emptyDir": {}}
    assert receiver["volumeMounts"] == [{"name": "app", "mountPath": "/opt/tinderbox/app"}]
    assert arguments(made)[-2] == "/opt/tinderbox/app/large.jar"


def test_a_reference_to_no_secrets_key():
    with pytest.raises(ApplicationError, match="write SECRET:KEY"):
        manifests(
            resolve(
                dataclasses.replace(PI, driver=SparkPodSpec(secret_env={"TOKEN": "mine"})), PLACE
            )
        )


@pytest.mark.parametrize("mode", ["client", "cluster"])
def test_the_jobs_pod_looks_for_the_first_executor(mode):
    app = dataclasses.replace(NATIVE, start_within=45, deploy_mode=mode)
    made = manifests(resolve(app, PLACE))
    command = pod(made)["containers"][0]["command"]
    program = "/opt/tinderbox/usage/first_executor.py"
    assert command[:5] == ["python3", program, "--within", "45", "--"]
    assert command[-1] == "/opt/spark/bin/spark-submit"
    programs = next(v for v in pod(made)["volumes"] if v["name"] == "usage")
    assert programs["configMap"]["name"] == PLACE.usage_config


def test_a_standalone_driver_is_left_alone():
    command = pod(manifests(resolve(PI, PLACE)))["containers"][0]["command"]
    assert not any("first_executor" in word for word in command)


def test_drivers_pods_tell_where_their_metrics_are():
    made = manifests(
        resolve(dataclasses.replace(PI, driver=SparkPodSpec(annotations={"why": "test"})), PLACE)
    )
    assert made.job["spec"]["template"]["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "4040",
        "prometheus.io/path": "/metrics/prometheus/",
        "why": "test",
    }
