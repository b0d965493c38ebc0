"""The AWS API of the local cloud: moto's server in this process, with what a real network needs.

    python -m localcloud.api.server CLOUD_ID

moto invents addresses; here public ones come from the bridge's range, and names are the region's.
It takes what AWS refuses; strict.py says what may not pass. What it adds to AWS's API is an address
for the reconciler, and one by which a spot instance is taken away, as AWS itself would:

    GET /tinderbox/changes?after=N   waits for a change after the Nth (up to 20 s), and answers
                                     {"cloud": id, "changes": N, "reboots": {instance id: count}}
                                     a stop counts as well: whatever runs after it was booted anew
    POST /tinderbox/interrupt?instance=ID&seconds=N
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs

from localcloud.layout import AMIS, API_ADDRESS, API_PORT, PUBLIC_ADDRESSES, REGION

os.environ["MOTO_AMIS_PATH"] = str(AMIS)  # read when moto is imported

from moto.ec2 import models as ec2  # noqa: E402
from moto.ec2.exceptions import EC2ClientError  # noqa: E402
from moto.ec2.models import elastic_ip_addresses, elastic_network_interfaces  # noqa: E402
from moto.elbv2 import models as elbv2  # noqa: E402
from moto.moto_server.werkzeug_app import (  # noqa: E402
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server  # noqa: E402

from localcloud.api import metadata  # noqa: E402
from localcloud.api.metadata import Metadata, Notices  # noqa: E402
from localcloud.api.strict import refusal  # noqa: E402
from localcloud.api.wanted import interface_name  # noqa: E402

#: Services that the program asks; their code is loaded before the first request.
SERVICES = ("ec2", "efs", "elbv2", "iam", "sts")
#: How long a request for changes waits for one, in seconds.
PATIENCE = 20
#: moto's models are not made for threads, and a request takes milliseconds.
ONE_AT_A_TIME = threading.Lock()
#: Actions that change nothing begin with these.
READING = ("Describe", "Get", "List", "Lookup")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class PublicAddresses:
    """Hands out public addresses, each to one holder, and each only after all others had a turn.

    A returned address rests as long as it can: whoever still knows it meets nobody else there.
    """

    def __init__(self, addresses: Sequence[str], in_use: Callable[[], set[str]]) -> None:
        self._addresses = addresses
        self._in_use = in_use
        self._next = 0

    def take(self) -> str:
        """The next free address; EC2's error if there is none."""
        taken = self._in_use()
        for turn in range(len(self._addresses)):
            place = (self._next + turn) % len(self._addresses)
            if self._addresses[place] not in taken:
                self._next = place + 1
                return self._addresses[place]
        raise EC2ClientError(
            "AddressLimitExceeded", f"all {len(self._addresses)} public addresses are in use"
        )


def backends() -> list[Any]:
    """moto's EC2 of every account and region."""
    return [backend for account in ec2.ec2_backends.values() for backend in account.values()]


def addresses_in_use() -> set[str]:
    """The public addresses of all interfaces and Elastic IPs."""
    interfaces = [eni.public_ip for backend in backends() for eni in backend.enis.values()]
    elastic = [address.public_ip for backend in backends() for address in backend.addresses]
    return {address for address in interfaces + elastic if address}


def running() -> list[Any]:
    """All instances that run; ONE_AT_A_TIME is held."""
    found = [one for backend in backends() for one in backend.all_instances()]
    return [one for one in found if one.state == "running"]


def instance_at(address: str) -> str | None:
    """The id of the instance that runs with this private address."""
    with ONE_AT_A_TIME:
        return next((one.id for one in running() if one.private_ip == address), None)


def internal_name(address: str, dns_type: str = "internal") -> str:
    """EC2's private DNS name of an address, outside of us-east-1 (where moto puts all)."""
    return f"ip-{address.replace('.', '-')}.{REGION}.compute.{dns_type}"


class Changes:
    """Counts the requests that changed something, and lets readers wait for the next."""

    def __init__(self, cloud: str) -> None:
        self._cloud = cloud
        self._count = 0
        self._reboots: Counter[str] = Counter()
        self._changed = threading.Condition()

    def add(self) -> None:
        """Something changed."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def add_reboots(self, instance_ids: Iterable[str]) -> None:
        """These instances were asked to reboot or to stop.

        The API's state does not show the one, nor the other once they are started again.
        """
        with self._changed:
            self._reboots.update(instance_ids)

    def wait(self, after: int) -> dict[str, Any]:
        """What there is to know as soon as the count is past `after`, or time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._count > after, PATIENCE)
            return {"cloud": self._cloud, "changes": self._count, "reboots": dict(self._reboots)}


class Api:
    """The WSGI application: moto's, one request at a time, and our own address."""

    def __init__(
        self, moto: Callable[..., Iterable[bytes]], changes: Changes, notices: Notices
    ) -> None:
        self._moto = moto
        self._changes = changes
        self._notices = notices

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_ORIGIN" in environ:
            # Browsers send it for pages; no page may start machines on its visitor's host.
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"The local cloud does not answer web pages.\n"]
        if environ["PATH_INFO"] == "/tinderbox/changes":
            after = int(parse_qs(environ["QUERY_STRING"]).get("after", ["-1"])[0])
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self._changes.wait(after)).encode()]
        if environ["PATH_INFO"] == "/tinderbox/interrupt" and environ["REQUEST_METHOD"] == "POST":
            asked = parse_qs(environ["QUERY_STRING"])
            id_, seconds = asked["instance"][0], int(asked["seconds"][0])
            with ONE_AT_A_TIME:
                is_spot = any(one.id == id_ and one.lifecycle == "spot" for one in running())
            if not is_spot:
                start_response("400 Bad Request", [("Content-Type", "text/plain")])
                return [f"{id_} is no spot instance that runs\n".encode()]
            self._notices.give(id_, seconds)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return []
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        parameters = {
            name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()
        }
        with ONE_AT_A_TIME:
            if refused := refusal(parameters):
                start_response("400 Bad Request", [("Content-Type", "text/xml;charset=UTF-8")])
                return [refused.xml]
            answer = list(self._moto(environ, start_response))
        changes = environ["REQUEST_METHOD"] != "GET"
        if changes and not parameters.get("Action", "").startswith(READING):
            self._changes.add()
        return answer


def adapt(changes: Changes) -> None:
    """Put our addresses, names and the count of reboots into moto's models."""
    pool = PublicAddresses(PUBLIC_ADDRESSES, addresses_in_use)

    def counted(act: Callable[..., Any]) -> Callable[..., Any]:
        def act_and_count(backend: Any, instance_ids: list[str]) -> Any:
            done = act(backend, instance_ids)
            changes.add_reboots(instance_ids)
            return done

        return act_and_count

    def unless_elastic(act: Callable[[Any], None]) -> Callable[[Any], None]:
        """An Elastic IP stays with its interface; moto takes it away or replaces it."""

        def act_or_keep(interface: Any) -> None:
            if not any(one.eni is interface for one in interface.ec2_backend.addresses):
                act(interface)

        return act_or_keep

    def with_interfaces(make: Callable[..., Any]) -> Callable[..., Any]:
        """A load balancer has an interface in each of its subnets; moto's has no address."""

        def make_with_interfaces(backend: Any, *args: Any, **given: Any) -> Any:
            made, network = make(backend, *args, **given), backend.ec2_backend
            mappings = {one["SubnetId"]: one for one in given.get("subnet_mappings") or []}
            for subnet in made.subnets:
                eni = network.create_network_interface(
                    subnet,
                    subnet.get_available_subnet_ip(made),
                    group_ids=made.security_groups,
                    description=interface_name(made.arn),
                )
                if allocation := mappings.get(subnet.id, {}).get("AllocationId"):
                    network.associate_address(eni=eni, allocation_id=allocation)
            return made

        return make_with_interfaces

    def and_interfaces(remove: Callable[..., Any]) -> Callable[..., Any]:
        """They go with it, and its Elastic IP is free."""

        def remove_and_interfaces(backend: Any, arn: str) -> None:
            network = backend.ec2_backend
            for eni in [
                one for one in network.enis.values() if one.description == interface_name(arn)
            ]:
                for address in network.addresses:
                    if address.eni is eni:
                        network.disassociate_address(association_id=address.association_id)
                eni.subnet.del_subnet_ip(eni.private_ip_address)
                network.delete_network_interface(eni.id)
            remove(backend, arn)

        return remove_and_interfaces

    interface, balancers = elastic_network_interfaces.NetworkInterface, elbv2.ELBv2Backend
    for place, name, ours in (
        (elastic_network_interfaces, "random_public_ip", pool.take),
        (elastic_ip_addresses, "random_ip", pool.take),
        (elastic_network_interfaces, "generate_dns_from_ip", internal_name),
        (interface, "start", unless_elastic(interface.start)),
        (interface, "stop", unless_elastic(interface.stop)),
        (balancers, "create_load_balancer", with_interfaces(balancers.create_load_balancer)),
        (balancers, "delete_load_balancer", and_interfaces(balancers.delete_load_balancer)),
        (ec2.EC2Backend, "reboot_instances", counted(ec2.EC2Backend.reboot_instances)),
        (ec2.EC2Backend, "stop_instances", counted(ec2.EC2Backend.stop_instances)),
    ):
        if not hasattr(place, name):
            raise RuntimeError(f"this version of moto has no {place.__name__}.{name} to adapt")
        setattr(place, name, ours)


class QuietHandler(MotoRequestHandler):
    """Logs refused and failed requests only."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if str(code) >= "400":
            super().log_request(code, size)


def main(cloud: str) -> None:
    """Serve until killed."""
    changes = Changes(cloud)
    adapt(changes)
    moto = DomainDispatcherApplication(create_backend_app)
    for service in SERVICES:
        moto.app_instances[service] = create_backend_app(service)

    def terminate(instance_id: str) -> None:
        with ONE_AT_A_TIME:
            for one in running():
                if one.id == instance_id:
                    one.ec2_backend.terminate_instances([instance_id])
        changes.add()

    notices = Notices(terminate)
    metadata.serve(Metadata(instance_at, notices))
    server = make_server(
        API_ADDRESS,
        API_PORT,
        Api(moto, changes, notices),
        threaded=True,
        request_handler=QuietHandler,
    )
    print(f"the AWS API answers on http://{API_ADDRESS}:{API_PORT}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
