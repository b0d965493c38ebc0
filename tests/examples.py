"""The examples: the settings that stand on top of each, and what they write."""

from __future__ import annotations

import ast
import csv
import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml


def applications_of(example: Path, made: Path) -> dict[str, Any]:
    """The setting `applications` in an example's docstring: what is indented below the line on it.

    made: where the archives are that its commands make; theirs is the checkout.
    """
    words = ast.get_docstring(ast.parse(example.read_text())) or ""
    _, found, after = words.partition("The setting `tinderbox:applications` that runs it:\n\n")
    assert found, f"{example.name} has no settings"
    block = re.match(r"(?: {4}.*\n|\n)+", after + "\n")
    assert block, f"{example.name} has no settings"
    applications = yaml.safe_load(block[0])
    for given in applications.values():
        if "archives" in given:
            given["archives"] = [f"{made}/{archive}" for archive in given["archives"]]
    return applications


def rows(folder: Path) -> Counter[str]:
    """The counts in all CSV files below a folder, for whoever knows nothing of Spark."""
    found: Counter[str] = Counter()
    for file in folder.rglob("part-*.csv"):
        with file.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                found[row["word"]] += int(row["count"])
    return found
