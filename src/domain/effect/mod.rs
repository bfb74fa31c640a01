//! The effect of a change on running workloads, in sentences: a reviewer need not
//! derive it from the diff.
//!
//! `rollout`: pods that are replaced. `scaling`: how many pods there are.
//! `configuration`: which pods read a changed object. `budget`: disruption budgets.

use std::collections::BTreeSet;

use serde_json::Value;

use super::manifest::ResourceKey;
use super::plan::{Action, Change, Plan};
use crate::domain::mask::Masked;

mod budget;
mod configuration;
mod rollout;
mod scaling;
#[cfg(test)]
mod tests;

use configuration::{is_hashed, named_by_pods};
use rollout::{rollout, rolls, stops_first};
use scaling::{autoscaled, pods_end, replicas, scaling};

pub use budget::budget;
pub use rollout::{is_between_versions, pods_rolled, ready_pods_of, replaces_pods, stops_all};

/// A sentence about one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    pub key: ResourceKey,
    pub text: String,
    /// Data is lost, or may be; or everything of it stops for a while.
    pub grave: bool,
}

impl Effect {
    fn new(change: &Change, text: impl Into<String>) -> Self {
        Self {
            key: change.key.clone(),
            text: text.into(),
            grave: false,
        }
    }

    fn grave(change: &Change, text: impl Into<String>) -> Self {
        Self {
            grave: true,
            ..Self::new(change, text)
        }
    }
}

/// The effects of a plan on running workloads.
pub fn effects(plan: &Plan) -> Vec<Effect> {
    let context = Context {
        named: named_by_pods(plan),
        all: plan
            .effective()
            .filter(|change| change.problem.is_none() && !change.is_hook())
            .collect(),
        deletes_last: !plan.applied_by_others,
    };
    context
        .all
        .iter()
        .flat_map(|change| of(&context, change))
        .collect()
}

/// The plan that a change is a part of.
struct Context<'a> {
    /// All names in the pod templates of workloads that roll out, with their namespace.
    named: BTreeSet<(Option<&'a str>, &'a str)>,
    all: Vec<&'a Change>,
    /// Whether what leaves Git is deleted once the rest is healthy, as windlass does it.
    deletes_last: bool,
}

impl<'a> Context<'a> {
    /// The next generation of configuration whose name ends in kustomize's hash of its content.
    fn successor(&self, change: &Change) -> Option<&'a Change> {
        let key = &change.key;
        let is_configuration = key.is_core("ConfigMap") || key.is_core("Secret");
        let stem = |name: &'_ str| {
            let (stem, _) = name.rsplit_once('-')?;
            (is_configuration && is_hashed(name)).then(|| stem.to_string())
        };
        let own = stem(&key.name)?;
        self.all.iter().copied().find(|other| {
            other.action == Action::Create
                && (&other.key.kind, &other.key.namespace) == (&key.kind, &key.namespace)
                && stem(&other.key.name).as_ref() == Some(&own)
        })
    }

    /// The object that this one replaces under another name: a pruned object of the same kind and
    /// namespace, with the same containers.
    fn predecessor(&self, change: &Change) -> Option<&'a Change> {
        fn containers(side: &Option<Masked>) -> Option<BTreeSet<&str>> {
            let containers = side.as_ref()?["spec"]["template"]["spec"]["containers"].as_array()?;
            Some(
                containers
                    .iter()
                    .map(|container| container["name"].as_str().unwrap_or_default())
                    .collect(),
            )
        }
        let own = containers(&change.after)?;
        self.all.iter().copied().find(|other| {
            other.key.kind == change.key.kind
                && other.key.namespace == change.key.namespace
                && other.action == Action::Prune
                && containers(&other.before).is_some_and(|theirs| theirs == own)
        })
    }
}

/// The configuration that a plan deletes since another generation of it takes its place.
pub fn replaced(plan: &Plan) -> Vec<&ResourceKey> {
    let context = Context {
        named: BTreeSet::new(),
        all: plan.effective().collect(),
        deletes_last: !plan.applied_by_others,
    };
    let all = context.all.iter();
    all.filter(|change| change.action == Action::Prune && context.successor(change).is_some())
        .map(|change| &change.key)
        .collect()
}

fn of(context: &Context<'_>, change: &Change) -> Vec<Effect> {
    let by_action = match change.action {
        Action::Create => created(context, change),
        Action::Configure => Vec::from_iter(configured(context, change)),
        Action::Recreate => Vec::from_iter(recreated(change)),
        Action::Prune => Vec::from_iter(pruned(context, change)),
        Action::Unchanged => vec![],
    };
    let scaling = scaling(change).map(|text| Effect::new(change, text));
    scaling.into_iter().chain(by_action).collect()
}

fn created(context: &Context<'_>, change: &Change) -> Vec<Effect> {
    let Some(old) = context.predecessor(change) else {
        return Vec::from_iter(bounded(change));
    };
    let when = match context.deletes_last {
        true => "once this is healthy; until then both run",
        false => "by the same sync, perhaps before this is healthy",
    };
    let text = format!("replaces {}, which is deleted {when}", old.key);
    let mut found = vec![match context.deletes_last {
        true => Effect::new(change, text),
        false => Effect::grave(change, text),
    }];
    if after(change)["spec"]["volumeClaimTemplates"].is_array() {
        found.push(Effect::grave(
            change,
            format!(
                "its volume claims are new and empty: the data of {} stays in its old claims",
                old.key
            ),
        ));
    }
    found
}

/// The bounds that an autoscaler sets for its target.
fn bounded(change: &Change) -> Option<Effect> {
    let (target, least, most) = autoscaled(change)?;
    let text =
        format!("keeps {target} between {least} and {most} pods, whatever replicas Git sets");
    Some(Effect::new(change, text))
}

fn configured(context: &Context<'_>, change: &Change) -> Option<Effect> {
    if let Some(bounds) = bounded(change) {
        return Some(bounds);
    }
    let (name, namespace) = (change.key.name.as_str(), change.key.namespace.as_deref());
    match change.key.kind.as_str() {
        // A workload with no replicas has no pods to replace.
        _ if rolls(change) && replicas(change) == 0 => None,
        _ if rolls(change) && stops_first(change) => Some(Effect::grave(change, rollout(change))),
        _ if rolls(change) => Some(Effect::new(change, rollout(change))),
        "ConfigMap" | "Secret"
            if holds_other_data(change)
                && !is_hashed(name)
                && !context.named.contains(&(namespace, name)) =>
        {
            Some(Effect::new(
                change,
                "no pod restarts: running pods keep what they read at start until their next rollout",
            ))
        }
        _ => None,
    }
}

/// Whether what pods read of it changes.
fn holds_other_data(change: &Change) -> bool {
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        return false;
    };
    let differs = |field: &str| before[field] != after[field];
    // Of a Secret only digests tell.
    !change.hidden.is_empty() || differs("data") || differs("binaryData")
}

fn recreated(change: &Change) -> Option<Effect> {
    Some(match change.key.kind.as_str() {
        "PersistentVolumeClaim" | "PersistentVolume" => data_goes(change),
        _ if change.notes.alone => Effect::new(
            change,
            "its pods keep running, and the new object takes them over",
        ),
        "Deployment" | "StatefulSet" | "DaemonSet" if replicas(change) > 0 => Effect::grave(
            change,
            format!("{} before new ones start", pods_end(change)),
        ),
        "Service" => Effect::grave(
            change,
            "it serves no traffic until it is created again, and its address changes",
        ),
        "Job" => Effect::new(change, "it runs again"),
        "CustomResourceDefinition" => objects_go(change),
        _ => return None,
    })
}

fn pruned(context: &Context<'_>, change: &Change) -> Option<Effect> {
    Some(match change.key.kind.as_str() {
        "CustomResourceDefinition" => objects_go(change),
        "Namespace" => Effect::grave(change, "everything in it is deleted with it"),
        "PersistentVolumeClaim" | "PersistentVolume" => data_goes(change),
        "Deployment" | "StatefulSet" | "ReplicaSet" if replicas(change) > 0 => {
            let has_other_changes = context
                .all
                .iter()
                .any(|other| other.action != Action::Prune);
            let when = if has_other_changes && context.deletes_last {
                " once the rest of the change is healthy"
            } else {
                ""
            };
            Effect::new(change, format!("{}{when}", pods_end(change)))
        }
        "ConfigMap" | "Secret" => {
            let successor = context.successor(change)?;
            Effect::new(change, format!("{} takes its place", successor.key))
        }
        _ => return None,
    })
}

fn data_goes(change: &Change) -> Effect {
    Effect::grave(
        change,
        "its data is deleted with it, unless the volume's reclaim policy is Retain",
    )
}

fn objects_go(change: &Change) -> Effect {
    Effect::grave(change, "every object of its kind is deleted with it")
}

fn after(change: &Change) -> &Value {
    change.after.as_deref().unwrap_or(&Value::Null)
}
