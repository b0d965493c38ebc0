"""Spark: the standalone cluster, the object store, the word count."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated

from pydantic import Field

from components.settings.aws import Secret, Url
from components.settings.group import Group
from components.settings.kinds import ENCODING, IMAGE, PATTERN, SWITCH, choice, path, text, whole
from submission.place import MASTERS, SHARED_PATH


class SparkSettings(Group):
    """The standalone cluster, and what each application has."""

    image: Annotated[str, IMAGE] = Field(
        "docker.io/apache/spark:4.2.0-python3", description="of master, workers and driver"
    )
    jars: Annotated[str, path("a folder here")] | None = Field(
        None,
        description="all drivers and executors have its jars, such as those for S3 (`make jars`)",
    )
    workers: Annotated[int, whole(1, 1000)] | None = Field(
        None, description="number of Spark workers; without it one for each worker node"
    )
    worker_cores: Annotated[int, whole(1, 1024, "cores")] = Field(
        2, description="what a worker gives to executors"
    )
    # Spark itself refuses an executor of less than 450 MiB.
    worker_memory_mib: Annotated[int, whole(512, 1048576, "MiB")] = Field(
        1024, description="what a worker gives to executors"
    )
    history: Annotated[bool, SWITCH] = Field(
        True, description="a history server, for applications that have ended"
    )
    history_days: Annotated[int, whole(1, 3650, "days")] = Field(
        14, description="after which their event logs are removed"
    )

    connect: Annotated[bool, SWITCH] = Field(
        False,
        description="a Spark Connect server, for Python and notebooks on your own machine"
        " ([how](docs/notebook.md))",
    )
    connect_minutes: Annotated[int, whole(1, 10080, "minutes")] = Field(
        60, description="after which a session ends that has asked for nothing"
    )

    @property
    def is_image_default(self) -> bool:
        """True for the official image; what another one holds is not known here."""
        return self.image == SparkSettings.model_fields["image"].default


class S3Settings(Group):
    """The object store behind s3a://, for every application."""

    region: Annotated[str, text("a region such as eu-central-1", r"\w[\w.-]{0,62}")] | None = Field(
        None, description="of the store behind `s3a://`: [docs/spark/data.md](docs/spark/data.md)"
    )
    endpoint: Url | None = Field(None, description="another store than AWS's")
    # Pods have no other way to credentials: nodes' metadata answers no pod.
    access_key: Secret | None = Field(
        None, repr=False, description="of a user who may use the buckets; it goes into a Secret"
    )
    secret_key: Secret | None = Field(None, repr=False, description="belongs to it")

    @property
    def is_set(self) -> bool:
        """True when anything of it is set, so when applications are to have it."""
        return any(vars(self).values())


class WordCountSettings(Group):
    """The text, where it is counted, and the options of spark_jobs/wordcount.py."""

    input: Annotated[str, path("a path or s3a://BUCKET/KEY")] = Field(
        "README.md",
        description="the text: a file or a folder here, or below `/srv/shared` on the volume",
    )
    # It goes into a line of JSON as it stands (scripts/read_log.sh).
    output: (
        Annotated[
            str, text("s3a://BUCKET/FOLDER, or not set", r"s3a://[a-z0-9][-\w.+=@:/]*[-\w.+=@]")
        ]
        | None
    ) = Field(None, description="where the counts go; without it they are on the shared volume")
    master: Annotated[str, choice(*MASTERS)] = Field(
        "standalone",
        description="the stack's workers, or executors that are pods of the count's own",
    )
    encoding: Annotated[str, ENCODING] | None = Field(
        None, description="of a text that is not in UTF-8 and has no byte order mark"
    )
    lowercase: Annotated[bool, SWITCH] = Field(False, description='count "The" and "the" as one')
    pattern: Annotated[str, PATTERN] | None = Field(
        None, description="what is a word; without it, whitespace separates"
    )
    # More would be no summary, and the rest of a program has them as one line.
    top: Annotated[int, whole(1, 1000)] = Field(10, description="how many words the result shows")

    @property
    def is_input_there(self) -> bool:
        """True when the text need not be brought: it is on the shared volume, or in S3."""
        below = posixpath.normpath(self.input).startswith(SHARED_PATH + "/")
        return below or _is_s3(self.input)

    @property
    def uses_s3(self) -> bool:
        """True when the text or the counts are in S3."""
        return _is_s3(self.input) or self.output is not None


def _is_s3(path: str) -> bool:
    return re.match(r"s3a://[a-z0-9]", path) is not None
