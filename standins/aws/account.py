"""The account that all resources and lookups work on: AWS's clients, and the default tags."""

from __future__ import annotations

from typing import Any

from standins.aws.api import Api
from standins.base import Provider


class AwsAccount(Provider):
    """What of the provider its resources use."""

    name = "aws"

    def __init__(self) -> None:
        super().__init__()
        self.api = Api({})
        self.default_tags: dict[str, str] = {}

    def configure(self, config: dict[str, Any]) -> None:
        super().configure(config)
        self.api = Api(config)
        self.default_tags = (config.get("defaultTags") or {}).get("tags") or {}
