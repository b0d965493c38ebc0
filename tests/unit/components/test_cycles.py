"""Dependencies of many nodes, which go one after the other."""

import pulumi
from pulumi.runtime import resource_cycle_breaker as breaker

from components.engine.cycles import search_flat


class _Step(pulumi.Resource):
    """Of nothing but its dependencies."""

    def __init__(self) -> None:
        pass


def test_a_chain_of_all_nodes_is_no_limit_and_what_closes_it_is_found(monkeypatch):
    monkeypatch.setattr(breaker, "_reachable", breaker._reachable)  # put back at the end
    search_flat()
    chain = [_Step() for _ in range(2000)]
    for before, after in zip(chain, chain[1:], strict=False):
        assert breaker.declare_dependency(after, before)
    assert not breaker.declare_dependency(chain[0], chain[-1])
    assert not breaker.declare_dependency(chain[5], chain[5])
    assert breaker.declare_dependency(chain[-1], chain[0])
