"""A state of the stand-in's is one of the official plugin's after it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from console import stack as module
from console import states
from console.stack import Stack


def resource(type_: str, **more: Any) -> dict[str, Any]:
    return {"type": type_, "custom": True, "inputs": {"apiVersion": "v1", "kind": "X"}, **more}


SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v"}


def test_objects_get_the_inputs_that_they_lack_and_secrets_stay_encrypted():
    lacks = resource("kubernetes:core/v1:Secret", outputs={"status": {}, "__fieldManager": "m"})
    lacks["inputs"]["data"] = SECRET
    has = resource("kubernetes:core/v1:Pod", outputs={"__inputs": {"kind": "Pod"}})
    others = [
        resource("kubernetes:helm.sh/v3:Release", outputs={"name": "a"}),
        resource("aws:ec2/vpc:Vpc", outputs={"id": "vpc"}),
        resource("pulumi:providers:kubernetes", outputs={}),
        {"type": "tinderbox:index:SparkRelease", "outputs": {}},
    ]
    before = json.dumps([has, *others])
    assert states.complete([lacks, has, *others]) == 1
    assert json.dumps([has, *others]) == before
    assert lacks["outputs"] == {
        "status": {},
        "__fieldManager": "m",
        "__inputs": {"apiVersion": "v1", "kind": "X", "data": SECRET},
        "__initialApiVersion": "v1",
    }


def test_the_provider_is_of_the_plugin_that_is_there():
    provider = resource("pulumi:providers:kubernetes", outputs={"version": "4.34.2"})
    states.take_plugin([provider, resource("aws:x/y:Z", outputs={"version": "1"})], "4.25.0")
    assert provider["outputs"] == {"version": "4.25.0"}
    assert "version" not in provider["inputs"]


@pytest.mark.parametrize("verb", ["up", "refresh", "preview", "destroy"])
def test_each_verb_completes_the_state_first_and_once(verb, monkeypatch, tmp_path, capsys):
    calls = []
    pods = [resource("kubernetes:core/v1:Pod", outputs={})]

    def pulumi(_: Stack, *arguments: str, **__: Any) -> str:
        calls.append(arguments[1] if arguments[0] == "stack" else arguments[0])
        if calls[-1] == "import":
            with open(arguments[-1]) as file:
                pods[:] = json.load(file)["deployment"]["resources"]
        return json.dumps({"version": 3, "deployment": {"resources": pods}})

    monkeypatch.setattr(Stack, "pulumi", pulumi)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    arguments = [tmp_path / "events"] if verb == "up" else []
    getattr(Stack("acme/dev", env={}), verb)(*arguments)
    assert calls == ["export", "import", verb]
    assert "__inputs" in pods[0]["outputs"]
    assert "1 Kubernetes objects" in capsys.readouterr().out
    # From then on it costs nothing; what is made after a destroy may be of another checkout's.
    getattr(Stack("acme/dev", env={}), verb)(*arguments)
    assert calls[3:] == (["export", verb] if verb == "destroy" else [verb])
    Stack("other/dev", env={}).change("up", "--target=x")
    assert calls[-2:] == ["export", "up"]
    assert capsys.readouterr().out == ""
