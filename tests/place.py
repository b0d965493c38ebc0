from submission.place import Place

"""A place for applications, as the tests have it."""


PLACE = Place(
    namespace="apps",
    image="host/spark:1",
    master_url="spark://master:7077",
    claim="files",
    auth_secret="auth",
    defaults_config="defaults",
    native_config="native",
    usage_config="usage",
    service_account="robot",
    workers=4,
    worker_cores=2,
    worker_memory_mib=1024,
)
