"""What applications cost: of each moment's nodes, what each had reserved then; the rest is idle.

At any moment the nodes cost the sum of their prices, and that is shared out by cores. Where more is
reserved than there is (idle cores are anybody's), what there is goes by what is reserved. So the
rows of a bill, idle time among them, are together what the nodes cost.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from console.stack import ConsoleError

IDLE = "(idle)"
PRICES = Path(__file__).with_name("prices.json")
_DAY = 86400
_NODES_GAP = 900.0


@dataclass(frozen=True)
class Node:
    """A span of time in which a node was there. since, until: Unix seconds.

    role: control-plane, worker, or the name of its group.
    """

    uid: str
    since: float
    until: float
    name: str
    cores: float
    type: str
    region: str
    is_spot: bool
    role: str = "worker"


@dataclass(frozen=True)
class Row:
    """What has one name in a bill. node_hours: the share of a node's cores, times hours."""

    name: str
    runs: int
    core_hours: float
    node_hours: float
    usd: float


@dataclass
class Bill:
    """rows: the dearest first, idle time last. days: USD by day (UTC) and name.

    total: of the nodes, by their hours and prices alone.
    """

    rows: list[Row]
    days: dict[date, dict[str, float]]
    total: float


#: The name in a bill of an application, by its usage.json.
Name = Callable[[Mapping[str, Any]], str]


def named_by(by: str) -> Name:
    """namespace, name, user or label:NAME. Raises ValueError for another."""
    kind, colon, label = by.partition(":")
    if kind == "label" and label:
        return lambda used: (used.get("labels") or {}).get(label) or "(none)"
    if by not in ("namespace", "name", "user"):
        raise ValueError(f"{by} is none of namespace, name, user and label:NAME")
    # Those of before it was noted have none of it; what the stack runs has no user.
    nobody = {"user": "(the stack)"}.get(by, "(not known)")
    return lambda used: used.get(by) or nobody


@dataclass
class _Sums:
    core_seconds: float = 0.0
    node_seconds: float = 0.0
    usd: float = 0.0
    runs: int = 0
    days: dict[date, float] = field(default_factory=lambda: defaultdict(float))


def bill(
    used: Iterable[Mapping[str, Any]],
    nodes: Sequence[Node],
    price: Callable[[Node], float],
    since: float,
    until: float,
    name: Name,
) -> Bill:
    """The bill of a time. used: what usage.json has of each application. price: USD an hour.

    since, until: Unix seconds.
    """
    changes: list[tuple[float, str | None, float, float]] = []  # at, whose, cores, USD an hour
    total = 0.0
    sums: dict[str, _Sums] = defaultdict(_Sums)
    for node in nodes:
        start, end = max(since, node.since), min(until, node.until)
        if start < end:
            rate = price(node)
            total += rate * (end - start) / 3600
            changes += [(start, None, node.cores, rate), (end, None, -node.cores, -rate)]
    for one in used:
        own, was_there = name(one), False
        for begun, seconds, cores in _reserved(one):
            start, end = max(since, begun), min(until, begun + seconds)
            if start < end:
                was_there = True
                changes += [(start, own, cores, 0.0), (end, own, -cores, 0.0)]
        sums[own].runs += was_there
    _share_out(changes, sums)
    idle = sums.pop(IDLE, _Sums())
    named = sorted(sums.items(), key=lambda item: (-item[1].usd, item[0]))
    rows = [_row(own, of) for own, of in named if of.runs]
    days: dict[date, dict[str, float]] = defaultdict(dict)
    for own, of in (*named, (IDLE, idle)):
        for day, usd in of.days.items():
            days[day][own] = usd
    return Bill([*rows, _row(IDLE, idle)], dict(sorted(days.items())), total)


def _row(name: str, of: _Sums) -> Row:
    return Row(name, of.runs, of.core_seconds / 3600, of.node_seconds / 3600, of.usd)


def _reserved(used: Mapping[str, Any]) -> Iterator[tuple[float, float, float]]:
    """(since, seconds, cores) of the driver and of each executor."""
    for one in (used["driver"], *used["executors"]):
        # Of before it was noted: from the beginning.
        yield one.get("started") or used["started"], one["seconds"], one["cores"]


def _share_out(
    changes: list[tuple[float, str | None, float, float]], sums: dict[str, _Sums]
) -> None:
    """Adds what each name has of each stretch of time between two changes."""
    changes.sort(key=lambda change: change[0])
    cores = rate = 0.0
    nodes = 0  # what is left of sums of numbers that are no whole ones is no node
    active: dict[str, float] = defaultdict(float)
    at = changes[0][0] if changes else 0.0
    for moment, own, more, dearer in changes:
        while nodes and at < moment:
            end = min(moment, (at // _DAY + 1) * _DAY)
            day = datetime.fromtimestamp(at, UTC).date()
            reserved = sum(active.values())
            whole = max(cores, reserved) or 1.0
            shares = {**active, IDLE: whole - reserved}
            for one, share in shares.items():
                part, of = share / whole * (end - at), sums[one]
                of.core_seconds += part * cores
                of.node_seconds += part * nodes
                of.usd += part * rate / 3600
                of.days[day] += part * rate / 3600
            at = end
        at = moment
        if own is None:
            nodes += 1 if more > 0 else -1
            cores, rate = (cores + more, rate + dearer) if nodes else (0.0, 0.0)
        else:
            active[own] += more
            if active[own] < 1e-6:
                del active[own]


# -- what it is made of


def read(printed: str, workers_are_spot: bool) -> tuple[list[Node], list[dict[str, Any]]]:
    """What bill.sh prints: nodes, and what each application used.

    workers_are_spot: the stack's setting; elsewhere a node's labels say it.
    """
    nodes, _, used = (
        printed.partition("\n\n") if not printed.startswith("\n") else ("", "", printed)
    )
    found = []
    for line in nodes.splitlines():
        uid, since, until, name, cores, type_, region, spot, role = line.split("\t")
        is_spot = spot == "yes" or (workers_are_spot and role == "worker")
        found.append(
            Node(uid, float(since), float(until), name, float(cores), type_, region, is_spot, role)
        )
    return found, [json.loads(line) for line in used.splitlines() if line.strip()]


def up_to_now(noted: Sequence[Node], there: Iterable[Node], now: float) -> list[Node]:
    """Nodes as they were noted, and as the API has them: the last look was minutes ago.

    there: each since it was made. A node that nobody noted counts since then, as in a cluster that
    has no such notes.
    """
    found = list(noted)
    for node in there:
        spans = [at for at, one in enumerate(found) if one.uid == node.uid]
        last = found[spans[-1]] if spans else None
        if last is None:
            found.append(replace(node, until=now))
        elif now - last.until <= _NODES_GAP:
            found[spans[-1]] = replace(last, until=now)
        else:
            found.append(replace(node, since=now, until=now))
    return found


def listed(region: str, type_: str, key: str = "usd") -> float | None:
    """The price of the list in the repository, USD an hour; None where it has none.

    key: "usd" for one on demand; "spot", which is there where `make prices` has asked for it.
    """
    known = json.loads(PRICES.read_text())
    return next((one.get(key, {}).get(type_) for one in known if one["region"] == region), None)


#: What of a node its price hangs on: region, type, whether it is spot, role.
Priced = tuple[str, str, bool, str]


def priced(node: Node) -> Priced:
    """That of one node."""
    return node.region, node.type, node.is_spot, node.role


def _group(settings: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    """What is set of a group of workers; in YAML that may be nothing."""
    return settings.get("workers", {}).get(role) or {}


def own_price(
    settings: Mapping[str, Any], role: str, type_: str, *, is_spot: bool = False
) -> float | None:
    """USD an hour of a node as the settings (nodes, workers) say it; None where they don't.

    What they say of nodes on demand says nothing of spot ones.
    """
    known, group = settings["nodes"], _group(settings, role)
    price = known.get("spotPrice" if is_spot else "price")
    if group:
        from components.settings import NodesSettings  # with it comes Pulumi, which few need here

        is_same = type_ == known.get("type", NodesSettings.model_fields["type"].default)
        price = group.get("price", price if is_same else None)
    return None if price is None else float(price)


def price_of(settings: Mapping[str, Any], node: Priced) -> tuple[float | None, str]:
    """USD an hour of such a node, by the settings, else by the list; and what to say of it, or "".

    Where nothing is known of a spot node's, it is the price on demand: no spot node costs more.
    """
    region, type_, is_spot, role = node
    usd = own_price(settings, role, type_, is_spot=is_spot)
    if usd is None and is_spot:
        usd = listed(region, type_, "spot")
    if usd is not None:
        return usd, ""
    usd = own_price(settings, role, type_)
    usd = listed(region, type_) if usd is None else usd
    is_bound = is_spot and usd is not None
    where = "nodes.spotPrice" if role == "worker" else f"workers.{role}.price"
    bound = (
        f"spot nodes ({type_}) at the price on demand, which is their upper bound: {where} or"
        " `make prices` tells theirs"
    )
    return usd, bound if is_bound else ""


def prices(
    nodes: Iterable[Node], settings: Mapping[str, Any]
) -> tuple[dict[Priced, float], list[str]]:
    """USD an hour; and what there is to say of it.

    settings: nodes and workers, which go before the list. Raises ConsoleError with the types whose
    price is not known.
    """
    found: dict[Priced, float] = {}
    notes, missing = [], []
    for key in sorted({priced(node) for node in nodes}):
        usd, note = price_of(settings, key)
        notes += [note] if note else []
        if usd is None:
            missing.append(f"no price of {key[1] or 'a node'} in {key[0] or 'no region'} is known")
        else:
            found[key] = usd
    if missing:
        raise ConsoleError(
            "; ".join(missing)
            + ": the setting nodes.price, or workers.NAME.price, says it (USD an hour)"
        )
    return found, notes


def midnight(day: date) -> float:
    """Its beginning, UTC, in Unix seconds."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def days_of(since: date, until: date) -> list[date]:
    """From the first to before the last."""
    return [since + timedelta(days=n) for n in range((until - since).days)]
