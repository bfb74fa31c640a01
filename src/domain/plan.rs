//! What would happen, or has to happen, to each object of an application.
//!
//! One pure function, [`Plan::new`], makes the plan that the preview shows, the
//! sync carries out and drift is measured by. Its input is a before and an
//! after for each object, both as the API server tells them: a preview compares
//! what a sync of the base would leave with what a sync of the head would leave
//! (two server-side dry-runs), a sync compares the live object with the dry-run
//! of the desired one. The masking of secret data happens here, on the way into
//! a [`Change`]; nothing later can show what it never had.
//!
//! Beside what changes a plan tells what a reviewer would not see in it: whose
//! fields are taken, which stay though Git drops them, what the server warned of.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::fieldset::{Element, FieldPath};
use super::manifest::{BOOKKEEPING, ResourceKey, cleaned};
use super::mask::{Mask, Masked};
use super::{canonical_json, yaml};

/// What happens to an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Create,
    Configure,
    /// Deleted and created anew: a field that cannot be changed differs.
    Recreate,
    Prune,
    Unchanged,
}

impl Action {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Configure => "configure",
            Self::Recreate => "recreate",
            Self::Prune => "prune",
            Self::Unchanged => "unchanged",
        }
    }
}

/// How far the API server vouches for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// Answered by a server-side dry-run.
    Server,
    /// Worked out from what the server said of something near: in another namespace, or by a schema of the same change.
    Simulated,
    /// The server cannot be asked yet: the object's namespace or kind is created by the same change.
    Static,
}

/// Fields by the name of the manager who holds them, or held them.
pub type Fields = Vec<(String, Vec<String>)>;

/// What a change does beside the change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notes {
    /// Fields taken from others.
    pub taken: Fields,
    /// Fields that others hold and nobody has decided about.
    pub undecided: Fields,
    /// Fields that Git has no more and that stay, since others own them too.
    pub kept: Fields,
    /// Fields that Git has and that are left to others.
    pub released: Fields,
    /// Fields that others changed and that a sync sets back.
    pub reverted: Fields,
    /// The tools whose fields are taken over, once.
    pub adopted: Vec<String>,
    /// It is only taken over once somebody says so.
    pub to_adopt: bool,
    /// The server allots ports or addresses to it when it is applied.
    pub allotted: bool,
    /// What the API server warned of.
    pub warnings: Vec<String>,
    /// Why it is known less well than it could be.
    pub unverified: Option<String>,
    /// Differences that rules of `windlass.yaml` hide.
    pub ignored: Vec<String>,
    /// Why the object has to be deleted and created anew.
    pub recreate: Option<String>,
    /// That is done without its pods: they go on, and belong to the new one.
    pub alone: bool,
    /// The cluster has it so already: somebody changed it by hand.
    pub already: bool,
    /// It is not kept but run: when, in words.
    pub hook: Option<String>,
    /// What admission puts in.
    pub admitted: Vec<String>,
    /// What comes out differently each time that the server is asked, and so is not compared.
    pub unstable: Vec<String>,
    /// Lists that are replaced as a whole, with what others put into them.
    pub replaced: Vec<String>,
    /// What else was found out about it in the cluster: budgets, dependents, reclaim policies. In words.
    pub facts: Vec<String>,
}

/// What is known of one object, before it becomes a change.
#[derive(Debug, Clone)]
pub struct Comparison {
    pub key: ResourceKey,
    pub before: Side,
    pub after: Side,
    pub notes: Notes,
}

impl Comparison {
    pub fn new(key: ResourceKey, before: Side, after: Side) -> Self {
        Self {
            key,
            before,
            after,
            notes: Notes::default(),
        }
    }
}

/// One side of a comparison.
#[derive(Debug, Clone)]
pub enum Side {
    Absent,
    /// As the API server answered: a live object or the result of a dry-run.
    Object(Value, Proof),
    /// The API server would refuse the object, in these words (already free of secrets).
    Refused(String),
}

impl Side {
    fn value(&self) -> Option<&Value> {
        match self {
            Self::Object(value, _) => Some(value),
            _ => None,
        }
    }
}

/// One object's line of a plan. Holds no secret data.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub key: ResourceKey,
    /// The API version that it was asked about by, without the group.
    pub version: String,
    pub action: Action,
    pub proof: Proof,
    pub before: Option<Value>,
    pub after: Option<Value>,
    /// Why the change cannot be made.
    pub problem: Option<String>,
    pub notes: Notes,
    /// Keyed digests of the hidden values that differ: for the plan's digest, never shown.
    pub hidden: Vec<String>,
}

impl Change {
    /// Nothing is to be done about the object.
    pub fn is_nothing(&self) -> bool {
        self.action == Action::Unchanged && self.problem.is_none() && self.notes.adopted.is_empty()
    }

    /// The change as a unified diff of YAML, without file headers.
    pub fn diff(&self) -> String {
        let [diff] = self.diffs([3]);
        diff
    }

    /// One diff for each number of equal lines around a difference.
    pub fn diffs<const N: usize>(&self, contexts: [usize; N]) -> [String; N] {
        let text = |side: &Option<Value>| side.as_ref().map(yaml::print).unwrap_or_default();
        let (before, after) = (text(&self.before), text(&self.after));
        let diff = similar::TextDiff::from_lines(&before, &after);
        contexts.map(|context| {
            let mut out = String::new();
            for (index, hunk) in diff
                .unified_diff()
                .context_radius(context)
                .iter_hunks()
                .enumerate()
            {
                if index > 0 {
                    out.push_str("@@\n");
                }
                for change in hunk.iter_changes() {
                    out.push_str(&format!("{}{}", change.tag(), change.value()));
                }
            }
            out
        })
    }

    /// It is run, not kept.
    pub fn is_hook(&self) -> bool {
        self.notes.hook.is_some()
    }
}

/// Lines that a difference adds and removes.
pub fn size(diff: &str) -> (usize, usize) {
    let count = |sign| diff.lines().filter(|line| line.starts_with(sign)).count();
    (count('+'), count('-'))
}

/// What happens to one application in one stage.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Sorted by key; objects that stay as they are included.
    pub changes: Vec<Change>,
}

impl Plan {
    pub fn new(mask: &Mask, comparisons: impl IntoIterator<Item = Comparison>) -> Self {
        let mut changes: Vec<_> = comparisons
            .into_iter()
            .map(|comparison| change(mask, comparison))
            .collect();
        changes.sort_by(|a, b| a.key.cmp(&b.key));
        Self { changes }
    }

    /// The changes that do something, or cannot.
    pub fn effective(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| !change.is_nothing())
    }

    pub fn is_empty(&self) -> bool {
        self.effective().next().is_none()
    }

    pub fn count(&self, action: &Action) -> usize {
        self.changes
            .iter()
            .filter(|change| {
                change.action == *action && change.problem.is_none() && !change.is_hook()
            })
            .count()
    }

    /// How many hooks run.
    pub fn hooks(&self) -> usize {
        self.changes
            .iter()
            .filter(|change| {
                change.is_hook() && change.problem.is_none() && change.action != Action::Unchanged
            })
            .count()
    }

    pub fn problems(&self) -> impl Iterator<Item = &Change> {
        self.changes
            .iter()
            .filter(|change| change.problem.is_some())
    }
}

fn change(mask: &Mask, comparison: Comparison) -> Change {
    let Comparison {
        key,
        before,
        after,
        notes,
    } = comparison;
    let proof = match (&before, &after) {
        (Side::Object(_, a), Side::Object(_, b)) => (*a).max(*b),
        (Side::Object(_, proof), _) | (_, Side::Object(_, proof)) => *proof,
        _ => Proof::Server,
    };
    let (old, new) = (before.value().map(cleaned), after.value().map(cleaned));
    let api_version = new
        .as_ref()
        .or(old.as_ref())
        .and_then(|value| value["apiVersion"].as_str())
        .unwrap_or_default();
    let version = api_version
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_string();
    if let Side::Refused(why) = &after {
        let action = if old.is_some() {
            Action::Configure
        } else {
            Action::Create
        };
        return Change {
            key,
            version,
            action,
            proof,
            before: None,
            after: None,
            problem: Some(why.clone()),
            notes,
            hidden: vec![],
        };
    }
    let action = match (&old, &new) {
        (None, None) => Action::Unchanged,
        (None, Some(_)) => Action::Create,
        (Some(_), None) => Action::Prune,
        (Some(_), Some(_)) if notes.recreate.is_some() || notes.hook.is_some() => Action::Recreate,
        (Some(old), Some(new)) if old == new => Action::Unchanged,
        (Some(_), Some(_)) => Action::Configure,
    };
    let Masked {
        before,
        after,
        digests,
    } = mask.pair(old, new);
    Change {
        key,
        version,
        action,
        proof,
        before,
        after,
        problem: None,
        notes,
        hidden: digests,
    }
}

/// Takes out what the server allots only when an object is really created: a dry-run answers with something else.
pub fn without_allocated(after: &mut Value, than: &Value) {
    match after["kind"].as_str() {
        Some("Service") => {
            if let Some(spec) = after["spec"].as_object_mut() {
                for field in ["clusterIP", "clusterIPs", "healthCheckNodePort"] {
                    if than["spec"][field].is_null() {
                        spec.remove(field);
                    }
                }
                for (index, port) in spec
                    .get_mut("ports")
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                    .enumerate()
                {
                    if than["spec"]["ports"][index]["nodePort"].is_null()
                        && let Some(port) = port.as_object_mut()
                    {
                        port.remove("nodePort");
                    }
                }
            }
        }
        // A Job's pods are told apart by the Job's own uid.
        Some("Job") => {
            for place in [
                "/metadata/labels",
                "/spec/selector/matchLabels",
                "/spec/template/metadata/labels",
            ] {
                let wanted = than.pointer(place).cloned().unwrap_or_default();
                if let Some(labels) = after.pointer_mut(place).and_then(Value::as_object_mut) {
                    labels.retain(|name, _| {
                        !name.ends_with("controller-uid") || wanted.get(name).is_some()
                    });
                }
            }
        }
        _ => {}
    }
}

/// Takes out of a Service that is changed what the server allots just then, such as a node port where its type becomes
/// another: the dry-run's answer is not what will be. True: there was something.
pub fn without_newly_allotted(after: &mut Value, than: &Value, live: &Value) -> bool {
    if after["kind"] != "Service" || after["apiVersion"] != "v1" {
        return false;
    }
    let mut allotted = false;
    for field in ["clusterIP", "clusterIPs", "healthCheckNodePort"] {
        if !after["spec"][field].is_null()
            && than["spec"][field].is_null()
            && live["spec"][field] != after["spec"][field]
        {
            allotted |= after["spec"]
                .as_object_mut()
                .and_then(|spec| spec.remove(field))
                .is_some();
        }
    }
    let ports = |value: &Value| {
        value["spec"]["ports"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let (wanted, known) = (ports(than), ports(live));
    for port in after["spec"]["ports"].as_array_mut().into_iter().flatten() {
        let same = |other: &&Value| {
            other["port"] == port["port"]
                && other["protocol"].as_str().unwrap_or("TCP") == port["protocol"]
        };
        let given = wanted
            .iter()
            .find(same)
            .is_some_and(|one| !one["nodePort"].is_null());
        let there = known
            .iter()
            .find(same)
            .is_some_and(|one| one["nodePort"] == port["nodePort"]);
        if !port["nodePort"].is_null() && !given && !there {
            allotted |= port
                .as_object_mut()
                .and_then(|port| port.remove("nodePort"))
                .is_some();
        }
    }
    allotted
}

/// In the place of what comes out differently each time.
pub const UNSTABLE: &str = "(differs each time)";

/// Whether a live object is what a change said it would be: the whole object, less status and what the server keeps
/// for itself. Of what is hidden only that it is there counts.
pub fn came_out(mask: &Mask, change: &Change, live: Option<&Value>) -> bool {
    let mut live = mask.pair(None, live.map(cleaned)).after;
    if let (Some(live), Some(after)) = (&mut live, &change.after) {
        without_allocated(live, after);
    }
    fn plain(value: &mut Value) {
        match value {
            Value::String(text) if text.starts_with("(hidden") => {
                *value = Value::String("(hidden)".into())
            }
            Value::Object(map) => map.values_mut().for_each(plain),
            Value::Array(items) => items.iter_mut().for_each(plain),
            _ => {}
        }
    }
    /// What nobody could predict is taken as predicted.
    fn forgive(predicted: &mut Value, live: &Value) {
        match (predicted, live) {
            (Value::Object(a), Value::Object(b)) => a
                .iter_mut()
                .for_each(|(key, value)| forgive(value, b.get(key).unwrap_or(&Value::Null))),
            (Value::Array(a), Value::Array(b)) => {
                a.iter_mut().zip(b).for_each(|(a, b)| forgive(a, b))
            }
            (predicted, live) if *predicted == UNSTABLE => *predicted = live.clone(),
            _ => {}
        }
    }
    let mut after = change.after.clone();
    after
        .as_mut()
        .into_iter()
        .chain(live.as_mut())
        .for_each(plain);
    if let (Some(after), Some(live)) = (&mut after, &live) {
        forgive(after, live);
    }
    after == live
}

/// Whether two answers differ in something that neither manifest has: what the server or admission filled in.
pub fn differs_beside(before: &Value, after: &Value, manifests: &[&Value]) -> bool {
    let mut leaves = Vec::new();
    differing(
        Some(&cleaned(before)),
        Some(&cleaned(after)),
        "",
        &mut leaves,
    );
    leaves
        .iter()
        .filter_map(|leaf| leaf[0].as_str())
        .any(|path| {
            !manifests
                .iter()
                .any(|manifest| manifest.pointer(path).is_some())
        })
}

/// The paths at which two answers to the same question differ; both then say so.
pub fn settle_unstable(one: &mut Value, other: &Value) -> Vec<FieldPath> {
    let mut found = Vec::new();
    unstable(one, other, &mut FieldPath::default(), &mut found);
    found
}

fn unstable(one: &mut Value, other: &Value, at: &mut FieldPath, found: &mut Vec<FieldPath>) {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a.iter_mut() {
                // Times and versions are the server's, and gone before anything is compared.
                if at.0.is_empty() && key == "status"
                    || at.0.len() == 1
                        && at.starts_with(&["metadata"])
                        && BOOKKEEPING.contains(&key.as_str())
                {
                    continue;
                }
                at.0.push(Element::Field(key.clone()));
                unstable(value, b.get(key).unwrap_or(&Value::Null), at, found);
                at.0.pop();
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter_mut().zip(b).enumerate() {
                at.0.push(Element::Index(index));
                unstable(a, b, at, found);
                at.0.pop();
            }
        }
        (a, b) if a == b => {}
        (a, _) => {
            found.push(at.clone());
            *a = Value::String(UNSTABLE.into());
        }
    }
}

/// Puts [`UNSTABLE`] where it was found.
pub fn mark_unstable(value: &mut Value, paths: &[FieldPath]) {
    for path in paths {
        if let Some(place) = path.0.iter().try_fold(&mut *value, |at, step| match step {
            Element::Field(key) => at.get_mut(key.as_str()),
            Element::Index(index) => at.get_mut(*index),
            _ => None,
        }) {
            *place = Value::String(UNSTABLE.into());
        }
    }
}

/// What binds an approval to an effect: `wl1:` and SHA-256 over canonical JSON of the changes, sorted by cluster and
/// key: action, and each field that differs with its (masked) value before and after. Fields that others own stand
/// alike on both sides and so are no part of it; times and resource versions are gone before.
pub fn digest<'a>(plans: impl IntoIterator<Item = (&'a str, &'a Plan)>) -> String {
    let mut lines: Vec<(&str, &ResourceKey, Value)> = Vec::new();
    for (cluster, plan) in plans {
        for change in plan.effective() {
            let mut leaves = Vec::new();
            differing(
                change.before.as_ref(),
                change.after.as_ref(),
                "",
                &mut leaves,
            );
            let line = serde_json::json!([
                cluster,
                change.key,
                change.action.word(),
                change.problem,
                leaves,
                change.hidden
            ]);
            lines.push((cluster, &change.key, line));
        }
    }
    lines.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    let text = canonical_json(&Value::Array(
        lines.into_iter().map(|(_, _, line)| line).collect(),
    ));
    format!("wl1:{}", hex::encode(Sha256::digest(text)))
}

/// `[path, before, after]` for each leaf that differs.
fn differing(before: Option<&Value>, after: Option<&Value>, path: &str, leaves: &mut Vec<Value>) {
    match (before, after) {
        (Some(a), Some(b)) if a == b => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                differing(
                    a.get(key),
                    b.get(key),
                    &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")),
                    leaves,
                );
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                differing(
                    a.get(index),
                    b.get(index),
                    &format!("{path}/{index}"),
                    leaves,
                );
            }
        }
        (a, b) => leaves.push(serde_json::json!([path, a, b])),
    }
}

/// The fields in which two objects differ, less metadata: each as people write a path, with what is and what shall be.
pub fn differences(before: &Value, after: &Value) -> Vec<(String, Value, Value)> {
    let mut leaves = Vec::new();
    let bare = |value: &Value| {
        let mut value = value.clone();
        value
            .as_object_mut()
            .map(|object| ["metadata", "status"].map(|name| object.remove(name)));
        value
    };
    differing(Some(&bare(before)), Some(&bare(after)), "", &mut leaves);
    let path = |pointer: &str| {
        let part = |part: &str| match part.parse::<usize>() {
            Ok(index) => format!("[{index}]"),
            Err(_) => format!(".{}", part.replace("~1", "/").replace("~0", "~")),
        };
        pointer.split('/').skip(1).map(part).collect::<String>()
    };
    leaves
        .into_iter()
        .map(|leaf| {
            (
                path(leaf[0].as_str().unwrap_or_default()),
                leaf[1].clone(),
                leaf[2].clone(),
            )
        })
        .collect()
}

/// What the API server said, with every value that came from a Secret gone: for a Secret only the reason and the
/// fields are kept, since its validation messages quote values.
pub fn refusal(key: &ResourceKey, reason: &str, message: &str, fields: &[String]) -> String {
    if key.kind == "Secret" {
        let fields = if fields.is_empty() {
            String::new()
        } else {
            format!(" at {}", fields.join(", "))
        };
        return format!(
            "{reason}{fields} (the server's words are not shown: they may quote secret values)"
        );
    }
    message.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn mask() -> Mask {
        Mask::new(b"test")
    }

    fn key(name: &str) -> ResourceKey {
        ResourceKey {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: Some("x".into()),
            name: name.into(),
        }
    }

    fn object(data: Value) -> Side {
        Side::Object(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "7"}, "data": data}),
            Proof::Server,
        )
    }

    #[test]
    fn actions_follow_from_the_two_sides() {
        let table = [
            (Side::Absent, object(json!({"a": "1"})), Action::Create),
            (object(json!({"a": "1"})), Side::Absent, Action::Prune),
            (
                object(json!({"a": "1"})),
                object(json!({"a": "1"})),
                Action::Unchanged,
            ),
            (
                object(json!({"a": "1"})),
                object(json!({"a": "2"})),
                Action::Configure,
            ),
            (Side::Absent, Side::Absent, Action::Unchanged),
        ];
        for (before, after, action) in table {
            assert_eq!(
                Plan::new(&mask(), [Comparison::new(key("a"), before, after)]).changes[0].action,
                action
            );
        }
    }

    #[test]
    fn a_diff_reads_like_one() {
        let (before, after) = (
            object(json!({"a": "1", "b": "1"})),
            object(json!({"a": "2", "b": "1"})),
        );
        let plan = Plan::new(&mask(), [Comparison::new(key("a"), before, after)]);
        insta::assert_snapshot!(plan.changes[0].diff(), @r"
         apiVersion: v1
         data:
        -  a: '1'
        +  a: '2'
           b: '1'
         kind: ConfigMap
         metadata:
        ");
        assert_eq!(size(&plan.changes[0].diff()), (1, 1));
    }

    #[test]
    fn the_digest_sees_effects_only() {
        let plan = |before, after| {
            Plan::new(
                &mask(),
                [Comparison::new(key("a"), object(before), object(after))],
            )
        };
        let of = |plan: &Plan| digest([("local", plan)]);
        let one = of(&plan(
            json!({"a": "1", "live": "x"}),
            json!({"a": "2", "live": "x"}),
        ));
        let other_live = of(&plan(
            json!({"a": "1", "live": "y"}),
            json!({"a": "2", "live": "y"}),
        ));
        assert_eq!(one, other_live, "what others own is no part of it");
        assert_ne!(one, of(&plan(json!({"a": "1"}), json!({"a": "3"}))));
        assert!(one.starts_with("wl1:") && one.len() == 68);
    }

    #[test]
    fn the_digest_tells_secret_values_apart_without_showing_them() {
        let secret = |value: &str| {
            Side::Object(
                json!({"apiVersion": "v1", "kind": "Secret", "data": {"token": value}}),
                Proof::Server,
            )
        };
        let plan = |value: &str| {
            Plan::new(
                &mask(),
                [Comparison::new(key("s"), secret("QQ=="), secret(value))],
            )
        };
        let (one, other) = (plan("Q0FOQVJZMQ=="), plan("Q0FOQVJZMg=="));
        assert_eq!(one.changes[0].action, Action::Configure);
        assert_ne!(digest([("local", &one)]), digest([("local", &other)]));
        assert_eq!(one.changes[0].diff(), other.changes[0].diff());
        assert!(!format!("{one:?}").contains("Q0FO"));
    }

    proptest! {
        /// A plan whose after is what is there already has nothing to do.
        #[test]
        fn an_applied_plan_planned_again_is_empty(data in proptest::collection::btree_map("[a-z]{1,4}", "[ -~]{0,12}", 0..5)) {
            let side = || object(json!(data));
            let again = Plan::new(&mask(), [Comparison::new(key("a"), side(), side())]);
            prop_assert!(again.is_empty());
        }
    }
}
