//! The gate `GitHub`: GitHub has not refused to merge this head.

use super::{Facts, Standing, Verdict, leaf};

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    let why = facts.refused.as_ref()?;
    Some(leaf(
        "GitHub",
        Standing::Failed,
        format!("GitHub refused the merge: {why}"),
    ))
}
