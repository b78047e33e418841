//! What an order's pod template may ask for: what stays inside of its World, and what the installation allows by name.

use k8s_openapi::api::core::v1::Toleration;
use manyworlds_api::labels::EXTRA_LABEL_PREFIX;
use manyworlds_api::work_order::{PodTemplate, WorkOrderSpec};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What the pod templates of an installation's orders may ask for.
///
/// A name that ends with `*` stands for all that begin like it. An empty folder as a volume, and the Secrets that the kubelet
/// pulls images with, are always allowed: the first goes with the pod, and no pod sees the second.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PodTemplateRules {
    /// Keys of labels, besides those that begin with [`EXTRA_LABEL_PREFIX`].
    pub allowed_labels: Vec<String>,
    /// Keys of annotations.
    pub allowed_annotations: Vec<String>,
    /// Keys of labels of nodes, for `nodeSelector`.
    pub allowed_node_labels: Vec<String>,
    /// Tolerations. One without an effect stands for all effects, and one of the operator Exists for all values.
    pub allowed_tolerations: Vec<Toleration>,
    /// The parts of an affinity, such as `nodeAffinity`.
    pub allowed_affinity: Vec<String>,
    /// Runtime classes.
    pub allowed_runtime_classes: Vec<String>,
    /// Priority classes.
    pub allowed_priority_classes: Vec<String>,
    /// Schedulers.
    pub allowed_schedulers: Vec<String>,
    /// ConfigMaps of the order's namespace, for volumes.
    pub allowed_config_maps: Vec<String>,
    /// Claims of the order's namespace, for volumes.
    pub allowed_persistent_volume_claims: Vec<String>,
}

impl Default for PodTemplateRules {
    /// Returns the rules of a default installation: a choice of nodes, which their taints limit, and ConfigMaps whose name
    /// says that they are for Worlds.
    fn default() -> Self {
        Self {
            allowed_labels: Vec::new(),
            allowed_annotations: Vec::new(),
            allowed_node_labels: vec!["*".to_owned()],
            allowed_tolerations: Vec::new(),
            allowed_affinity: vec!["nodeAffinity".to_owned()],
            allowed_runtime_classes: Vec::new(),
            allowed_priority_classes: Vec::new(),
            allowed_schedulers: Vec::new(),
            allowed_config_maps: vec!["manyworlds-*".to_owned()],
            allowed_persistent_volume_claims: Vec::new(),
        }
    }
}

impl PodTemplateRules {
    /// Returns the first thing that an order's pod template asks for and may not have, and what to do about it.
    pub fn refusal(&self, spec: &WorkOrderSpec) -> Option<String> {
        let template = spec.worker.pod_template.as_ref()?;
        let refused = self.asked(template).into_iter().find(|asked| !asked.is_allowed());
        refused.map(Asked::refusal).or_else(|| self.refused_toleration(&template.tolerations))
    }

    /// Returns everything that a pod template asks for by a name.
    fn asked<'a>(&'a self, template: &'a PodTemplate) -> Vec<Asked<'a>> {
        let PodTemplate {
            labels,
            annotations,
            node_selector,
            tolerations: _,
            affinity,
            image_pull_secrets: _,
            runtime_class_name,
            priority_class_name,
            scheduler_name,
            volumes,
        } = template;
        let affinity = affinity.as_ref().and_then(Value::as_object).into_iter().flat_map(Map::keys);
        let config_maps = volumes.iter().filter_map(|volume| Some(&volume.config_map.as_ref()?.name));
        let claims = volumes.iter().filter_map(|volume| Some(&volume.persistent_volume_claim.as_ref()?.claim_name));
        let labels = labels.keys().filter(|key| !key.starts_with(EXTRA_LABEL_PREFIX));
        let mut asked: Vec<Asked<'a>> = Vec::new();
        asked.extend(ask(LABELS, labels, "allowedLabels", &self.allowed_labels));
        asked.extend(ask("annotations", annotations.keys(), "allowedAnnotations", &self.allowed_annotations));
        asked.extend(ask("nodeSelector", node_selector.keys(), "allowedNodeLabels", &self.allowed_node_labels));
        asked.extend(ask("affinity", affinity, "allowedAffinity", &self.allowed_affinity));
        let (runtime_class, allowed) = (runtime_class_name.iter(), &self.allowed_runtime_classes);
        asked.extend(ask("runtimeClassName", runtime_class, "allowedRuntimeClasses", allowed));
        let (priority_class, allowed) = (priority_class_name.iter(), &self.allowed_priority_classes);
        asked.extend(ask("priorityClassName", priority_class, "allowedPriorityClasses", allowed));
        asked.extend(ask("schedulerName", scheduler_name.iter(), "allowedSchedulers", &self.allowed_schedulers));
        asked.extend(ask("volumes[].configMap", config_maps, "allowedConfigMaps", &self.allowed_config_maps));
        let allowed = &self.allowed_persistent_volume_claims;
        asked.extend(ask("volumes[].persistentVolumeClaim", claims, "allowedPersistentVolumeClaims", allowed));
        asked
    }

    fn refused_toleration(&self, asked: &[Toleration]) -> Option<String> {
        let is_allowed = |asked: &Toleration| self.allowed_tolerations.iter().any(|allowed| covers(allowed, asked));
        let refused = asked.iter().find(|asked| !is_allowed(asked))?;
        let taint = match refused.key.as_deref() {
            None | Some("") => "every taint".to_owned(),
            Some(key) => format!("the taint {key:?}"),
        };
        Some(format!(
            "worker.podTemplate.tolerations tolerates {taint} in a way that this installation does not allow; leave it out, or have it added to worlds.podTemplate.allowedTolerations of the chart"
        ))
    }
}

/// The field of labels, which has names that are free.
const LABELS: &str = "labels";

/// One thing that a pod template asks for.
struct Asked<'a> {
    /// Its field in the pod template.
    field: &'static str,
    /// What is asked for.
    name: &'a str,
    /// The value of the chart that allows it.
    value: &'static str,
    /// The names that are allowed.
    allowed: &'a [String],
}

/// Returns what one field asks for.
///
/// - **Shape:** `value` is the value of the chart that allows it, and `allowed` what that says.
fn ask<'a>(
    field: &'static str,
    names: impl Iterator<Item = &'a String>,
    value: &'static str,
    allowed: &'a [String],
) -> impl Iterator<Item = Asked<'a>> {
    names.map(move |name| Asked { field, name, value, allowed })
}

impl Asked<'_> {
    fn is_allowed(&self) -> bool {
        self.allowed.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(beginning) => self.name.starts_with(beginning),
            None => allowed == self.name,
        })
    }

    fn refusal(self) -> String {
        let Self { field, name, value, allowed: _ } = self;
        let advice = if field == LABELS {
            format!("use a key that begins with {EXTRA_LABEL_PREFIX}")
        } else {
            "leave it out".to_owned()
        };
        format!(
            "worker.podTemplate.{field} asks for {name:?}, which this installation does not allow; {advice}, or have it added to worlds.podTemplate.{value} of the chart"
        )
    }
}

/// Returns whether a toleration tolerates all that another one does, for as long.
fn covers(allowed: &Toleration, asked: &Toleration) -> bool {
    let (wide, narrow) = (Tolerated::of(allowed), Tolerated::of(asked));
    let takes_all_values = wide.operator == EXISTS;
    let key = wide.key == narrow.key || (wide.key.is_empty() && takes_all_values);
    let value = takes_all_values || (wide.operator == narrow.operator && wide.value == narrow.value);
    let effect = wide.effect.is_empty() || wide.effect == narrow.effect;
    let is_shorter = |most: i64| asked.toleration_seconds.is_some_and(|seconds| seconds <= most);
    key && value && effect && allowed.toleration_seconds.is_none_or(is_shorter)
}

/// The operator of a toleration of all values.
const EXISTS: &str = "Exists";

/// A toleration as the scheduler reads it: an empty text is the same as none.
struct Tolerated<'a> {
    key: &'a str,
    operator: &'a str,
    value: &'a str,
    effect: &'a str,
}

impl<'a> Tolerated<'a> {
    fn of(toleration: &'a Toleration) -> Self {
        let Toleration { effect, key, operator, toleration_seconds: _, value } = toleration;
        Self {
            key: key.as_deref().unwrap_or_default(),
            operator: operator.as_deref().filter(|operator| !operator.is_empty()).unwrap_or("Equal"),
            value: value.as_deref().unwrap_or_default(),
            effect: effect.as_deref().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(rules: Value, template: &Value) -> Option<String> {
        let rules: PodTemplateRules = serde_json::from_value(rules).unwrap();
        let spec: WorkOrderSpec = serde_json::from_value(json!({
            "source": { "git": { "url": "https://host/repository" } },
            "task": { "title": "Fix it" },
            "worker": { "podTemplate": template },
        }))
        .unwrap();
        rules.refusal(&spec)
    }

    #[test]
    fn what_harms_nobody_else_needs_no_leave() {
        let template = json!({
            "labels": { "label.manyworlds.dev/team": "a" },
            "imagePullSecrets": [{ "name": "registry" }],
            "nodeSelector": { "kubernetes.io/arch": "amd64" },
            "affinity": { "nodeAffinity": {} },
            "volumes": [
                { "name": "cache", "mountPath": "/cache", "emptyDir": {} },
                { "name": "tools", "mountPath": "/opt/tools", "configMap": { "name": "manyworlds-tools" } },
            ],
        });
        assert_eq!(refusal(json!({}), &template), None);
        assert_eq!(refusal(json!({}), &json!({})), None);
    }

    #[test]
    fn everything_else_is_refused_by_field_name_and_value_unless_it_is_allowed() {
        let config_map = json!([{ "name": "a", "mountPath": "/a", "configMap": { "name": "theirs" } }]);
        let claim = json!([{ "name": "a", "mountPath": "/a", "persistentVolumeClaim": { "claimName": "data" } }]);
        let cases = [
            ("labels", json!({ "app": "payments" }), "app", "allowedLabels"),
            (
                "annotations",
                json!({ "sidecar.istio.io/inject": "true" }),
                "sidecar.istio.io/inject",
                "allowedAnnotations",
            ),
            ("nodeSelector", json!({ "kubernetes.io/hostname": "n" }), "kubernetes.io/hostname", "allowedNodeLabels"),
            ("affinity", json!({ "podAntiAffinity": {} }), "podAntiAffinity", "allowedAffinity"),
            ("runtimeClassName", json!("kata"), "kata", "allowedRuntimeClasses"),
            ("priorityClassName", json!("urgent"), "urgent", "allowedPriorityClasses"),
            ("schedulerName", json!("mine"), "mine", "allowedSchedulers"),
            ("volumes", config_map, "theirs", "allowedConfigMaps"),
            ("volumes", claim, "data", "allowedPersistentVolumeClaims"),
        ];
        for (field, asked, name, value) in cases {
            let template = json!({ field: asked });
            let refused = refusal(json!({ value: [] }), &template).unwrap();
            for part in
                [format!("worker.podTemplate.{field}"), format!("{name:?}"), format!("worlds.podTemplate.{value}")]
            {
                assert!(refused.contains(&part), "{part} is missing in: {refused}");
            }
            assert_eq!(refusal(json!({ value: [name] }), &template), None, "{value}");
            assert_eq!(refusal(json!({ value: [format!("{}*", &name[..1])] }), &template), None, "{value}");
            assert!(refusal(json!({ value: [format!("{name}s")] }), &template).is_some(), "{value}");
        }
    }

    #[test]
    fn the_way_out_for_a_label_is_a_name_that_nobody_else_selects_by() {
        let refused = refusal(json!({}), &json!({ "labels": { "app": "payments" } })).unwrap();
        assert!(refused.contains("begins with label.manyworlds.dev/"), "{refused}");
    }

    #[test]
    fn a_toleration_is_allowed_by_one_that_tolerates_as_much() {
        let gpu = json!({ "key": "gpu", "operator": "Equal", "value": "a", "effect": "NoSchedule" });
        let allows = |allowed: Value, asked: &Value| {
            refusal(json!({ "allowedTolerations": [allowed] }), &json!({ "tolerations": [asked] })).is_none()
        };
        assert!(allows(gpu.clone(), &gpu));
        assert!(
            allows(gpu.clone(), &json!({ "key": "gpu", "value": "a", "effect": "NoSchedule" })),
            "Equal is the default"
        );
        assert!(allows(json!({ "key": "gpu", "operator": "Exists" }), &gpu));
        assert!(allows(json!({ "operator": "Exists" }), &gpu));
        for wider in [
            json!({ "operator": "Exists" }),
            json!({ "key": "gpu", "operator": "Exists", "effect": "NoSchedule" }),
            json!({ "key": "gpu", "operator": "Equal", "value": "a" }),
            json!({ "key": "gpu", "operator": "Equal", "value": "b", "effect": "NoSchedule" }),
            json!({ "key": "other", "operator": "Equal", "value": "a", "effect": "NoSchedule" }),
        ] {
            assert!(!allows(gpu.clone(), &wider), "{wider}");
        }
        let minute = json!({ "key": "slow", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60 });
        assert!(allows(minute.clone(), &minute));
        assert!(!allows(minute, &json!({ "key": "slow", "operator": "Exists", "effect": "NoExecute" })), "for ever");
        let refused = refusal(json!({}), &json!({ "tolerations": [gpu] })).unwrap();
        assert!(refused.contains("\"gpu\"") && refused.contains("worlds.podTemplate.allowedTolerations"), "{refused}");
    }
}
