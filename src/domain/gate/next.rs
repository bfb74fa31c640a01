//! What comes next for a pull request that passes its gates: by policy alone, so that it does not
//! change with every review.

use super::approvals::needed;
use super::{Facts, Origin};

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Its author marks it as ready.
    Ready,
    /// windlass merges it, after so many approvals.
    WindlassMerges { approvals: u32 },
    /// A person merges it, or asks windlass to, after so many approvals.
    PersonMerges { approvals: u32 },
}

/// What comes next for a pull request.
pub fn next(facts: &Facts) -> Next {
    let approvals = needed(facts);
    match facts.origin {
        _ if facts.draft => Next::Ready,
        Origin::Ours => Next::WindlassMerges { approvals },
        _ if facts.merge_requested_by.is_some() => Next::WindlassMerges { approvals },
        Origin::OursChanged | Origin::People => Next::PersonMerges { approvals },
    }
}
