//! The gate `GitHub`: what GitHub's rules demand before it merges.
//!
//! It holds windlass's own merge back, and is no part of the check run's state:
//! GitHub enforces its rules itself, for people as well.

use super::{Clear, Facts, Standing, Verdict, leaf};
use crate::domain::rules::BranchRules;

/// What GitHub wants, as far as it is known before it refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitHubFacts {
    pub rules: BranchRules,
    /// The required checks of others, and how they stand.
    pub checks: Vec<(String, CheckState)>,
    /// The head does not contain the tip of the base branch.
    pub behind: bool,
    /// Why GitHub refused our last attempt to merge this head, while it is not tried again.
    pub refused: Option<String>,
    /// It is in the merge queue.
    pub queued: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    Passed,
    Pending,
    Failed,
}

impl Facts {
    /// What GitHub could refuse a merge for, as one text that changes with it.
    pub fn as_text(&self) -> String {
        let GitHubFacts {
            rules,
            checks,
            behind,
            ..
        } = &self.github;
        format!("{rules:?} {checks:?} {behind} {:?}", self.reviews)
    }
}

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    let demands = demands(facts);
    let standing = demands.iter().map(|demand| demand.standing).max()?;
    let reason = if standing == Standing::Passed {
        let met = demands.iter().map(|demand| demand.reason.as_str());
        met.collect::<Vec<_>>().join("; ")
    } else {
        let open = demands
            .iter()
            .filter(|demand| demand.standing != Standing::Passed);
        let open: Vec<_> = open.map(|demand| demand.reason.as_str()).collect();
        open.join("; ")
    };
    let clears = (standing != Standing::Passed).then_some(Clear::GitHub);
    Some(Verdict {
        children: demands,
        ..leaf("GitHub", standing, reason).clears(clears)
    })
}

/// Each demand of the rules, as far as it can be judged beforehand.
fn demands(facts: &Facts) -> Vec<Verdict> {
    let GitHubFacts {
        rules,
        checks,
        behind,
        refused,
        queued,
    } = &facts.github;
    let mut demands = Vec::new();
    let mut demand = |gate, met: bool, reason: String| {
        let standing = if met {
            Standing::Passed
        } else {
            Standing::Pending
        };
        let clears = (!met).then_some(Clear::GitHub);
        demands.push(leaf(gate, standing, reason).clears(clears));
    };
    if rules.approvals > 0 {
        let have = approving(facts);
        let reason = format!(
            "the branch's rules require {}: {have} given",
            approvals(rules.approvals)
        );
        demand("reviews", have >= rules.approvals, reason);
    }
    for (gate, reason) in judged_by_github(rules) {
        demand(gate, true, reason);
    }
    for (name, state) in checks {
        let (met, how) = match state {
            CheckState::Passed => (true, "has passed"),
            CheckState::Pending => (false, "has not passed yet"),
            CheckState::Failed => (false, "has failed"),
        };
        demand("checks", met, format!("the required check `{name}` {how}"));
    }
    if rules.up_to_date {
        let reason = "the branch's rules require that the head contains the tip of the branch";
        demand("up to date", !behind, reason.into());
    }
    if facts.methods.is_empty() && !rules.queue {
        let reason = "the branch's rules and the repository's settings leave no method of merging: allow one";
        demand("method", false, reason.into());
    }
    if *queued {
        demand("queue", false, "it is in the merge queue".into());
    }
    if let Some(why) = refused {
        demand("merge", false, format!("GitHub refused the merge: {why}"));
    }
    demands
}

/// What only GitHub can judge: it is said, and holds nothing up here.
fn judged_by_github(rules: &BranchRules) -> impl Iterator<Item = (&'static str, String)> {
    let all = [
        (
            rules.code_owners,
            "code owners",
            "the approval of a code owner where the changed files have one",
        ),
        (
            rules.last_push,
            "last push",
            "an approval by somebody other than the last pusher",
        ),
        (
            rules.threads_resolved,
            "conversations",
            "that every conversation is resolved",
        ),
    ];
    let demanded = all.into_iter().filter(|(is_demanded, ..)| *is_demanded);
    demanded.map(|(_, gate, what)| {
        let reason = format!("the branch's rules require {what}: GitHub checks that at the merge");
        (gate, reason)
    })
}

/// How many people with write permission approve.
fn approving(facts: &Facts) -> usize {
    let approving = facts
        .reviews
        .iter()
        .filter(|review| review.approves && review.may_write);
    approving.count()
}

fn approvals(count: usize) -> String {
    if count == 1 {
        "an approval".into()
    } else {
        format!("{count} approvals")
    }
}
