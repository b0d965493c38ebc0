"""The stack's settings: typed, with defaults; all that is wrong is said at once, a line a key.

Each model is one object of the project's configuration (`tinderbox:nodes` and so on), each field
one key in it, spelled in camelCase there. `Settings.load` fails before the first resource is
registered, and talks to no cloud.
"""

from components.settings.aws import (
    AwsSettings,
    MirrorSettings,
    NetworkSettings,
    NodesSettings,
    WorkersSettings,
)
from components.settings.cluster import ClusterSettings, NamespaceSettings, StorageSettings
from components.settings.errors import PROJECT, SettingsError
from components.settings.opex import OPEX_ENGINES, OpexSettings
from components.settings.reading import Settings
from components.settings.spark import S3Settings, SparkSettings, WordCountSettings
from submission.place import MASTERS, SHARED_PATH

__all__ = [
    "MASTERS",
    "OPEX_ENGINES",
    "PROJECT",
    "SHARED_PATH",
    "AwsSettings",
    "ClusterSettings",
    "MirrorSettings",
    "NamespaceSettings",
    "NetworkSettings",
    "NodesSettings",
    "OpexSettings",
    "S3Settings",
    "Settings",
    "SettingsError",
    "SparkSettings",
    "StorageSettings",
    "WordCountSettings",
    "WorkersSettings",
]
