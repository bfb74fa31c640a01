//! A change of policy, for a reviewer: equal changes of several applications once.

use std::collections::BTreeMap;

use super::super::markdown::code;
use super::alerts::list;
use crate::domain::catalog::PolicyChange;
use crate::domain::sync::duration_words;

/// A line for each change.
pub(super) fn policy(changes: &[(String, PolicyChange)]) -> Vec<String> {
    let mut by_change = BTreeMap::<&PolicyChange, Vec<String>>::new();
    for (title, change) in changes {
        by_change.entry(change).or_default().push(code(title));
    }
    let line = |(change, titles): (&PolicyChange, Vec<String>)| {
        format!("Policy of {}: {}.", list(&titles), words(change))
    };
    by_change.into_iter().map(line).collect()
}

fn words(change: &PolicyChange) -> String {
    match change {
        PolicyChange::Approvals { from, to } => {
            let s = if *to == 1 { "" } else { "s" };
            format!("{to} approval{s} required (before: {from})")
        }
        PolicyChange::Approvers => "approvals of other people count".into(),
        PolicyChange::MergesItself(true) => "windlass merges image updates without a review".into(),
        PolicyChange::MergesItself(false) => "image updates need a review".into(),
        PolicyChange::Soak { from, to } => format!(
            "earlier stages are healthy for {} before a promotion (before: {})",
            duration_words(*to),
            duration_words(*from)
        ),
        PolicyChange::Times => "it may be merged at other times".into(),
        PolicyChange::BreakGlass => "other people may override its gates".into(),
        PolicyChange::After => "other stages come before it".into(),
        PolicyChange::Sources => "other images are promoted, or others announce them".into(),
        PolicyChange::Reconciler => "somebody else applies it".into(),
        PolicyChange::Leaves => "windlass does not manage it any more".into(),
    }
}
