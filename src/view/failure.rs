//! A roll-out that fails or waits for a decision: a comment of its own, since GitHub tells nobody of
//! an edit.

use std::collections::BTreeSet;

use serde::Serialize;

use super::markdown::{bounded, code, quoted};
use super::render;
use crate::domain::pull_request::{Rollout, RolloutState};

const FAILED: &str = "<!-- windlass:failed ";

/// Who opened, merged and approved the pull request, by their logins.
#[derive(Debug, Clone, Default)]
pub struct People {
    pub author: Option<String>,
    /// None: windlass merged it.
    pub merged_by: Option<String>,
    pub approved_by: Vec<String>,
}

#[derive(Serialize)]
struct FailureView {
    marker: String,
    people: String,
    /// For a command.
    names: String,
    applications: Vec<FailingView>,
    /// Whether one of them fails.
    fails: bool,
}

#[derive(Serialize)]
struct FailingView {
    title: String,
    /// It waits for a decision.
    waits: bool,
    message: String,
}

fn waits(rollout: &Rollout) -> bool {
    rollout.state == RolloutState::Undecided
}

/// What a comment is about, as its marker has it: an application's title, and `?` if it waits for a
/// decision.
pub fn failing_name(rollout: &Rollout) -> String {
    let question = if waits(rollout) { "?" } else { "" };
    format!("{}{question}", rollout.key.title())
}

/// The comment about applications that fail, or wait for a decision, after a merge.
pub fn failure(failing: &[&Rollout], people: &People) -> String {
    let names: Vec<_> = failing.iter().map(|one| failing_name(one)).collect();
    let titles: Vec<_> = failing.iter().map(|one| one.key.title()).collect();
    let merged = match &people.merged_by {
        Some(login) => format!(" by @{login}"),
        None => " by windlass".into(),
    };
    let approved = match people.approved_by.is_empty() {
        true => String::new(),
        false => {
            let all: Vec<_> = people
                .approved_by
                .iter()
                .map(|by| format!("@{by}"))
                .collect();
            format!(", approved by {}", all.join(", "))
        }
    };
    let of = people.author.as_ref();
    let of = of.filter(|author| people.merged_by.as_ref() != Some(author));
    let of = of
        .map(|author| format!(" (of @{author})"))
        .unwrap_or_default();
    let text = render(
        "failure.md",
        FailureView {
            marker: format!("{FAILED}{} -->", names.join(",")),
            people: format!("{merged}{approved}{of}"),
            names: titles.join(" "),
            applications: failing
                .iter()
                .map(|one| FailingView {
                    title: quoted(&one.key.title()),
                    waits: waits(one),
                    message: code(&one.message),
                })
                .collect(),
            fails: !failing.iter().all(|one| waits(one)),
        },
    );
    bounded(&text)
}

/// What a comment of ours is about: see [`failing_name`].
pub fn failed_of(body: &str) -> BTreeSet<String> {
    let marker = body.trim_start().strip_prefix(FAILED);
    let titles = marker.and_then(|rest| rest.split(" -->").next());
    let titles = titles.into_iter().flat_map(|titles| titles.split(','));
    titles.map(str::to_string).collect()
}
