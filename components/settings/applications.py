"""Applications on Spark that the stack runs: once for each change of theirs, or by a schedule."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from components.settings.group import Group
from components.settings.kinds import PROPERTIES, SCHEDULE, ZONE, choice, path, text, texts, whole
from submission.application import DRIVER, Application, SparkPodSpec, literally
from submission.names import toleration
from submission.place import MASTERS

_FILES = "a list of files here or URLs"


class DriverSettings(Group):
    """What the driver asks for; all else is said by properties."""

    cores: Annotated[int, whole(1, 1024, "cores")] | None = Field(
        None, description="of the driver; without it a tenth of one is reserved"
    )
    memory_mib: Annotated[int, whole(1, 1048576, "MiB")] | None = Field(
        None, description="heap of the driver"
    )
    priority_class: Annotated[str, text("a priority class such as batch")] | None = Field(
        None, description="[batch or interactive](docs/spark/scheduling.md)"
    )
    tolerations: Annotated[
        tuple[str, ...], texts("a list of taints, each KEY[=VALUE][:EFFECT]")
    ] = Field((), description="of taints of nodes")

    def on(self, base: SparkPodSpec) -> SparkPodSpec:
        """The pods that it is about. Raises ApplicationError."""
        return dataclasses.replace(
            base,
            memory_mib=self.memory_mib,
            priority_class=self.priority_class,
            tolerations=tuple(map(toleration, self.tolerations)),
        )


class ExecutorSettings(DriverSettings):
    """The same of each executor, and how many there are."""

    cores: Annotated[int, whole(1, 1024, "cores")] | None = Field(
        None, description="of an executor; without it one, or of a worker all"
    )
    memory_mib: Annotated[int, whole(1, 1048576, "MiB")] | None = Field(
        None, description="heap of an executor"
    )
    instances: Annotated[int, whole(1, 100000)] | None = Field(
        None, description="how many executors; without it one for each of Spark's workers"
    )


class ApplicationSettings(Group):
    """An application NAME on Spark, which runs when it changes, or by a schedule."""

    app: Annotated[str, path("a .py, .jar or .R: a file here or a URL")] | None = Field(
        None, description="what runs ([how](docs/applications.md)); required"
    )
    args: Annotated[tuple[str, ...], texts("a list of texts")] = Field(
        (), description="its arguments"
    )
    main_class: Annotated[str, text("the name of a class")] | None = Field(
        None, description="of a jar"
    )
    schedule: Annotated[str, SCHEDULE] | None = Field(
        None, description="when it runs; without it once for each change of its files or settings"
    )
    time_zone: Annotated[str, ZONE] = Field("UTC", description="of the schedule")
    master: Annotated[str, choice(*MASTERS)] = Field(
        "standalone", description="the stack's workers, or executors that are pods of its own"
    )
    conf: Annotated[Mapping[str, str], PROPERTIES] = Field(
        {}, description="they go before what the other keys say"
    )
    files: Annotated[tuple[str, ...], texts(_FILES)] = Field(
        (), description="for the executors' working folders"
    )
    py_files: Annotated[tuple[str, ...], texts(_FILES)] = Field(
        (), description="Python modules and archives of them"
    )
    jars: Annotated[tuple[str, ...], texts(_FILES)] = Field(
        (), description="for driver and executors"
    )
    archives: Annotated[tuple[str, ...], texts(f"{_FILES}, each as FILE#FOLDER")] = Field(
        (), description="for the executors' working folders"
    )
    namespace: Annotated[str, text("one of the setting `namespaces`")] | None = Field(
        None, description="where it runs; without it where Spark is"
    )
    driver: DriverSettings = Field(default_factory=DriverSettings)
    executor: ExecutorSettings = Field(default_factory=ExecutorSettings)
    retries: Annotated[int, whole(0, 100)] = Field(
        0, description="how often a failed driver is started again"
    )
    limit_minutes: Annotated[int, whole(0, 100000, "minutes")] = Field(
        60,
        description="after which a run is ended; 0 for [one without an end](docs/applications.md)",
    )
    keep: Annotated[int, whole(1, 100)] = Field(
        3, description="how many runs of a schedule stay that ended well, and how many that failed"
    )

    def application(self, name: str) -> Application:
        """What is to run. Raises ApplicationError for what no application can have."""
        driver = self.driver.on(DRIVER)
        executor = self.executor.on(SparkPodSpec(cores=self.executor.cores))
        cores = self.driver.cores
        return Application(
            name=name,
            app=self.app or "",
            arguments=tuple(map(literally, self.args)),
            main_class=self.main_class,
            master=self.master,
            conf={**({} if cores is None else {"spark.driver.cores": str(cores)}), **self.conf},
            files=self.files,
            py_files=self.py_files,
            jars=self.jars,
            archives=self.archives,
            instances=self.executor.instances,
            driver=driver,
            executor=executor,
            retries=self.retries,
            limit_minutes=self.limit_minutes,
        )
