//! The gate `conflicts`: the head can be merged into the base.

use super::{Clear, Facts, Standing, Verdict, leaf};

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    if facts.conflicts.is_empty() {
        return None;
    }
    let files = facts.conflicts.join(", ");
    let reason = format!("conflicts with the base branch in {files}: update the branch");
    Some(leaf("conflicts", Standing::Failed, reason).clears([Clear::Author]))
}
