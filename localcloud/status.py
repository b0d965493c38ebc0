"""What runs in the local cloud, for people and for programs."""

from __future__ import annotations

import time
from typing import Any

from localcloud.api.client import ec2_client
from localcloud.daemons import record, services
from localcloud.host import cgroups
from localcloud.layout import ENDPOINT, REGION
from localcloud.machines import machine
from localcloud.machines.seen import Machine

COLUMNS = ("instance", "name", "state", "private", "public", "machine", "uptime", "memory")


def status() -> dict[str, Any]:
    """The local cloud's state:

    {running, checkout, endpoint, region, started, daemons: {name: pid or None}, instances: [{id,
    name, type, state, private, public, machine, uptime, memory, memoryLimit}]} with seconds and
    bytes; `running` says whether the API answers.
    """
    known = record.load()
    if known is None:
        return {"running": False, "daemons": {}, "instances": []}
    running = services.answers(known.id)
    return {
        "running": running,
        "checkout": known.checkout,
        "endpoint": ENDPOINT,
        "region": REGION,
        "started": known.started,
        "daemons": {
            name: known.alive[name].pid if name in known.alive else None for name in known.processes
        },
        "instances": _instances() if running else [],
    }


def table(state: dict[str, Any]) -> str:
    """The state as lines for a terminal."""
    if not state["running"]:
        if "checkout" not in state:
            return "no local cloud here; start it with: python -m localcloud up"
        return f"the local cloud of {state['checkout']} is broken: its API does not answer"
    dead = [name for name, pid in state["daemons"].items() if pid is None]
    lines = [f"local cloud of {state['checkout']}, {state['endpoint']}, region {state['region']}"]
    if dead:
        lines.append(f"not running: {', '.join(dead)}; `python -m localcloud up` starts them again")
    if not state["instances"]:
        return "\n".join([*lines, "no instances"])
    rows = [[name.upper() for name in COLUMNS]] + [_row(one) for one in state["instances"]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def duration(seconds: float | None) -> str:
    """ "3 d 4 h", "2 h 5 min", "7 min", "12 s"; "-" for None."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(bytes_: int | None) -> str:
    """ "81 MiB", "1.4 GiB"; "-" for None."""
    if bytes_ is None:
        return "-"
    return f"{bytes_ / 2**20:.0f} MiB" if bytes_ < 2**30 else f"{bytes_ / 2**30:.1f} GiB"


def _instances() -> list[dict[str, Any]]:
    reservations = ec2_client().describe_instances()["Reservations"]
    machines = {one.id: one for one in machine.observe()}
    found = [one for reservation in reservations for one in reservation["Instances"]]
    # A terminated instance is worth a line only while its machine is being removed.
    shown = [
        one
        for one in found
        if one["State"]["Name"] != "terminated" or one["InstanceId"] in machines
    ]
    return [_instance(one, machines.get(one["InstanceId"])) for one in shown]


def _instance(one: dict[str, Any], runs: Machine | None) -> dict[str, Any]:
    alive = runs is not None and runs.alive
    known = machine.record(one["InstanceId"])
    return {
        "id": one["InstanceId"],
        "name": {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}.get("Name", ""),
        "type": one["InstanceType"],
        "state": one["State"]["Name"],
        "private": one.get("PrivateIpAddress"),
        "public": one.get("PublicIpAddress"),
        "machine": _machine_word(one["InstanceId"], runs),
        "uptime": time.time() - known.started if alive and known and known.started else None,
        "memory": cgroups.memory(one["InstanceId"]) if alive else None,
        "memoryLimit": known.memory if known else None,
    }


def _machine_word(instance_id: str, runs: Machine | None) -> str:
    if runs is None:
        return "none"
    if not runs.alive:
        return "stopped"
    return "ready" if machine.booted(instance_id) else "booting"


def _row(one: dict[str, Any]) -> list[str]:
    memory = size(one["memory"])
    if one["memory"] is not None and one["memoryLimit"]:
        memory += f" of {size(one['memoryLimit'])}"
    return [
        one["id"],
        one["name"] or "-",
        one["state"],
        one["private"] or "-",
        one["public"] or "-",
        one["machine"],
        duration(one["uptime"]),
        memory,
    ]
