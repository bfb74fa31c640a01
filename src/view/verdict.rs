//! The gate's verdict, gate by gate, and what a branch's rules make of it.

use jiff::Timestamp;

use super::markdown::{code, listed, prose};
use super::terminal::unmarked;
use crate::domain::gate::{Clear, GroupRefusal, Standing, Verdict};
use crate::domain::pull_request::GATE_CONTEXT;

/// The verdict as a list, gate by gate.
pub fn why(verdict: &Verdict) -> String {
    format!(
        "{} {}\n\n{}",
        mark(verdict.standing),
        match verdict.standing {
            Standing::Passed => prose(&verdict.reason),
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
    let rows: Vec<_> = verdict.children.iter().map(gate).collect();
    rows.join("\n")
}

fn gate(gate: &Verdict) -> String {
    let mut row = format!(
        "- {} **{}**: {}",
        mark(gate.standing),
        gate.gate,
        prose(&gate.reason)
    );
    if let Some(since) = gate.since {
        row.push_str(&format!(" · since {}", minute(since)));
    }
    if !gate.clears.is_empty() {
        let clears: Vec<_> = gate.clears.iter().map(clear).collect();
        row.push_str(&format!(" · cleared by {}", clears.join(", or by ")));
    }
    row
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The same without Markdown.
pub(super) fn clear_words(cleared: &Clear) -> String {
    unmarked(&clear(cleared))
}

/// Who or what clears a gate, after "cleared by".
fn clear(clear: &Clear) -> String {
    match clear {
        Clear::Itself { at } => format!("time, at {}", minute(*at)),
        Clear::Windlass => "windlass itself".into(),
        Clear::Approver { names } if names.is_empty() => {
            "the approval of somebody who may write to this repository".into()
        }
        Clear::Approver { names } => format!("the approval of {}", listed(names)),
        Clear::Reviewer { login } => format!("another review of {}", code(login)),
        Clear::Author => "whoever can change the pull request".into(),
        Clear::EarlierStages { stages } => format!("{}, once healthy", listed(stages)),
        Clear::Unfreeze { stage } => format!("`/unfreeze {stage}`"),
        Clear::Resume { applications } => format!("`/resume` of {}", listed(applications)),
        Clear::BreakGlass { gate, names } => {
            format!("two of {} with `/override {gate} REASON`", listed(names))
        }
        Clear::GitHub => "GitHub, once its rules are met".into(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_says_since_when_and_who_clears_it() {
        let at: Timestamp = "2026-11-27T20:12:33Z".parse().unwrap();
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        let name = |name: &str| name.to_string();
        let anybody = "the approval of somebody who may write to this repository";
        let approvers = names(&["acme/release", "mia"]);
        let (stages, applications) = (names(&["staging"]), names(&["shop/production"]));
        let oncall = Clear::BreakGlass {
            gate: name("earlier-stages"),
            names: names(&["acme/oncall"]),
        };
        let (login, stage) = (name("bob"), name("production"));
        let table = [
            (Clear::Itself { at }, "time, at 2026-11-27 20:12 UTC"),
            (Clear::Windlass, "windlass itself"),
            (Clear::Approver { names: vec![] }, anybody),
            (
                Clear::Approver { names: approvers },
                "the approval of `acme/release`, `mia`",
            ),
            (Clear::Reviewer { login }, "another review of `bob`"),
            (Clear::Author, "whoever can change the pull request"),
            (Clear::EarlierStages { stages }, "`staging`, once healthy"),
            (Clear::Unfreeze { stage }, "`/unfreeze production`"),
            (
                Clear::Resume { applications },
                "`/resume` of `shop/production`",
            ),
            (
                oncall,
                "two of `acme/oncall` with `/override earlier-stages REASON`",
            ),
            (Clear::GitHub, "GitHub, once its rules are met"),
        ];
        for (clears, words) in table {
            let verdict = Verdict {
                gate: "soak",
                standing: Standing::Pending,
                reason: name("wait"),
                since: Some(at),
                clears: vec![clears],
                changes_at: None,
                children: vec![],
            };
            assert_eq!(
                gate(&verdict),
                format!("- ⏳ **soak**: wait · since 2026-11-27 20:12 UTC · cleared by {words}")
            );
        }
    }
}
