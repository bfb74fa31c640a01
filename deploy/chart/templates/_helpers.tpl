{{/* What several templates use: names, labels, the image, which settings come from files. */}}

{{- define "windlass.name" -}}
{{- default "windlass" .Values.fullnameOverride -}}
{{- end }}

{{- define "windlass.labels" -}}
app.kubernetes.io/name: {{ include "windlass.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "windlass.selector" -}}
app.kubernetes.io/name: {{ include "windlass.name" . }}
{{- end }}

{{- define "windlass.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}{{ with $image.tag }}:{{ . }}{{ end }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end }}
{{- end }}

{{- define "windlass.secret" -}}
{{- default (include "windlass.name" .) .Values.secret.name -}}
{{- end }}

{{/* Empty where GitHub sends no webhooks. */}}
{{- define "windlass.webhook" -}}
{{- if or (not .Values.previewOnly.enabled) .Values.previewOnly.webhook -}}
true
{{- end }}
{{- end }}

{{/* The ConfigMap with the projects; empty where the names of config repositories are all there is. */}}
{{- define "windlass.projects" -}}
{{- if .Values.projectsConfigMap -}}
{{ .Values.projectsConfigMap }}
{{- else if or .Values.projects (not .Values.configRepositories) -}}
{{ include "windlass.name" . }}-projects
{{- end }}
{{- end }}

{{/* NAME=FILE#CONTEXT for each cluster, with commas. */}}
{{- define "windlass.clusters" -}}
{{- $all := list -}}
{{- range $name, $cluster := .Values.clusters -}}
{{- $file := default (printf "/etc/windlass-clusters/%s" $name) $cluster.file -}}
{{- $all = append $all (printf "%s=%s%s" $name $file (empty $cluster.context | ternary "" (printf "#%s" (default "" $cluster.context)))) -}}
{{- end -}}
{{- join "," $all -}}
{{- end }}

{{/* NAME:KEY=VALUE for each label of a cluster, with commas. */}}
{{- define "windlass.clusterLabels" -}}
{{- $all := list -}}
{{- range $key, $value := .Values.localLabels -}}
{{- $all = append $all (printf "local:%s=%s" $key $value) -}}
{{- end -}}
{{- range $name, $cluster := .Values.clusters -}}
{{- range $key, $value := $cluster.labels -}}
{{- $all = append $all (printf "%s:%s=%s" $name $key $value) -}}
{{- end -}}
{{- end -}}
{{- join "," $all -}}
{{- end }}

{{/* A name of files/rbac.yaml, as it is in this installation: windlass, or windlass-SOMETHING. */}}
{{- define "windlass.renamed" -}}
{{- $name := include "windlass.name" .context -}}
{{- if or (eq .name "windlass") (hasPrefix "windlass-" .name) -}}
{{ printf "%s%s" $name (trimPrefix "windlass" .name) }}
{{- else -}}
{{ .name }}
{{- end }}
{{- end }}

{{/* Rules, reduced to reading. */}}
{{- define "windlass.reading" -}}
{{- $reading := list -}}
{{- range $rule := . -}}
{{- $verbs := list -}}
{{- range $verb := $rule.verbs -}}
{{- if has $verb (list "get" "list" "watch") -}}
{{- $verbs = append $verbs $verb -}}
{{- end -}}
{{- end -}}
{{- if $verbs -}}
{{- $reading = append $reading (merge (dict "verbs" $verbs) (omit $rule "verbs")) -}}
{{- end -}}
{{- end -}}
{{- toYaml $reading -}}
{{- end }}
