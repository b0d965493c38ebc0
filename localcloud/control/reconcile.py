"""The reconciler: makes what runs be what the API says, and keeps it so.

    python -m localcloud.control.reconcile CLOUD_ID ROOTFS

It is level-triggered: each round compares all of the API with all that runs, and acts on the
difference, so it does not matter what it missed or where its predecessor was killed. A round comes
when the API changes, when an action ends, and every few seconds for machines that died; those last
ones go by what the API said before, since asking it is what costs.
"""

from __future__ import annotations

import base64
import http.client
import os
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.api import wanted
from localcloud.api.client import aws_client, changes
from localcloud.api.wanted import Balancer, Instance
from localcloud.control.plan import Action, Do, address_conflicts, plan
from localcloud.daemons import names, record
from localcloud.host import network, rules
from localcloud.machines import machine
from localcloud.machines.balancer import Balancers
from patience import factor

#: How often to look for machines that died, in seconds.
PULSE = 2.0 * factor()
#: Machines that are started or stopped at once.
WORKERS = 8
MEBIBYTE = 2**20


def log(text: str) -> None:
    """A line of the log, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Feed(threading.Thread):
    """Waits for changes at the API and wakes the reconciler; holds the API's reboot counts."""

    def __init__(self, cloud: str, wake: threading.Event) -> None:
        super().__init__(daemon=True)
        self.reboots: dict[str, int] = {}
        self._cloud = cloud
        self._wake = wake

    def run(self) -> None:
        after = -1
        while True:
            try:
                news = changes(after)
            except (http.client.HTTPException, OSError, ValueError):
                # The API is gone: nothing is known, so nothing is done. `up` and `down` clean up.
                self._wake.set()
                time.sleep(PULSE)
                continue
            if news["cloud"] != self._cloud:
                log("the API belongs to another cloud; ending")
                os._exit(1)
            self.reboots = news["reboots"]
            if news["changes"] != after:
                after = news["changes"]
                self._wake.set()


@dataclass(frozen=True)
class Known:
    """What the API said. reboots: what it had counted before it was asked for the rest."""

    reboots: dict[str, int]
    instances: tuple[Instance, ...]
    balancers: tuple[Balancer, ...]


class Reconciler:
    """Holds what was applied last, and what the API said last; all else is read in each round."""

    def __init__(self, cloud: str, rootfs: Path) -> None:
        self._rootfs = rootfs
        self._client, self._balances = aws_client("ec2"), aws_client("elbv2")
        self._balancers = Balancers(log)
        self._wake = threading.Event()
        self._feed = Feed(cloud, self._wake)
        self._pool = ThreadPoolExecutor(WORKERS)
        self._lock = threading.Lock()
        self._busy: dict[str, Do] = {}
        self._known: Known | None = None
        self._host_rules = ""
        self._machine_rules: dict[str, str] = {}
        self._complaints: set[str] = set()
        self._memory: dict[str, int | None] = {}

    def run(self) -> None:
        """Rounds for ever; a round that fails is told and tried again."""
        self._feed.start()
        log("at work")
        while True:
            anew = self._wake.wait(PULSE)
            self._wake.clear()
            try:
                self.round(anew)
            except Exception as problem:  # noqa: BLE001  whatever it was, the next round may work
                self._complain(f"round failed: {problem!r}")

    def round(self, anew: bool) -> None:
        """Read what should be and what is, and start closing the difference.

        anew: asks the API; else only if it did not answer the last time.
        """
        anew = anew or self._known is None
        if anew:
            self._known = None
            # First: a start fulfils those that came before it was known what the instance is now.
            reboots = dict(self._feed.reboots)
            self._known = Known(reboots, *wanted.read(self._client, self._balances))
        assert self._known is not None
        reboots, instances = self._known.reboots, self._known.instances
        conflicts = address_conflicts(instances)
        for id, holder in conflicts.items():
            self._complain(f"{id} gets no machine: {holder} of another VPC has its address")
        instances = tuple(one for one in instances if one.id not in conflicts)
        self._apply_network(instances, self._known.balancers)
        machines = machine.observe()
        with self._lock:
            busy = dict(self._busy)
            actions = plan(instances, machines, reboots, busy)
            self._busy.update({action.id: action.do for action in actions})
        by_id = {instance.id: instance for instance in instances}
        for action in actions:
            log(f"{action.id}: {action.do}, {action.why}")
            fulfils = reboots.get(action.id, 0)
            self._pool.submit(self._act, action, by_id.get(action.id), fulfils)
        running = {one.id for one in machines if one.alive}
        quiet = running - set(busy) - {action.id for action in actions}
        self._apply_machine_rules([by_id[id] for id in quiet & set(by_id)])
        if anew and not (instances or machines or busy):
            machine.clean({vpc["VpcId"] for vpc in self._client.describe_vpcs()["Vpcs"]})

    def _apply_network(
        self, instances: tuple[Instance, ...], balancers: tuple[Balancer, ...]
    ) -> None:
        """Router addresses, public addresses and names, where they differ from last time."""
        interfaces = (*instances, *balancers)
        text = rules.host_rules(interfaces)
        if text != self._host_rules:
            network.set_router_addresses(interfaces)
            network.apply_host_rules(text)
            self._host_rules = text
        if names.write_hosts(names.hosts(interfaces)):
            _reload_names()
        self._balancers.apply(balancers)

    def _apply_machine_rules(self, instances: list[Instance]) -> None:
        for instance in instances:
            text = rules.machine_rules(instance)
            if self._machine_rules.get(instance.id) != text:
                network.apply_machine_rules(instance.id, text)
                self._machine_rules[instance.id] = text

    def _act(self, action: Action, instance: Instance | None, reboots: int) -> None:
        """Do one action, in a thread of the pool, and wake the reconciler for the next round."""
        began = time.monotonic()
        try:
            self._do(action, instance, reboots)
            log(f"{action.id}: {action.do} done, {time.monotonic() - began:.1f} s")
        except Exception:  # noqa: BLE001  told here; the next round plans it again
            log(f"{action.id}: {action.do} failed\n{traceback.format_exc()}")
            time.sleep(PULSE)
        finally:
            with self._lock:
                del self._busy[action.id]
            self._wake.set()

    def _do(self, action: Action, instance: Instance | None, reboots: int) -> None:
        if action.do is Do.REMOVE:
            machine.remove(action.id)
            self._machine_rules.pop(action.id, None)
            return
        assert instance is not None  # all but a removal is planned from an instance
        text = rules.machine_rules(instance)
        memory = self._memory_of(instance.type)
        if action.do is Do.CREATE:
            machine.create(instance, self._rootfs, *self._particulars(instance))
            machine.start(instance, text, reboots, memory)
        elif action.do is Do.START:
            machine.start(instance, text, reboots, memory)
        elif action.do is Do.STOP:
            machine.stop(instance.id)
        elif action.do is Do.REBOOT:
            machine.reboot(instance, text, reboots, memory)
        elif action.do is Do.REPORT_STOPPED:
            machine.stop(instance.id)
            self._client.stop_instances(InstanceIds=[instance.id])
        self._machine_rules[instance.id] = text

    def _particulars(self, instance: Instance) -> tuple[str | None, bytes]:
        """The instance's public key and its user data."""
        key = None
        if instance.key_name:
            pairs = self._client.describe_key_pairs(
                KeyNames=[instance.key_name], IncludePublicKey=True
            )
            key = pairs["KeyPairs"][0]["PublicKey"]
        answer = self._client.describe_instance_attribute(
            InstanceId=instance.id, Attribute="userData"
        )
        user_data = base64.b64decode(answer.get("UserData", {}).get("Value", ""))
        return key, user_data

    def _memory_of(self, instance_type: str) -> int | None:
        """The memory of an instance type in bytes; None for one that the API does not know."""
        if instance_type not in self._memory:
            found: list[dict[str, Any]] = self._client.describe_instance_types(
                Filters=[{"Name": "instance-type", "Values": [instance_type]}]
            )["InstanceTypes"]
            size = found[0]["MemoryInfo"]["SizeInMiB"] * MEBIBYTE if found else None
            self._memory[instance_type] = size
        return self._memory[instance_type]

    def _complain(self, text: str) -> None:
        """Log it, but not in every round."""
        if text not in self._complaints:
            self._complaints.add(text)
            log(text)


def _reload_names() -> None:
    """Let dnsmasq read the names again; it may be gone, then `up` starts another."""
    known = record.load()
    resolver = known.alive.get("resolver") if known else None
    if resolver:
        os.kill(resolver.pid, signal.SIGHUP)


if __name__ == "__main__":
    Reconciler(sys.argv[1], Path(sys.argv[2])).run()
