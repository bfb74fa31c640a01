//! Who owns which field of a live object, and what we may do about it.
//!
//! The API server keeps, for each manager, the set of fields that it set last
//! (`managedFields`). From that follow the three things decided here: whether
//! an object is still as we left it ([`signal`]), what becomes of a field that
//! somebody else holds ([`resolve`]), and what an object that other tools made
//! would lose or keep when we take it over ([`Leftovers`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::fieldset::{self, Element, FieldPath, FieldSet};
use super::{Invalid, canonical_json, contracts};

/// One entry of `managedFields`.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub manager: String,
    /// `Apply`, or `Update` for every other way to write.
    pub applies: bool,
    pub subresource: Option<String>,
    pub time: Option<String>,
    pub fields: FieldSet,
}

/// What kind of writer a manager is, told by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// A windlass, by its field manager.
    Windlass,
    /// What made the object and does not come back to it: `kubectl apply`, `kubectl create`.
    Leftover,
    /// A person's hand: `kubectl edit`, `kubectl scale`, `kubectl label` …
    Person,
    /// What sets the number of replicas.
    Autoscaler,
    /// Helm, Argo CD or Flux: whether it comes back to the object is asked of the cluster ([`keeper`]).
    Reconciler,
    Other,
}

/// The field managers of windlass begin with this.
pub const OURS: &str = "windlass/";

/// kubectl's commands, and what consoles write under: browsers (OpenShift's, Headlamp), Lens, k9s.
fn is_a_person(manager: &str) -> bool {
    manager.starts_with("kubectl") || ["Mozilla", "node-fetch", "k9s"].contains(&manager)
}

/// The field managers of Helm, Flux and Argo CD: helm pkg/kube (the program's name), kustomize-controller and
/// helm-controller main.go, argo-cd common/common.go and, in older versions, the program's name.
const RECONCILERS: [&str; 5] = [
    "helm",
    "helm-controller",
    "kustomize-controller",
    "argocd-controller",
    "argocd-application-controller",
];

impl Entry {
    pub fn writer(&self) -> Writer {
        match self.manager.as_str() {
            name if name.starts_with(OURS) => Writer::Windlass,
            // kubectl's own names: `kubectl apply`, the same server-side, `kubectl create`; and what stands for all
            // that was there before the first server-side apply.
            "kubectl-client-side-apply" | "kubectl-create" | "before-first-apply" => {
                Writer::Leftover
            }
            "kubectl" if self.applies => Writer::Leftover,
            name if is_a_person(name) => Writer::Person,
            // KEDA's operator writes under its program's name.
            "horizontal-pod-autoscaler"
            | "vpa-updater"
            | "vpa-recommender"
            | "keda-operator"
            | "keda" => Writer::Autoscaler,
            // Whoever scales and is no person: the controller of HorizontalPodAutoscalers, for one.
            _ if self.subresource.as_deref() == Some("scale") => Writer::Autoscaler,
            name if RECONCILERS.contains(&name) => Writer::Reconciler,
            _ => Writer::Other,
        }
    }
}

/// The entries of an object.
pub fn entries(object: &Value) -> Vec<Entry> {
    entries_where(object, |_| true)
}

/// Those whose names say that they matter: what is in an entry takes long to read.
fn entries_where(object: &Value, matters: impl Fn(&Entry) -> bool) -> Vec<Entry> {
    let read = |entry: &Value| {
        let named = Entry {
            manager: entry["manager"].as_str()?.into(),
            applies: entry["operation"] == "Apply",
            subresource: entry["subresource"].as_str().map(str::to_string),
            time: entry["time"].as_str().map(str::to_string),
            fields: FieldSet::default(),
        };
        matters(&named).then(|| Entry {
            fields: FieldSet::parse(&entry["fieldsV1"]),
            ..named
        })
    };
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(read)
        .collect()
}

/// The fields that a manager owns by server-side apply.
fn applied_by(entries: &[Entry], manager: &str) -> FieldSet {
    entries
        .iter()
        .find(|entry| entry.manager == manager && entry.applies)
        .map(|entry| entry.fields.clone())
        .unwrap_or_default()
}

/// All that the entries that matter own.
fn owned_by(object: &Value, matters: impl Fn(&Entry) -> bool) -> FieldSet {
    entries_where(object, matters)
        .iter()
        .fold(FieldSet::default(), |all, entry| all.union(&entry.fields))
}

fn applied_in(object: &Value, manager: &str) -> FieldSet {
    applied_by(
        &entries_where(object, |entry| entry.manager == manager && entry.applies),
        manager,
    )
}

/// What changes when somebody changes what we applied, and neither with the object's status nor with what controllers
/// add beside: the uid, our own entry with its time, and the entries of people.
///
/// When another manager changes or takes a field of ours, the API server takes it out of our entry; that works on
/// objects that have no generation too, and is in the metadata. The entry's time moves when somebody writes under our
/// name. What a person adds inside a list or map of ours is in the person's entry.
pub fn signal(object: &Value) -> String {
    let mut hash = Sha256::new();
    hash.update(object["metadata"]["uid"].as_str().unwrap_or_default());
    let mut lines: Vec<String> = Vec::new();
    for entry in object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let manager = entry["manager"].as_str().unwrap_or_default();
        let ours = manager.starts_with(OURS) && entry["operation"] == "Apply";
        let status = entry["subresource"] == "status";
        if !status && (ours || is_a_person(manager)) {
            let time = if ours {
                entry["time"].as_str().unwrap_or_default()
            } else {
                ""
            };
            lines.push(format!(
                "{manager} {} {time} {}",
                entry["operation"],
                canonical_json(&entry["fieldsV1"])
            ));
        }
    }
    lines.sort();
    lines.iter().for_each(|line| hash.update(line));
    hex::encode(&hash.finalize()[..8])
}

/// A field that somebody else holds with another value, as the API server refuses a server-side apply for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    pub manager: String,
    pub applies: bool,
    pub subresource: Option<String>,
    pub field: FieldPath,
}

impl Conflict {
    /// Reads one cause of a 409: `conflict with "kubectl" with subresource "scale" using apps/v1`; of a manager that
    /// applies, `conflict with "kubectl"` alone.
    pub fn parse(message: &str, field: &str) -> Option<Self> {
        let quoted =
            |after: &str| Some(message.split_once(after)?.1.split('"').next()?.to_string());
        Some(Self {
            manager: quoted("conflict with \"")?,
            applies: !message.contains(" using "),
            subresource: quoted("with subresource \""),
            field: FieldPath::parse(field)?,
        })
    }
}

impl Conflict {
    pub fn writer(&self) -> Writer {
        let (manager, subresource) = (self.manager.clone(), self.subresource.clone());
        Entry {
            manager,
            applies: self.applies,
            subresource,
            time: None,
            fields: FieldSet::default(),
        }
        .writer()
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (held by {})", self.field, self.manager)
    }
}

/// The fields of a Secret's data that others hold and that we would set, whether the values are the same or not: the API
/// server conflicts only over different ones, and so would tell whoever guesses.
pub fn claims_on_data(live: &Value, payload: &Value, manager: &str) -> Vec<Conflict> {
    let all = entries(live);
    let ours = applied_by(&all, manager);
    let mut found = Vec::new();
    for name in payload["data"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
    {
        let field = FieldPath(vec![
            Element::Field("data".into()),
            Element::Field(name.clone()),
        ]);
        if ours.contains(&field) {
            continue;
        }
        let holder = all
            .iter()
            .find(|entry| entry.writer() != Writer::Windlass && entry.fields.touches(&field));
        found.extend(holder.map(|entry| Conflict {
            manager: entry.manager.clone(),
            applies: entry.applies,
            subresource: entry.subresource.clone(),
            field: field.clone(),
        }));
    }
    found
}

/// A rule of `windlass.yaml` that names fields of objects: `{ kind: Deployment, name: api, path: .spec.replicas }`.
/// Without a kind or a name it holds for all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldRule {
    #[serde(default)]
    pub kind: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    /// As `kubectl` and the API server print it: `.spec.template.spec.containers[name="app"].resources`.
    pub path: String,
}

impl FieldRule {
    pub fn check(&self) -> Result<FieldPath, Invalid> {
        FieldPath::parse(&self.path).filter(|path| !path.0.is_empty()).ok_or_else(|| {
            Invalid(format!(
                "`{}` is not a field's path: write it as `.spec.replicas` or `.spec.containers[name=\"app\"].image`",
                self.path
            ))
        })
    }

    fn matches(&self, kind: &str, name: &str) -> bool {
        self.kind.as_deref().is_none_or(|wanted| wanted == kind)
            && self.name.as_deref().is_none_or(|wanted| wanted == name)
    }
}

/// What an application says about fields that others hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldRules {
    /// Left to whoever holds them: neither applied nor compared.
    pub ignore: Vec<FieldRule>,
    /// Taken from whoever holds them.
    pub take: Vec<FieldRule>,
}

impl FieldRules {
    pub fn ignored(&self, kind: &str, name: &str) -> Vec<FieldPath> {
        self.ignore
            .iter()
            .filter(|rule| rule.matches(kind, name))
            .filter_map(|rule| rule.check().ok())
            .collect()
    }

    fn takes(&self, kind: &str, name: &str, field: &FieldPath) -> bool {
        let covers = |rule: &FieldRule| rule.check().is_ok_and(|path| field.0.starts_with(&path.0));
        self.take
            .iter()
            .any(|rule| rule.matches(kind, name) && covers(rule))
    }
}

/// What becomes of each conflict.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolution {
    /// Taken: ours before, left behind by a tool that does not come back, or a rule says so.
    pub take: Vec<Conflict>,
    /// Not applied: the other's to set.
    pub release: Vec<Conflict>,
    /// Nobody has decided: nothing is applied until somebody does.
    pub undecided: Vec<Conflict>,
}

/// Decides conflicts. `applied` is the object as we applied it last, if we did: what was in it is ours. `let_go`: the tools
/// that reconciled the object before do not come back to it.
pub fn resolve(
    conflicts: Vec<Conflict>,
    kind: &str,
    name: &str,
    applied: Option<&Value>,
    rules: &FieldRules,
    let_go: bool,
) -> Resolution {
    let mut resolution = Resolution::default();
    for conflict in conflicts {
        let replicas = conflict.field.starts_with(&["spec", "replicas"]);
        let ours =
            applied.is_some_and(|applied| fieldset::lookup(applied, &conflict.field).is_some());
        let place = match conflict.writer() {
            Writer::Autoscaler if replicas => &mut resolution.release,
            _ if contracts::fills_in(&conflict.manager, kind, &conflict.field) => {
                &mut resolution.release
            }
            Writer::Leftover | Writer::Windlass => &mut resolution.take,
            Writer::Reconciler if let_go => &mut resolution.take,
            _ if ours || rules.takes(kind, name, &conflict.field) => &mut resolution.take,
            _ => &mut resolution.undecided,
        };
        place.push(conflict);
    }
    resolution
}

/// What tools that do not come back left in an object: their fields stay for ever unless they are taken over.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Leftovers {
    /// By whom.
    pub managers: Vec<String>,
    /// Every field that they own.
    pub fields: FieldSet,
    /// Items that people added by hand to lists of ours.
    pub added: FieldSet,
}

/// None: there is nothing to take over. `manager`: our own; what another application of ours had is handed over too.
/// `let_go`: the tools that reconciled the object before do not come back to it.
pub fn leftovers(live: &Value, manager: &str, let_go: bool) -> Option<Leftovers> {
    let mut found = Leftovers::default();
    let added_by_hand = |entry: &Entry| {
        entry.writer() == Writer::Person && entry.subresource.is_none() && !entry.applies
    };
    let is_left = |entry: &Entry| {
        let left = match entry.writer() {
            Writer::Leftover => true,
            Writer::Reconciler => let_go,
            Writer::Windlass => entry.manager != manager && entry.applies,
            _ => false,
        };
        left && entry.subresource.is_none()
    };
    let others = entries_where(live, |entry| added_by_hand(entry) || is_left(entry));
    if others.is_empty() {
        return None;
    }
    let ours = applied_in(live, manager);
    for entry in others {
        if added_by_hand(&entry) {
            found.added = found.added.union(&ours.items_added_by(&entry.fields));
        }
        if is_left(&entry) {
            found.fields = found.fields.union(&entry.fields);
            found.managers.push(entry.manager);
        }
    }
    (!found.managers.is_empty() || !found.added.is_empty()).then_some(found)
}

/// Whether Helm, Argo CD or Flux ever wrote an object.
pub fn was_reconciled(live: &Value) -> bool {
    !entries_where(live, |entry| entry.writer() == Writer::Reconciler).is_empty()
}

/// What a manager wrote by updates: the way that Argo CD applies in by default. What its next one leaves out goes.
pub fn updated_by(live: &Value, manager: &str) -> Option<Leftovers> {
    let fields = owned_by(live, |entry| {
        entry.manager == manager && !entry.applies && entry.subresource.is_none()
    });
    (!fields.is_empty()).then(|| Leftovers {
        managers: vec![manager.into()],
        fields,
        added: FieldSet::default(),
    })
}

/// Whether a manager applies a field.
pub fn applies(live: &Value, manager: &str, field: &FieldPath) -> bool {
    applied_in(live, manager).contains(field)
}

/// The marks that Argo CD and Flux put on what they apply: labels and annotations.
const MARKS: [(&str, &str); 5] = [
    ("annotations", "argocd.argoproj.io/tracking-id"),
    (
        "annotations",
        "kubectl.kubernetes.io/last-applied-configuration",
    ),
    ("labels", ARGO_LABEL),
    ("labels", "kustomize.toolkit.fluxcd.io/name"),
    ("labels", "kustomize.toolkit.fluxcd.io/namespace"),
];

/// Puts the marks that are live into what another reconciler is about to apply: it puts them there too.
pub fn with_marks(payload: &mut Value, live: &Value) {
    for (map, name) in MARKS {
        let mark = &live["metadata"][map][name];
        if mark.is_string() && payload["metadata"][map][name].is_null() {
            payload["metadata"][map][name] = mark.clone();
        }
    }
}

/// The API versions that fields of an object are recorded under, other than the one that it was read by.
pub fn recorded_versions(live: &Value) -> BTreeSet<String> {
    let entries = live["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten();
    let recorded = entries.filter_map(|entry| entry["apiVersion"].as_str());
    recorded
        .filter(|version| Some(*version) != live["apiVersion"].as_str())
        .map(str::to_string)
        .collect()
}

/// `managedFields` with what is recorded under versions that are served no more recorded under the one that the object was
/// read by: until then the API server takes no server-side apply of it.
pub fn carried_over(live: &Value, gone: &BTreeSet<String>) -> Value {
    let mut entries = live["metadata"]["managedFields"].clone();
    for entry in entries.as_array_mut().into_iter().flatten() {
        if entry["apiVersion"]
            .as_str()
            .is_some_and(|version| gone.contains(version))
        {
            entry["apiVersion"] = live["apiVersion"].clone();
        }
    }
    entries
}

/// What a server-side apply of a payload would make of an object that we own a part of: worked out here, where the API
/// server cannot be asked. Lists are merged by their items' names. A field goes with all that is in it, its defaults too,
/// unless others own some of that.
pub fn without_dropped(live: &Value, payload: &Value, manager: &str) -> Value {
    let mut object = live.clone();
    let others = owned_by(live, |entry| entry.manager != manager);
    for path in applied_in(live, manager).leaves() {
        let prefixes = (1..=path.0.len()).map(|length| FieldPath(path.0[..length].to_vec()));
        let mut dropped = prefixes.filter(|prefix| fieldset::lookup(payload, prefix).is_none());
        if let Some(whole) = dropped.find(|dropped| *dropped == path || !others.touches(dropped)) {
            fieldset::remove(&mut object, &whole);
        }
    }
    object
}

/// What others than we and those whose fields are taken over own of an object.
pub fn of_others(live: &Value, manager: &str, taken_over: &Leftovers) -> FieldSet {
    owned_by(live, |entry| {
        entry.manager != manager && !taken_over.managers.contains(&entry.manager)
    })
    .difference(&taken_over.added)
}

/// Fields of a live object's spec that nobody owns (but those whose fields are taken over) and that it would not have if
/// it were created now: the server's defaults for what was chosen before. Those inside of items of lists go with what they
/// belong to.
pub fn outdated_defaults(live: &Value, fresh: &Value, taken_over: &[String]) -> FieldSet {
    fn walk(
        live: &Value,
        fresh: &Value,
        at: &mut FieldPath,
        owned: &FieldSet,
        found: &mut FieldSet,
    ) {
        for (name, below) in live.as_object().into_iter().flatten() {
            at.0.push(Element::Field(name.clone()));
            let newly = &fresh[name];
            if !owned.touches(at) && newly.is_null() {
                found.insert(at);
            }
            if newly.is_object() || found.contains(at) {
                walk(below, newly, at, owned, found);
            }
            at.0.pop();
        }
    }
    let mut owned = owned_by(live, |entry| !taken_over.contains(&entry.manager));
    // `strategy: {}` in a manifest owns an empty map, and nothing that the server fills in there.
    for strategy in ["strategy", "updateStrategy"] {
        let mut empty = FieldSet::default();
        empty.insert(&FieldPath(
            ["spec", strategy]
                .map(|name| Element::Field(name.into()))
                .into(),
        ));
        owned = owned.difference(&empty);
    }
    let mut found = FieldSet::default();
    walk(
        &live["spec"],
        &fresh["spec"],
        &mut FieldPath(vec![Element::Field("spec".into())]),
        &owned,
        &mut found,
    );
    found
}

/// Lists of objects that become ours as a whole, of those that differ between the two: what others put into them goes.
pub fn replaced_lists(before: &Value, after: &Value, manager: &str) -> Vec<FieldPath> {
    let ours = applied_in(before, manager);
    // Nobody puts anything into one that is ours already without taking it from us.
    let whole: Vec<_> = applied_in(after, manager)
        .leaves()
        .into_iter()
        .filter(|path| !ours.leaves().contains(path))
        .collect();
    let list = |path: &FieldPath| {
        let now = fieldset::lookup(after, path)?.as_array()?;
        let was = fieldset::lookup(before, path)?;
        (now.iter().any(Value::is_object) && was != &Value::Array(now.clone())).then_some(())
    };
    whole
        .into_iter()
        .filter(|path| list(path).is_some())
        .collect()
}

/// What admission put into an object, as far as it shows: entries of labels, annotations and data, and items of lists, that
/// nobody owns. (The API server's own defaults are fields, not entries.)
pub fn admitted(after: &Value) -> Vec<FieldPath> {
    owned_by(after, |_| true).unowned_entries(after)
}

/// `managedFields` after the leftovers moved to us: their entries are gone and ours has their fields too, so that what
/// Git does not have goes with the next apply.
pub fn adopted(live: &Value, leftovers: &Leftovers, manager: &str) -> Value {
    let all = live["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let ours = |entry: &Value| {
        entry["manager"] == manager
            && entry["operation"] == "Apply"
            && entry["subresource"].is_null()
    };
    let left = |entry: &Value| {
        entry["subresource"].is_null()
            && entry["manager"]
                .as_str()
                .is_some_and(|name| leftovers.managers.iter().any(|left| left == name))
    };
    let mine = all
        .iter()
        .find(|entry| ours(entry))
        .map(|entry| FieldSet::parse(&entry["fieldsV1"]))
        .unwrap_or_default();
    let mut kept: Vec<Value> = all
        .iter()
        .filter(|entry| !left(entry) && !ours(entry))
        .cloned()
        .collect();
    for entry in &mut kept {
        if entry["manager"].as_str().is_some_and(is_a_person) && entry["subresource"].is_null() {
            entry["fieldsV1"] = FieldSet::parse(&entry["fieldsV1"])
                .difference(&leftovers.added)
                .to_json();
        }
    }
    kept.retain(|entry| {
        entry["fieldsV1"]
            .as_object()
            .is_none_or(|fields| !fields.is_empty())
    });
    kept.push(serde_json::json!({
        "manager": manager,
        "operation": "Apply",
        "apiVersion": live["apiVersion"],
        "fieldsType": "FieldsV1",
        "fieldsV1": mine.union(&leftovers.fields).union(&leftovers.added).to_json(),
    }));
    Value::Array(kept)
}

/// A tool that keeps an object as it wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// A Helm release: its name and namespace.
    Helm { release: String, namespace: String },
    /// An Argo CD Application: its name, and its namespace where the mark tells it.
    ArgoCd {
        application: String,
        namespace: Option<String>,
    },
    /// A Flux Kustomization or HelmRelease.
    Flux {
        kind: &'static str,
        name: String,
        namespace: String,
    },
}

const ARGO_LABEL: &str = "app.kubernetes.io/instance";

impl Keeper {
    /// `namespace_name` is an Application outside of Argo CD's own namespace.
    fn argo_cd(id: &str) -> Self {
        match id.split_once('_') {
            Some((namespace, name)) => Self::ArgoCd {
                application: name.into(),
                namespace: Some(namespace.into()),
            },
            None => Self::ArgoCd {
                application: id.into(),
                namespace: None,
            },
        }
    }
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Helm { release, namespace } => {
                write!(f, "the Helm release {namespace}/{release}")
            }
            Self::ArgoCd {
                application,
                namespace: None,
            } => write!(f, "the Argo CD Application {application}"),
            Self::ArgoCd {
                application,
                namespace: Some(namespace),
            } => write!(f, "the Argo CD Application {namespace}/{application}"),
            Self::Flux {
                kind,
                name,
                namespace,
            } => write!(f, "the Flux {kind} {namespace}/{name}"),
        }
    }
}

/// Who the marks on an object say keeps it. Whether that is still so is asked of the cluster.
pub fn keeper(live: &Value) -> Option<Keeper> {
    let text = |map: &str, name: &str| live["metadata"][map][name].as_str().map(str::to_string);
    if let Some(tracking) = text("annotations", "argocd.argoproj.io/tracking-id") {
        return Some(Keeper::argo_cd(
            tracking.split(':').next().unwrap_or_default(),
        ));
    }
    for (kind, prefix) in [
        ("Kustomization", "kustomize.toolkit.fluxcd.io"),
        ("HelmRelease", "helm.toolkit.fluxcd.io"),
    ] {
        if let (Some(name), Some(namespace)) = (
            text("labels", &format!("{prefix}/name")),
            text("labels", &format!("{prefix}/namespace")),
        ) {
            return Some(Keeper::Flux {
                kind,
                name,
                namespace,
            });
        }
    }
    // Charts set this label too: it is Argo CD's where Argo CD wrote it (the default before version 3).
    let instance = FieldPath(
        ["metadata", "labels", ARGO_LABEL]
            .map(|name| Element::Field(name.into()))
            .into(),
    );
    if let Some(name) = text("labels", ARGO_LABEL)
        && entries_where(live, |entry| entry.manager.starts_with("argocd-"))
            .iter()
            .any(|entry| entry.fields.contains(&instance))
    {
        return Some(Keeper::argo_cd(&name));
    }
    let release = text("annotations", "meta.helm.sh/release-name")
        .filter(|_| text("labels", "app.kubernetes.io/managed-by").as_deref() == Some("Helm"))?;
    let namespace = text("annotations", "meta.helm.sh/release-namespace")
        .or_else(|| live["metadata"]["namespace"].as_str().map(str::to_string))?;
    Some(Keeper::Helm { release, namespace })
}

/// The fields of an object that others changed away from what a sync would leave, by manager.
pub fn changed_by_others(live: &Value, predicted: &Value) -> BTreeMap<String, Vec<FieldPath>> {
    let mut found: BTreeMap<String, Vec<FieldPath>> = BTreeMap::new();
    for entry in entries_where(live, |entry| {
        entry.writer() != Writer::Windlass && entry.subresource.as_deref() != Some("status")
    }) {
        for path in entry.fields.leaves() {
            let (now, then) = (
                fieldset::lookup(live, &path),
                fieldset::lookup(predicted, &path),
            );
            if now.is_some() && now != then {
                found.entry(entry.manager.clone()).or_default().push(path);
            }
        }
    }
    found
}

/// The fields that Git has no more and that stay, since others own them too.
pub fn kept(before: &Value, after: &Value, manager: &str) -> BTreeMap<String, Vec<FieldPath>> {
    let dropped = applied_in(before, manager).difference(&applied_in(after, manager));
    let mut found: BTreeMap<String, Vec<FieldPath>> = BTreeMap::new();
    for path in dropped
        .leaves()
        .into_iter()
        .filter(|path| fieldset::lookup(after, path).is_some())
    {
        for entry in entries(after)
            .into_iter()
            .filter(|entry| entry.manager != manager && entry.fields.contains(&path))
        {
            found.entry(entry.manager).or_default().push(path.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conflict(manager: &str, field: &str) -> Conflict {
        Conflict {
            manager: manager.into(),
            applies: false,
            subresource: None,
            field: FieldPath::parse(field).unwrap(),
        }
    }

    #[test]
    fn a_conflict_reads_as_the_server_says_it() {
        let read = Conflict::parse(
            "conflict with \"kube-controller-manager\" with subresource \"scale\" using apps/v1",
            ".spec.replicas",
        );
        let read = read.unwrap();
        assert_eq!(
            (read.manager.as_str(), read.subresource.as_deref()),
            ("kube-controller-manager", Some("scale"))
        );
        assert_eq!(Conflict::parse("something else", ".spec"), None);
    }

    #[test]
    fn fields_go_to_whom_they_belong() {
        let applied = json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}}});
        let image = ".spec.template.spec.containers[name=\"a\"].image";
        let rules = FieldRules {
            take: vec![FieldRule {
                kind: Some("Deployment".into()),
                name: None,
                path: ".spec.paused".into(),
            }],
            ..FieldRules::default()
        };
        let of = |conflict: Conflict, applied| {
            let all = resolve(vec![conflict], "Deployment", "api", applied, &rules, true);
            (all.take.len(), all.release.len(), all.undecided.len())
        };
        let table = [
            (conflict("kubectl-edit", image), Some(&applied), (1, 0, 0)),
            (conflict("kubectl-edit", image), None, (0, 0, 1)),
            (
                conflict("kubectl-client-side-apply", image),
                None,
                (1, 0, 0),
            ),
            (
                conflict("horizontal-pod-autoscaler", ".spec.replicas"),
                Some(&applied),
                (0, 1, 0),
            ),
            (
                conflict("some-operator", ".spec.replicas"),
                Some(&applied),
                (1, 0, 0),
            ),
            (
                conflict("some-operator", ".spec.minReadySeconds"),
                Some(&applied),
                (0, 0, 1),
            ),
            (conflict("some-operator", ".spec.paused"), None, (1, 0, 0)),
            (conflict("kustomize-controller", image), None, (1, 0, 0)),
            (
                conflict("keda", ".spec.replicas"),
                Some(&applied),
                (0, 1, 0),
            ),
            (
                Conflict {
                    subresource: Some("scale".into()),
                    ..conflict("some-scaler", ".spec.replicas")
                },
                Some(&applied),
                (0, 1, 0),
            ),
            (
                Conflict {
                    subresource: Some("scale".into()),
                    ..conflict("Mozilla", ".spec.replicas")
                },
                Some(&applied),
                (1, 0, 0),
            ),
        ];
        for (conflict, applied, expected) in table {
            assert_eq!(of(conflict.clone(), applied), expected, "{conflict}");
        }
    }

    #[test]
    fn the_signal_moves_with_what_is_ours_and_not_beside() {
        let object = |fields: Value, others: Value| {
            let mut managed = vec![
                json!({"manager": "windlass/a/b", "operation": "Apply", "time": "t", "fieldsV1": fields}),
            ];
            managed.extend(others.as_array().cloned().unwrap_or_default());
            json!({"metadata": {"uid": "u", "managedFields": managed}})
        };
        let left = signal(&object(json!({"f:a": {}, "f:b": {}}), json!([])));
        let controller = json!([{"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {"f:x": {}}},
            {"manager": "kubectl", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}}]);
        assert_eq!(
            left,
            signal(&object(json!({"f:b": {}, "f:a": {}}), controller))
        );
        let person =
            json!([{"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:x": {}}}]);
        assert_ne!(left, signal(&object(json!({"f:a": {}, "f:b": {}}), person)));
        assert_ne!(left, signal(&object(json!({"f:a": {}}), json!([]))));
    }

    #[test]
    fn keepers_are_told_by_their_marks() {
        let helm = json!({"metadata": {"namespace": "n", "labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "r"}}});
        assert_eq!(keeper(&helm).unwrap().to_string(), "the Helm release n/r");
        let argo = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:n/shop"}}});
        assert_eq!(
            keeper(&argo).unwrap().to_string(),
            "the Argo CD Application shop"
        );
        let anywhere = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "team_shop:apps/Deployment:n/shop"}}});
        assert_eq!(
            keeper(&anywhere).unwrap().to_string(),
            "the Argo CD Application team/shop"
        );
        let labelled = |manager: &str| {
            let fields = json!({"f:metadata": {"f:labels": {"f:app.kubernetes.io/instance": {}}}});
            json!({"metadata": {"labels": {"app.kubernetes.io/instance": "shop"},
                "managedFields": [{"manager": manager, "operation": "Update", "fieldsV1": fields}]}})
        };
        assert_eq!(
            keeper(&labelled("argocd-controller")).unwrap().to_string(),
            "the Argo CD Application shop"
        );
        assert_eq!(keeper(&labelled("kubectl-create")), None);
        let flux = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "a", "kustomize.toolkit.fluxcd.io/namespace": "f"}}});
        assert_eq!(
            keeper(&flux).unwrap().to_string(),
            "the Flux Kustomization f/a"
        );
        assert_eq!(keeper(&json!({"metadata": {}})), None);
    }
}
