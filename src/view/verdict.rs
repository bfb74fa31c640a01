//! The gate's verdict, gate by gate, and what a branch's rules make of it.

use super::markdown::{code, quoted};
use crate::domain::gate::{GroupRefusal, Standing, Verdict};
use crate::domain::pull_request::GATE_CONTEXT;

/// The verdict as a list, gate by gate.
pub fn why(verdict: &Verdict) -> String {
    format!(
        "{} {}\n\n{}",
        mark(verdict.standing),
        match verdict.standing {
            Standing::Passed => quoted(&verdict.reason),
            Standing::Pending => "Not merged yet:".into(),
            Standing::Failed => "Cannot be merged as it stands:".into(),
        },
        gates(verdict)
    )
}

/// What the policy of some applications makes of the pull request, as a list, gate by gate.
pub fn why_of(applications: &str, verdict: &Verdict) -> String {
    format!(
        "{} Of {applications} alone; a merge waits for all that the pull request touches:\n\n{}",
        mark(verdict.standing),
        gates(verdict)
    )
}

fn mark(standing: Standing) -> &'static str {
    match standing {
        Standing::Passed => "✅",
        Standing::Pending => "⏳",
        Standing::Failed => "⛔",
    }
}

fn gates(verdict: &Verdict) -> String {
    let rows = verdict.children.iter().map(|gate| {
        format!(
            "- {} **{}**: {}",
            mark(gate.standing),
            gate.gate,
            quoted(&gate.reason)
        )
    });
    rows.collect::<Vec<_>>().join("\n")
}

/// The title of the verdict on a merge queue's group.
pub fn group_title(refusal: Option<GroupRefusal>) -> String {
    match refusal {
        None => "the changes of this merge group can be applied together".into(),
        Some(GroupRefusal::OwnVerdict) => {
            "the pull request's own verdict is not green any more: see its windlass/gate".into()
        }
        Some(GroupRefusal::Preview) => {
            "the changes of this merge group cannot be applied together: the preview says why"
                .into()
        }
        Some(GroupRefusal::Unseen(count)) => {
            format!(
                "{count} changes of this merge group do not fit into its preview: merge its pull requests one by one"
            )
        }
        Some(GroupRefusal::Configuration) => {
            "windlass.yaml changes ahead of this in the queue: queue it again once that is merged"
                .into()
        }
    }
}

/// That a branch's rules let a pull request be merged whatever the verdict says.
pub fn unprotected(branch: &str) -> String {
    let (branch, check) = (code(branch), code(GATE_CONTEXT));
    format!(
        "> [!NOTE]\n> The rules of {branch} do not require {check} from this App: anyone who may merge can do so without it. Add a ruleset that requires it, with this App as its source."
    )
}
