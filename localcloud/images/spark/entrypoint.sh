#!/bin/bash
# The image's entry point, with the official image's interface: `driver ARGS` and `executor` are what
# Spark's Kubernetes scheduler starts, anything else is a command that is run as it stands.
set -eo pipefail

# Hadoop's login fails for a uid without a name (OpenShift makes uids up): let libnss-wrapper name it.
name_our_uid() {
    if getent passwd "$(id -u)" > /dev/null; then
        return
    fi
    local library
    for library in /usr/lib/*/libnss_wrapper.so; do
        if [ -s "$library" ]; then
            NSS_WRAPPER_PASSWD=$(mktemp)
            NSS_WRAPPER_GROUP=$(mktemp)
            echo "spark:x:$(id -u):$(id -g):${SPARK_USER_NAME:-anonymous uid}:$SPARK_HOME:/bin/false" \
                > "$NSS_WRAPPER_PASSWD"
            echo "spark:x:$(id -g):" > "$NSS_WRAPPER_GROUP"
            export LD_PRELOAD=$library NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
            return
        fi
    done
}

# tini reaps what Python workers leave behind; root (a pod without securityContext may set it)
# becomes spark first.
run_spark() {
    local become=()
    if [ "$(id -u)" = 0 ]; then
        become=(setpriv --reuid=spark --regid=spark --init-groups --)
    fi
    name_our_uid
    exec "${become[@]}" /usr/bin/tini -s -- "$@"
}

# What executors find first: the configuration, then Hadoop's, then Spark's jars, the user's, and
# the working directory.
class_path() {
    local path="$SPARK_CLASSPATH:$SPARK_HOME/jars/*"
    if [ -n "$SPARK_EXTRA_CLASSPATH" ]; then
        path="$path:$SPARK_EXTRA_CLASSPATH"
    fi
    if [ -n "${HADOOP_CONF_DIR+set}" ]; then
        path="$HADOOP_CONF_DIR:$path"
    fi
    echo "${SPARK_CONF_DIR-$SPARK_HOME/conf}:$path:$PWD:$SPARK_DIST_CLASSPATH"
}

# A Hadoop of the user's brings its own jars, unless they were named.
if [ -n "$HADOOP_HOME" ] && [ -z "$SPARK_DIST_CLASSPATH" ]; then
    SPARK_DIST_CLASSPATH=$("$HADOOP_HOME/bin/hadoop" classpath)
    export SPARK_DIST_CLASSPATH
fi

case "$1" in
    driver)
        shift
        run_spark "$SPARK_HOME/bin/spark-submit" \
            --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
            --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" \
            --deploy-mode client "$@"
        ;;
    executor)
        # Spark hands the executor's Java options over as SPARK_JAVA_OPT_0, _1, ...
        options=()
        for variable in "${!SPARK_JAVA_OPT_@}"; do
            options+=("${!variable}")
        done
        run_spark "$JAVA_HOME/bin/java" "${options[@]}" \
            "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
            -cp "$(class_path)" \
            org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
            --driver-url "$SPARK_DRIVER_URL" \
            --executor-id "$SPARK_EXECUTOR_ID" \
            --cores "$SPARK_EXECUTOR_CORES" \
            --app-id "$SPARK_APPLICATION_ID" \
            --hostname "$SPARK_EXECUTOR_POD_IP" \
            --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
            --podName "$SPARK_EXECUTOR_POD_NAME"
        ;;
    *)
        name_our_uid
        exec "$@"
        ;;
esac
