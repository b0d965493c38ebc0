"""What the AWS resources have in common: tags, refreshing, waiting, deleting what is in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from standins.aws.account import AwsAccount
from standins.aws.api import error_code, in_words, is_gone
from standins.base import (
    UNKNOWN,
    Call,
    Diff,
    Failure,
    InitFailed,
    ReadResult,
    ResourceHandler,
    StandinError,
    unique_name,
)

# Codes with which AWS refuses to delete what something else still uses.
_IN_USE = (
    "DependencyViolation",
    "FileSystemInUse",
    "InvalidIPAddress.InUse",
    "InvalidGroup.InUse",
    "ResourceInUse",
)
# How long to wait for others to let go of what is deleted, in seconds.
_LET_GO = 300.0


class AwsResource(ResourceHandler):
    """A handler in four steps: `make`, `describe`, `change`, `remove`.

    `describe` is asked for the outputs after `make` and `change` and by a refresh.
    """

    provider: AwsAccount
    # Whether the resource has tags, and AWS's word for its kind in a TagSpecification.
    tag_kind: ClassVar[str] = ""
    # The property that gets an automatic name.
    auto_name: ClassVar[str] = ""
    # Lists whose order means nothing.
    unordered: ClassVar[frozenset[str]] = frozenset()

    # -- what each resource does -------------------------------------------------------------

    def make(self, call: Call) -> str:
        """Make it; its id. Waiting for it is `settle`'s part."""
        raise NotImplementedError

    def settle(self, call: Call, resource_id: str) -> None:
        """Wait until what `make` began is done. A failure here leaves the resource in the state."""

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        """Its outputs as AWS has them now, or None where it is gone."""
        raise NotImplementedError

    def change(self, call: Call) -> None:
        """Bring it from `call.state` to `call.inputs`; tags are changed already."""

    def remove(self, call: Call) -> None:
        """Take it away. An AWS error that says it is gone is no error."""
        raise NotImplementedError

    # -- the framework's side ----------------------------------------------------------------

    def check(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        inputs, failures = super().check(call)
        if self.tag_kind and inputs.get("tags") is UNKNOWN:
            inputs["tagsAll"] = UNKNOWN
        elif self.tag_kind:
            merged = {**self.provider.default_tags, **(inputs.get("tags") or {})}
            inputs["tagsAll"] = merged
        if self.auto_name:
            kept = call.old_inputs.get(self.auto_name)
            inputs[self.auto_name] = kept or unique_name(call)
            inputs["__defaults"] = [self.auto_name]
        return inputs, failures

    def diff(self, call: Call) -> Diff:
        for name in self.unordered:
            old, new = call.old_inputs.get(name), call.inputs.get(name)
            if isinstance(old, list) and isinstance(new, list) and _same_members(old, new):
                call.old_inputs[name] = new
        return super().diff(call)

    def preview_create(self, call: Call) -> dict[str, Any]:
        return {**super().preview_create(call), "region": self.provider.api.region}

    def create(self, call: Call) -> tuple[str, dict[str, Any]]:
        with in_words():
            resource_id = self.make(call)
            kept = {k: v for k, v in call.inputs.items() if not k.startswith("__")}
            try:
                self.settle(call, resource_id)
                return resource_id, self._outputs(call, resource_id)
            except StandinError as error:
                raise InitFailed(str(error), resource_id, kept) from None
            except Exception as error:  # whatever it was, the resource must not be forgotten
                raise InitFailed(_message(error), resource_id, kept) from None

    def read(self, call: Call) -> ReadResult | None:
        with in_words():
            found = self._described(call, call.id)
        if found is None:
            return None
        outputs = self._complete(call, found, call.state or call.old_inputs)
        inputs = self._live_inputs(call.old_inputs, outputs)
        return ReadResult(call.id, inputs, outputs)

    def update(self, call: Call) -> dict[str, Any]:
        with in_words():
            self._change_tags(call)
            self.change(call)
            self.settle(call, call.id)
            return self._outputs(call, call.id)

    def delete(self, call: Call) -> None:
        with in_words():
            self.when_free(call, lambda: self.remove(call))

    # -- helpers -----------------------------------------------------------------------------

    def tag_specifications(self, call: Call, kind: str = "") -> list[dict[str, Any]]:
        """The TagSpecifications of a create request, empty without tags."""
        tags = to_tag_list(call.inputs.get("tagsAll") or {})
        return [{"ResourceType": kind or self.tag_kind, "Tags": tags}] if tags else []

    def when_free(self, call: Call, remove: Callable[[], Any]) -> None:
        """`remove()`, again and again while AWS says that something still uses the resource."""
        last = ""

        def attempt() -> bool | None:
            nonlocal last
            try:
                remove()
            except Exception as error:
                if is_gone(error):
                    return True
                if error_code(error) not in _IN_USE:
                    raise
                last = _message(error)
                call.status(f"waiting until nothing uses it: {last}")
                return None
            return True

        try:
            call.wait_for("others to let go of it", attempt, _LET_GO, every=2.0)
        except StandinError as error:
            raise StandinError(f"{error}: {last}" if last else str(error)) from None

    def _described(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        try:
            return self.describe(call, resource_id)
        except Exception as error:
            if is_gone(error):
                return None
            raise

    def _outputs(self, call: Call, resource_id: str) -> dict[str, Any]:
        # AWS's answers are eventually consistent: what was just made may not be there yet.
        found = call.wait_for(
            f"AWS to show {resource_id}", lambda: self._described(call, resource_id), 60.0
        )
        return self._complete(call, found, call.inputs)

    def _complete(
        self, call: Call, found: dict[str, Any], inputs: dict[str, Any]
    ) -> dict[str, Any]:
        """The outputs: inputs that AWS doesn't tell, what it tells, region and tags."""
        kept = {k: v for k, v in inputs.items() if not k.startswith("__")}
        outputs = {**kept, **found, "region": self.provider.api.region}
        if self.tag_kind:
            everything = found.get("tagsAll") or {}
            own = inputs.get("tags") or {}
            defaults = self.provider.default_tags
            outputs["tags"] = {
                k: v for k, v in everything.items() if k in own or defaults.get(k) != v
            }
        return outputs

    def _live_inputs(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
        """`inputs` as the program would have to write them for what AWS has now."""
        live = {}
        for name, value in inputs.items():
            if name.startswith("__") or name not in outputs:
                live[name] = value
            elif name in ("tags", "tagsAll"):
                live[name] = outputs[name]
            elif name in self.unordered and _same_members(value, outputs[name]):
                live[name] = value
            else:
                live[name] = _projected(value, outputs[name])
        return live

    def _change_tags(self, call: Call) -> None:
        old, new = call.state.get("tagsAll") or {}, call.inputs.get("tagsAll") or {}
        if not self.tag_kind or old == new:
            return
        gone = [{"Key": key} for key in old if key not in new]
        if gone:
            self.untag(call, [item["Key"] for item in gone])
        changed = {key: value for key, value in new.items() if old.get(key) != value}
        if changed:
            self.tag(call, changed)

    def tag(self, call: Call, tags: dict[str, str]) -> None:
        """Set `tags` on the resource."""
        target = [self.tagged_id(call)]
        self.provider.api.ec2.create_tags(Resources=target, Tags=to_tag_list(tags))

    def untag(self, call: Call, keys: list[str]) -> None:
        """Take the tags `keys` from the resource."""
        tags = [{"Key": key} for key in keys]
        self.provider.api.ec2.delete_tags(Resources=[self.tagged_id(call)], Tags=tags)

    def tagged_id(self, call: Call) -> str:
        """The id by which the resource is tagged."""
        return call.id


def _projected(wanted: Any, found: Any) -> Any:
    """`found`, less what the program said nothing about: a nested object has only its keys."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return {key: _projected(value, found.get(key)) for key, value in wanted.items()}
    return found


def _same_members(old: list[Any], new: list[Any]) -> bool:
    if not isinstance(old, list) or not isinstance(new, list) or UNKNOWN in (*old, *new):
        return False
    return sorted(map(str, old)) == sorted(map(str, new))


def _message(error: Exception) -> str:
    response = getattr(error, "response", {}).get("Error", {})
    return f"{response['Code']}: {response.get('Message', '')}" if response else str(error)


def to_tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags as AWS's API takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def from_tag_list(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """AWS's tag list as an object; tags that AWS sets itself (`aws:`) are left out."""
    return {t["Key"]: t["Value"] for t in tags or [] if not t["Key"].startswith("aws:")}
