//! Fields with whoever holds them, and what others changed in the cluster.

use super::super::markdown::code;
use crate::domain::plan::{Action, Change, Fields, Plan};

/// `.spec.replicas` from `kubectl-edit`.
pub(super) fn holders(fields: &Fields) -> String {
    const SHOWN: usize = 6;
    let one = |(manager, paths): &(String, Vec<String>)| {
        let mut shown: Vec<_> = paths.iter().take(SHOWN).map(|path| code(path)).collect();
        if paths.len() > SHOWN {
            shown.push(format!("{} more", paths.len() - SHOWN));
        }
        format!("{} ({})", shown.join(", "), code(manager))
    };
    fields.iter().map(one).collect::<Vec<_>>().join(", ")
}

pub(in crate::view) fn drift_lines(drift: &Plan) -> Vec<String> {
    let line = |change: &Change| {
        let key = code(&change.key.to_string());
        match (&change.action, change.notes.reverted.is_empty()) {
            (Action::Create, _) => format!("{key} was deleted"),
            (_, true) => format!("{key} differs"),
            (_, false) => format!("{key} {}", holders(&change.notes.reverted)),
        }
    };
    drift
        .effective()
        .filter(|change| change.problem.is_none())
        .map(line)
        .collect()
}
