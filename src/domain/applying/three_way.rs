//! The three-way merge of `kubectl apply` on the client, which Argo CD uses: what the last apply had
//! and Git no longer has goes, what Git has is set, and what others added stays.
//!
//! Facts: apimachinery `pkg/util/strategicpatch` and `jsonmergepatch`; the merge keys are
//! the struct tags `patchMergeKey` and `patchStrategy` of k8s.io/api.

use serde_json::{Map, Value};

use crate::domain::Live;

/// The API groups of Kubernetes itself, whose lists have merge keys. Custom resources have none.
const BUILT_IN: [&str; 22] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Lists that are merged by a key of their items. `ports` have another one in a Service.
const MERGE_KEYS: [(&str, &str); 21] = [
    ("conditions", "type"),
    ("containers", "name"),
    ("drivers", "name"),
    ("env", "name"),
    ("ephemeralContainers", "name"),
    ("evictionResponders", "name"),
    ("hostAliases", "ip"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("matchConditions", "name"),
    ("ownerReferences", "uid"),
    ("ports", "containerPort"),
    ("resourceClaims", "name"),
    ("schedulingGates", "name"),
    ("secrets", "name"),
    ("topologySpreadConstraints", "topologyKey"),
    ("variables", "name"),
    ("volumeDevices", "devicePath"),
    ("volumeMounts", "mountPath"),
    ("volumes", "name"),
    ("webhooks", "name"),
];

/// The key by which the items of a list are merged, in a kind of Kubernetes itself; None: the list is
/// replaced.
pub fn merge_key(kind: &str, list: &str) -> Option<&'static str> {
    match list {
        "ports" if kind == "Service" => Some("port"),
        // References that only a pod merges.
        "imagePullSecrets" if kind == "ServiceAccount" => None,
        _ => MERGE_KEYS
            .iter()
            .find(|(name, _)| *name == list)
            .map(|(_, key)| *key),
    }
}

/// Which kind of object is merged.
#[derive(Clone, Copy)]
pub(super) struct Schema<'a> {
    /// None: a custom resource, whose lists are replaced.
    kind: Option<&'a str>,
}

impl<'a> Schema<'a> {
    pub(super) fn of(group: &str, kind: &'a str) -> Self {
        Self {
            kind: BUILT_IN.contains(&group).then_some(kind),
        }
    }

    /// The key of a list's items.
    pub(super) fn merge_key(self, field: &str, items: &[Value]) -> Option<&'static str> {
        let key = merge_key(self.kind?, field)?;
        items.iter().all(|item| !item[key].is_null()).then_some(key)
    }

    /// Whether keys of a map that Git does not have go, whoever set them.
    fn retains_only_git(self, field: &str) -> bool {
        self.kind == Some("Deployment") && field == "strategy"
    }

    fn replaces(self, field: &str) -> bool {
        self.kind == Some("PodDisruptionBudget") && field == "selector"
    }
}

/// The live object after a client-side apply. `last`: the object as it was applied last, if the live
/// one says that.
pub fn three_way(
    group: &str,
    kind: &str,
    last: Option<&Value>,
    wanted: &Value,
    live: &Live,
) -> Value {
    let schema = Schema::of(group, kind);
    merged(schema, "", last.unwrap_or(&Value::Null), wanted, live)
}

/// The live object replaced by Git's: only what the server itself keeps stays.
pub fn replaced(wanted: &Value, live: &Live) -> Value {
    let mut object = wanted.clone();
    for field in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
        "selfLink",
    ] {
        if let Some(value) = live["metadata"].get(field) {
            object["metadata"][field] = value.clone();
        }
    }
    if let Some(status) = live.get("status") {
        object["status"] = status.clone();
    }
    object
}

fn merged(schema: Schema<'_>, field: &str, last: &Value, wanted: &Value, live: &Value) -> Value {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) if !schema.replaces(field) => {
            Value::Object(merged_map(schema, field, last, wanted, live))
        }
        (Value::Array(wanted), Value::Array(live)) => {
            merged_list(schema, field, last, wanted, live)
        }
        _ => wanted.clone(),
    }
}

fn merged_map(
    schema: Schema<'_>,
    field: &str,
    last: &Value,
    wanted: &Map<String, Value>,
    live: &Map<String, Value>,
) -> Map<String, Value> {
    let mut result = live.clone();
    let went = |name: &String| !last[name].is_null() && !wanted.contains_key(name);
    let only_git = schema.retains_only_git(field);
    result.retain(|name, _| !(went(name) || only_git && !wanted.contains_key(name)));
    for (name, value) in wanted {
        let value = match live.get(name) {
            _ if value.is_null() => {
                result.remove(name);
                continue;
            }
            Some(live) => merged(schema, name, &last[name], value, live),
            None => value.clone(),
        };
        result.insert(name.clone(), value);
    }
    result
}

fn merged_list(
    schema: Schema<'_>,
    field: &str,
    last: &Value,
    wanted: &[Value],
    live: &[Value],
) -> Value {
    let before = last.as_array().map(Vec::as_slice).unwrap_or_default();
    if field == "finalizers" && schema.kind.is_some() {
        let stays = |item: &&Value| !before.contains(item) && !wanted.contains(item);
        return live.iter().filter(stays).chain(wanted).cloned().collect();
    }
    let all: Vec<_> = [wanted, live].concat();
    let Some(key) = schema.merge_key(field, &all) else {
        return wanted.to_vec().into();
    };
    let of =
        |items: &[Value], item: &Value| items.iter().find(|other| other[key] == item[key]).cloned();
    let merge = |item: &Value| match of(live, item) {
        Some(live) => {
            let mut item = merged(
                schema,
                "",
                &of(before, item).unwrap_or_default(),
                item,
                &live,
            );
            only_one_source(field, &mut item, of(wanted, &live).as_ref());
            item
        }
        None => item.clone(),
    };
    let theirs: Vec<_> = live
        .iter()
        .filter(|item| of(wanted, item).is_none() && of(before, item).is_none())
        .cloned()
        .collect();
    let ours: Vec<_> = wanted.iter().map(merge).collect();
    ordered(&theirs, &ours, |item| {
        live.iter().position(|other| other[key] == item[key])
    })
    .into()
}

/// A volume has the one source that Git has (`retainKeys`), and so has a claim of a Pod.
fn only_one_source(field: &str, item: &mut Value, wanted: Option<&Value>) {
    if matches!(field, "volumes" | "resourceClaims")
        && let (Some(item), Some(wanted)) = (item.as_object_mut(), wanted)
    {
        item.retain(|name, _| wanted.get(name).is_some());
    }
}

/// Items of others between ours as they stood in the live list: `mergeSortedSlice` of apimachinery's
/// `pkg/util/strategicpatch`.
fn ordered(
    theirs: &[Value],
    ours: &[Value],
    place: impl Fn(&Value) -> Option<usize>,
) -> Vec<Value> {
    let (mut theirs, mut ours) = (theirs.iter().peekable(), ours.iter().peekable());
    let mut result = Vec::new();
    loop {
        let earlier = match (theirs.peek(), ours.peek()) {
            (Some(left), Some(right)) => {
                matches!((place(left), place(right)), (Some(left), Some(right)) if left < right)
            }
            (left, _) => left.is_some(),
        };
        let next = if earlier { theirs.next() } else { ours.next() };
        match next {
            Some(item) => result.push(item.clone()),
            None => return result,
        }
    }
}
