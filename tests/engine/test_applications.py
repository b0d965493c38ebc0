"""Applications of the settings by the real engine in a real API server, and the console's verbs.

Nothing runs pods there: the test says how they end. So there is no log either.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from console.__main__ import main
from console.verbs import apps, run
from submission import runs
from tests.engine import kube_api
from tests.engine.conftest import Engine

SPACE = "spark"
CRON = {"app": "one.py", "schedule": "0 0 1 1 *", "keep": 1}


class Kubelet:
    """Ends each driver as soon as there is one; `codes` by the application's name, else 0.

    holds: applications that it lets run on.
    """

    def __init__(self, api: client.ApiClient) -> None:
        self.core: Any = client.CoreV1Api(api)
        self.codes: dict[str, int] = {}
        self.holds: set[str] = set()
        self.why = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Kubelet:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            for pod in self.core.list_namespaced_pod(SPACE).items:
                name = pod.metadata.labels["app"]
                if pod.status.phase == "Pending" and name not in self.holds:
                    self._end(pod, self.codes.get(name, 0))

    def _end(self, pod: Any, code: int) -> None:
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": self.why}
        required = {"image": "x", "imageID": "x", "ready": False, "restartCount": 0}
        container = {"name": "driver", "state": {"terminated": ended}, **required}
        status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [container]}
        try:
            self.core.patch_namespaced_pod_status(pod.metadata.name, SPACE, {"status": status})
        except ApiException as error:
            assert error.status == 404, error  # it was taken away meanwhile


@pytest.fixture(scope="module")
def api(server: kube_api.KubeApi) -> client.ApiClient:
    return config.new_client_from_config_dict(yaml.safe_load(server.kubeconfig))


@pytest.fixture(scope="module")
def kubelet(api: client.ApiClient) -> Iterator[Kubelet]:
    with Kubelet(api) as made:
        yield made


@pytest.fixture(scope="module")
def engine(
    server: kube_api.KubeApi, kubelet: Kubelet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """Two applications that run once, and one by a schedule."""
    main = Path(__file__).parent / "applications_part.py"
    made = Engine(tmp_path_factory.mktemp("applications"), "http://127.0.0.1:9", main)
    for name in ("one", "two"):
        (made.program / f"{name}.py").write_text(f"print('{name}')\n")
    made.config["cluster"] = {"kubeconfig": server.kubeconfig}
    made.config["applications"] = {"one": {"app": "one.py"}, "two": {"app": "two.py"}, "cron": CRON}
    made.configure()
    made.pulumi("up", "--yes", "--skip-preview")
    yield made
    made.pulumi("destroy", "--yes", "--skip-preview")


def changed(engine: Engine) -> set[str]:
    """Names of what an update would change."""
    steps = engine.preview()
    return {step["urn"].split("::")[-1] for step in steps if step["op"] != "same"}


def jobs(api: client.ApiClient) -> dict[str, str]:
    """The Jobs of the namespace: the application of each."""
    batch: Any = client.BatchV1Api(api)
    found = batch.list_namespaced_job(SPACE).items
    return {job.metadata.name: job.metadata.labels["app"] for job in found}


def of(api: client.ApiClient, application: str) -> list[str]:
    """The names of one's Jobs."""
    return [name for name, app in jobs(api).items() if app == application]


def within(seconds: float, found: Any) -> Any:
    """What `found` gives, as soon as that is something."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return value


def test_each_has_run_or_waits_for_its_time_and_the_outputs_tell(engine: Engine, api):
    told = engine.outputs()["applications"]
    assert told.keys() == {"one", "two", "cron"}
    for name in ("one", "two"):
        assert told[name]["state"] == "succeeded" and told[name]["lastRun"], told
        (job,) = of(api, name)
        assert job.startswith(f"{name}-")
    assert told["cron"] == {
        "namespace": SPACE,
        "schedule": "0 0 1 1 *",
        "timeZone": "UTC",
        "state": "waiting",
        "lastRun": None,
        "result": None,
        "usage": None,
    }
    batch: Any = client.BatchV1Api(api)
    spec = batch.read_namespaced_cron_job("cron", SPACE).spec
    assert (spec.concurrency_policy, spec.successful_jobs_history_limit) == ("Forbid", 1)


def test_a_second_look_is_quiet(engine: Engine):
    assert changed(engine) == set()


def test_another_file_runs_only_that_application_again_and_the_preview_names_it(
    engine: Engine, api
):
    (before,), (other,) = of(api, "two"), of(api, "one")
    (engine.program / "two.py").write_text("print('another two')\n")
    assert changed(engine) == {"two", "two-app"}
    said = engine.pulumi("preview").stdout
    assert "application two will run" in said and "application one" not in said
    engine.pulumi("up", "--yes", "--skip-preview")
    (after,) = of(api, "two")
    assert after != before and of(api, "one") == [other]


# ---- the console's verbs


@pytest.fixture
def console(engine: Engine, server: kube_api.KubeApi, monkeypatch) -> Any:
    """Calls a verb, for a stack that is this one."""

    class Stack:
        def __init__(self, name: str) -> None:
            self.name = name

        def exists(self) -> bool:
            return True

        def outputs(self, *, secrets: bool) -> dict[str, Any]:
            return {"kubeconfig": server.kubeconfig, "spark": {"namespace": SPACE}}

    for verb in (apps, run):
        monkeypatch.setattr(verb, "Stack", Stack)
    return lambda *arguments: main(list(arguments))


def rows(console: Any, capsys) -> dict[str, list[str]]:
    """What `make apps` shows, by the application's name."""
    capsys.readouterr()
    assert console("apps") == 0
    lines = [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:4] == ["name", "namespace", "state", "runs"]
    return {line[0]: line[1:] for line in lines[1:] if len(line) > 1}


def test_apps_are_told_with_their_times(console, capsys, api):
    told = rows(console, capsys)
    assert told.keys() == {"one", "two", "cron"}
    assert told["one"][:3] == [SPACE, "succeeded", "with each change"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", told["one"][3])
    assert told["cron"][:3] == [SPACE, "waiting", "0 0 1 1 * UTC"]
    assert re.fullmatch(r"\d{4}-01-01 00:00:00", told["cron"][3]) and told["cron"][4] == "0"


def test_a_scheduled_one_runs_now_and_no_more_runs_stay_than_are_kept(console, capsys, api):
    for _ in range(2):
        assert console("run", "cron") == 0
    assert rows(console, capsys)["cron"][1] == "succeeded"
    assert within(60, lambda: len(of(api, "cron")) == 1)


def test_one_that_fails_has_its_exit_code_and_is_the_last_run(
    engine: Engine, kubelet: Kubelet, console, capsys, api
):
    (own,) = of(api, "one")
    kubelet.codes["one"], kubelet.why = 3, f"no such table: {'a' * 80}"
    assert console("run", "one") == 3
    assert f"run: the driver failed: {kubelet.why}" in capsys.readouterr().err
    told = rows(console, capsys)["one"]
    assert (told[1], told[-1]) == ("failed", f"{kubelet.why[:59]}…")
    del kubelet.codes["one"]
    assert console("run", "one") == 0
    assert within(60, lambda: len(of(api, "one")) == 2)  # the stack's own, and the last
    assert own in of(api, "one")
    assert rows(console, capsys)["one"][1] == "succeeded"
    assert changed(engine) == set()


def test_what_can_not_run_is_one_line(kubelet: Kubelet, console, capsys, api):
    assert console("run", "corn") == 1
    assert capsys.readouterr().err == (
        "run: stack local has no application NAME=corn (did you mean cron?);"
        " it has: cron, one, two\n"
    )
    kubelet.holds.add("cron")
    job = runs.again(runs.find(api, SPACE)["cron"])
    job["metadata"]["name"] = "cron-held"
    batch: Any = client.BatchV1Api(api)
    batch.create_namespaced_job(SPACE, job)
    try:
        assert console("run", "cron") == 1
        assert capsys.readouterr().err == (
            "run: cron runs already, as job cron-held: one run at a time\n"
        )
        # The API may have counted its pod by now, or not.
        assert rows(console, capsys)["cron"][1] in ("running", "waiting")
    finally:
        batch.delete_namespaced_job("cron-held", SPACE, propagation_policy="Background")
        kubelet.holds.clear()


def test_an_application_that_failed_fails_the_update_and_runs_again_with_the_next(
    engine: Engine, kubelet: Kubelet, api
):
    kubelet.codes["two"] = 2
    (engine.program / "two.py").write_text("print('wrong')\n")
    said = engine.pulumi("up", "--yes", "--skip-preview", fails=True).stdout
    assert "exit code 2" in said
    del kubelet.codes["two"]
    engine.pulumi("up", "--yes", "--skip-preview")
    assert engine.outputs()["applications"]["two"]["state"] == "succeeded"
    assert len(of(api, "two")) == 1


def test_an_application_that_goes_takes_all_that_it_has_with_it(engine: Engine, api):
    applications = engine.config["applications"]
    core: Any = client.CoreV1Api(api)
    engine.config["applications"] = {"one": applications["one"]}
    engine.configure()
    engine.pulumi("up", "--yes", "--skip-preview")
    assert engine.outputs()["applications"].keys() == {"one"}
    assert set(jobs(api).values()) == {"one"}
    batch: Any = client.BatchV1Api(api)
    assert not batch.list_namespaced_cron_job(SPACE).items

    def left() -> set[str]:
        maps = core.list_namespaced_config_map(SPACE).items
        pods = core.list_namespaced_pod(SPACE).items
        return {one.metadata.labels["app"] for one in [*maps, *pods] if one.metadata.labels}

    assert within(60, lambda: left() == {"one"})
