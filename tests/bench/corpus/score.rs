//! What is live, and a plan held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;
use windlass::judged_by::{
    Change, Live, Mask, Masked, OWNER_LABEL, ResourceKey, matches_prediction, without_server_fields,
};

use crate::support::{World, plane};

pub type Objects = BTreeMap<(String, Option<String>, String), Value>;

/// Every live object with our label, by kind, namespace and name.
pub fn live(world: &World) -> Objects {
    selected(world, &["-l", OWNER_LABEL])
}

/// Every live object that kubectl's arguments select, of the kinds that the corpus has.
pub fn selected(world: &World, arguments: &[&str]) -> Objects {
    let custom = world.kubectl(&["get", "crd", "-o", "jsonpath={.items[*].metadata.name}"]);
    let mut kinds: Vec<String> = [
        "configmaps",
        "secrets",
        "services",
        "namespaces",
        "deployments.apps",
        "statefulsets.apps",
        "jobs.batch",
        "cronjobs.batch",
        "horizontalpodautoscalers.autoscaling",
        "ingresses.networking.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
    ]
    .map(str::to_string)
    .into();
    kinds.extend(
        custom
            .split_whitespace()
            .filter(|name| name.ends_with(&format!("{}corpus.example", world.prefix)))
            .map(str::to_string),
    );
    let kinds = kinds.join(",");
    let get = [&["get", &kinds, "-A", "-o", "json"], arguments].concat();
    let text = served(&get);
    let all: Value = serde_json::from_str(&text).unwrap();
    let mut found = Objects::new();
    for object in all["items"].as_array().unwrap() {
        let text = |at: &str| {
            object
                .pointer(at)
                .and_then(Value::as_str)
                .map(str::to_string)
        };
        found.insert(
            (
                text("/kind").unwrap(),
                text("/metadata/namespace"),
                text("/metadata/name").unwrap(),
            ),
            object.clone(),
        );
    }
    found
}

/// What kubectl answers once the server serves the kinds of new definitions.
fn served(arguments: &[&str]) -> String {
    let started = Instant::now();
    loop {
        match plane().kubectl(arguments) {
            Ok(text) => return text,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(30), "{error:#}"),
        }
    }
}

/// An object less what a controller of Kubernetes writes into it: the rules of a role that is
/// aggregated.
fn ours(object: &Value) -> Value {
    let mut object = object.clone();
    if object["aggregationRule"].is_object() {
        object.as_object_mut().map(|object| object.remove("rules"));
    }
    object
}

/// Holds a plan against what was there before and is there now.
pub fn score(
    plan: &[&Change],
    was: &Objects,
    is: &Objects,
    held: &mut usize,
    missed: &mut Vec<String>,
) {
    let mask = Mask::new(b"corpus");
    let name = |key: &ResourceKey| (key.kind.clone(), key.namespace.clone(), key.name.clone());
    let mut told = BTreeSet::new();
    for change in plan {
        told.insert(name(&change.key));
        let now = is.get(&name(&change.key)).map(ours).map(Live::new);
        let now = now.as_ref();
        let after = change.after.as_deref().map(ours).map(Masked::printed);
        if change.problem.is_none()
            && matches_prediction(
                &mask,
                &Change {
                    after,
                    ..(*change).clone()
                },
                now,
            )
        {
            *held += 1;
        } else {
            let now = now
                .map(|live| without_server_fields(live))
                .unwrap_or_default();
            missed.push(format!(
                "{} {} {}: predicted {} is {}",
                change.action.word(),
                change.key,
                change.problem.clone().unwrap_or_default(),
                change.after.as_deref().cloned().unwrap_or_default(),
                now
            ));
        }
    }
    for key in was.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
        let side = |all: &Objects| all.get(key).map(ours).as_ref().map(without_server_fields);
        if !told.contains(key) && side(was) != side(is) {
            missed.push(format!(
                "not predicted: {key:?}: {} → {}",
                side(was).unwrap_or_default(),
                side(is).unwrap_or_default()
            ));
        }
    }
}
