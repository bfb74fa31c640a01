//! What a stage requires of a pull request that touches it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::calendar::Calendar;

/// The policy of a stage that the pull request touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagePolicy {
    pub title: String,
    /// The stage's name.
    pub stage: String,
    /// The stage has `merge: auto` and requires no approval.
    pub auto: bool,
    pub approvals: u32,
    /// The reviewers whose approvals count, in lower case; None: everybody who may write to the
    /// repository.
    pub approvers: Option<BTreeSet<String>>,
    /// Whom the policy names as approvers, as it does.
    pub approver_names: Vec<String>,
    /// How long the earlier stages have to be ready.
    pub soak: Duration,
    /// With the freezes that were given by command.
    pub calendar: Calendar,
    pub break_glass: BreakGlass,
}

/// Who may override a gate of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BreakGlass {
    /// As the policy names them; empty: nobody may.
    pub names: Vec<String>,
    /// Who of those in question is among them, in lower case.
    pub members: BTreeSet<String>,
}
