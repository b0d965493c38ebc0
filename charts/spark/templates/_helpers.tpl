{{/* The first part of all names. */}}
{{- define "spark.name" -}}
{{ .Values.fullnameOverride | default .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "spark.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default (printf "%s-python3" .Chart.AppVersion) }}
{{- end }}

{{- define "spark.authSecret" -}}
{{ .Values.auth.existingSecret | default (printf "%s-auth" (include "spark.name" .)) }}
{{- end }}

{{- define "spark.connectSecret" -}}
{{ .Values.connect.existingSecret | default (printf "%s-connect" (include "spark.name" .)) }}
{{- end }}

{{/* A Secret whose key `secret` is made once and kept. Takes (list context name component). */}}
{{- define "spark.secret" -}}
{{- $root := index . 0 }}
{{- $name := index . 1 }}
{{- $old := dig "data" "secret" "" (lookup "v1" "Secret" $root.Release.Namespace $name) -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ $name }}
  labels:
    {{- include "spark.labels" (list $root (index . 2)) | nindent 4 }}
type: Opaque
data:
  secret: {{ $old | default (randAlphaNum 48 | b64enc) }}
{{- end }}

{{/* What selects the pods of a component. Takes (list context component). */}}
{{- define "spark.selector" -}}
app.kubernetes.io/name: spark
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of every object. Takes (list context component). */}}
{{- define "spark.labels" -}}
{{ include "spark.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end }}

{{/* Spark's own folder on the volume. */}}
{{- define "spark.folder" -}}
{{ .Values.volume.mountPath }}/{{ .Values.volume.folder }}
{{- end }}

{{/* Where the master writes down what it knows. */}}
{{- define "spark.recovery" -}}
{{ if .Values.volume.claimName }}{{ include "spark.folder" . }}{{ else }}/tmp{{ end }}/recovery
{{- end }}

{{/* Properties that all of Spark's processes must agree on. */}}
{{- define "spark.sharedConf" -}}
spark.authenticate true
# Encrypts what the processes send each other, with a key agreed on by the shared secret.
spark.network.crypto.enabled true
spark.network.crypto.cipher AES/GCM/NoPadding
spark.network.crypto.authEngineVersion 2
spark.network.crypto.saslFallback false
# An executor whose worker is to go hands over its blocks and takes no more tasks.
spark.decommission.enabled true
spark.storage.decommission.enabled true
spark.storage.decommission.rddBlocks.enabled true
spark.storage.decommission.shuffleBlocks.enabled true
spark.storage.decommission.replicationReattemptInterval 5s
spark.ui.killEnabled false
# The master's web pages lead to those of workers and applications, whose own addresses only pods
# can reach.
spark.ui.reverseProxy true
{{- end }}

{{/* log4j2.properties. Takes the level. */}}
{{- define "spark.log4j2" -}}
rootLogger.level = {{ . }}
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
{{- end }}

{{/* Of a pod's spec, what master and workers have in common. Takes (list context values). */}}
{{- define "spark.podSpec" -}}
{{- $root := index . 0 }}
{{- $own := index . 1 -}}
automountServiceAccountToken: false
# The variables of a Service named *-master would be taken for Spark's own SPARK_MASTER_PORT.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 185
  runAsGroup: 185
  fsGroup: 185
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Of a daemon's container, what master and worker have in common. */}}
{{- define "spark.container" -}}
image: {{ include "spark.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "spark.env" -}}
# Without a locale Java reads and makes no names that are not ASCII; executors inherit it.
- name: LC_ALL
  value: C.UTF-8
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
# A daemon works little: its start is what its compiler and its threads cost.
- name: SPARK_DAEMON_JAVA_OPTS
  value: -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
# Spark takes the secret from here, and hands it on to executors the same way.
- name: _SPARK_AUTH_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ include "spark.authSecret" . }}
      key: secret
{{- end }}

{{- define "spark.mounts" -}}
- name: conf
  mountPath: /opt/spark/conf
- name: scratch
  mountPath: /tmp
{{- if .Values.volume.claimName }}
- name: shared
  mountPath: {{ .Values.volume.mountPath }}
{{- end }}
{{- end }}

{{/* Volumes for spark.mounts. Takes (list context last-part-of-the-ConfigMap's-name size-of-scratch). */}}
{{- define "spark.volumes" -}}
{{- $root := index . 0 -}}
- name: conf
  configMap:
    name: {{ include "spark.name" $root }}-{{ index . 1 }}
- name: scratch
  emptyDir:
    sizeLimit: {{ index . 2 }}
{{- with $root.Values.volume.claimName }}
- name: shared
  persistentVolumeClaim:
    claimName: {{ . }}
{{- end }}
{{- end }}

{{/* Resources with a memory limit in MiB where none is given. Takes (list resources limit). */}}
{{- define "spark.resources" -}}
{{- $limit := dict "limits" (dict "memory" (printf "%dMi" (int (index . 1)))) }}
{{- toYaml (merge (deepCopy (index . 0 | default dict)) $limit) }}
{{- end }}

{{/* The files in the conf folder of master and workers. */}}
{{- define "spark.daemonsConf" -}}
spark-defaults.conf: |
  {{- include "spark.sharedConf" . | nindent 2 }}
  # It would take applications from anybody who can reach it.
  spark.master.rest.enabled false
  # A master that starts anew knows its workers and applications again.
  spark.deploy.recoveryMode FILESYSTEM
  spark.deploy.recoveryDirectory {{ include "spark.recovery" . }}
  spark.worker.cleanup.enabled true
  spark.worker.cleanup.interval 600
  spark.worker.cleanup.appDataTtl {{ int .Values.worker.keepAppsSeconds }}
  # The Service's name stays; the master's address changes with its pod.
  spark.worker.preferConfiguredMasterAddress true
  {{- range $key, $value := .Values.daemons.conf }}
  {{ $key }} {{ $value }}
  {{- end }}
log4j2.properties: |
  {{- include "spark.log4j2" .Values.daemons.logLevel | nindent 2 }}
metrics.properties: |
  *.sink.prometheusServlet.class=org.apache.spark.metrics.sink.PrometheusServlet
  *.sink.prometheusServlet.path=/metrics/prometheus
  master.sink.prometheusServlet.path=/metrics/master/prometheus
  applications.sink.prometheusServlet.path=/metrics/applications/prometheus
  *.source.jvm.class=org.apache.spark.metrics.source.JvmSource
{{- end }}

{{/* Whether there is a history server: without a volume there are no event logs. */}}
{{- define "spark.hasHistory" -}}
{{- if and .Values.standalone .Values.history.enabled .Values.app.eventLog .Values.volume.claimName }}yes{{ end }}
{{- end }}

{{/* Whether there is a Spark Connect server: its executors are the workers'. */}}
{{- define "spark.hasConnect" -}}
{{- if and .Values.standalone .Values.connect.enabled }}yes{{ end }}
{{- end }}

{{/* Waits for the master. */}}
{{- define "spark.waitForMaster" -}}
master={{ include "spark.name" . }}-master
# A worker that finds no master tries again only some ten seconds later.
end=$((SECONDS + 120))
until timeout 2 bash -c ": </dev/tcp/$master/7077" 2>/dev/null; do
  if ((SECONDS > end)); then
    echo "$master:7077 has not answered for 120 s" >&2
    break
  fi
  sleep 0.5
done
{{- end }}

{{/* The files in the conf folder of the history server. */}}
{{- define "spark.historyConf" -}}
spark-defaults.conf: |
  spark.history.fs.logDirectory file://{{ include "spark.folder" . }}/events
  spark.history.fs.update.interval 10s
  spark.history.fs.cleaner.enabled true
  spark.history.fs.cleaner.interval 1h
  spark.history.fs.cleaner.maxAge {{ int .Values.history.retainDays }}d
  spark.history.fs.cleaner.maxNum {{ int .Values.history.maxApplications }}
  # Kept on disk, what it has read needs no heap.
  spark.history.store.path /tmp/history
  {{- range $key, $value := .Values.history.conf }}
  {{ $key }} {{ $value }}
  {{- end }}
log4j2.properties: |
  {{- include "spark.log4j2" .Values.daemons.logLevel | nindent 2 }}
{{- end }}

{{/* Changes when the daemons have to start anew to see their configuration. */}}
{{- define "spark.daemonsChecksum" -}}
{{ print (include "spark.daemonsConf" .) (.Files.Get "files/sampler.py") | sha256sum }}
{{- end }}

{{/* A probe's limit, as many times as long as global.patience says (emulated machines). */}}
{{- define "spark.times" -}}
{{- mul (index . 1) (dig "patience" 1 ((index . 0).Values.global | default dict)) -}}
{{- end -}}
