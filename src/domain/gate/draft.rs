//! The gate `draft`: the pull request is ready for review.

use super::{Clear, Facts, Standing, Verdict, leaf};

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    facts.draft.then(|| {
        leaf(
            "draft",
            Standing::Pending,
            "is a draft: mark it as ready for review".into(),
        )
        .clears([Clear::Author])
    })
}
