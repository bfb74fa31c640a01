//! Enough approvals count for what the pull request touches, and nobody who may write requested changes.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Facts, Origin, Standing, Verdict, leaf};
use crate::domain::approvals::Case;

const NOTHING: &str = "nothing that windlass manages changes";

/// What a stage that the pull request touches asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagePolicy {
    pub title: String,
    /// `merge: auto` stands and it asks for no approval.
    pub auto: bool,
    pub approvals: u32,
    /// Whose approvals count, in small letters, of those who gave one; None: whoever may write to the repository.
    pub approvers: Option<BTreeSet<String>>,
}

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    let gate = "approvals";
    if let Some(review) = facts
        .reviews
        .iter()
        .find(|review| !review.approves && review.writer)
    {
        return Some(leaf(
            gate,
            Standing::Failed,
            format!("{} requested changes", review.user),
        ));
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
        return Some(leaf(
            gate,
            Standing::Passed,
            format!(
                "approved by {} ({})",
                have(strictest).join(", "),
                strictest.because
            ),
        ));
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
    Some(leaf(gate, Standing::Pending, reason))
}

/// Why somebody's word for what the preview does not show does not count: who gives it must be one who may approve for
/// every stage. None: it counts.
pub fn unseen_refusal(facts: &Facts, user: &str, writer: bool) -> Option<String> {
    demands(facts)
        .iter()
        .find_map(|demand| demand.case(facts, None).may_approve(user, writer).err())
        .map(|why| why.to_string())
}

/// So many approvals, for this reason, by these.
struct Demand<'a> {
    needed: u32,
    because: String,
    approvers: Option<&'a BTreeSet<String>>,
}

impl<'a> Demand<'a> {
    fn case(&self, facts: &'a Facts, previewed_at: Option<Timestamp>) -> Case<'a> {
        Case {
            head: &facts.head,
            previewed_at,
            writers: &facts.writers,
            approvers: self.approvers,
        }
    }
}

/// What each stage asks for, and what is asked of anybody.
fn demands(facts: &Facts) -> Vec<Demand<'_>> {
    let floor = match facts.origin {
        Origin::OursChanged => Some("somebody changed windlass's branch".to_string()),
        Origin::People | Origin::Ours if facts.touches_unmanaged.is_some() => facts
            .touches_unmanaged
            .as_ref()
            .map(|file| format!("`{file}` belongs to no application")),
        Origin::People if facts.stages.is_empty() => None,
        Origin::People => Some("a person's change needs a review".into()),
        Origin::Ours => facts.doubt.clone(),
    };
    fn of<'a>(
        StagePolicy {
            title,
            auto,
            approvals,
            approvers,
        }: &'a StagePolicy,
        floor: Option<&String>,
    ) -> Demand<'a> {
        let (needed, because) = match (*approvals, *auto) {
            // Also where nothing is asked of windlass's own: by the stage's approvers, where it names some.
            (0, true) if floor.is_some() => (1, floor.cloned().unwrap_or_default()),
            (0, true) => (0, format!("{title} merges image updates automatically")),
            (0, false) => (1, format!("{title} does not say `merge: auto`")),
            (some, _) => (some, format!("{title} requires {some}")),
        };
        Demand {
            needed,
            because,
            approvers: approvers.as_ref(),
        }
    }
    let mut demands: Vec<_> = facts
        .stages
        .iter()
        .map(|stage| of(stage, floor.as_ref()))
        .collect();
    // What a stage asks for by its own words is told rather than what is asked of anybody.
    if let Some(because) = floor
        && demands.iter().all(|demand| demand.needed == 0)
    {
        demands.push(Demand {
            needed: 1,
            because,
            approvers: None,
        });
    }
    demands
}
