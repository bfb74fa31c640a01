//! The gate `preview`: the head has a preview, the change can be applied, and all changes are shown
//! or were accepted unseen.

use jiff::Timestamp;

use super::{Facts, Standing, Verdict, leaf};

/// The preview of the current head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewFact {
    pub completed_at: Timestamp,
    /// Whether the change can be applied.
    pub ok: bool,
    /// How many changes it does not show, and whether somebody who may approve accepted them
    /// (`/accept-unseen`).
    pub unseen: usize,
    pub unseen_accepted: bool,
}

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    Some(match &facts.preview {
        None => leaf(
            "preview",
            Standing::Pending,
            "the preview of this head is not ready yet".into(),
        ),
        Some(PreviewFact { ok: false, .. }) => leaf(
            "preview",
            Standing::Failed,
            "the preview failed: its check run says what to fix".into(),
        ),
        Some(PreviewFact {
            unseen,
            unseen_accepted: false,
            ..
        }) if *unseen > 0 => leaf(
            "preview",
            Standing::Pending,
            format!(
                "{unseen} {} not fit into the preview: split the pull request, or read them with `windlass plan` and write /accept-unseen",
                if *unseen == 1 {
                    "change does"
                } else {
                    "changes do"
                }
            ),
        ),
        Some(_) => leaf(
            "preview",
            Standing::Passed,
            format!("the preview of {} is ready", facts.head.short()),
        ),
    })
}
