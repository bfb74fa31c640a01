//! Break glass: `/override GATE REASON`.
//!
//! A gate is overridden once two people have given the command for it on this head
//! whom every touched stage names under `breakGlass`, and who neither opened the
//! pull request nor wrote or pushed a commit of it. What was never in doubt stays: an override of `approvals` lets no file
//! through that belongs to no application, such as `windlass.yaml`.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Clear, Facts, Standing, Verdict, leaf, overridable};
use crate::domain::approvals::{Contributors, Doubt};

/// How many people have to override a gate.
pub const NEEDED: usize = 2;

/// `/override`, as somebody who may write gave it for this head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pub gate: String,
    pub by: String,
    pub reason: String,
    pub at: Timestamp,
}

/// Why a user cannot override a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverrideRefusal {
    /// There is no such gate, or nobody may override it.
    Gate { overridable: Vec<&'static str> },
    /// They opened the pull request, or wrote or pushed a commit of it.
    Author,
    /// It is not known who did.
    Unknown(Doubt),
    /// The pull request touches no stage.
    NoStage,
    /// A file belongs to no application, so nobody has a say over it alone.
    Unmanaged { file: String },
    /// The stage does not name them. `names`: whom it names; empty: nobody.
    NotNamed { title: String, names: Vec<String> },
}

/// Why a user's override of a gate does not count; None: it does.
pub fn override_refusal(facts: &Facts, gate: &str, user: &str) -> Option<OverrideRefusal> {
    if !overridable().any(|name| name == gate) {
        let overridable = overridable().collect();
        return Some(OverrideRefusal::Gate { overridable });
    }
    if facts.stages.is_empty() {
        return Some(OverrideRefusal::NoStage);
    }
    if let Some(file) = facts
        .touches_unmanaged
        .as_ref()
        .filter(|_| gate == "approvals")
    {
        return Some(OverrideRefusal::Unmanaged { file: file.clone() });
    }
    let user = user.to_ascii_lowercase();
    if user == facts.author.to_ascii_lowercase() {
        return Some(OverrideRefusal::Author);
    }
    match &facts.contributors {
        Contributors::Known(known) if known.contains(&user) => {
            return Some(OverrideRefusal::Author);
        }
        Contributors::Known(_) => {}
        Contributors::Unknown(doubt) => return Some(OverrideRefusal::Unknown(doubt.clone())),
    }
    let lacking = facts
        .stages
        .iter()
        .find(|stage| !stage.break_glass.members.contains(&user));
    lacking.map(|stage| OverrideRefusal::NotNamed {
        title: stage.title.clone(),
        names: stage.break_glass.names.clone(),
    })
}

/// The overrides of a gate that count, one a person.
pub fn givers<'a>(facts: &'a Facts, gate: &str) -> Vec<&'a Override> {
    let mut people = BTreeSet::new();
    let counts = |given: &&Override| {
        given.gate == gate && override_refusal(facts, gate, &given.by).is_none()
    };
    let all = facts.overrides.iter().filter(counts);
    all.filter(|given| people.insert(given.by.to_ascii_lowercase()))
        .collect()
}

/// What becomes of a gate that has not passed.
pub(super) fn apply(facts: &Facts, mut verdict: Verdict) -> Verdict {
    let givers = givers(facts, verdict.gate);
    if givers.len() >= NEEDED {
        let said: Vec<_> = givers
            .iter()
            .map(|given| format!("{} ({})", given.by, given.reason))
            .collect();
        let reason = format!(
            "overridden by {}; it was: {}",
            said.join(", "),
            verdict.reason
        );
        let since = givers.iter().map(|given| given.at).max();
        return leaf(verdict.gate, Standing::Passed, reason)
            .since(since)
            .changes_at(verdict.changes_at);
    }
    if let [first] = givers[..] {
        verdict.reason.push_str(&format!(
            "; {} overrides it, a second person is needed",
            first.by
        ));
    }
    let possible = !facts.stages.is_empty()
        && facts
            .stages
            .iter()
            .all(|stage| !stage.break_glass.names.is_empty())
        && (verdict.gate != "approvals" || facts.touches_unmanaged.is_none());
    if possible {
        let names: BTreeSet<_> = facts
            .stages
            .iter()
            .flat_map(|stage| stage.break_glass.names.iter().cloned())
            .collect();
        verdict.clears.push(Clear::BreakGlass {
            gate: verdict.gate.replace(' ', "-"),
            names: names.into_iter().collect(),
        });
    }
    verdict
}
