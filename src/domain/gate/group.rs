//! The verdict on a group of a merge queue: on the combination, and on the pull request that it is
//! for.

/// What is known of a group.
#[derive(Debug, Clone, Copy, Default)]
pub struct GroupFacts {
    /// Its preview can be applied.
    pub ok: bool,
    /// How many changes its preview does not show.
    pub unseen: usize,
    /// The pull request's own verdict is green now.
    pub own_verdict: bool,
    /// `windlass.yaml` changes, and not by a pull request alone: what comes with it was judged by
    /// the old one.
    pub mixed_configuration: bool,
}

/// Why a group is not merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupRefusal {
    OwnVerdict,
    Preview,
    Unseen(usize),
    Configuration,
}

/// Why the group is not to be merged; None: it may be.
pub fn group_refusal(facts: GroupFacts) -> Option<GroupRefusal> {
    match facts {
        GroupFacts {
            own_verdict: false, ..
        } => Some(GroupRefusal::OwnVerdict),
        GroupFacts { ok: false, .. } => Some(GroupRefusal::Preview),
        GroupFacts { unseen, .. } if unseen > 0 => Some(GroupRefusal::Unseen(unseen)),
        GroupFacts {
            mixed_configuration: true,
            ..
        } => Some(GroupRefusal::Configuration),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_needs_all_of_it() {
        let good = GroupFacts {
            ok: true,
            unseen: 0,
            own_verdict: true,
            mixed_configuration: false,
        };
        let table = [
            (good, None),
            (
                GroupFacts {
                    own_verdict: false,
                    ..good
                },
                Some(GroupRefusal::OwnVerdict),
            ),
            (
                GroupFacts { ok: false, ..good },
                Some(GroupRefusal::Preview),
            ),
            (
                GroupFacts { unseen: 2, ..good },
                Some(GroupRefusal::Unseen(2)),
            ),
            (
                GroupFacts {
                    mixed_configuration: true,
                    ..good
                },
                Some(GroupRefusal::Configuration),
            ),
        ];
        for (facts, refusal) in table {
            assert_eq!(group_refusal(facts), refusal, "{facts:?}");
        }
    }
}
