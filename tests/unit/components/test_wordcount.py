"""WordCountJob: how the text gets there, how the driver is run, how the result comes back."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys

import pytest

from components import wordcount
from components.settings import Settings, SettingsError, WordCountSettings
from components.wordcount import options
from submission import measuring
from submission.manifests import LARGEST_BY_CONFIGMAP
from tests.unit.plan import EXISTING, MINIMAL, Made, Plan, changed, checkout, plan, planned

JOB = "kubernetes:batch/v1:Job"
COPY = "command:remote:CopyToRemote"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"


@pytest.fixture
def text(tmp_path):
    """A text of one file."""
    file = tmp_path / "text.txt"
    file.write_text("one two two\n")
    return file


def of(text, **more) -> dict:
    """The configuration that counts this text."""
    return {"wordCount": {"input": str(text), **more}}


def pod(plan: Plan) -> dict:
    """The job's pod."""
    return plan.one("wordcount", JOB).inputs["spec"]["template"]["spec"]


def arguments(plan: Plan) -> list[str]:
    """What the driver's spark-submit is called with."""
    (driver,) = pod(plan)["containers"]
    assert driver["command"][-1] == "/opt/spark/bin/spark-submit"
    return driver["args"]


def copied(plan: Plan) -> Made:
    """The text on its way to the control plane."""
    return plan.one("wordcount-input", COPY)


def laid_out(plan: Plan) -> dict[str, bytes]:
    """What goes to the control plane: all that is in the folder that is copied."""
    source = copied(plan).inputs["source"]
    place = re.fullmatch(r"FileArchive\((\.tinderbox/test/uploads/wordcount-input/\w+)/\)", source)
    assert place, source
    root = checkout() / place[1]
    return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if not f.is_dir()}


def test_a_file_is_copied_to_a_folder_of_its_own_and_counted_there(text):
    made = plan(of(text))
    assert laid_out(made) == {"text.txt": text.read_bytes()}
    copy = copied(made).inputs
    assert copy["connection"]["host"] == "198.18.1.1"
    folder = copy["remotePath"]
    assert folder.startswith("/srv/shared/wordcount/inputs/")
    assert f"{folder}/text.txt" in arguments(made)
    assert f"export FOLDER={folder}\n" in made.one("wordcount-input-folder").inputs["stdin"]


def test_of_a_folder_just_that_is_copied_which_is_counted(text, tmp_path):
    books = tmp_path / "books.zip"  # Pulumi would unpack what is called so
    (books / "old").mkdir(parents=True)
    text.rename(books / "old" / "text.txt")
    (books / ".hidden").write_text("hidden")
    (books / "_draft").mkdir()
    (books / "self").symlink_to(books)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "10:30 \u00e4.txt").write_text("three")
    (books / "more").symlink_to(tmp_path / "more")
    made = plan(of(books))
    assert laid_out(made) == {
        "books.zip/old/text.txt": b"one two two\n",
        "books.zip/more/10:30 \u00e4.txt": b"three",
    }
    assert f"{copied(made).inputs['remotePath']}/books.zip" in arguments(made)


def test_of_texts_before_nothing_is_copied_or_kept_here(text, tmp_path):
    made = plan(of(text))
    text.write_text("another\n")
    after = plan(of(text))
    assert laid_out(after) == {"text.txt": b"another\n"}
    assert laid_out(made) == {}


def test_an_empty_folder_is_copied_as_one(tmp_path):
    (tmp_path / "empty").mkdir()
    made = plan(of(tmp_path / "empty"))
    assert laid_out(made) == {}
    (root,) = (checkout() / ".tinderbox/test/uploads/wordcount-input").iterdir()
    assert [place.name for place in root.iterdir()] == ["empty"]


@pytest.mark.parametrize("preview", [True, False])
def test_what_can_not_be_counted_is_refused_before_anything_is_made(tmp_path, preview):
    os.mkfifo(tmp_path / "pipe")
    made = Plan()
    with pytest.raises(SettingsError, match="pipe: it is a pipe"):
        plan(of(tmp_path), preview=preview, recorder=made)
    assert not made.made


def test_a_text_in_s3_is_counted_there_and_the_counts_may_go_there(tmp_path):
    (tmp_path / "a.jar").touch()
    made = plan(
        {
            **of("s3a://books/in", output="s3a://books/out"),
            "s3": {"region": "eu-central-1"},
            "spark": {"jars": str(tmp_path)},
        }
    )
    assert not [step for step in made.made if step.name.startswith("wordcount-input")]
    script = arguments(made).index("/opt/tinderbox/app/wordcount.py")
    wanted = ["s3a://books/in", "s3a://books/out/$(JOB)/$(POD)"]
    assert arguments(made)[script + 1 : script + 3] == wanted
    # No node sees them there: the summary is read from the driver's log.
    assert "logs --container driver" in made.one("wordcount-result").inputs["create"]


def compiled_quickly(made: Plan) -> set[str]:
    """The processes whose Java compiles for a short life."""
    key = re.compile(r"spark\.(\w+)\.defaultJavaOptions=-XX:TieredStopAtLevel=1")
    return {found[1] for found in map(key.fullmatch, arguments(made)) if found}


def test_java_compiles_for_as_long_as_a_count_takes(text, monkeypatch):
    assert compiled_quickly(plan(of(text))) == {"driver", "executor"}
    assert compiled_quickly(plan(of("/srv/shared/books/all"))) == {"driver"}  # of any size
    monkeypatch.setattr(wordcount, "_SHORT", text.stat().st_size)
    assert compiled_quickly(plan(of(text))) == {"driver"}


def test_a_text_on_the_volume_is_not_copied():
    made = plan(of("/srv/shared/books/all"))
    assert not made.of(COPY)
    assert not [step for step in made.made if step.name.startswith("wordcount-input")]
    assert "/srv/shared/books/all" in arguments(made)


def test_the_text_waits_for_the_volume_and_the_count_for_the_text(text):
    made = plan(of(text))
    assert "control-plane-storage" in made.waits_for("wordcount-input")
    assert "wordcount-input" in made.options_of("wordcount", JOB).depends_on
    assert made.options_of("wordcount-input", COPY).timeouts["create"] == "60m"


def test_the_text_is_copied_while_the_cluster_is_made(text):
    waits = plan(of(text)).waits_for("wordcount-input")
    assert not {"control-plane-init", "flannel"} & waits


def test_the_count_waits_for_spark():
    waits = planned().waits_for("wordcount-result")
    assert {"wordcount", "spark", "spark-claim", "flannel"} <= waits


def test_the_driver_runs_the_script_in_client_mode_and_each_attempt_writes_elsewhere(text):
    made = plan(of(text))
    args = arguments(made)
    assert args[:2] == ["--master", "spark://spark-master.spark.svc:7077"]
    assert "--deploy-mode" not in args
    assert "spark.driver.host=$(POD_IP)" in args
    script = args.index("/opt/tinderbox/app/wordcount.py")
    assert args[script + 2 :] == ["/srv/shared/wordcount/runs/$(JOB)/$(POD)", "--top", "10"]
    (driver,) = pod(made)["containers"]
    env = {item["name"]: item.get("valueFrom", {}) for item in driver["env"]}
    fields = {
        name: item["fieldRef"]["fieldPath"] for name, item in env.items() if "fieldRef" in item
    }
    assert fields == {
        "POD": "metadata.name",
        "POD_IP": "status.podIP",
        "JOB": "metadata.labels['batch.kubernetes.io/job-name']",
    }


def test_the_driver_knows_sparks_secret_which_is_in_no_argument():
    made = planned()
    (driver,) = pod(made)["containers"]
    env = {item["name"]: item.get("valueFrom") for item in driver["env"]}
    assert env["_SPARK_AUTH_SECRET"]["secretKeyRef"] == {"name": "spark-auth", "key": "secret"}
    assert "secret" not in " ".join(arguments(made))


def test_natively_the_count_has_executors_of_the_workers_size(text):
    made = plan(of(text, master="kubernetes"))
    args = arguments(made)
    assert args[:2] == ["--master", "k8s://https://kubernetes.default.svc"]
    wanted = {
        "spark.executor.instances=2",
        "spark.executor.cores=2",
        "spark.executor.memory=1024m",
        "spark.kubernetes.executor.request.cores=200m",
    }
    assert wanted <= set(args)
    assert pod(made)["serviceAccountName"] == "spark"


def test_a_master_of_neither_kind():
    with pytest.raises(SettingsError, match=r"wordCount\.master is 'yarn'; .*standalone or kube"):
        Settings.parse({**MINIMAL, "wordCount": {"master": "yarn"}})


def test_the_pod_has_volume_script_and_defaults():
    spec = pod(planned())
    script = planned().one("wordcount-app").inputs["metadata"]["name"]
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts == {
        "shared": "/srv/shared",
        "app": "/opt/tinderbox/app",
        "defaults": "/opt/spark/conf",
        "usage": "/opt/tinderbox/usage",
    }
    sources = {volume.pop("name"): volume for volume in map(dict, spec["volumes"])}
    assert sources == {
        "shared": {"persistentVolumeClaim": {"claimName": "spark-shared"}},
        "app": {"configMap": {"name": script}},
        "defaults": {"configMap": {"name": "spark-defaults"}},
        "usage": {"configMap": {"name": "spark-usage"}},
    }


def test_the_script_goes_in_as_it_is_with_all_that_it_imports(tmp_path):
    files = planned().one("wordcount-app").inputs["data"]
    jobs = wordcount._SCRIPT.parent
    assert files == {name: (jobs / name).read_text() for name in files}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    program = [sys.executable, str(tmp_path / "wordcount.py"), "--help"]
    subprocess.run(program, env={"PATH": os.environ["PATH"]}, check=True, capture_output=True)
    args = arguments(planned())
    carried = args[args.index("--py-files") + 1].split(",")
    assert {*carried, "/opt/tinderbox/app/wordcount.py"} == {
        f"/opt/tinderbox/app/{n}" for n in files
    }


@pytest.mark.parametrize("config", [{}, EXISTING])
def test_the_pod_has_no_rights_that_it_does_not_need(config):
    spec = pod(planned(config))
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 185
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*spec["containers"], *spec["initContainers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


def test_a_failed_count_is_run_again_by_the_next_update():
    job = planned().one("wordcount", JOB).inputs
    assert job["metadata"]["annotations"]["pulumi.com/replaceUnready"] == "true"
    # Gone after a while, it would be run again by a mere refresh.
    assert "ttlSecondsAfterFinished" not in job["spec"]
    assert "name" not in job["metadata"]  # a new one is there before the old one goes


def test_all_options():
    assert options(WordCountSettings(input="/srv/shared/x")) == ["--top", "10"]
    chosen = WordCountSettings(lowercase=True, pattern="-+", top=3, encoding="latin-1")
    encoding = ["--encoding", "latin-1"]
    assert options(chosen) == ["--top", "3", *encoding, "--lowercase", "--pattern=-+"]


def test_kubernetes_fills_nothing_into_what_the_user_wrote():
    made = plan(of("/srv/shared/$(POD)", pattern="^[^$$]+$"))
    assert "/srv/shared/$$(POD)" in arguments(made)
    assert "--pattern=^[^$$$$]+$$" in arguments(made)


def test_the_result_is_of_this_job_and_read_anew_for_another():
    result = planned().one("wordcount-result").inputs
    assert "export RUN=/srv/shared/wordcount/runs/wordcount-1a2b\n" in result["stdin"]
    assert "uid-of-wordcount" in result["triggers"]


def test_the_output_tells_the_text_by_the_users_own_name(text):
    made = plan(of(text))
    assert made.exported["wordCount"]["input"] == str(text)
    assert (made.exported["wordCount"]["words"], made.exported["wordCount"]["distinct"]) == (3, 2)
    assert made.exported["wordCount"]["usage"]["executorCpuSeconds"] == 1.5


def test_the_output_tells_what_was_left_out_here(text, tmp_path):
    for number in range(12):
        (tmp_path / f".{number:02}").touch()
    told = plan(of(tmp_path)).exported["wordCount"]["leftOut"]
    assert told["count"] == 12 and len(told["names"]) == 10
    assert told["names"][f"{tmp_path}/.00"].startswith("hidden")
    assert "leftOut" not in plan(of(text)).exported["wordCount"]


def test_the_driver_is_measured_and_its_usage_lies_beside_the_summary(text):
    (driver,) = pod(plan(of(text)))["containers"]
    output = "/srv/shared/wordcount/runs/$(JOB)/$(POD)"
    measured = ["/opt/tinderbox/usage/measured.py", "--beside", output]
    where = ["/srv/shared/spark", "$(POD)", "--", "/opt/spark/bin/spark-submit"]
    assert driver["command"][-len([*measured, *where]) :] == [*measured, *where]
    assert output in driver["args"]


@pytest.mark.parametrize("printed", ['{"words": 3}', '{"words": 3}\n', '{"words": 3}\n\n'])
def test_a_result_whose_usage_is_not_known(printed):
    assert measuring.read_result(printed) == ({"words": 3}, None)


def test_another_price_counts_nothing_again(text):
    price = {"nodes": {"price": 0.05}}
    assert changed(plan(of(text)), plan({**of(text), **price})) == {"spark"}


# What another text, script or option changes.

TEXT = {"wordcount-input-owner", "wordcount-input-folder", "wordcount-input"}


def test_another_content_is_counted_again_and_nothing_else_changes(text):
    before = plan(of(text))
    text.write_text("another\n")
    assert changed(before, plan(of(text))) == {*TEXT, "wordcount"}


def test_the_place_of_the_text_before_is_taken_away():
    """Its step is replaced, and so undone; one that merely changed would not be."""
    place = planned().one("wordcount-input-folder").inputs
    assert place["delete"] == "sudo bash -s delete"
    assert copied(planned()).inputs["remotePath"] in place["triggers"]


def test_the_place_of_a_text_is_one_copys_own():
    """The same text may come again before the place that it had is taken away."""
    made = planned()
    place, owner = made.one("wordcount-input-folder").inputs, made.one("wordcount-input-owner")
    assert owner.inputs["triggers"] == place["triggers"]  # so with each place there is a new one
    assert "\nexport OWNER=0123456789abcdef\n" in place["stdin"]


def test_and_no_two_copies_are_taken_for_one():
    create = planned().one("wordcount-input-owner").inputs["create"]
    names = {subprocess.check_output(["sh", "-c", create], text=True).strip() for _ in range(9)}
    assert len(names) == 9
    assert {len(name) for name in names} == {16}


def test_another_name_is_another_text(text):
    before = plan(of(text))
    other = text.rename(text.with_name("other.txt"))
    assert changed(before, plan(of(other))) == {*TEXT, "wordcount"}


def test_the_same_text_elsewhere_has_its_place_already(text, tmp_path):
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / text.name
    copy.write_bytes(text.read_bytes())
    before, after = plan(of(text)), plan(of(copy))
    assert changed(before, after) == set()
    assert copied(before).inputs["remotePath"] == copied(after).inputs["remotePath"]


def test_another_option_is_counted_again_with_the_same_text(text):
    assert changed(plan(of(text)), plan(of(text, lowercase=True))) == {"wordcount"}


def test_another_script_is_run_again(text, tmp_path, monkeypatch):
    before = plan(of(text))
    script = tmp_path / "wordcount.py"
    script.write_text("print({})\n")
    monkeypatch.setattr(wordcount, "_SCRIPT", script)
    after = plan(of(text))
    assert changed(before, after) == {"wordcount-app", "wordcount"}
    # Another name: so the old one's job never sees the new script.
    names = [made.one("wordcount-app").inputs["metadata"]["name"] for made in (before, after)]
    assert names[0] != names[1]


def test_nothing_changes_when_nothing_changed(text):
    assert changed(plan(of(text)), plan(of(text))) == set()


# In a cluster that exists.


def existing(text, **more) -> Plan:
    return plan({**EXISTING, **of(text, **more)})


def test_a_text_goes_into_a_cluster_that_exists_by_a_config_map(text):
    made = existing(text)
    assert not made.of(COPY)
    config = made.one("wordcount-input", CONFIG_MAP).inputs
    assert base64.b64decode(config["binaryData"]["text"]) == text.read_bytes()
    (unpack,) = pod(made)["initContainers"]
    target = next(argument for argument in arguments(made) if argument.endswith("/text.txt"))
    assert unpack["command"][-2:] == ["/opt/tinderbox/input/text", target]
    assert {mount["name"] for mount in unpack["volumeMounts"]} == {"shared", "input"}


def test_a_text_is_unpacked_byte_by_byte(tmp_path):
    text = tmp_path / "text"
    text.write_bytes(b"caf\xe9\r\n" * 1000)
    config = existing(text).one("wordcount-input", CONFIG_MAP).inputs
    assert base64.b64decode(config["binaryData"]["text"]) == text.read_bytes()


def test_a_text_that_no_config_map_can_hold(tmp_path):
    text = tmp_path / "large"
    text.write_bytes(b"a" * (LARGEST_BY_CONFIGMAP + 1))
    with pytest.raises(SettingsError, match=r"wordCount\.input is .*up to 716800 bytes"):
        existing(text)
    text.write_bytes(b"a" * LARGEST_BY_CONFIGMAP)
    existing(text)


def test_a_folder_that_no_config_map_can_hold(text):
    with pytest.raises(SettingsError, match=r"wordCount\.input is .*one file .*/srv/shared"):
        existing(text.parent)


def test_a_text_on_the_volume_of_a_cluster_that_exists():
    made = plan({**EXISTING, **of("/srv/shared/books")})
    assert not [made for made in made.of(CONFIG_MAP) if made.name == "wordcount-input"]
    assert pod(made)["initContainers"] == []


def test_the_result_of_a_cluster_that_exists_is_read_from_the_log(text, tmp_path):
    """With a kubectl that opens its configuration twice, as some do."""
    made = existing(text).one("wordcount-result", "command:local:Command")
    assert "environment" in made.secrets
    assert "s3cr3t" not in made.inputs["create"]
    summary, used = {"words": 3}, {"executors": [{"id": "0"}]}
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    kubectl = bin_ / "kubectl"
    kubectl.write_text(
        f"""#!/bin/bash
        echo "$@" >{tmp_path}/called
        cat "$2" >{tmp_path}/first; cat "$2" >{tmp_path}/second; stat -c %a "$2" >{tmp_path}/mode
        echo '[pod/wordcount-1a2b-x6/driver] usage: {{"of": "an attempt that failed"}}'
        echo '[pod/wordcount-1a2b-x7/driver] WARN about to count'
        echo '[pod/wordcount-1a2b-x7/driver] {json.dumps(summary)}'
        echo '[pod/wordcount-1a2b-x7/driver] WARN shutting down'
        echo '[pod/wordcount-1a2b-x7/driver] usage: {json.dumps(used)}'
        echo '[pod/wordcount-1a2b-x8/driver] usage: {{"of": "another attempt that failed"}}'
        """
    )
    kubectl.chmod(0o755)
    ran = subprocess.run(
        [*made.inputs["interpreter"], made.inputs["create"]],
        env={
            **os.environ,
            **made.inputs["environment"],
            "PATH": f"{bin_}:{os.environ['PATH']}",
            "TMPDIR": str(bin_),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    output = "/srv/shared/wordcount/runs/wordcount-1a2b/wordcount-1a2b-x7"
    assert measuring.read_result(ran.stdout) == ({**summary, "output": output}, used)
    kubeconfig = made.inputs["environment"]["KUBECONFIG_TEXT"]
    assert "s3cr3t" in kubeconfig  # the current context's alone
    assert (tmp_path / "first").read_text() == (tmp_path / "second").read_text() == kubeconfig
    assert (tmp_path / "mode").read_text() == "600\n"
    assert list(bin_.iterdir()) == [kubectl]  # the file is gone
    assert "--namespace spark" in (tmp_path / "called").read_text()
    assert "job-name=wordcount-1a2b" in (tmp_path / "called").read_text()


def test_a_renewed_kubeconfig_leaves_the_result_as_it_is(text):
    """The log that it was read from may be gone; only another job, a trigger, reads anew."""
    made = existing(text).one("wordcount-result", "command:local:Command")
    ran = subprocess.run(
        [*made.inputs["interpreter"], made.inputs["update"]],
        env={"PULUMI_COMMAND_STDOUT": '{"words": 3}\n'},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == '{"words": 3}\n'
    assert made.inputs.get("addPreviousOutputInEnv") in (None, True)


def test_a_count_without_a_summary_is_an_error(text, tmp_path):
    made = existing(text).one("wordcount-result", "command:local:Command")
    (tmp_path / "kubectl").write_text("#!/bin/bash\necho 'WARN nothing'\n")
    (tmp_path / "kubectl").chmod(0o755)
    ran = subprocess.run(
        [*made.inputs["interpreter"], made.inputs["create"]],
        env={
            **os.environ,
            **made.inputs["environment"],
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
        },
        capture_output=True,
    )
    assert (ran.returncode, ran.stderr) == (1, b"")
