{{- /*
The formulas that KEDA evaluates (https://expr-lang.org), and the triggers that give them their words. Each is a number
with a decimal point: KEDA stops at a whole one. tests/contract/test_chart_autoscaling.py holds them against
src/cellfleet/planning/policies.py.

A stream's length is what is queued and in flight, because an entry goes when its task has ended; so a worker that works is
never taken for idle. The group's lag will not do: Redis does not know it any more once a task has ended while an older
one runs. Nor will the pending entries alone: there are none as long as there is no worker.
*/ -}}

{{- define "cellfleet.priorities" -}}
interactive normal batch
{{- end -}}

{{- define "cellfleet.workFormula" -}}
interactive + normal + batch
{{- end -}}

{{- /* Pending entries of tasks that were given back count as taken; they are few, and for seconds. */ -}}
{{- define "cellfleet.waitingFormula" -}}
interactive + normal + batch - interactiveTaken - normalTaken - batchTaken
{{- end -}}

{{- /*
Servers: how busy their GPUs are, percent, as long as there is work. Never 0 then: from none, the first server comes by
that, and 1 of 70 percent asks for no second one.
*/ -}}
{{- define "cellfleet.serversFormula" -}}
{{ include "cellfleet.workFormula" . }} > 0.0 ? max(gpu, 1.0) : 0.0
{{- end -}}

{{- /*
Consumers: the smaller of the GPUs' slack and the keys that wait per consumer, up to the bound of consumers per server;
beyond it a constant. Never 0 while tasks are in flight, or the last consumer would be taken away with one.
*/ -}}
{{- define "cellfleet.consumersFormula" -}}
{{- $reading := get (fromYaml (include "cellfleet.readings" .)) .Values.autoscaling.paper.reading -}}
{{- $bound := printf "%.1f" (float64 .Values.autoscaling.paper.consumersPerServer) -}}
{{- $keys := printf "(%s) / max(consumers, 1.0) / %.1f" (include "cellfleet.waitingFormula" .) (float64 $reading.divisor) -}}
{{- $within := printf "consumers %s %s * servers" $reading.within $bound -}}
{{- $metric := printf "%s ? min(1.0 - gpu / 100.0, min(%s, 1.0)) : %v" $within $keys $reading.beyond -}}
servers > 0.0 && {{ include "cellfleet.workFormula" . }} > 0.0 ? max({{ $metric }}, 0.001) : 0.0
{{- end -}}

{{- /* What paper and installed rules say where they differ: see policies.py. */ -}}
{{- define "cellfleet.readings" -}}
code: {divisor: 100, within: "<=", beyond: 0.1125}
paper-tenth: {divisor: 10, within: "<", beyond: 0.135}
paper-plain: {divisor: 1, within: "<", beyond: 0.135}
{{- end -}}

{{- /* Triggers: lengths of the streams. Call with (list . false), or with true for the entries that are taken. */ -}}
{{- define "cellfleet.streamTriggers" -}}
{{- $root := index . 0 -}}
{{- $taken := index . 1 -}}
{{- range splitList " " (include "cellfleet.priorities" $root) }}
- type: redis-streams
  name: {{ . }}{{ if $taken }}Taken{{ end }}
  metadata:
    address: {{ include "cellfleet.ledgerHost" $root | quote }}
    databaseIndex: {{ include "cellfleet.ledgerDatabase" $root | quote }}
    enableTLS: {{ include "cellfleet.ledgerTls" $root | quote }}
    {{- with include "cellfleet.ledgerUser" $root }}
    username: {{ . | quote }}
    {{- end }}
    stream: cellfleet:tasks:{{ . }}
    {{- if $taken }}
    consumerGroup: workers
    pendingEntriesCount: "1"
    {{- else }}
    streamLength: "1"
    {{- end }}
  {{- if $root.Values.ledger.existingSecret }}
  authenticationRef: {name: {{ include "cellfleet.name" $root }}-ledger}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "cellfleet.gpuTrigger" -}}
{{- $pods := printf "namespace=%q, pod=~%q" .Release.Namespace (printf "%s-triton-.*" (include "cellfleet.name" .)) -}}
- type: prometheus
  name: gpu
  metadata:
    serverAddress: {{ required "The policy paper asks a Prometheus how busy the GPUs are: set autoscaling.prometheus to its address." .Values.autoscaling.prometheus | quote }}
    query: {{ printf "100 * avg(nv_gpu_utilization{%s}) or vector(0)" $pods | quote }}
    threshold: {{ .Values.autoscaling.paper.gpuTarget | quote }}
{{- end -}}

{{- /* How many pods there are. Call with (list . name component). */ -}}
{{- define "cellfleet.podsTrigger" -}}
{{- $labels := include "cellfleet.selector" (list (index . 0) (index . 2)) | fromYaml -}}
{{- $selector := list -}}
{{- range $key, $value := $labels -}}
{{- $selector = append $selector (printf "%s=%s" $key $value) -}}
{{- end -}}
- type: kubernetes-workload
  name: {{ index . 1 }}
  metadata:
    podSelector: {{ join "," $selector | quote }}
    value: "1"
{{- end -}}
