//! What a change of `windlass.yaml` makes of the policy of applications: who approves, when, and
//! what merges by itself.

use std::time::Duration;

use super::{MergePolicy, Target};

/// One difference of policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyChange {
    Approvals {
        from: u32,
        to: u32,
    },
    /// Others' approvals count.
    Approvers,
    /// windlass merges its own pull requests without a review, or not any more.
    MergesItself(bool),
    Soak {
        from: Duration,
        to: Duration,
    },
    /// Its windows or freezes.
    Times,
    BreakGlass,
    /// The stages before it.
    After,
    /// Who may announce its images.
    Sources,
    /// Who applies it.
    Reconciler,
    /// windlass does not manage it any more.
    Leaves,
}

impl PolicyChange {
    /// Whether less is asked for than before, as far as that can be said.
    pub fn is_weaker(&self) -> bool {
        match self {
            Self::Approvals { from, to } => to < from,
            Self::Soak { from, to } => to < from,
            Self::MergesItself(by_itself) => *by_itself,
            Self::Leaves => false,
            Self::Approvers
            | Self::Times
            | Self::BreakGlass
            | Self::After
            | Self::Sources
            | Self::Reconciler => true,
        }
    }
}

/// The differences of an application's policy. `after`: None if it is not declared any more.
pub fn policy_changes(before: &Target, after: Option<&Target>) -> Vec<PolicyChange> {
    let Some(after) = after else {
        return vec![PolicyChange::Leaves];
    };
    let (was, is) = (&before.stage, &after.stage);
    let mut found = Vec::new();
    if was.approvals != is.approvals {
        let (from, to) = (was.approvals, is.approvals);
        found.push(PolicyChange::Approvals { from, to });
    }
    if was.merge != is.merge {
        found.push(PolicyChange::MergesItself(is.merge == MergePolicy::Auto));
    }
    if was.soak != is.soak {
        let (from, to) = (was.soak, is.soak);
        found.push(PolicyChange::Soak { from, to });
    }
    let others = [
        (was.approvers != is.approvers, PolicyChange::Approvers),
        (was.calendar != is.calendar, PolicyChange::Times),
        (was.break_glass != is.break_glass, PolicyChange::BreakGlass),
        (was.after != is.after, PolicyChange::After),
        (before.images != after.images, PolicyChange::Sources),
        (was.reconcile != is.reconcile, PolicyChange::Reconciler),
    ];
    let differing = others.into_iter().filter(|(differs, _)| *differs);
    found.extend(differing.map(|(_, change)| change));
    found
}

#[cfg(test)]
mod tests {
    use super::super::{Catalog, Tree};
    use super::*;

    fn target(stage: &str) -> Target {
        let text = format!(
            "version: 1\nstages: {{staging: {{}}, production: {{{stage}}}}}\napplications: [{{path: 'apps/{{application}}/{{stage}}', namespace: x}}]\n"
        );
        let tree = Tree::new(["apps/a/staging/a.yaml", "apps/a/production/a.yaml"]);
        let catalog = Catalog::parse(&text).unwrap();
        let found = catalog.expand(&tree).unwrap();
        let mut found = found.into_iter();
        found
            .find(|one| one.stage.name.as_str() == "production")
            .unwrap()
    }

    #[test]
    fn what_is_asked_for_is_compared() {
        let strict = target("gates: {approvals: 2, soak: 1h}, after: [staging]");
        let same = policy_changes(&strict, Some(&strict.clone()));
        assert_eq!(same, []);
        let weak = target("merge: auto");
        let hour = Duration::from_secs(3600);
        let weaker = policy_changes(&strict, Some(&weak));
        assert_eq!(
            weaker,
            [
                PolicyChange::Approvals { from: 2, to: 0 },
                PolicyChange::MergesItself(true),
                PolicyChange::Soak {
                    from: hour,
                    to: Duration::ZERO
                },
                PolicyChange::After,
            ]
        );
        assert!(weaker.iter().all(PolicyChange::is_weaker));
        let stricter = policy_changes(&weak, Some(&strict));
        assert!(!stricter[..3].iter().any(PolicyChange::is_weaker));
        assert_eq!(policy_changes(&weak, None), [PolicyChange::Leaves]);
    }
}
