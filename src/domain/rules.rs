//! What GitHub's rules demand of a merge into a branch: rulesets and branch protection together,
//! as `GET rules/branches/{branch}` tells them.

/// The rules of a branch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BranchRules {
    /// Approving reviews by people with write permission.
    pub approvals: usize,
    pub code_owners: bool,
    /// Somebody other than the last pusher has to approve.
    pub last_push: bool,
    pub threads_resolved: bool,
    pub checks: Vec<RequiredCheck>,
    /// The head has to contain the tip of the branch.
    pub up_to_date: bool,
    /// Merges go through the merge queue.
    pub queue: bool,
    pub linear: bool,
    /// None: every method.
    pub methods: Option<Vec<MergeMethod>>,
}

/// A check run or a commit status that has to be green.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredCheck {
    pub name: String,
    /// The App that has to report it; None: anybody may.
    pub app: Option<u64>,
}

/// How GitHub merges, in the order of our preference: a merge commit keeps the commits that were
/// approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MergeMethod {
    Merge,
    Squash,
    Rebase,
}

impl MergeMethod {
    pub const ALL: [Self; 3] = [Self::Merge, Self::Squash, Self::Rebase];

    /// GitHub's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Squash => "squash",
            Self::Rebase => "rebase",
        }
    }
}

impl BranchRules {
    /// The methods that the rules leave, best first. `is_allowed`: whether the repository allows
    /// one.
    pub fn methods(&self, is_allowed: impl Fn(MergeMethod) -> bool) -> Vec<MergeMethod> {
        let by_rules = |method: &MergeMethod| {
            let named = self
                .methods
                .as_ref()
                .is_none_or(|some| some.contains(method));
            named && !(self.linear && *method == MergeMethod::Merge)
        };
        let left = MergeMethod::ALL.into_iter().filter(by_rules);
        left.filter(|method| is_allowed(*method)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::MergeMethod::{Merge, Rebase, Squash};
    use super::*;

    #[test]
    fn the_best_method_that_is_left_comes_first() {
        let rules = |linear, methods: Option<&[MergeMethod]>| BranchRules {
            linear,
            methods: methods.map(<[_]>::to_vec),
            ..BranchRules::default()
        };
        let table: [(BranchRules, &[MergeMethod], &[MergeMethod]); 5] = [
            (
                rules(false, None),
                &[Merge, Squash, Rebase],
                &[Merge, Squash, Rebase],
            ),
            (
                rules(true, None),
                &[Merge, Squash, Rebase],
                &[Squash, Rebase],
            ),
            (rules(false, Some(&[Rebase])), &[Merge, Rebase], &[Rebase]),
            (rules(false, None), &[Squash], &[Squash]),
            (rules(true, Some(&[Merge])), &[Merge], &[]),
        ];
        for (rules, allowed, expected) in table {
            assert_eq!(
                rules.methods(|method| allowed.contains(&method)),
                expected,
                "{rules:?}"
            );
        }
    }
}
