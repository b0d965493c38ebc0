"""WordCountJob: counts the words of a text with Spark, and has the result in its outputs.

The text goes to the shared volume, where every executor sees it, or is in S3 already;
spark_jobs/wordcount.py is run as any application is (submission/manifests.py). Each attempt writes
to a folder of its own (<output>/<job>/<pod>), and the one with _SUCCESS is the result.
"""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_command as command
import pulumi_kubernetes as kubernetes

from components.cluster.cluster import Cluster
from components.cluster.steps import run_step
from components.cluster.upload import Upload, UploadArgs
from components.local_files import LocalFiles
from components.settings import SettingsError, WordCountSettings
from components.spark.job import SparkApplicationArgs, SparkApplicationJob
from components.spark.release import SparkRelease
from spark_jobs.texts import shown
from submission import measuring
from submission.application import Application, SparkPodSpec, literally
from submission.manifests import LARGEST_BY_CONFIGMAP, restricted
from submission.place import SHARED_PATH, STANDALONE, Place
from submission.programs import body_of

_SCRIPT = Path(__file__).parents[1] / "spark_jobs" / "wordcount.py"
_READ_LOG = Path(__file__).parent / "scripts" / "read_log.sh"
_INPUTS = f"{SHARED_PATH}/wordcount/inputs"
_RUNS = f"{SHARED_PATH}/wordcount/runs"
_MOST_NAMES = 10  # as in a summary
_SHORT = 64 << 20  # bytes of a text below which a count ends before Java's best code pays
_COMPILE_QUICKLY = "-XX:TieredStopAtLevel=1"
_INSTALL = ("install", "-D", "-m", "0644", "/opt/tinderbox/input/text")


@dataclass(frozen=True)
class _Text:
    """A text on the shared volume, and what the driver's pod has to do or wait for to have it."""

    path: str
    size: int | None = None  # bytes, where they are known
    after: tuple[pulumi.Resource, ...] = ()
    init_containers: tuple[dict[str, Any], ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()


class LeftOut(TypedDict):
    """What of a text was not counted: how many files and folders, and why the first of them."""

    count: int
    names: dict[str, str]


class Row(TypedDict):
    """One of the top words."""

    word: str
    count: int


class WordCount(TypedDict):
    """The result: the count's summary (see spark_jobs/wordcount.py), with where it is, and usage.

    usage: what charts/spark/files/usage.py tells; None where it is not known.
    """

    input: str
    output: str
    words: int
    distinct: int
    top: list[Row]
    seconds: float
    sparkVersion: str
    replacedBytes: NotRequired[int]
    leftOut: NotRequired[LeftOut]
    usage: dict[str, Any] | None


class WordCountOutputs(TypedDict):
    """What WordCountJob registers."""

    result: pulumi.Output[WordCount]


@dataclass
class WordCountArgs:
    """The cluster, Spark on it, the settings that count here, and the text (see `read_text`)."""

    cluster: Cluster
    spark: SparkRelease
    settings: WordCountSettings
    text: LocalFiles | None


def options(settings: WordCountSettings) -> list[str]:
    """The options of spark_jobs/wordcount.py that the settings ask for."""
    chosen = ["--top", str(settings.top)]
    if settings.encoding is not None:
        chosen += ["--encoding", settings.encoding]
    if settings.lowercase:
        chosen.append("--lowercase")
    if settings.pattern is not None:
        chosen.append(f"--pattern={settings.pattern}")  # one that begins with a dash is none itself
    return chosen


def describe(
    name: str, settings: WordCountSettings, place: Place, text: _Text | None = None
) -> Application:
    """The word count as an application; what it asks for is the same whatever the text is."""
    text = text or _Text(settings.input)
    output = f"{literally(settings.output or _RUNS)}/$(JOB)/$(POD)"
    return Application(
        name=name,
        app=str(_SCRIPT),
        arguments=(literally(text.path), output, *map(literally, options(settings))),
        master=settings.master,
        executor=_executor(settings, place),
        conf=_java_options(text),
        output=output if settings.output is None else None,
        retries=2,
        init_containers=text.init_containers,
        volumes=text.volumes,
    )


def _executor(settings: WordCountSettings, place: Place) -> SparkPodSpec:
    """Natively as large as those on the workers, one for each of which there is."""
    if settings.master == STANDALONE:
        return SparkPodSpec()
    return SparkPodSpec(
        cores=place.worker_cores,
        memory_mib=place.worker_memory_mib,
        # As the workers: idle cores are anybody's.
        cpu_request="200m",
    )


def _java_options(text: _Text) -> dict[str, str]:
    """A driver only plans, and executors have little to do for a small text: the start counts.

    Spark puts these in front of anybody's extraJavaOptions, which count more.
    """
    options = {"spark.driver.defaultJavaOptions": _COMPILE_QUICKLY}
    if text.size is not None and text.size < _SHORT:
        options["spark.executor.defaultJavaOptions"] = _COMPILE_QUICKLY
    return options


class WordCountJob(pulumi.ComponentResource):
    """One word count. Another text, script or option runs it again, and only it.

    Outputs: result.
    """

    result: pulumi.Output[WordCount]

    def __init__(
        self, name: str, args: WordCountArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:WordCountJob", name, {}, opts)
        self._name = name
        self._args = args

        printed = self._read_result(self._create_job(self._bring_text()))
        self.result = printed.apply(lambda text: _result(args, text))
        outputs: WordCountOutputs = {"result": self.result}
        self.register_outputs(dict(outputs))

    def _bring_text(self) -> _Text:
        """Sees to it that the text is on the volume when the driver looks for it."""
        if self._args.text is None:
            return _Text(self._args.settings.input)
        text = self._args.text
        folder = f"{_INPUTS}/{text.digest}"
        node = self._args.cluster.control_plane
        if node is not None:
            copied = Upload(
                f"{self._name}-input",
                UploadArgs(text, folder, node, self._args.cluster.storage_ready),
                pulumi.ResourceOptions(parent=self),
            )
            return _Text(f"{folder}/{text.name}", text.size, after=(copied,))
        return self._carry(text, folder)

    def _carry(self, text: LocalFiles, folder: str) -> _Text:
        """Without a node to copy to, a text goes in as a ConfigMap, which holds only so much."""
        if text.is_folder or text.size > LARGEST_BY_CONFIGMAP:
            raise SettingsError(
                "wordCount.input",
                self._args.settings.input,
                f"one file of up to {LARGEST_BY_CONFIGMAP} bytes, or a path below {SHARED_PATH},"
                " where the cluster is not the stack's own",
            )
        place = self._args.spark.place
        config = f"{self._name}-input-{text.digest}"
        made = kubernetes.core.v1.ConfigMap(
            f"{self._name}-input",
            metadata={"name": config, "namespace": place.namespace},
            binary_data={"text": base64.b64encode(text.files[""].read_bytes()).decode()},
            opts=self._args.cluster.options(parent=self, depends_on=[self._args.spark]),
        )
        target = f"{folder}/{text.name}"
        unpack = {
            "name": "input",
            "image": place.image,
            "command": [*_INSTALL, literally(target)],
            "securityContext": restricted(),
            "volumeMounts": [
                {"name": "shared", "mountPath": SHARED_PATH},
                {"name": "input", "mountPath": "/opt/tinderbox/input"},
            ],
        }
        volume = {"name": "input", "configMap": {"name": config}}
        return _Text(target, text.size, (made,), init_containers=(unpack,), volumes=(volume,))

    def _create_job(self, text: _Text) -> pulumi.Output[Any]:
        """The metadata of its Job."""
        place = self._args.spark.place
        return SparkApplicationJob(
            self._name,
            SparkApplicationArgs(
                cluster=self._args.cluster,
                place=place,
                application=describe(self._name, self._args.settings, place, text),
                depends_on=[*text.after, self._args.spark],
            ),
            opts=pulumi.ResourceOptions(parent=self),
        ).metadata

    def _read_result(self, job: pulumi.Output[Any]) -> pulumi.Output[str]:
        """Two lines of JSON that the job printed and wrote: summary and usage."""
        node = self._args.cluster.control_plane
        if node is not None and self._args.settings.output is None:
            return run_step(
                f"{self._name}-result",
                node,
                "result.sh",
                {"RUN": pulumi.Output.concat(_RUNS, "/", job.name)},
                triggers=[job.uid],
                quiet=True,
                opts=pulumi.ResourceOptions(parent=self),
            ).stdout
        read = command.local.Command(
            f"{self._name}-result",
            create=body_of(_READ_LOG),
            interpreter=["/bin/bash", "-c"],
            # With a renewed kubeconfig the result stays: the job's log may be gone by then.
            update='printf %s "$PULUMI_COMMAND_STDOUT"',
            environment={
                "KUBECONFIG_TEXT": self._args.cluster.kubeconfig,
                "NAMESPACE": job.namespace,
                "JOB": job.name,
                "RUNS": self._args.settings.output or _RUNS,
            },
            triggers=[job.uid],
            logging=command.local.Logging.NONE,  # as in run_step
            opts=pulumi.ResourceOptions(parent=self),
        )
        return read.stdout


def _result(args: WordCountArgs, printed: str) -> WordCount:
    summary, used = measuring.read_result(printed)
    # What was left out here the count has never seen.
    own = {"input": args.settings.input, "usage": used}
    return cast(WordCount, {**_left_out(args.text), **summary, **own})


def _left_out(text: LocalFiles | None) -> dict[str, LeftOut]:
    if text is None or not text.left_out:
        return {}
    first = itertools.islice(text.left_out.items(), _MOST_NAMES)
    names = {shown(name): why for name, why in first}
    return {"leftOut": {"count": len(text.left_out), "names": names}}
