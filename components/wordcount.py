"""WordCountJob: counts the words of a text with Spark, and has the result in its outputs.

The text goes to the shared volume, where every executor sees it; the script goes in by ConfigMap;
the driver runs in client mode in the Job's pod, so that its exit code is the Job's. Each attempt
writes to a folder of its own (runs/<job>/<pod>), and the one with _SUCCESS is the result.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import pulumi
import pulumi_command as command
import pulumi_kubernetes as kubernetes

from components import usage
from components.cluster import Cluster
from components.nodes import Node
from components.settings import SHARED_PATH, SettingsError, WordCountSettings
from components.spark import SparkRelease
from components.steps import run_step
from components.text import LocalText

_SCRIPT = Path(__file__).parent.parent / "spark_jobs" / "wordcount.py"
_INPUTS = f"{SHARED_PATH}/wordcount/inputs"
_RUNS = f"{SHARED_PATH}/wordcount/runs"
_SPARK_UID = 185

# A ConfigMap holds 1 MiB, and base64 is not spared.
_LARGEST_BY_CONFIGMAP = 700 * 1024

# Prints the summary: the line of JSON in the logs of the job's attempts, which only the one that
# succeeded has; then that attempt's usage, which measured.py wrote after it. The kubeconfig is on
# no command line, and in no file that others can read or that stays; kubectl opens it more than
# once, so it can't come by a pipe.
_READ_LOG = """config=$(mktemp)
trap 'rm -f "$config"' EXIT
printf %s "$KUBECONFIG_TEXT" >"$config"
kubectl --kubeconfig "$config" --namespace {namespace} logs --container driver --tail -1 \\
  --selector batch.kubernetes.io/job-name={job} | awk '
    /^[{{]/ {{ summary = $0; usage = "" }}
    /^usage: [{{]/ && summary && !usage {{ usage = substr($0, 8) }}
    END {{ if (!summary) exit 1; print summary; print usage }}'
"""

_RESTRICTED = kubernetes.core.v1.SecurityContextArgs(
    allow_privilege_escalation=False,
    capabilities=kubernetes.core.v1.CapabilitiesArgs(drop=["ALL"]),
)


@dataclass(frozen=True)
class _Text:
    """A text on the shared volume, and what the driver's pod has to do or wait for to have it."""

    path: str
    after: list[pulumi.Resource] = field(default_factory=list)
    init_containers: list[kubernetes.core.v1.ContainerArgs] = field(default_factory=list)
    volumes: list[kubernetes.core.v1.VolumeArgs] = field(default_factory=list)


class WordCountOutputs(TypedDict):
    """What WordCountJob registers."""

    result: pulumi.Output[dict[str, Any]]


@dataclass
class WordCountArgs:
    """The cluster, Spark on it, the settings that count here, and the text (see `read_text`)."""

    cluster: Cluster
    spark: SparkRelease
    settings: WordCountSettings
    text: LocalText | None


def options(settings: WordCountSettings) -> list[str]:
    """The options of spark_jobs/wordcount.py that the settings ask for."""
    chosen = ["--top", str(settings.top)]
    if settings.lowercase:
        chosen.append("--lowercase")
    if settings.pattern is not None:
        chosen.append(f"--pattern={settings.pattern}")  # one that begins with a dash is none itself
    return chosen


class WordCountJob(pulumi.ComponentResource):
    """One word count. Another text, script or option runs it again, and only it.

    Outputs: result, {input, output, words, distinct, top, seconds, sparkVersion, usage}; usage is
    what charts/spark/files/usage.py tells.
    """

    result: pulumi.Output[dict[str, Any]]

    def __init__(
        self, name: str, args: WordCountArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:WordCountJob", name, {}, opts)
        self._name = name
        self._args = args
        self._inside = args.cluster.options(parent=self)

        job = self._create_job(self._bring_text())
        printed = self._read_result(job)
        self.result = printed.apply(lambda text: _result(args.settings.input, text))
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
            copied = self._copy(text, folder, node)
            return _Text(f"{folder}/{text.path.name}", after=[copied])
        return self._carry(text, folder)

    def _carry(self, text: LocalText, folder: str) -> _Text:
        """Without a node to copy to, a text goes in as a ConfigMap, which holds only so much."""
        if text.is_folder or text.size > _LARGEST_BY_CONFIGMAP:
            raise SettingsError(
                "wordCount.input",
                str(text.path),
                f"one file of up to {_LARGEST_BY_CONFIGMAP} bytes, or a path below {SHARED_PATH},"
                " where the cluster is not the stack's own",
            )
        core = kubernetes.core.v1
        config = core.ConfigMap(
            f"{self._name}-input",
            metadata={"namespace": self._args.spark.namespace},
            binary_data={"text": base64.b64encode(text.path.read_bytes()).decode()},
            opts=self._inside,
        )
        target = f"{folder}/{text.path.name}"
        unpack = core.ContainerArgs(
            name="input",
            image=self._args.spark.image,
            command=["install", "-D", "-m", "0644", "/opt/tinderbox/input/text", target],
            security_context=_RESTRICTED,
            volume_mounts=[_mount("shared", SHARED_PATH), _mount("input", "/opt/tinderbox/input")],
        )
        volume = core.VolumeArgs(
            name="input", config_map=core.ConfigMapVolumeSourceArgs(name=config.metadata.name)
        )
        return _Text(target, init_containers=[unpack], volumes=[volume])

    def _copy(self, text: LocalText, folder: str, node: Node) -> pulumi.Resource:
        """Copies the text over SSH. An interrupted copy is written over by the next one."""
        place = run_step(
            f"{self._name}-input-folder",
            node,
            "input.sh",
            {"FOLDER": folder},
            undoes=True,
            triggers=[folder],
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(self._args.cluster.storage_ready),
                deleted_with=node.instance,
            ),
        )
        source = (
            pulumi.FileArchive(str(text.path))
            if text.is_folder
            else pulumi.FileAsset(str(text.path))
        )
        return command.remote.CopyToRemote(
            f"{self._name}-input",
            connection=node.connection,
            source=source,
            remote_path=folder,
            triggers=[node.instance_id],
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[place],
                custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m"),
            ),
        )

    def _create_job(self, text: _Text) -> kubernetes.batch.v1.Job:
        core, batch = kubernetes.core.v1, kubernetes.batch.v1
        spark = self._args.spark
        script = core.ConfigMap(
            f"{self._name}-script",
            metadata={"namespace": spark.namespace},
            data={"wordcount.py": _SCRIPT.read_text()},
            opts=self._inside,
        )
        output = f"{_RUNS}/$(JOB)/$(POD)"
        driver = core.ContainerArgs(
            name="driver",
            image=spark.image,
            command=usage.measured(beside=output),
            args=[
                "--master",
                spark.master_url,
                "--conf",
                "spark.driver.host=$(POD_IP)",
                "--conf",
                f"spark.app.name={self._name}",
                "/opt/tinderbox/wordcount.py",
                _literally(text.path),
                output,
                *map(_literally, options(self._args.settings)),
            ],
            env=[
                _from_field("POD", "metadata.name"),
                _from_field("POD_IP", "status.podIP"),
                _from_field("JOB", "metadata.labels['batch.kubernetes.io/job-name']"),
                # Spark takes it from here; on a command line everybody could read it.
                core.EnvVarArgs(
                    name="_SPARK_AUTH_SECRET",
                    value_from=core.EnvVarSourceArgs(
                        secret_key_ref=core.SecretKeySelectorArgs(
                            name=spark.auth_secret, key="secret"
                        )
                    ),
                ),
            ],
            resources=core.ResourceRequirementsArgs(
                requests={"cpu": "100m", "memory": "512Mi"}, limits={"memory": "1536Mi"}
            ),
            security_context=_RESTRICTED,
            volume_mounts=[
                _mount("shared", SHARED_PATH),
                _mount("script", "/opt/tinderbox"),
                _mount("defaults", "/opt/spark/conf"),
                usage.mount(),
            ],
        )
        volumes = [
            core.VolumeArgs(
                name="shared",
                persistent_volume_claim=core.PersistentVolumeClaimVolumeSourceArgs(
                    claim_name=spark.volume.claim_name
                ),
            ),
            core.VolumeArgs(
                name="script",
                config_map=core.ConfigMapVolumeSourceArgs(name=script.metadata.name),
            ),
            core.VolumeArgs(
                name="defaults",
                config_map=core.ConfigMapVolumeSourceArgs(name=spark.defaults_config),
            ),
            usage.volume(spark.usage_config),
        ]
        return batch.Job(
            self._name,
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                namespace=spark.namespace,
                # A failed job is run again by the next update, not reported as it stands.
                annotations={"pulumi.com/replaceUnready": "true"},
            ),
            spec=batch.JobSpecArgs(
                backoff_limit=2,
                template=core.PodTemplateSpecArgs(
                    metadata=kubernetes.meta.v1.ObjectMetaArgs(labels={"app": "wordcount"}),
                    spec=core.PodSpecArgs(
                        restart_policy="Never",
                        automount_service_account_token=False,
                        # The variables of a Service named spark-master would be taken for Spark's.
                        enable_service_links=False,
                        security_context=core.PodSecurityContextArgs(
                            run_as_non_root=True,
                            run_as_user=_SPARK_UID,
                            run_as_group=_SPARK_UID,
                            fs_group=_SPARK_UID,
                            seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
                        ),
                        init_containers=text.init_containers,
                        containers=[driver],
                        volumes=[*volumes, *text.volumes],
                    ),
                ),
            ),
            opts=pulumi.ResourceOptions.merge(
                self._inside,
                pulumi.ResourceOptions(
                    depends_on=[*text.after, spark],
                    custom_timeouts=pulumi.CustomTimeouts(create="60m"),
                ),
            ),
        )

    def _read_result(self, job: kubernetes.batch.v1.Job) -> pulumi.Output[str]:
        """Two lines of JSON that the job printed and wrote: summary and usage."""
        node = self._args.cluster.control_plane
        if node is not None:
            return run_step(
                f"{self._name}-result",
                node,
                "result.sh",
                {"RUN": pulumi.Output.concat(_RUNS, "/", job.metadata.name)},
                triggers=[job.metadata.uid],
                opts=pulumi.ResourceOptions(parent=self),
            ).stdout
        read = command.local.Command(
            f"{self._name}-result",
            create=pulumi.Output.format(
                _READ_LOG, namespace=job.metadata.namespace, job=job.metadata.name
            ),
            interpreter=["/bin/bash", "-euo", "pipefail", "-c"],
            environment={"KUBECONFIG_TEXT": self._args.cluster.kubeconfig},
            triggers=[job.metadata.uid],
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return read.stdout


def _result(input_: str, printed: str) -> dict[str, Any]:
    summary, used = usage.read_result(printed)
    return {**summary, "input": input_, "usage": used}


def _literally(argument: str) -> str:
    """An argument in which Kubernetes finds no $(VARIABLE) to fill in, and no $$ to shorten."""
    return argument.replace("$", "$$")


def _from_field(name: str, path: str) -> kubernetes.core.v1.EnvVarArgs:
    core = kubernetes.core.v1
    source = core.EnvVarSourceArgs(field_ref=core.ObjectFieldSelectorArgs(field_path=path))
    return core.EnvVarArgs(name=name, value_from=source)


def _mount(name: str, path: str) -> kubernetes.core.v1.VolumeMountArgs:
    return kubernetes.core.v1.VolumeMountArgs(name=name, mount_path=path)
