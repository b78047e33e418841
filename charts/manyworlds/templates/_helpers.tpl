{{/* Prefix of the objects' names, at most 47 characters so that the longest suffix fits into 63. */}}
{{- define "manyworlds.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 47 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 47 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 47 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels by which the operator's pod is found. They never change: a Deployment's selector is immutable. */}}
{{- define "manyworlds.selectorLabels" -}}
app.kubernetes.io/name: manyworlds
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Labels of every object. */}}
{{- define "manyworlds.labels" -}}
{{ include "manyworlds.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* Name of the operator's ServiceAccount. */}}
{{- define "manyworlds.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "manyworlds.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Reference of an image: dict "image" VALUES "version" APPVERSION. */}}
{{- define "manyworlds.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .version .image.tag }}
{{- end -}}
{{- end -}}

{{/* What the operator does with the objects of a namespace that it works in. */}}
{{- define "manyworlds.namespaceRules" -}}
- apiGroups: [manyworlds.dev]
  resources: [workorders]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [manyworlds.dev]
  resources: [worlds]
  verbs: [get, list, watch, create, delete]
- apiGroups: [manyworlds.dev]
  resources: [providers, budgets]
  verbs: [get, list, watch]
- apiGroups: [manyworlds.dev]
  resources: [workorders/status, worlds/status, providers/status, budgets/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* The claim of the ledger's SQLite file; empty where there is no such file, or it has no claim of its own. */}}
{{- define "manyworlds.ledgerClaim" -}}
{{- if and .Values.gateway.enabled (not .Values.ledger.urlSecret.name) -}}
{{- .Values.ledger.existingClaim -}}
{{- end -}}
{{- end -}}
