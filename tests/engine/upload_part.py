"""A text on its way to a machine that is there: components/cluster/upload.py alone."""

import json
import os
from types import SimpleNamespace
from typing import Any

import pulumi

from components.cluster import upload
from components.local_files import read_text
from components.settings import WordCountSettings

given = json.loads(os.environ["UPLOAD"])
text = read_text(WordCountSettings(input=given["input"]))
assert text is not None

node: Any = SimpleNamespace(connection=given["connection"], instance_id="i-1", instance=None)
stack = pulumi.ComponentResource("test:index:Stack", "stack")
# The step that makes the folder is for a node of its own.
vars(upload)["run_step"] = lambda *_, **__: pulumi.ComponentResource("test:index:Step", "step")
upload.Upload(
    "text",
    upload.UploadArgs(text, f"{given['folder']}/{text.digest}", node, []),
    pulumi.ResourceOptions(parent=stack),
)
