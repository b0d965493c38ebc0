"""The properties of Spark 2.3's table, as data; and the page that shows them.

python -m tests.engine.spark_properties    writes docs/spark/properties.md
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "spark" / "properties.md"
_DATA = Path(__file__).with_suffix(".toml")

_HEAD = """\
# Spark's properties for Kubernetes

The table of "Running Spark on Kubernetes" in Spark 2.3 has {count} properties. This is what became
of each in the Spark of this repository. `tests/engine/test_spark_properties.py` sets every one of
them with the real `spark-submit` against a real API server and looks for it at the place below;
this page is written from the same data (`tests/engine/spark_properties.toml`).

They can be given to an application: `make submit` and `SparkApplicationJob` take properties as they
are (see [scheduling.md](scheduling.md)). Only what they find, watch and end an application by is
theirs to set, and refused with a line that says so: the namespace (`--namespace` chooses one), the
driver's pod name, `executor.podNamePrefix` and the pod templates.

To look for one yourself: `kubectl get pod NAME -o jsonpath='PATH'`.

## Still there: {there}

| property | what it is | example | where it is seen |
|---|---|---|---|
"""

_GONE = """
## Gone: {gone}

| property | what it was | instead |
|---|---|---|
"""

# What an example of the test is called on the page.
_SHOWN = {
    "{token}": "TOKEN",
    "{authority}": "/path/ca.crt",
    "{certificate}": "/path/client.crt",
    "{key}": "/path/client.key",
    "{token_file}": "/path/token",
    "{driver_template}": "/path/driver.yaml",
    "{executor_template}": "/path/executor.yaml",
}


@dataclass(frozen=True)
class Property:
    """One row: what is set in which run of spark-submit, and where it is to be seen.

    driver, executor: text by jsonpath in the pod. config: value by key in the driver's
    spark.properties. behaviour: name of the test that shows what the property does.
    instead: for one that is gone, what took its place (None for one that is still there).
    """

    name: str
    meaning: str
    run: str
    example: str = ""
    fill: str = ""
    driver: dict[str, str] = field(default_factory=dict)
    executor: dict[str, str] = field(default_factory=dict)
    config: dict[str, str] = field(default_factory=dict)
    behaviour: str = ""
    instead: dict[str, str] | None = None
    why: str = ""

    @property
    def gone(self) -> bool:
        return self.instead is not None

    @property
    def prefix(self) -> str:
        """The name without the part that the user chooses."""
        return self.name.partition("[")[0]

    @property
    def settings(self) -> dict[str, str]:
        """What is given to spark-submit: the property, or what took its place."""
        return {self.prefix + self.fill: self.example} if self.instead is None else self.instead


def properties() -> list[Property]:
    """All of them, in the order of Spark's page."""
    return [Property(**row) for row in tomllib.loads(_DATA.read_text())["property"]]


def page() -> str:
    """docs/spark/properties.md."""
    rows = properties()
    there = [row for row in rows if not row.gone]
    gone = [row for row in rows if row.gone]
    lines = [_HEAD.format(count=len(rows), there=len(there))]
    for row in there:
        example = _code(f"{row.prefix}{row.fill}={_shown(row.example)}")
        lines.append(f"| {_code(row.name)} | {row.meaning} | {example} | {_seen(row)} |\n")
    lines.append(_GONE.format(gone=len(gone)))
    for row in gone:
        names = ", ".join(_code(name) for name in row.instead or {})
        instead = f"{names}. {row.why}" if names else row.why
        lines.append(f"| {_code(row.name)} | {row.meaning} | {instead} |\n")
    return "".join(lines)


def _seen(row: Property) -> str:
    places = [f"driver {_code(path)}" for path in row.driver]
    places += [f"executor {_code(path)}" for path in row.executor]
    places += [f"the driver's spark.properties: {_code(key)}" for key in row.config]
    if row.behaviour:
        places.append(row.behaviour.removeprefix("test_").replace("_", " "))
    return "<br>".join(places)


def _code(text: str) -> str:
    return f"`{text}`"


def _shown(example: str) -> str:
    return _SHOWN.get(example, example)


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())
