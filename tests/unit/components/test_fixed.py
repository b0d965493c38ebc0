"""What stays while a cluster stands: which updates are refused, and in which words."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components.cluster.steps import shell_input, value_of
from components.engine import fixed
from tests.unit.plan import ask


@pytest.fixture(params=[()])
def update(monkeypatch, request):
    """Calls the hook that guards `x.size`, which is in the input `size`."""
    hooks = []

    def hook(name: str, func: Any, opts: pulumi.ResourceHookOptions) -> Any:
        hooks.append((name, func, opts))
        return func

    monkeypatch.setattr(fixed.pulumi, "ResourceHook", hook)
    options = fixed.fixed(
        "guard", {"x.size": lambda inputs: inputs.get("size")}, grows=request.param
    )
    ((name, refuse, opts),) = hooks
    assert name == "guard"
    assert opts.on_dry_run  # in a preview, too
    assert options.hooks is not None
    assert options.hooks.before_update == [refuse]
    return lambda old, new, *secrets: ask(refuse, old, new, secrets)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"size": 20.0}, {"size": 20.0, "tags": {}}),
        ({"size": 20}, {"size": 20.0}),
        ({}, {"size": 20.0}),  # a state of before the setting was
        ({"size": 20.0}, {}),  # not known yet
        (None, None),
    ],
)
def test_what_stays_the_same_may_be_updated(update, old, new):
    update(old, new)


@pytest.mark.parametrize("secrets", [(), ("size",)])
def test_another_value_is_refused_with_the_way_out(update, secrets):
    with pytest.raises(ValueError) as caught:
        update({"size": 20.0}, {"size": 30.0}, *secrets)
    assert str(caught.value) == (
        "x.size is 20 in this cluster, and 30 is asked for:"
        " set it back, or make destroy and make up anew"
    )


@pytest.mark.parametrize("update", [("x.size",)], indirect=True)
def test_what_can_grow_can_do_just_that(update):
    update({"size": 20.0}, {"size": 30.0})
    with pytest.raises(ValueError) as caught:
        update({"size": 20.0}, {"size": 10.0})
    assert str(caught.value) == (
        "x.size is 20 in this cluster, and 10 is asked for: it can only grow; set 20 or more"
    )


def test_the_nodes_themselves_say_it_in_the_same_words(update, sandbox):
    ran = sandbox.run(shell_input("fail_fixed x.size 20 30", {}))
    with pytest.raises(ValueError) as caught:
        update({"size": 20.0}, {"size": 30.0})
    assert ran.stderr == f"{caught.value}\n"


@pytest.mark.parametrize("value", ["1.36.4", "10.244.0.0/16", "it's", "a b", ""])
def test_a_value_is_found_in_what_a_step_was_given(value):
    inputs = {"stdin": shell_input("echo", {"A": "x", "B": value, "C": "y"})}
    assert value_of("B")(inputs) == value


@pytest.mark.parametrize("inputs", [{}, {"stdin": None}, {"stdin": object()}, {"stdin": "echo"}])
def test_or_not_found_where_it_is_not_known(inputs):
    assert value_of("B")(inputs) is None
