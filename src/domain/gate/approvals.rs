//! Enough approvals count for what the pull request touches, and nobody who may write requested
//! changes.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Clear, Facts, Origin, StagePolicy, Standing, Verdict, leaf};
use crate::domain::approvals::Case;

const NOTHING: &str = "nothing that windlass manages changes";

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    let gate = "approvals";
    if let Some(review) = facts
        .reviews
        .iter()
        .find(|review| !review.approves && review.may_write)
    {
        let reason = format!("{} requested changes", review.user);
        let login = review.user.clone();
        return Some(
            leaf(gate, Standing::Failed, reason)
                .since(Some(review.submitted_at))
                .clears([Clear::Reviewer { login }]),
        );
    }
    let demands = demands(facts);
    let strictest = demands.iter().max_by_key(|demand| demand.needed);
    let Some(strictest) = strictest.filter(|demand| demand.needed > 0) else {
        return Some(leaf(
            gate,
            Standing::Passed,
            strictest.map_or_else(|| NOTHING.into(), |demand| demand.because.clone()),
        ));
    };
    let previewed_at = facts.preview.as_ref().map(|preview| preview.completed_at);
    let have = |demand: &Demand<'_>| demand.case(facts, previewed_at).approved_by(&facts.reviews);
    let lacking = demands
        .iter()
        .filter(|demand| (have(demand).len() as u32) < demand.needed)
        .max_by_key(|demand| demand.needed);
    let Some(lacking) = lacking else {
        let by = have(strictest);
        let given = facts
            .reviews
            .iter()
            .filter(|review| by.contains(&review.user.as_str()));
        let since = given.map(|review| review.submitted_at).max();
        let reason = format!("approved by {} ({})", by.join(", "), strictest.because);
        return Some(leaf(gate, Standing::Passed, reason).since(since));
    };
    let mut reason = format!(
        "{} of {} approvals ({})",
        have(lacking).len(),
        lacking.needed,
        lacking.because
    );
    for review in facts.reviews.iter().filter(|review| review.approves) {
        if let Err(why) = lacking.case(facts, previewed_at).counts(review) {
            reason.push_str(&format!("; {}'s does not count: {why}", review.user));
        }
    }
    let names = lacking.names.to_vec();
    Some(
        leaf(gate, Standing::Pending, reason)
            .since(previewed_at)
            .clears([Clear::Approver { names }]),
    )
}

/// How many approvals it needs.
pub(super) fn needed(facts: &Facts) -> u32 {
    let demands = demands(facts);
    let all = demands.iter().map(|demand| demand.needed);
    all.max().unwrap_or_default()
}

/// Why a user may not accept the changes that the preview does not show: only somebody who may
/// approve for every stage may. None: the user may.
pub fn unseen_refusal(facts: &Facts, user: &str, may_write: bool) -> Option<String> {
    demands(facts)
        .iter()
        .find_map(|demand| demand.case(facts, None).may_approve(user, may_write).err())
        .map(|why| why.to_string())
}

/// A number of required approvals, the reason, and whose approvals count.
struct Demand<'a> {
    needed: u32,
    because: String,
    approvers: Option<&'a BTreeSet<String>>,
    /// Whom the policy names.
    names: &'a [String],
}

impl<'a> Demand<'a> {
    fn case(&self, facts: &'a Facts, previewed_at: Option<Timestamp>) -> Case<'a> {
        Case {
            head: &facts.head,
            previewed_at,
            contributors: &facts.contributors,
            approvers: self.approvers,
        }
    }
}

/// The approvals that each stage requires, and those that are required in any case.
fn demands(facts: &Facts) -> Vec<Demand<'_>> {
    let floor = match facts.origin {
        Origin::OursChanged => Some("somebody changed windlass's branch".to_string()),
        Origin::People | Origin::Ours if facts.touches_unmanaged.is_some() => facts
            .touches_unmanaged
            .as_ref()
            .map(|file| format!("`{file}` belongs to no application")),
        Origin::People if facts.stages.is_empty() => None,
        Origin::People => Some("a person's change needs a review".into()),
        Origin::Ours => facts.manual_merge_reason.clone(),
    };
    fn of<'a>(
        StagePolicy {
            title,
            auto,
            approvals,
            approvers,
            approver_names,
            ..
        }: &'a StagePolicy,
        floor: Option<&String>,
    ) -> Demand<'a> {
        let (needed, because) = match (*approvals, *auto) {
            // A stage without required approvals needs one here, by its approvers if it names some.
            (0, true) if floor.is_some() => (1, floor.cloned().unwrap_or_default()),
            (0, true) => (0, format!("{title} merges image updates automatically")),
            (0, false) => (1, format!("{title} does not say `merge: auto`")),
            (count, _) => (count, format!("{title} requires {count}")),
        };
        Demand {
            needed,
            because,
            approvers: approvers.as_ref(),
            names: approver_names,
        }
    }
    let mut demands: Vec<_> = facts
        .stages
        .iter()
        .map(|stage| of(stage, floor.as_ref()))
        .collect();
    // A stage's own requirement is reported in preference to the general one.
    if let Some(because) = floor
        && demands.iter().all(|demand| demand.needed == 0)
    {
        demands.push(Demand {
            needed: 1,
            because,
            approvers: None,
            names: &[],
        });
    }
    demands
}
