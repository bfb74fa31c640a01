//! Who or what can clear a gate.

use jiff::Timestamp;
use serde::Serialize;

/// Who or what can clear a gate that has not passed. `view` makes words of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "camelCase")]
pub enum Clear {
    /// Time alone, not before `at`.
    Itself { at: Timestamp },
    /// windlass, by what it does anyway: a preview, a sync of an earlier stage.
    Windlass,
    /// Somebody who may approve. `names`: as the policy names them; empty: everybody who may write.
    Approver { names: Vec<String> },
    /// The reviewer who requested changes.
    Reviewer { login: String },
    /// Whoever pushes to its branch, or marks it as ready.
    Author,
    /// Whoever makes the earlier stages run these images, healthy.
    EarlierStages { stages: Vec<String> },
    /// Whoever may decide about the stage, by `/unfreeze`.
    Unfreeze { stage: String },
    /// Whoever may decide about the stages of these applications, by `/resume`.
    Resume { applications: Vec<String> },
    /// Two people whom the stages name for it, by `/override`.
    BreakGlass { gate: String, names: Vec<String> },
    /// GitHub, or whoever meets its rules.
    GitHub,
}
