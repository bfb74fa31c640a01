//! What a pull request was approved for, kept until its sync, and what a later
//! plan does beyond that.
//!
//! Between the approval and the sync the cluster may change: an admission policy
//! sets a field to another value, or an object has to be deleted and created
//! again. Such a plan is not what was approved. Everything else is: fields that
//! already have their value, and drift that any sync reverts.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::manifest::{ResourceKey, without_server_fields};
use super::mask::{Mask, without_side};
use super::plan::{Action, Change, Confidence, Plan, UNSTABLE};
use crate::domain::Live;

/// What is kept of one plan at most, in bytes of JSON, since an object in Kubernetes holds 1.5 MiB:
/// of further changes only the action is compared, or nothing.
const MOST_CHANGES: usize = 500;
const MOST_ACTIONS: usize = 64 << 10;
const MOST_VALUES: usize = 48 << 10;
/// Longer values are compared by their digest.
const MOST_VALUE: usize = 120;
/// The plans that are kept of an application at most, and their bytes of JSON: the oldest go first.
const MOST_PLANS: usize = 20;
const MOST_BYTES: usize = 256 << 10;

/// What a pull request was approved for in one application.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedPlan {
    pub pull_request: u64,
    /// Digest of the files that the base's rendering reads.
    pub from: String,
    /// The same with the pull request merged.
    pub to: String,
    pub changes: Vec<ApprovedChange>,
}

/// What was approved for one object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct ApprovedChange {
    #[serde(flatten)]
    pub key: ResourceKey,
    /// The API version that it was predicted by, without the group.
    #[serde(default)]
    pub version: String,
    /// `create`, `configure`, `recreate` or `prune`.
    pub action: String,
    /// Each field that changes, with the JSON that it is set to. No secret data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
}

/// What a plan does to an object that was not approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    pub key: ResourceKey,
    pub kind: DeviationKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviationKind {
    /// It would be deleted and created again.
    Recreated,
    /// A field of the approved change would be set to another value.
    Value {
        field: String,
        approved: String,
        now: String,
    },
}

/// The deviations of an application's plan from what a pull request was approved for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviations {
    pub pull_request: u64,
    pub all: Vec<Deviation>,
}

impl ApprovedPlan {
    /// `inputs`: [`ApprovedPlan::from`] and [`ApprovedPlan::to`].
    pub fn new(pull_request: u64, (from, to): (String, String), plan: &Plan) -> Self {
        let applied = |change: &&Change| !change.is_hook() && change.problem.is_none();
        let changes = plan.effective().filter(applied).take(MOST_CHANGES);
        let (mut of_actions, mut of_values) = (MOST_ACTIONS, MOST_VALUES);
        let changes = changes.map_while(|change| {
            let mut kept = ApprovedChange {
                key: change.key.clone(),
                version: change.version.clone(),
                action: change.action.word().into(),
                values: BTreeMap::new(),
            };
            of_actions = of_actions.checked_sub(bytes(&kept))?;
            let values = values(change);
            if let Some(left) = of_values.checked_sub(bytes(&values)) {
                (of_values, kept.values) = (left, values);
            }
            Some(kept)
        });
        Self {
            pull_request,
            from,
            to,
            changes: changes.collect(),
        }
    }
}

/// Adds a plan to those that are kept; a later one of the same pull request replaces it. One that
/// leaves the files as they are is not told from others by them.
pub fn keep(plans: &mut Vec<ApprovedPlan>, new: ApprovedPlan) {
    if new.from == new.to {
        return;
    }
    plans.retain(|known| known.pull_request != new.pull_request && known.to != new.to);
    plans.push(new);
    let mut size = 0;
    let fits = |plan: &&ApprovedPlan| {
        size += bytes(plan);
        size <= MOST_BYTES
    };
    let kept = plans.iter().rev().take(MOST_PLANS).take_while(fits).count();
    plans.drain(..plans.len() - kept);
}

/// The bytes that something has in a status.
fn bytes(of: &impl Serialize) -> usize {
    serde_json::to_string(of).map_or(0, |text| text.len())
}

/// The plans that still matter once these inputs are synced: those that lead on from them.
pub fn after_sync(plans: &[ApprovedPlan], synced: &str) -> Vec<ApprovedPlan> {
    let mut reached = BTreeSet::from([synced]);
    for _ in plans {
        let next = plans
            .iter()
            .filter(|plan| reached.contains(plan.from.as_str()));
        let next: Vec<_> = next.map(|plan| plan.to.as_str()).collect();
        reached.extend(next);
    }
    let matters = |plan: &&ApprovedPlan| plan.to != synced && reached.contains(plan.from.as_str());
    plans.iter().filter(matters).cloned().collect()
}

/// The plan that led to these inputs.
pub fn synced<'a>(plans: &'a [ApprovedPlan], inputs: &str) -> Option<&'a ApprovedPlan> {
    plans.iter().rfind(|plan| plan.to == inputs)
}

/// What a plan does beyond what was approved for these inputs. None: nothing; or nothing is known
/// to be approved, as after a push to the branch. `stopped`: the sync before was stopped, which a
/// push does not end.
pub fn deviations(
    plans: &[ApprovedPlan],
    inputs: &str,
    plan: &Plan,
    stopped: bool,
) -> Option<Deviations> {
    let mut approved = leading_to(plans, inputs);
    if approved.is_empty() && stopped {
        approved = plans.iter().rev().collect();
    }
    let newest = approved.first()?.pull_request;
    let mut all = Vec::new();
    for change in plan.effective().filter(|change| !change.is_hook()) {
        let known: Vec<_> = approved
            .iter()
            .filter_map(|plan| plan.changes.iter().find(|known| known.key == change.key))
            .collect();
        if known.is_empty() {
            continue;
        }
        let recreates = known
            .iter()
            .any(|known| known.action == Action::Recreate.word());
        if change.action == Action::Recreate && !recreates {
            all.push(Deviation {
                key: change.key.clone(),
                kind: DeviationKind::Recreated,
            });
        }
        all.extend(other_values(change, &known));
    }
    (!all.is_empty()).then_some(Deviations {
        pull_request: newest,
        all,
    })
}

/// The approved plans that lead to these inputs, newest first.
fn leading_to<'a>(plans: &'a [ApprovedPlan], inputs: &'a str) -> Vec<&'a ApprovedPlan> {
    let (mut found, mut at) = (Vec::new(), inputs);
    while let Some(plan) = synced(plans, at)
        && found.len() < plans.len()
    {
        found.push(plan);
        at = &plan.from;
    }
    found
}

/// The fields that a change sets to another value than the newest plan that names them.
fn other_values(change: &Change, known: &[&ApprovedChange]) -> Vec<Deviation> {
    let differs = |(field, now): (String, String)| {
        let approved = known.iter().find_map(|known| known.values.get(&field))?;
        (*approved != now).then(|| Deviation {
            key: change.key.clone(),
            kind: DeviationKind::Value {
                field,
                approved: approved.clone(),
                now,
            },
        })
    };
    values(change).into_iter().filter_map(differs).collect()
}

impl ApprovedChange {
    /// Whether a live object is as it was approved, by the fields that were to change. None: nothing
    /// is kept that it could be compared with.
    pub fn is_met(&self, mask: &Mask, live: Option<&Live>) -> Option<bool> {
        if self.action == Action::Prune.word() {
            return Some(live.is_none());
        }
        if self.values.is_empty() {
            return None;
        }
        let live = mask
            .pair(None, live.map(|live| without_server_fields(live)))
            .after;
        let mut found = BTreeMap::new();
        collect(None, live.as_deref(), "", &mut found);
        let is_met = |(field, approved): (&String, &String)| match found.get(field) {
            Some(value) => value == approved,
            None => approved == NOTHING && !found.keys().any(|other| is_below(other, field)),
        };
        Some(live.is_some() && self.values.iter().all(is_met))
    }
}

/// Whether a field is a part of another one.
fn is_below(field: &str, other: &str) -> bool {
    let rest = field.strip_prefix(other);
    rest.is_some_and(|rest| rest.starts_with(['.', '[']))
}

impl Deviations {
    /// Names the pull request and each deviation: what somebody accepts, and nothing else. `inputs`: what is synced.
    pub fn ids(&self, inputs: &str) -> String {
        let id = |deviation: &Deviation| {
            let text = format!("{inputs} {:?}", deviation);
            hex::encode(&Sha256::digest(text)[..16])
        };
        let ids: BTreeSet<_> = self.all.iter().map(id).collect();
        let ids = ids.into_iter().collect::<Vec<_>>().join(",");
        format!("#{} {ids}", self.pull_request)
    }

    /// Whether somebody accepted each of them. `accepted`: [`Deviations::ids`] of then.
    pub fn are_accepted(&self, inputs: &str, accepted: &str) -> bool {
        let ids = |text: &str| -> BTreeSet<String> {
            let (_, ids) = text.split_once(' ').unwrap_or_default();
            ids.split(',').map(str::to_string).collect()
        };
        ids(&self.ids(inputs)).is_subset(&ids(accepted))
    }
}

/// The fields that a change sets, with the value of each. Empty if the server did not predict them.
fn values(change: &Change) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    if change.confidence == Confidence::Server && !change.notes.allotted && change.after.is_some() {
        let (before, after) = (change.before.as_deref(), change.after.as_deref());
        collect(before, after, "", &mut values);
    }
    values
}

fn collect(
    before: Option<&Value>,
    after: Option<&Value>,
    field: &str,
    values: &mut BTreeMap<String, String>,
) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(_)) | None, Some(Value::Object(new))) => {
            let old = before.and_then(Value::as_object);
            let names = new.keys().chain(old.into_iter().flat_map(|old| old.keys()));
            for name in names.collect::<BTreeSet<_>>() {
                let before = old.and_then(|old| old.get(name));
                collect(before, new.get(name), &format!("{field}.{name}"), values);
            }
        }
        // Items are compared by their names: others may add some in front.
        (before, Some(after))
            if let Some(new) = named(after)
                && let Some(old) = before.map_or(Some(BTreeMap::new()), named) =>
        {
            for name in new.keys().chain(old.keys()).collect::<BTreeSet<_>>() {
                let field = format!("{field}[name={name}]");
                collect(
                    old.get(name).copied(),
                    new.get(name).copied(),
                    &field,
                    values,
                );
            }
        }
        (_, Some(Value::String(text))) if text == UNSTABLE => {}
        // Others add to finalizers and owners.
        (_, Some(Value::Array(_))) if field.starts_with(".metadata.") => {}
        (_, after) => {
            values.insert(field.into(), text(after));
        }
    }
}

/// The items of a list by their names, if each has one of its own.
fn named(list: &Value) -> Option<BTreeMap<&str, &Value>> {
    let items = list.as_array()?;
    let named: BTreeMap<_, _> = items
        .iter()
        .filter_map(|item| Some((item.get("name")?.as_str()?, item)))
        .collect();
    (!items.is_empty() && named.len() == items.len()).then_some(named)
}

/// The value of a field that is not there.
const NOTHING: &str = "nothing";

/// A value as it is kept and compared.
fn text(value: Option<&Value>) -> String {
    fn plain(value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(without_side(text)),
            Value::Array(items) => items.iter().map(plain).collect(),
            Value::Object(map) => {
                let fields = map.iter().map(|(name, value)| (name.clone(), plain(value)));
                Value::Object(fields.collect())
            }
            other => other.clone(),
        }
    }
    let text = value.map_or(NOTHING.into(), |value| plain(value).to_string());
    match text.len() > MOST_VALUE {
        true => format!("sha256:{}", &hex::encode(Sha256::digest(&text))[..32]),
        false => text,
    }
}

#[cfg(test)]
mod tests;
