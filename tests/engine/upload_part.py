"""A text on its way to a machine that is there: components/upload.py alone."""

import json
import os
from types import SimpleNamespace
from typing import Any

import pulumi

from components import upload
from components.settings import WordCountSettings
from components.text import read_text

given = json.loads(os.environ["UPLOAD"])
text = read_text(WordCountSettings(input=given["input"]))
assert text is not None

node: Any = SimpleNamespace(connection=given["connection"], instance_id="i-1", instance=None)
cluster: Any = SimpleNamespace(storage_ready=[])
stack = pulumi.ComponentResource("test:index:Stack", "stack")
# The step that makes the folder is for a node of its own.
vars(upload)["run_step"] = lambda *_, **__: pulumi.ComponentResource("test:index:Step", "step")
upload.upload("text", text, f"{given['folder']}/{text.digest}", cluster, node, stack)
