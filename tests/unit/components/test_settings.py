"""Settings: defaults, and a clear error of one line for each value that can't be."""

from __future__ import annotations

import re
from typing import Any

import pulumi
import pytest

from components.settings import Settings, SettingsError
from tests.unit.plan import EXISTING, MINIMAL, Plan, plan

KUBECONFIG: str = EXISTING["cluster"]["kubeconfig"]


@pytest.fixture(autouse=True)
def a_folder_with_a_text(tmp_path, monkeypatch):
    """The default input is README.md of the folder in which Pulumi runs the program."""
    (tmp_path / "README.md").write_text("one two\n")
    monkeypatch.chdir(tmp_path)


def parse(**objects: Any) -> Settings:
    """Settings from MINIMAL and these objects."""
    config: dict[str, Any] = {**MINIMAL}
    for name, value in objects.items():
        config[name] = {**config.get(name, {}), **value} if isinstance(value, dict) else value
    return Settings.parse(config)


def refused(**objects: Any) -> str:
    """The message with which the settings are refused; it is one line."""
    with pytest.raises(pulumi.RunError) as caught:
        parse(**objects)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_every_default():
    settings = parse().model_dump()
    assert settings == {
        "aws": {
            "region": "eu-central-1",
            "endpoint": None,
            "access_key": None,
            "secret_key": None,
        },
        "network": {"cidr": "10.42.0.0/16", "zone": None, "operator_cidr": "198.18.0.1/32"},
        "nodes": {
            "count": 3,
            "control_planes": 1,
            "type": "t3.medium",
            "image": None,
            "disk_gib": 20,
            "spot": False,
            "price": None,
            "spot_price": None,
            "grow_to": None,
        },
        "workers": {},
        "cluster": {
            "version": "1.36.4",
            "containerd_version": "2.4.2",
            "pod_cidr": "10.244.0.0/16",
            "service_cidr": "10.96.0.0/12",
            "backup_minutes": 15,
            "backup_keep": 32,
            "backup_days": 14,
            "certificate_days": 365,
            "operator": 1,
            "kubeconfig": None,
        },
        "storage": {"size_gib": 10, "storage_class": None},
        "mirror": {"packages": None, "registry": None, "charts": None},
        "spark": {
            "image": "docker.io/apache/spark:4.2.0-python3",
            "jars": None,
            "workers": None,
            "worker_cores": 2,
            "worker_memory_mib": 1024,
            "history": True,
            "history_days": 14,
            "connect": False,
            "connect_minutes": 60,
        },
        "s3": {"region": None, "endpoint": None, "access_key": None, "secret_key": None},
        "word_count": {
            "input": "README.md",
            "output": None,
            "master": "standalone",
            "encoding": None,
            "lowercase": False,
            "pattern": None,
            "top": 10,
        },
        "opex": {
            "engine": None,
            "chart": "./charts/opex",
            "image": None,
            "cost_model": "CHARGE_BACK",
        },
        "namespaces": {},
        "applications": {},
    }


def test_keys_are_camel_case():
    settings = parse(
        nodes={"diskGiB": 40},
        cluster={"podCidr": "10.200.0.0/16", "serviceCidr": "10.100.0.0/16"},
        storage={"sizeGiB": 5, "storageClass": "efs"},
        spark={"workerCores": 4, "workerMemoryMiB": 2048},
        wordCount={"lowercase": True},
        aws={"accessKey": "a", "secretKey": "b"},
    )
    assert settings.nodes.disk_gib == 40
    assert settings.cluster.pod_cidr == "10.200.0.0/16"
    assert settings.cluster.service_cidr == "10.100.0.0/16"
    assert (settings.storage.size_gib, settings.storage.storage_class) == (5, "efs")
    assert (settings.spark.worker_cores, settings.spark.worker_memory_mib) == (4, 2048)
    assert settings.word_count.lowercase
    assert (settings.aws.access_key, settings.aws.secret_key) == ("a", "b")


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({"nodes": {"count": 0}}, r"nodes\.count is 0; .* at least 1"),
        ({"nodes": {"count": -3}}, r"nodes\.count is -3; .* at least 1"),
        ({"nodes": {"diskGiB": 9}}, r"nodes\.diskGiB is 9; .* at least 10"),
        ({"nodes": {"price": 0}}, r"nodes\.price is 0; .* above 0"),
        ({"network": {"cidr": "10.42.0.0/99"}}, r"network\.cidr is '10\.42\.0\.0/99'; .* IPv4"),
        ({"network": {"cidr": "ten"}}, r"network\.cidr is 'ten'; .* IPv4"),
        ({"network": {"cidr": "10.42.0.1/16"}}, r"network\.cidr is .* has host bits set"),
        ({"network": {"cidr": "fd00::/48"}}, r"network\.cidr is 'fd00::/48'; .* IPv4"),
        ({"network": {"cidr": "10.42.0.0/25"}}, r"network\.cidr is .* from /16 to /24"),
        ({"network": {"cidr": "10.0.0.0/15"}}, r"network\.cidr is .* from /16 to /24"),
        ({"network": {"operatorCidr": "me"}}, r"network\.operatorCidr is 'me'; .* IPv4"),
        ({"cluster": {"version": "1.36"}}, r"cluster\.version is '1\.36'; .* such as 1\.36\.4"),
        ({"cluster": {"version": "v1.36.4"}}, r"cluster\.version is 'v1\.36\.4'; "),
        ({"cluster": {"podCidr": "10.244.0.0/33"}}, r"cluster\.podCidr is .* IPv4"),
        ({"cluster": {"podCidr": "10.244.0.0/23"}}, r"cluster\.podCidr is .* from /8 to /22"),
        ({"cluster": {"podCidr": "16.0.0.0/7"}}, r"cluster\.podCidr is .* from /8 to /22"),
        ({"cluster": {"serviceCidr": "services"}}, r"cluster\.serviceCidr is .* IPv4"),
        ({"cluster": {"serviceCidr": "10.96.0.0/29"}}, r"cluster\.serviceCidr is .* /12 to /28"),
        ({"cluster": {"serviceCidr": "10.96.0.0/11"}}, r"cluster\.serviceCidr is .* /12 to /28"),
        ({"storage": {"sizeGiB": 0}}, r"storage\.sizeGiB is 0; .* at least 1"),
        ({"mirror": {"packages": "10.43.0.1"}}, r"mirror\.packages is '10\.43\.0\.1'; .* URL"),
        ({"mirror": {"registry": "ftp://x"}}, r"mirror\.registry is 'ftp://x'; .* URL"),
        ({"mirror": {"charts": "http://"}}, r"mirror\.charts is 'http://'; .* URL"),
        ({"aws": {"endpoint": "localhost:4599"}}, r"aws\.endpoint is 'localhost:4599'; .* URL"),
        ({"spark": {"workers": 0}}, r"spark\.workers is 0; .* at least 1"),
        ({"spark": {"workerCores": 0}}, r"spark\.workerCores is 0; .* at least 1"),
        ({"spark": {"workerMemoryMiB": 256}}, r"spark\.workerMemoryMiB is 256; .* at least 512"),
        ({"spark": {"image": "apache/spark"}}, r"spark\.image is 'apache/spark'; .* a tag"),
        ({"spark": {"image": "host:5000/spark"}}, r"spark\.image is 'host:5000/spark'; .* a tag"),
        ({"wordCount": {"top": 0}}, r"wordCount\.top is 0; .* at least 1"),
        ({"wordCount": {"top": 1001}}, r"wordCount\.top is 1001; .* at most 1000"),
        ({"wordCount": {"encoding": "base64"}}, r"wordCount\.encoding is 'base64'; .* iso-8859-1"),
        ({"wordCount": {"encoding": "no\0ne"}}, r"wordCount\.encoding is "),
        ({"wordCount": {"input": "no.txt"}}, r"wordCount\.input is 'no\.txt'; .* /srv/shared"),
        ({"wordCount": {"input": "/srv/shared"}}, r"wordCount\.input is '/srv/shared'; "),
        ({"wordCount": {"input": "x" * 5000}}, r"wordCount\.input is 'xxx"),
        ({"wordCount": {"input": "no\nsuch\0file"}}, r"wordCount\.input is 'no\\nsuch"),
    ],
)
def test_a_value_out_of_range_is_named(objects, message):
    assert re.match("tinderbox:" + message, refused(**objects))


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({"nodes": {"count": True}}, "nodes.count is True; it must be a whole number"),
        ({"nodes": {"count": "3.0"}}, "nodes.count is '3.0'; it must be a whole number"),
        ({"nodes": {"count": 2.5}}, "nodes.count is 2.5; it must be a whole number"),
        ({"nodes": {"count": None}}, "nodes.count is None; it must be a whole number"),
        ({"nodes": {"spot": 1}}, "nodes.spot is 1; it must be true or false"),
        ({"nodes": {"price": "cheap"}}, "nodes.price is 'cheap'; it must be a number"),
        ({"nodes": {"price": True}}, "nodes.price is True; it must be a number"),
        (
            {"nodes": {"type": 3}},
            "nodes.type is 3; it must be an EC2 instance type such as t3.medium, in quotes",
        ),
        ({"nodes": {"type": ""}}, "nodes.type is ''; it must be a text that is not empty"),
        ({"spark": {"workers": "two"}}, "spark.workers is 'two'; it must be a whole number"),
        ({"wordCount": {"pattern": ["a"]}}, "wordCount.pattern is ['a']; it must be a text"),
    ],
)
def test_a_value_of_another_type_is_named(objects, message):
    assert refused(**objects) == f"tinderbox:{message}"


def test_a_whole_number_is_a_price_too():
    assert parse(nodes={"price": 1}).nodes.price == 1.0


def test_an_optional_setting_may_be_null():
    assert parse(spark={"workers": None}).spark.workers is None


def test_an_unknown_object_is_named():
    assert refused(node={"count": 3}) == (
        "tinderbox:node is not a setting (did you mean nodes?); known here:"
        " applications, aws, cluster, mirror, namespaces, network, nodes, opex, s3, spark, storage,"
        " wordCount, workers"
    )


def test_an_unknown_key_is_named():
    assert refused(storage={"size": 3}) == (
        "tinderbox:storage.size is not a setting (did you mean storage.sizeGiB?);"
        " known here: storage.sizeGiB, storage.storageClass"
    )


@pytest.mark.parametrize("key", ["disk_gib", "diskGib", "disk-gib", "DiskGiB"])
def test_only_the_camel_case_spelling_is_a_key(key):
    assert f"tinderbox:nodes.{key} is not a setting" in refused(nodes={key: 20})


def test_a_key_that_was_set_without_path_says_so():
    assert refused(**{"nodes.count": 5}).endswith("(it was set without --path)")


@pytest.mark.parametrize("value", [5, "t3.medium", ["a"]])
def test_an_object_that_is_none_is_named(value):
    message = refused(nodes=value)
    assert message.startswith("tinderbox:nodes is ")
    assert message.endswith("it must be an object: pulumi config set --path nodes.KEY VALUE")


@pytest.mark.parametrize(
    ("objects", "first", "other"),
    [
        ({"network": {"cidr": "10.244.128.0/20"}}, "network.cidr", "cluster.podCidr"),
        ({"network": {"cidr": "10.100.0.0/16"}}, "network.cidr", "cluster.serviceCidr"),
        ({"cluster": {"podCidr": "10.42.0.0/16"}}, "network.cidr", "cluster.podCidr"),
        ({"cluster": {"podCidr": "10.96.0.0/16"}}, "cluster.podCidr", "cluster.serviceCidr"),
        ({"cluster": {"podCidr": "10.32.0.0/11"}}, "network.cidr", "cluster.podCidr"),
    ],
)
def test_ranges_that_overlap_are_both_named(objects, first, other):
    assert re.search(f"^tinderbox:{first} is .* apart from tinderbox:{other} ", refused(**objects))


def test_ranges_that_only_touch_are_fine():
    parse(network={"cidr": "10.95.0.0/16"}, cluster={"podCidr": "10.112.0.0/16"})


def test_more_nodes_than_the_pods_range_has_room_for():
    parse(nodes={"count": 4}, cluster={"podCidr": "10.244.0.0/22"})
    message = refused(nodes={"count": 5}, cluster={"podCidr": "10.244.0.0/22"})
    assert message.startswith("tinderbox:nodes.count is 5; it must be at most 4")


@pytest.mark.parametrize("key", ["aws.region", "network.operatorCidr"])
def test_a_stack_without_a_needed_setting(key):
    config: dict[str, Any] = {**MINIMAL, key.partition(".")[0]: {}}
    with pytest.raises(SettingsError) as caught:
        Settings.parse(config)
    assert str(caught.value) == (
        f"tinderbox:{key} is None; it must be set: pulumi config set --path {key} VALUE"
    )


def test_a_folder_is_an_input_and_so_is_a_path_on_the_volume(tmp_path):
    assert not parse(wordCount={"input": str(tmp_path)}).word_count.is_input_there
    assert parse(wordCount={"input": "/srv/shared/books"}).word_count.is_input_there


@pytest.fixture
def jars(tmp_path):
    """A folder of jars."""
    (tmp_path / "a.jar").touch()
    return str(tmp_path)


def test_s3_with_its_jars_or_an_image_that_has_them(jars):
    keys = {"region": "eu-central-1", "accessKey": "AKIA1", "secretKey": "s3cr3t"}
    words = {"input": "s3a://books/in", "output": "s3a://books/out"}
    settings = parse(s3=keys, spark={"jars": jars}, wordCount=words)
    assert settings.word_count.is_input_there and settings.word_count.uses_s3
    assert parse(s3=keys, spark={"image": "docker.io/me/spark-s3:1"}).s3.is_set
    assert not parse().s3.is_set


def test_spark_connect_needs_spark_4():
    for image in ("docker.io/apache/spark:3.5.9-python3", "apache/spark:3.4.0"):
        message = refused(spark={"connect": True, "image": image})
        assert message.startswith("tinderbox:spark.connect is True; it must be false with this")
        parse(spark={"image": image})
    for image in ("docker.io/apache/spark:4.0.5-python3", "me/spark:1.0"):
        parse(spark={"connect": True, "image": image})


def test_s3_that_could_not_work_is_refused(jars, tmp_path):
    region = {"region": "eu-central-1"}
    assert "s3.region" in refused(wordCount={"input": "s3a://books/in"})
    assert "s3.region" in refused(s3={"endpoint": "http://store:9000"}, spark={"jars": jars})
    assert "make jars" in refused(s3=region)
    message = refused(s3={**region, "secretKey": "s3cr3t"}, spark={"jars": jars})
    assert message.startswith("tinderbox:s3.accessKey is None; ") and "s3cr3t" not in message
    assert "s3.endpoint" in refused(s3={**region, "endpoint": "store:9000"})
    for output in ("/tmp/out", "s3a://b/out/", "s3a://b/$(id)", "s3a://b/a'b", "s3a://"):
        assert "wordCount.output" in refused(wordCount={"output": output})
    (tmp_path / "none").mkdir()
    for folder in (str(tmp_path / "none"), str(tmp_path / "nowhere")):
        assert "with .jar files" in refused(spark={"jars": folder})
    with pytest.raises(SettingsError, match="use an image that has the jars"):
        Settings.parse({"cluster": {"kubeconfig": KUBECONFIG}, "spark": {"jars": jars}})


def test_a_cluster_that_exists_needs_no_network_and_no_region():
    settings = Settings.parse({"cluster": {"kubeconfig": KUBECONFIG}})
    assert settings.cluster.kubeconfig == KUBECONFIG


@pytest.mark.parametrize(
    "value",
    [
        "s3cr3t",
        "users: [s3cr3t",
        "users:\n- s3cr3t\n",
        "clusters: []\nusers: [s3cr3t]",
        "{}",
        {"clusters": ["s3cr3t"]},
        12345,
        "",
    ],
)
def test_a_malformed_kubeconfig_is_not_in_the_message(value):
    message = refused(cluster={"kubeconfig": value})
    assert message.startswith("tinderbox:cluster.kubeconfig is not right; it must be ")
    assert "s3cr3t" not in message
    assert "12345" not in message


@pytest.mark.parametrize("key", ["accessKey", "secretKey"])
def test_a_malformed_aws_key_is_not_in_the_message(key):
    message = refused(aws={key: 12345})
    assert (
        message == f"tinderbox:aws.{key} is not right; it must be a key, without blanks, in quotes"
    )


def test_an_object_that_is_a_text_is_not_in_the_message():
    assert "s3cr3t" not in refused(cluster=KUBECONFIG)


PLACEHOLDER = {"network": {"operatorCidr": "203.0.113.1/32"}}


def test_the_shipped_placeholder_may_be_previewed():
    shown = plan(PLACEHOLDER, preview=True)
    assert shown.of("aws:ec2/vpc:Vpc")
    assert [line for line in shown.said if "network.operatorCidr is '203.0.113.1/32'" in line]


@pytest.mark.parametrize("cidr", ["203.0.113.1/32", "192.0.2.0/24", "198.51.100.7/32"])
def test_nothing_is_made_with_an_address_of_documentation(cidr):
    tried = Plan()
    with pytest.raises(SettingsError, match=r"network\.operatorCidr is .* your own address"):
        plan({"network": {"operatorCidr": cidr}}, recorder=tried)
    assert not tried.made


def test_what_is_no_json_is_refused_by_name():
    """Such as `pulumi config set nodes three`, where the engine has not refused it before."""
    pulumi.runtime.set_all_config({"tinderbox:nodes": "three"})
    with pytest.raises(SettingsError, match="tinderbox:nodes is 'str'; it must be an object"):
        Settings.load()


def test_settings_of_other_programs_are_none_of_ours():
    config = {"aws:region": '"eu-west-1"', "tinderbox:cluster": '{"version": "1.35.1"}'}
    pulumi.runtime.set_all_config(config)
    with pytest.raises(SettingsError, match=r"tinderbox:aws\.region is None"):
        Settings.load()
