//! The gate `conflicts`: the head can be merged into the base.

use super::{Facts, Standing, Verdict, leaf};

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    if facts.conflicts.is_empty() {
        return None;
    }
    let files = facts.conflicts.join(", ");
    Some(leaf(
        "conflicts",
        Standing::Failed,
        format!("conflicts with the base branch in {files}: update the branch"),
    ))
}
