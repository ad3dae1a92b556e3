{{/* Names */}}
{{- define "sluice.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of what is of the whole cluster: two releases in two namespaces must not meet. */}}
{{- define "sluice.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "sluice.fullname" .) -}}
{{- end -}}

{{- define "sluice.serviceAccountName" -}}
{{- if .Values.controlPlane.serviceAccount.create -}}
{{- .Values.controlPlane.serviceAccount.name | default (include "sluice.fullname" .) -}}
{{- else -}}
{{- required "controlPlane.serviceAccount.name is needed when create is false" .Values.controlPlane.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Where proxies reach the control plane; the server's certificate is for this. */}}
{{- define "sluice.xdsHost" -}}
{{- printf "%s.%s.svc.%s" (include "sluice.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{- define "sluice.gatewayNamespace" -}}
{{- if .Values.gateway.create -}}{{ .Release.Namespace }}{{- else -}}{{ .Values.gateway.namespace | default .Release.Namespace }}{{- end -}}
{{- end -}}

{{- define "sluice.gatewayKey" -}}
{{- printf "%s/%s" (include "sluice.gatewayNamespace" .) .Values.gateway.name -}}
{{- end -}}

{{- define "sluice.gatewayUri" -}}
{{- printf "spiffe://%s/ns/%s/gateway/%s" .Values.tls.trustDomain (include "sluice.gatewayNamespace" .) .Values.gateway.name -}}
{{- end -}}

{{- define "sluice.image" -}}
{{- $tag := .image.tag | default .fallback -}}
{{- if .image.digest -}}{{ .image.repository }}@{{ .image.digest }}{{- else -}}{{ .image.repository }}:{{ $tag }}{{- end -}}
{{- end -}}

{{/* Labels: call with (dict "root" $ "component" "edge") */}}
{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: sluice
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The restricted Pod Security Standard */}}
{{- define "sluice.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "sluice.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where pods go: call with (dict "root" $ "component" "edge" "values" .Values.edge) */}}
{{- define "sluice.scheduling" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .values.topologySpreadConstraints }}
topologySpreadConstraints: {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
{{- else if not .values.affinity }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "sluice.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{/* Secrets of TLS */}}
{{- define "sluice.serverSecret" -}}
{{- if eq .Values.tls.mode "Secret" -}}{{ required "tls.secret.server is needed with tls.mode Secret" .Values.tls.secret.server }}{{- else -}}{{ include "sluice.fullname" . }}-xds-server{{- end -}}
{{- end -}}

{{- define "sluice.proxySecret" -}}
{{- if eq .Values.tls.mode "Secret" -}}{{ required "tls.secret.proxy is needed with tls.mode Secret" .Values.tls.secret.proxy }}{{- else -}}{{ include "sluice.fullname" . }}-xds-proxy{{- end -}}
{{- end -}}

{{/* Redis */}}
{{- define "sluice.redisAddress" -}}
{{- if .Values.redis.trial.enabled -}}
{{- if .Values.redis.address -}}{{ fail "redis.address and redis.trial.enabled: only one of both" }}{{- end -}}
{{ include "sluice.fullname" . }}-redis.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:6379
{{- else -}}
{{- required "Redis is needed: set redis.address, or redis.trial.enabled=true for a small one that is for trials only" .Values.redis.address -}}
{{- end -}}
{{- end -}}

{{- define "sluice.redisEnv" -}}
{{- with .Values.redis.password }}
{{- if .secretName }}
- name: SLUICE_REDIS_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ .secretName }}, key: {{ .key }}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "sluice.redisCaMount" -}}
{{- if and .Values.redis.tls.enabled .Values.redis.tls.caSecret }}
- name: redis-ca
  mountPath: /etc/sluice/redis
  readOnly: true
{{- end }}
{{- end -}}

{{- define "sluice.redisCaVolume" -}}
{{- if and .Values.redis.tls.enabled .Values.redis.tls.caSecret }}
- name: redis-ca
  secret:
    secretName: {{ .Values.redis.tls.caSecret }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- end -}}

{{- define "sluice.budget" -}}
{{- if and (not (kindIs "invalid" .minAvailable)) (not (kindIs "invalid" .maxUnavailable)) -}}
{{- fail "podDisruptionBudget: of minAvailable and maxUnavailable one must be null" -}}
{{- end -}}
{{- if not (kindIs "invalid" .minAvailable) -}}minAvailable: {{ .minAvailable }}{{- else -}}maxUnavailable: {{ .maxUnavailable }}{{- end -}}
{{- end -}}

{{/* The ports of the edge as JSON: {"ports": [{name, port}]}, each port once */}}
{{- define "sluice.edgePorts" -}}
{{- $seen := dict -}}
{{- $ports := list -}}
{{- $from := .Values.edge.service.ports -}}
{{- if .Values.gateway.create -}}{{- $from = .Values.gateway.listeners -}}{{- end -}}
{{- range $from -}}
{{- $key := printf "%v" .port -}}
{{- if not (hasKey $seen $key) -}}
{{- $_ := set $seen $key true -}}
{{- $ports = append $ports (dict "name" (printf "p-%v" .port) "port" (int .port)) -}}
{{- end -}}
{{- end -}}
{{- toJson (dict "ports" $ports) -}}
{{- end -}}
