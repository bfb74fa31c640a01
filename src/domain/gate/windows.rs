//! The gate `windows`: now is a time at which every touched stage takes changes.

use super::{Clear, Facts, StagePolicy, Standing, Verdict, leaf};
use crate::domain::calendar::{Opening, words};

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    let gate = "windows";
    let mut stages: Vec<&StagePolicy> = Vec::new();
    let others = facts.stages.iter();
    for stage in others.filter(|stage| !facts.rolls_back(&stage.title)) {
        // Applications share their stages.
        let known = |known: &&StagePolicy| {
            (&known.stage, &known.calendar) == (&stage.stage, &stage.calendar)
        };
        if stage.calendar != Default::default() && !stages.iter().any(known) {
            stages.push(stage);
        }
    }
    if stages.is_empty() {
        return None;
    }
    let now = facts.now;
    let changes_at = stages
        .iter()
        .filter_map(|stage| stage.calendar.changes(now))
        .min();
    let closed: Vec<_> = stages
        .iter()
        .filter_map(|stage| closed(stage, facts))
        .collect();
    if closed.is_empty() {
        let names: Vec<_> = stages.iter().map(|stage| stage.stage.as_str()).collect();
        let since = stages
            .iter()
            .filter_map(|stage| match stage.calendar.at(now) {
                Opening::Open { since } => since,
                _ => None,
            });
        let reason = format!("{} takes changes now", names.join(", "));
        let passed = leaf(gate, Standing::Passed, reason);
        return Some(passed.since(since.max()).changes_at(changes_at));
    }
    let mut clears = Vec::new();
    // It is open once all stages are.
    let at = closed.iter().map(|closed| closed.opens);
    if let Some(at) = at
        .collect::<Option<Vec<_>>>()
        .and_then(|all| all.into_iter().max())
    {
        clears.push(Clear::Itself { at });
    }
    clears.extend(closed.iter().filter_map(|closed| closed.unfreeze.clone()));
    let reasons: Vec<_> = closed.iter().map(|closed| closed.reason.as_str()).collect();
    let since = closed.iter().map(|closed| closed.since).max().flatten();
    Some(
        leaf(gate, Standing::Pending, reasons.join("; "))
            .since(since)
            .clears(clears)
            .changes_at(changes_at),
    )
}

/// A stage that takes no changes now.
struct Closed {
    reason: String,
    since: Option<jiff::Timestamp>,
    /// When it may open.
    opens: Option<jiff::Timestamp>,
    unfreeze: Option<Clear>,
}

fn closed(policy: &StagePolicy, facts: &Facts) -> Option<Closed> {
    let stage = &policy.stage;
    match policy.calendar.at(facts.now) {
        Opening::Open { .. } => None,
        Opening::Frozen(freeze) => {
            let mut reason = format!(
                "{stage} is frozen until {}",
                words(freeze.until, &freeze.zone)
            );
            if let Some(by) = &freeze.by {
                reason.push_str(&format!(" by {by}"));
            }
            if let Some(why) = &freeze.reason {
                reason.push_str(&format!(" ({why})"));
            }
            Some(Closed {
                reason,
                since: Some(freeze.from),
                opens: Some(freeze.until),
                unfreeze: freeze.by.as_ref().map(|_| Clear::Unfreeze {
                    stage: stage.clone(),
                }),
            })
        }
        Opening::Outside { opens } => {
            let next = opens.map_or_else(
                || "none is to come".into(),
                |(at, zone)| format!("the next one opens {}", words(at, zone)),
            );
            Some(Closed {
                reason: format!("{stage} takes changes only in its windows: {next}"),
                since: None,
                opens: opens.map(|(at, _)| at),
                unfreeze: None,
            })
        }
    }
}
