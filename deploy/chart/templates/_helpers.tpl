{{- /* What several objects share: names, labels, images, the ledger's address, and how safe a pod is. */ -}}

{{- define "cellfleet.name" -}}
{{- if .Values.nameOverride -}}
{{- .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "cellfleet" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-cellfleet" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Call the next two with (list . "component"). */ -}}
{{- define "cellfleet.labels" -}}
{{ include "cellfleet.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end -}}

{{- define "cellfleet.selector" -}}
app.kubernetes.io/name: cellfleet
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "cellfleet.account" -}}
{{- .Values.serviceAccount.name | default (ternary (include "cellfleet.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "cellfleet.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "cellfleet.gpuImage" -}}
{{ include "cellfleet.image" . }}{{ .Values.image.gpuSuffix }}
{{- end -}}

{{- /* The ledger: where KEDA and pods find it. */ -}}
{{- define "cellfleet.ledgerHost" -}}
{{- if .Values.ledger.url -}}
{{- with (urlParse .Values.ledger.url).host -}}{{ ternary . (printf "%s:6379" .) (contains ":" .) }}{{- end -}}
{{- else -}}
{{- include "cellfleet.name" . }}-ledger:6379
{{- end -}}
{{- end -}}

{{- define "cellfleet.ledgerDatabase" -}}
{{- if .Values.ledger.url -}}
{{- (urlParse .Values.ledger.url).path | trimPrefix "/" | default "0" -}}
{{- else -}}
0
{{- end -}}
{{- end -}}

{{- define "cellfleet.ledgerUser" -}}
{{- if .Values.ledger.url -}}{{- (urlParse .Values.ledger.url).userinfo -}}{{- end -}}
{{- end -}}

{{- define "cellfleet.ledgerTls" -}}
{{- hasPrefix "rediss:" .Values.ledger.url -}}
{{- end -}}

{{- /* The environment of `cellfleet COMMAND`, which takes options from it. Call with (list . "COMMAND"). */ -}}
{{- define "cellfleet.environment" -}}
{{- $root := index . 0 -}}
{{- $prefix := printf "CELLFLEET_%s" (upper (index . 1)) -}}
- {name: HOME, value: /tmp}
- {name: CELLFLEET_CACHE, value: /tmp/cache}
- {name: CELLFLEET_LOG, value: {{ $root.Values.log }}}
- {name: {{ $prefix }}_STORE, value: {{ include "cellfleet.store" $root }}}
{{- if not (has (index . 1) (list "triton" "trainer")) }}
{{- with $root.Values.ledger.existingSecret }}
- name: LEDGER_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ . }}, key: password}}
{{- end }}
- name: {{ $prefix }}_LEDGER
  value: {{ include "cellfleet.ledgerUrl" $root | quote }}
{{- end }}
{{- range $name, $value := $root.Values.store.environment }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{- define "cellfleet.ledgerUrl" -}}
{{- $who := include "cellfleet.ledgerUser" . -}}
{{- if .Values.ledger.existingSecret -}}
{{- $who = printf "%s:$(LEDGER_PASSWORD)" $who -}}
{{- end -}}
{{- if $who -}}
{{- $who = printf "%s@" $who -}}
{{- end -}}
{{- $scheme := ternary "rediss" "redis" (eq (include "cellfleet.ledgerTls" .) "true") -}}
{{- printf "%s://%s%s/%s" $scheme $who (include "cellfleet.ledgerHost" .) (include "cellfleet.ledgerDatabase" .) -}}
{{- end -}}

{{- define "cellfleet.store" -}}
{{- if .Values.store.url -}}
{{- .Values.store.url -}}
{{- else if .Values.store.existingClaim -}}
/store
{{- else -}}
{{- fail "Say where images and results are to be kept: set store.url to a bucket, as s3://lab/cellfleet, or store.existingClaim to a volume claim." -}}
{{- end -}}
{{- end -}}

{{- define "cellfleet.envFrom" -}}
{{- with .Values.store.existingSecret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end -}}

{{- /* Volumes of a pod of cellfleet. Call with (list . scratchSize). */ -}}
{{- define "cellfleet.volumes" -}}
- name: scratch
  emptyDir: {sizeLimit: {{ index . 1 }}}
{{- if (index . 0).Values.store.existingClaim }}
- name: store
  persistentVolumeClaim: {claimName: {{ (index . 0).Values.store.existingClaim }}}
{{- end }}
{{- end -}}

{{- define "cellfleet.mounts" -}}
- {name: scratch, mountPath: /tmp}
{{- if .Values.store.existingClaim }}
- {name: store, mountPath: /store}
{{- end }}
{{- end -}}

{{- /* Nobody is root, and nothing but the mounted volumes can be written. */ -}}
{{- define "cellfleet.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "cellfleet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* What all pods of cellfleet begin with. `enableServiceLinks` would set variables that its options are named like. */ -}}
{{- define "cellfleet.podBasics" -}}
enableServiceLinks: false
automountServiceAccountToken: false
serviceAccountName: {{ include "cellfleet.account" . }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "cellfleet.podSecurity" . | nindent 2 }}
{{- end -}}

{{- /* Resources with GPUs added. Call with (list resources gpus). */ -}}
{{- define "cellfleet.resources" -}}
{{- $resources := deepCopy (index . 0) -}}
{{- if gt (int (index . 1)) 0 -}}
{{- $gpus := dict "limits" (dict "nvidia.com/gpu" (int (index . 1))) -}}
{{- $resources = merge $resources $gpus -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- /*
Where pods that come and go may run. Call with (list . settings gpus): `settings` has nodeSelector, tolerations, spot, type.
A node that has gone is given up after 30 seconds, not 300: its work waits.
*/ -}}
{{- define "cellfleet.placement" -}}
{{- $root := index . 0 -}}
{{- $settings := index . 1 -}}
{{- $gpus := gt (int (index . 2)) 0 -}}
{{- $platform := $root.Values.platform -}}
{{- $selector := dict -}}
{{- if and $gpus (eq $platform "gke") $settings.type -}}
{{- $selector = dict "cloud.google.com/gke-accelerator" $settings.type -}}
{{- end -}}
{{- with merge (deepCopy $settings.nodeSelector) $selector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
tolerations:
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 30}
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 30}
  {{- if $gpus }}
  - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
  {{- end }}
  {{- if $settings.spot }}
  - {key: cloud.google.com/gke-spot, operator: Exists, effect: NoSchedule}
  - {key: kubernetes.azure.com/scalesetpriority, operator: Equal, value: spot, effect: NoSchedule}
  - {key: cellfleet/spot, operator: Exists, effect: NoSchedule}
  {{- end }}
  {{- with $settings.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* Node affinity for spot machines, as the platform marks them. Call with (list . settings); may be empty. */ -}}
{{- define "cellfleet.spotNodes" -}}
{{- $marks := dict "gke" (list "cloud.google.com/gke-spot" "true") "aks" (list "kubernetes.azure.com/scalesetpriority" "spot") "eks" (list "eks.amazonaws.com/capacityType" "SPOT") -}}
{{- $platform := (index . 0).Values.platform -}}
{{- if and (index . 1).spot (hasKey $marks $platform) -}}
{{- $mark := get $marks $platform -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions:
          - {key: {{ index $mark 0 }}, operator: In, values: [{{ index $mark 1 | quote }}]}
{{- end -}}
{{- end -}}
