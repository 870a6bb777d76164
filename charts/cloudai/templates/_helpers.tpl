{{- /* Names. Selector labels are made from the release alone: they cannot be changed later. */ -}}
{{- define "cloudai.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default "cloudai" .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cloudai.selector" -}}
app.kubernetes.io/name: cloudai
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "cloudai.labels" -}}
app.kubernetes.io/name: cloudai
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: cloudai
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cloudai.image" -}}
{{- $registry := default .Values.image.registry .Values.global.imageRegistry -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end -}}
{{- end -}}

{{- /* Name of a component's service account: dict "root" . "component" "scheduler" */ -}}
{{- define "cloudai.account" -}}
{{- $values := index .root.Values .component -}}
{{- default (printf "%s-%s" (include "cloudai.fullname" .root) .component) $values.serviceAccount.name -}}
{{- end -}}

{{- /* User name of a component's service account, as admission sees it. */ -}}
{{- define "cloudai.user" -}}
system:serviceaccount:{{ .root.Release.Namespace }}:{{ include "cloudai.account" . }}
{{- end -}}

{{- define "cloudai.priorityClassName" -}}
{{- if .Values.priorityClass.name -}}
{{- .Values.priorityClass.name -}}
{{- else if .Values.priorityClass.create -}}
{{- include "cloudai.fullname" . -}}
{{- end -}}
{{- end -}}

{{- /* What all pods have: dict "root" . "component" "scheduler" */ -}}
{{- define "cloudai.pod" -}}
{{- $values := index .root.Values .component -}}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
enableServiceLinks: false
{{- if not $values.hostUsers }}
hostUsers: false
{{- end }}
{{- with $values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.hostAliases }}
hostAliases: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with $values.dnsConfig }}
dnsConfig: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "cloudai.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Environment of processes that keep or read history. */ -}}
{{- define "cloudai.mongodbEnv" -}}
{{- if .Values.mongodb.existingSecret.name }}
- name: MONGODB_URI
  valueFrom: {secretKeyRef: {name: {{ .Values.mongodb.existingSecret.name }}, key: {{ .Values.mongodb.existingSecret.key }}}}
{{- end }}
{{- end -}}

{{- /* Mounts and volumes of a component: settings, certificates, token. dict "root" . "component" "scheduler" */ -}}
{{- define "cloudai.mounts" -}}
{{- $values := .root.Values -}}
- {name: settings, mountPath: /etc/cloudai/settings, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if and $values.mongodb.caSecret.name (ne .component "scheduler") }}
- {name: mongodb-ca, mountPath: /etc/cloudai/mongodb, readOnly: true}
{{- end }}
{{- if ne .component "operator" }}
{{- if $values.prometheus.caSecret.name }}
- {name: prometheus-ca, mountPath: /etc/cloudai/prometheus-ca, readOnly: true}
{{- end }}
{{- if $values.prometheus.tokenSecret.name }}
- {name: prometheus-token, mountPath: /etc/cloudai/prometheus-token, readOnly: true}
{{- end }}
{{- end }}
{{- with (index $values .component).extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cloudai.volumes" -}}
{{- $values := .root.Values -}}
- name: settings
  configMap: {name: {{ include "cloudai.fullname" .root }}-{{ .component }}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if and $values.mongodb.caSecret.name (ne .component "scheduler") }}
- name: mongodb-ca
  secret: {secretName: {{ $values.mongodb.caSecret.name }}}
{{- end }}
{{- if ne .component "operator" }}
{{- with $values.prometheus.caSecret.name }}
- name: prometheus-ca
  secret: {secretName: {{ . }}}
{{- end }}
{{- with $values.prometheus.tokenSecret.name }}
- name: prometheus-token
  secret: {secretName: {{ . }}}
{{- end }}
{{- end }}
{{- with (index $values .component).extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Settings that follow from values, merged over what the user sets. */ -}}
{{- define "cloudai.prometheusSettings" -}}
{{- $prometheus := .Values.prometheus -}}
prometheus_url: {{ $prometheus.url | quote }}
prometheus_matchers: {{ $prometheus.matchers | quote }}
prometheus_cluster_label: {{ $prometheus.clusterLabel | quote }}
{{- if $prometheus.tokenSecret.name }}
prometheus_token_file: /etc/cloudai/prometheus-token/{{ $prometheus.tokenSecret.key }}
{{- end }}
{{- if $prometheus.caSecret.name }}
prometheus_ca_file: /etc/cloudai/prometheus-ca/{{ $prometheus.caSecret.key }}
{{- end }}
{{- end -}}

{{- define "cloudai.mongodbSettings" -}}
{{- if .Values.mongodb.uri }}
mongodb_uri: {{ .Values.mongodb.uri | quote }}
{{- end }}
{{- if .Values.mongodb.caSecret.name }}
mongodb_ca_file: /etc/cloudai/mongodb/{{ .Values.mongodb.caSecret.key }}
{{- end }}
{{- end -}}

{{- define "cloudai.schedulerSettings" -}}
scheduler_name: {{ .Values.schedulerName }}
scheduler_names: {{ toJson .Values.schedulerNames }}
mode: {{ .Values.mode }}
namespace: {{ .Release.Namespace }}
leader_elect: true
health_host: 0.0.0.0
health_port: {{ .Values.scheduler.port }}
{{ include "cloudai.prometheusSettings" . }}
{{- with .Values.scheduler.settings }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cloudai.operatorSettings" -}}
scheduler_name: {{ .Values.schedulerName }}
namespace: {{ .Release.Namespace }}
watch_namespaces: {{ toJson .Values.watchNamespaces }}
leader_elect: true
health_host: 0.0.0.0
health_port: {{ .Values.operator.port }}
break_glass_minutes: {{ .Values.operator.breakGlassMinutes }}
{{- include "cloudai.mongodbSettings" . }}
{{- with .Values.operator.settings }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cloudai.optimizerSettings" -}}
scheduler_name: {{ .Values.schedulerName }}
watch_namespaces: {{ toJson .Values.watchNamespaces }}
{{ include "cloudai.prometheusSettings" . }}
{{- include "cloudai.mongodbSettings" . }}
{{- with .Values.optimizer.settings }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The Deployment, its settings, Service and budget: dict "root" . "component" "scheduler" */ -}}
{{- define "cloudai.deployment" -}}
{{- $root := .root -}}
{{- $values := index $root.Values .component -}}
{{- $name := printf "%s-%s" (include "cloudai.fullname" $root) .component -}}
{{- $settings := include (printf "cloudai.%sSettings" .component) $root -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "cloudai.labels" $root | nindent 4 }}
data:
  settings.yaml: |
    {{- $settings | nindent 4 }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "cloudai.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  {{- with $values.replicas }}
  replicas: {{ . }}
  {{- end }}
  revisionHistoryLimit: {{ $values.revisionHistoryLimit }}
  strategy: {{- toYaml $values.strategy | nindent 4 }}
  selector:
    matchLabels: {{- include "cloudai.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "cloudai.selector" . | nindent 8 }}
        {{- with $root.Values.commonLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        checksum/settings: {{ $settings | sha256sum }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "cloudai.account" . }}
      {{- include "cloudai.pod" . | nindent 6 }}
      {{- with default (include "cloudai.priorityClassName" $root) $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- if $values.hostNetwork }}
      hostNetwork: true
      {{- end }}
      topologySpreadConstraints:
        {{- if $values.topologySpreadConstraints }}
        {{- toYaml $values.topologySpreadConstraints | nindent 8 }}
        {{- else }}
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "cloudai.selector" . | nindent 14 }}
        {{- end }}
      terminationGracePeriodSeconds: 30
      containers:
        - name: {{ .component }}
          image: {{ include "cloudai.image" $root }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [cloudai-{{ .component }}]
          args:
            - --config=/etc/cloudai/settings/settings.yaml
            {{- with $values.extraArgs }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- $env := list }}
          {{- if eq .component "operator" }}{{ $env = include "cloudai.mongodbEnv" $root | fromYamlArray }}{{ end }}
          {{- with concat $env $values.extraEnv }}
          env: {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - {name: metrics, containerPort: {{ $values.port }}}
          startupProbe:
            httpGet: {path: /livez, port: metrics}
            periodSeconds: 1
            timeoutSeconds: 5
            failureThreshold: 120
          livenessProbe:
            httpGet: {path: /livez, port: metrics}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /readyz, port: metrics}
            periodSeconds: 5
            timeoutSeconds: 5
          securityContext: {{- include "cloudai.containerSecurity" $root | nindent 12 }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          volumeMounts: {{- include "cloudai.mounts" . | nindent 12 }}
      volumes: {{- include "cloudai.volumes" . | nindent 8 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}-metrics
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "cloudai.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  clusterIP: None
  selector: {{- include "cloudai.selector" . | nindent 4 }}
  ports:
    - {name: metrics, port: {{ $values.port }}, targetPort: metrics}
{{- if and $values.podDisruptionBudget.enabled (gt (int $values.replicas) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "cloudai.labels" $root | nindent 4 }}
spec:
  maxUnavailable: {{ $values.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels: {{- include "cloudai.selector" . | nindent 6 }}
{{- end }}
{{- end -}}

{{- /* Namespaces whose Tasks this release handles, for a policy's binding. */ -}}
{{- define "cloudai.watched" -}}
{{- if .Values.watchNamespaces -}}
matchResources:
  namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values: {{ toJson (append .Values.watchNamespaces .Release.Namespace | uniq) }}
{{- end -}}
{{- end -}}

{{- /* API version of MutatingAdmissionPolicy that this cluster serves; empty: none. */ -}}
{{- define "cloudai.mutatingApi" -}}
{{- range $version := list "v1" "v1beta1" -}}
{{- if and ($.Capabilities.APIVersions.Has (printf "admissionregistration.k8s.io/%s/MutatingAdmissionPolicy" $version)) -}}
admissionregistration.k8s.io/{{ $version }} {{ end -}}
{{- end -}}
{{- end -}}

{{- /* What a pod of ours gets so that it may use the nodes that are kept for us, and those of GPUs must. */ -}}
{{- define "cloudai.poolVariables" -}}
variables:
  - name: asksForGpu
    expression: >-
      object.spec.containers.exists(c, has(c.resources) && has(c.resources.limits) &&
      c.resources.limits.exists(r, r.endsWith('/gpu') || r.startsWith('nvidia.com/mig-')))
  - name: tolerates
    expression: "has(object.spec.tolerations) && object.spec.tolerations.exists(t, has(t.key) && t.key == '{{ .Values.gpuNodePool.key }}')"
{{- end -}}

{{- define "cloudai.poolMutations" -}}
{{- $pool := .Values.gpuNodePool -}}
- patchType: JSONPatch
  jsonPatch:
    expression: >-
      variables.tolerates ? [] : [JSONPatch{op: "add",
      path: has(object.spec.tolerations) ? "/spec/tolerations/-" : "/spec/tolerations",
      value: has(object.spec.tolerations)
      ? dyn({"key": "{{ $pool.key }}", "operator": "Equal", "value": "{{ $pool.value }}", "effect": "NoSchedule"})
      : dyn([{"key": "{{ $pool.key }}", "operator": "Equal", "value": "{{ $pool.value }}", "effect": "NoSchedule"}])}]
{{- if $pool.required }}
- patchType: JSONPatch
  jsonPatch:
    expression: >-
      variables.asksForGpu && !(has(object.spec.nodeSelector) && "{{ $pool.key }}" in object.spec.nodeSelector)
      ? [JSONPatch{op: "add",
      path: has(object.spec.nodeSelector) ? "/spec/nodeSelector/" + jsonpatch.escapeKey("{{ $pool.key }}") : "/spec/nodeSelector",
      value: has(object.spec.nodeSelector) ? dyn("{{ $pool.value }}") : dyn({"{{ $pool.key }}": "{{ $pool.value }}"})}] : []
{{- end }}
{{- end -}}
