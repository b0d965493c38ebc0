"""ec2.KeyPair."""

from __future__ import annotations

from typing import Any

from standins.aws.resource import AwsResource, from_tag_list
from standins.base import UNKNOWN, Call, Failure


class KeyPair(AwsResource):
    """A public key under a name, for instances to let its owner in."""

    token = "aws:ec2/keyPair:KeyPair"
    tag_kind = "key-pair"
    auto_name = "keyName"
    inputs = frozenset({"publicKey", "tags"})
    required = frozenset({"publicKey"})
    force_new = frozenset({"keyName", "publicKey"})
    outputs = frozenset({"arn", "fingerprint", "keyPairId", "keyType"})

    def check(self, call: Call) -> tuple[dict[str, Any], list[Failure]]:
        inputs, failures = super().check(call)
        key = inputs.get("publicKey")
        if key is not UNKNOWN and isinstance(key, str):
            # A file's last newline is no part of the key.
            inputs["publicKey"] = key.strip()
        return inputs, failures

    def make(self, call: Call) -> str:
        made = self.provider.api.ec2.import_key_pair(
            KeyName=call.inputs["keyName"],
            PublicKeyMaterial=call.inputs["publicKey"].encode(),
            TagSpecifications=self.tag_specifications(call),
        )
        return made["KeyName"]

    def describe(self, call: Call, resource_id: str) -> dict[str, Any] | None:
        pairs = self.provider.api.ec2.describe_key_pairs(KeyNames=[resource_id])["KeyPairs"]
        if not pairs:
            return None
        pair = pairs[0]
        return {
            "arn": self.provider.api.arn(f"key-pair/{resource_id}"),
            "fingerprint": pair["KeyFingerprint"],
            "keyName": pair["KeyName"],
            "keyPairId": pair["KeyPairId"],
            "keyType": pair.get("KeyType"),
            "tagsAll": from_tag_list(pair.get("Tags")),
        }

    def tagged_id(self, call: Call) -> str:
        return call.state["keyPairId"]

    def remove(self, call: Call) -> None:
        self.provider.api.ec2.delete_key_pair(KeyName=call.id)
