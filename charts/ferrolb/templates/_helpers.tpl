{{/*
Object names are fixed, whatever the release is called: a cluster has one FerroLB, and the names of
the ClusterRoles make helm refuse a second.
*/}}

{{- define "ferrolb.labels" -}}
app.kubernetes.io/name: ferrolb
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "ferrolb.gossipSecret" -}}
{{ .Values.gossip.existingSecret | default "ferrolb-gossip" }}
{{- end }}
