//! What stands between a pull request and its merge.
//!
//! [`evaluate`] turns the facts of one pull request into a [`Verdict`]: a tree
//! whose leaves explain. Only this module makes a [`MergePermit`], and the
//! permit carries the head that it is for; the merge call sends that head.
//!
//! Rooms: one for each gate, with the fact that it judges by.

use super::CommitSha;
use super::approvals::{Review, Writers};

mod approvals;
mod conflicts;
mod draft;
mod earlier_stages;
mod preview;
mod refused_merge;

pub use approvals::{StagePolicy, unseen_refusal};
pub use earlier_stages::Earlier;
pub use preview::PreviewFact;

/// How one gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Passed,
    /// Something has yet to happen.
    Pending,
    /// Somebody has to change something.
    Failed,
}

/// One gate, or the verdict over all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub gate: &'static str,
    pub standing: Standing,
    pub reason: String,
    pub children: Vec<Verdict>,
}

/// The right to merge one head of one pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergePermit {
    head: CommitSha,
}

impl MergePermit {
    pub fn head(&self) -> &CommitSha {
        &self.head
    }
}

/// Who opened the pull request, and whether it is still what was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Ours, and its tree is the recomputed edit.
    Ours,
    /// Opened by us; somebody added to it.
    OursChanged,
    People,
}

#[derive(Debug, Clone)]
pub struct Facts {
    pub head: CommitSha,
    pub origin: Origin,
    pub writers: Writers,
    pub draft: bool,
    /// The policy of each (application, stage) that is touched: as the base has it, and where `windlass.yaml` changes what
    /// it means, also as the head has it.
    pub stages: Vec<StagePolicy>,
    /// A file outside every application's inputs, or `windlass.yaml`.
    pub touches_unmanaged: Option<String>,
    /// Files that head and base both changed, incompatibly.
    pub conflicts: Vec<String>,
    pub preview: Option<PreviewFact>,
    /// Of a pull request that promotes: the stages that come before.
    pub earlier: Vec<Earlier>,
    /// Why somebody has to want just this, also where merging is automatic: it goes back in time.
    pub doubt: Option<String>,
    /// The last opinion of each reviewer.
    pub reviews: Vec<Review>,
    /// Why GitHub refused our last try to merge this head.
    pub refused: Option<String>,
}

/// Every gate, in the order of the verdict. None: it does not concern the pull request.
const GATES: [fn(&Facts) -> Option<Verdict>; 6] = [
    preview::gate,
    approvals::gate,
    earlier_stages::gate,
    conflicts::gate,
    draft::gate,
    refused_merge::gate,
];

/// The verdict, and a permit when windlass may merge now.
pub fn evaluate(facts: &Facts) -> (Verdict, Option<MergePermit>) {
    let gates: Vec<_> = GATES.iter().filter_map(|gate| gate(facts)).collect();
    let worst = gates
        .iter()
        .map(|gate| gate.standing)
        .max()
        .unwrap_or(Standing::Passed);
    let permit = (worst == Standing::Passed && facts.origin == Origin::Ours).then(|| MergePermit {
        head: facts.head.clone(),
    });
    (
        Verdict {
            gate: "merge",
            standing: worst,
            reason: reason(&gates, worst, facts.origin),
            children: gates,
        },
        permit,
    )
}

/// Why the verdict is what it is: the words of the gates that decide it, or who merges.
fn reason(gates: &[Verdict], worst: Standing, origin: Origin) -> String {
    match (worst, origin) {
        (Standing::Passed, Origin::OursChanged) => {
            "all gates passed: somebody changed windlass's branch, so a person has to merge it"
                .into()
        }
        (Standing::Passed, Origin::People) => "all gates passed: a person can merge it now".into(),
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
        children: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
