{{/* The chosen engine's values. As YAML, since that is all that a template returns. */}}
{{- define "opex.engine" -}}
{{- $engine := get .Values.engines .Values.engine }}
{{- if not $engine }}
{{- fail (printf "engine is %q; it must be one of %s" .Values.engine (keys .Values.engines | sortAlpha | join ", ")) }}
{{- end }}
{{- if and (eq .Values.engine "kube-opex-analytics") (eq .Values.costModel "CHARGE_BACK") (not .Values.hourlyRate) }}
{{- fail "hourlyRate is empty; costModel CHARGE_BACK counts with it" }}
{{- end }}
{{- if and (eq .Values.engine "kube-resource-report") (not .Values.prices) }}
{{- fail "prices is empty; kube-resource-report counts with it" }}
{{- end }}
{{- toYaml $engine }}
{{- end }}

{{/* The engine's folder on the volume. */}}
{{- define "opex.data" -}}
/data/{{ .Values.engine }}
{{- end }}

{{- define "opex.selector" -}}
app.kubernetes.io/name: opex
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "opex.labels" -}}
{{ include "opex.selector" . }}
app.kubernetes.io/component: {{ .Values.engine }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* A value set's strings with their templates filled in. Takes (list context value). */}}
{{- define "opex.filled" -}}
{{- tpl (toYaml (index . 1)) (index . 0) | replace "$(DATA)" (include "opex.data" (index . 0)) }}
{{- end }}

{{/* Of the engine's containers, what they have in common. Takes (list context engine). */}}
{{- define "opex.container" -}}
{{- $root := index . 0 }}
{{- $engine := index . 1 -}}
image: {{ $root.Values.image | default $engine.image }}
imagePullPolicy: {{ $root.Values.imagePullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml $root.Values.resources | nindent 2 }}
volumeMounts:
  - name: data
    mountPath: /data
  {{- if $engine.files }}
  - name: files
    mountPath: /etc/opex
  {{- end }}
  {{- range $index, $folder := $engine.scratch }}
  - name: scratch-{{ $index }}
    mountPath: {{ $folder }}
  {{- end }}
{{- end }}

{{/* A probe's limit, as many times as long as global.patience says (emulated machines). */}}
{{- define "opex.times" -}}
{{- mul (index . 1) (dig "patience" 1 ((index . 0).Values.global | default dict)) -}}
{{- end -}}
