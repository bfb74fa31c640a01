//! What a sync does next for one application.

use super::health::{Assessment, Health, SyncState};
use super::manifest::ResourceKey;
use super::plan::{Action, Plan, Proof};

/// Facts about one application, all of one look.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How many objects Git has, or why it cannot be rendered.
    pub rendered: Result<usize, String>,
    /// Live → what a sync would leave.
    pub plan: Plan,
    /// The health of what is live.
    pub health: Assessment,
    /// The objects that we own and Git has no more: those that may be pruned are in the plan, these are withheld.
    pub withheld: Vec<(ResourceKey, String)>,
}

/// What to do, and what to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing may be done until somebody changes something.
    Blocked { reason: String },
    /// Carry the plan out.
    Apply,
    /// The cluster has what Git has.
    InSync { health: Health, message: String },
}

pub fn decide(seen: &Seen) -> Step {
    match &seen.rendered {
        Err(error) => return Step::Blocked { reason: error.clone() },
        Ok(0) => {
            return Step::Blocked {
                reason: "the directory renders to nothing: nothing is pruned; remove the directory itself to retire the application".into(),
            };
        }
        Ok(_) => {}
    }
    // A validation error applies nothing of the application: no Deployment rolls with the ConfigMap of yesterday.
    let problems: Vec<_> =
        seen.plan.problems().map(|change| format!("{}: {}", change.key, change.problem.as_deref().unwrap_or_default())).collect();
    if !problems.is_empty() {
        return Step::Blocked { reason: problems.join("\n") };
    }
    if !seen.plan.is_empty() {
        return Step::Apply;
    }
    let (health, why) = &seen.health;
    let notes = seen.withheld.iter().map(|(key, why)| format!("{key} is left: {why}"));
    let message = notes.chain((!why.is_empty()).then(|| why.clone())).collect::<Vec<_>>().join("; ");
    Step::InSync { health: *health, message }
}

/// The sync state of a plan.
pub fn state(plan: &Plan) -> SyncState {
    if plan.is_empty() { SyncState::Synced } else { SyncState::OutOfSync }
}

/// Whether the server could not be asked about some object yet, because its namespace or kind comes first.
pub fn waits_for_definitions(plan: &Plan) -> bool {
    plan.effective().any(|change| change.proof != Proof::Server)
}

/// How many objects the plan writes or deletes.
pub fn writes(plan: &Plan) -> usize {
    plan.effective().filter(|change| !matches!(change.action, Action::Skip(_))).count()
}

/// The annotation that keeps an object from being pruned, in Git or on the live object.
pub const PRUNE: &str = "windlass.dev/prune";

/// Why an object that Git has no more is left where it is.
pub fn withheld(kind: &str, live: &serde_json::Value) -> Option<&'static str> {
    if live["metadata"]["annotations"][PRUNE] == "never" {
        return Some("it is annotated windlass.dev/prune: never");
    }
    // With these goes data, or everything in them.
    matches!(kind, "Namespace" | "PersistentVolumeClaim" | "PersistentVolume" | "CustomResourceDefinition")
        .then_some("with it would go what it holds; delete it by hand, or put it back into Git")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::{Comparison, Side};

    fn key() -> ResourceKey {
        ResourceKey { group: String::new(), kind: "ConfigMap".into(), namespace: None, name: "a".into() }
    }

    fn seen(comparison: Option<(Side, Side)>) -> Seen {
        let comparisons = comparison.map(|(before, after)| Comparison::new(key(), before, after));
        Seen {
            rendered: Ok(1),
            plan: Plan::new(&crate::domain::mask::Mask::new(b"test"), comparisons),
            health: (Health::Healthy, String::new()),
            withheld: vec![],
        }
    }

    #[test]
    fn a_sync_stops_at_what_it_cannot_answer_for() {
        let create = || Some((Side::Absent, Side::Object(serde_json::json!({"a": 1}), Proof::Server)));
        assert_eq!(decide(&seen(create())), Step::Apply);
        assert_eq!(decide(&seen(None)), Step::InSync { health: Health::Healthy, message: String::new() });
        assert!(matches!(decide(&Seen { rendered: Ok(0), ..seen(create()) }), Step::Blocked { .. }));
        let refused = Some((Side::Absent, Side::Refused("no".into())));
        assert_eq!(decide(&seen(refused)), Step::Blocked { reason: "ConfigMap a: no".into() });
    }
}
