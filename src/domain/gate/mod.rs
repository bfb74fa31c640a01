//! The gates that a pull request has to pass before its merge.
//!
//! [`evaluate`] turns the facts of one pull request into a [`Verdict`]: a tree
//! whose leaves are the gates with their reasons. Only this module creates a
//! [`MergePermit`]. The permit carries its head, and the merge call sends it.
//!
//! Rooms: one for each gate, with the facts that it needs.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::CommitSha;
use super::approvals::{Contributors, Review};
use super::hold::Hold;
use super::rules::MergeMethod;

mod approvals;
mod clear;
mod conflicts;
mod draft;
mod earlier_stages;
mod github;
mod group;
mod holds;
mod next;
mod overrides;
mod policy;
mod preview;
mod soak;
mod windows;

pub use approvals::unseen_refusal;
pub use clear::Clear;
pub use earlier_stages::Earlier;
pub use github::{CheckState, GitHubFacts};
pub use group::{GroupFacts, GroupRefusal, group_refusal};
pub use next::{Next, next};
pub use overrides::{NEEDED, Override, OverrideRefusal, givers, override_refusal};
pub use policy::{BreakGlass, StagePolicy};
pub use preview::PreviewFact;

/// The state of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Passed,
    /// It may pass by itself, or after a review.
    Pending,
    /// Somebody has to change something.
    Failed,
}

/// The result of one gate, or of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub gate: &'static str,
    pub standing: Standing,
    /// The evidence, in words.
    pub reason: String,
    /// Since when it stands so, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Who or what can clear it; empty if it has passed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clears: Vec<Clear>,
    /// When it may stand otherwise though nobody does anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Verdict>,
}

impl Verdict {
    fn since(self, since: Option<Timestamp>) -> Self {
        Self { since, ..self }
    }

    fn clears(self, clears: impl IntoIterator<Item = Clear>) -> Self {
        let clears = clears.into_iter().collect();
        Self { clears, ..self }
    }

    fn changes_at(self, changes_at: Option<Timestamp>) -> Self {
        Self { changes_at, ..self }
    }
}

/// The right to merge one head of one pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergePermit {
    head: CommitSha,
    way: MergeWay,
}

/// How a head gets into the base branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeWay {
    Now(MergeMethod),
    /// Through the repository's merge queue.
    Queue,
}

impl MergePermit {
    pub fn head(&self) -> &CommitSha {
        &self.head
    }

    pub fn way(&self) -> MergeWay {
        self.way
    }
}

/// Who opened the pull request, and whether others added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Opened by windlass, and its tree is exactly the recomputed edit.
    Ours,
    /// Opened by windlass; somebody else added commits.
    OursChanged,
    People,
}

/// The facts about a pull request that the gates need.
#[derive(Debug, Clone)]
pub struct Facts {
    pub now: Timestamp,
    pub head: CommitSha,
    /// The login of whoever opened it.
    pub author: String,
    pub origin: Origin,
    pub contributors: Contributors,
    pub draft: bool,
    /// The policy of each touched (application, stage), from the base. If the pull request changes
    /// the policy in
    /// `windlass.yaml`, the head's policy is added.
    pub stages: Vec<StagePolicy>,
    /// A file outside every application's inputs, or `windlass.yaml`.
    pub touches_unmanaged: Option<String>,
    /// Files in which head and base conflict.
    pub conflicts: Vec<String>,
    pub preview: Option<PreviewFact>,
    /// The earlier stages, if the pull request is a promotion.
    pub earlier: Vec<Earlier>,
    /// Why a person has to approve it even if merging is automatic: it is a step back.
    pub manual_merge_reason: Option<String>,
    /// The holds of the touched stages, by their titles.
    pub holds: Vec<(String, Hold)>,
    /// Who asked with `/merge` to merge this head.
    pub merge_requested_by: Option<String>,
    /// The application in its stage, as titles have it, that it rolls back, and to which commit:
    /// neither a hold nor a window of that one stops it.
    pub rollback: Option<(String, CommitSha)>,
    /// The last opinion of each reviewer.
    pub reviews: Vec<Review>,
    /// Who overrides which gates of this head.
    pub overrides: Vec<Override>,
    pub github: GitHubFacts,
    /// The methods by which GitHub merges, best first.
    pub methods: Vec<MergeMethod>,
}

impl Facts {
    /// Whether windlass is to merge it once the gates allow it.
    fn is_wanted(&self) -> bool {
        self.origin == Origin::Ours || self.merge_requested_by.is_some()
    }

    /// Whether it rolls back an application in its stage, by the title.
    fn rolls_back(&self, title: &str) -> bool {
        let rollback = self.rollback.as_ref();
        rollback.is_some_and(|(own, _)| own == title)
    }
}

/// A gate, and what is known of it beside its own judgement.
struct Gate {
    name: &'static str,
    /// None: the gate does not apply to the pull request.
    judge: fn(&Facts) -> Option<Verdict>,
    /// `/override` may pass it.
    overridable: bool,
}

impl Gate {
    /// A gate that nothing but its own condition passes.
    const fn strict(name: &'static str, judge: fn(&Facts) -> Option<Verdict>) -> Self {
        Self {
            name,
            judge,
            overridable: false,
        }
    }

    const fn overridable(self) -> Self {
        Self {
            overridable: true,
            ..self
        }
    }

    fn verdict(&self, facts: &Facts) -> Option<Verdict> {
        let verdict = (self.judge)(facts)?;
        if verdict.standing == Standing::Passed {
            return Some(verdict);
        }
        Some(match self.overridable {
            true => overrides::apply(facts, verdict),
            false => verdict,
        })
    }
}

/// All gates, in the order of the verdict.
const GATES: [Gate; 8] = [
    Gate::strict("preview", preview::gate),
    Gate::strict("approvals", approvals::gate).overridable(),
    Gate::strict("earlier stages", earlier_stages::gate).overridable(),
    Gate::strict("soak", soak::gate).overridable(),
    Gate::strict("windows", windows::gate).overridable(),
    Gate::strict("holds", holds::gate).overridable(),
    Gate::strict("conflicts", conflicts::gate),
    Gate::strict("draft", draft::gate),
];

/// The gates that `/override` may pass.
pub fn overridable() -> impl Iterator<Item = &'static str> {
    let gates = GATES.iter().filter(|gate| gate.overridable);
    gates.map(|gate| gate.name)
}

/// The verdict, and a permit if windlass may merge now. The verdict's standing is that of windlass's
/// own gates; a permit also needs what GitHub demands.
pub fn evaluate(facts: &Facts) -> (Verdict, Option<MergePermit>) {
    let gates = GATES.iter().filter_map(|gate| gate.verdict(facts));
    let mut gates: Vec<_> = gates.collect();
    let worst = gates
        .iter()
        .map(|gate| gate.standing)
        .max()
        .unwrap_or(Standing::Passed);
    let mut reason = reason(&gates, worst, facts);
    let mut may_merge = worst == Standing::Passed && facts.is_wanted();
    if let Some(github) = github::gate(facts) {
        if github.standing != Standing::Passed {
            may_merge = false;
            if worst == Standing::Passed {
                reason = format!("all gates passed; GitHub waits: {}", github.reason);
            }
        }
        gates.push(github);
    }
    let way = match facts.methods.first() {
        _ if facts.github.rules.queue => Some(MergeWay::Queue),
        best => best.copied().map(MergeWay::Now),
    };
    let permit = way.filter(|_| may_merge).map(|way| MergePermit {
        head: facts.head.clone(),
        way,
    });
    (
        Verdict {
            gate: "merge",
            standing: worst,
            reason,
            since: None,
            clears: Vec::new(),
            changes_at: gates.iter().filter_map(|gate| gate.changes_at).min(),
            children: gates,
        },
        permit,
    )
}

/// Whether a head that windlass put into the merge queue has to leave it: a gate does not pass any
/// more, or nobody wants the merge.
pub fn leaves_queue(facts: &Facts, verdict: &Verdict) -> bool {
    facts.github.queued && (verdict.standing != Standing::Passed || !facts.is_wanted())
}

/// The reason of the verdict: those of the gates that decide it, or who merges.
fn reason(gates: &[Verdict], worst: Standing, facts: &Facts) -> String {
    match (worst, facts.origin) {
        (Standing::Passed, Origin::OursChanged | Origin::People)
            if let Some(user) = &facts.merge_requested_by =>
        {
            format!("all gates passed: windlass merges this head, as {user} asked")
        }
        (Standing::Passed, Origin::OursChanged) => {
            "all gates passed: somebody changed windlass's branch, so a person has to merge it, or asks with `/merge`"
                .into()
        }
        (Standing::Passed, Origin::People) => "all gates passed: a person can merge it now, or asks with `/merge`".into(),
        (Standing::Passed, _) => "all gates passed: windlass merges this head".into(),
        _ => gates
            .iter()
            .filter(|gate| gate.standing == worst)
            .map(|gate| gate.reason.as_str())
            .collect::<Vec<_>>()
            .join("; "),
    }
}

fn leaf(gate: &'static str, standing: Standing, reason: String) -> Verdict {
    Verdict {
        gate,
        standing,
        reason,
        since: None,
        clears: Vec::new(),
        changes_at: None,
        children: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
