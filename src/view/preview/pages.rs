//! The pages of a check run, where the whole is too long for one text: what is dangerous comes
//! first.

use serde::Serialize;

use super::super::markdown::code;
use super::super::{MOST_BYTES, render};
use super::forms::{ChangeView, Form, change_view};
use super::parts::Part;
use super::title::{action_word, counted};
use crate::domain::plan::{Action, Change};

/// Check runs that hold what does not fit into one, at most.
const MOST_PAGES: usize = 10;

#[derive(Serialize)]
struct OneView {
    change: ChangeView,
}

/// The whole of a preview that is too long for one text, in pages, and how many changes are on none
/// of them; no pages where one text holds it. What is dangerous comes first.
pub(super) fn paged(parts: &[Part<'_>], whole: &str) -> (Vec<String>, usize) {
    if whole.len() <= MOST_BYTES {
        return (Vec::new(), 0);
    }
    let mut all: Vec<_> = parts
        .iter()
        .enumerate()
        .flat_map(|(at, part)| part.told.iter().map(move |told| (at, part, told)))
        .collect();
    all.sort_by_key(|(at, _, told)| (danger(told.change), *at));
    let mut pages = vec![String::new()];
    let (mut unseen, mut last) = (0, None);
    for (at, Part { app, .. }, told) in all {
        let mut block = render(
            "change.md",
            OneView {
                change: change_view(told, Form::Full, false),
            },
        );
        let long = block.len() > MOST_BYTES - 400;
        if long {
            unseen += 1;
            block = brief_change(told.change);
        }
        if last != Some(at) {
            block = format!(
                "**{}** on {}\n\n{block}",
                app.key.title(),
                code(&app.cluster)
            );
            last = Some(at);
        }
        let full = pages
            .last()
            .is_some_and(|page| page.len() + block.len() + 200 > MOST_BYTES);
        if full && pages.len() == MOST_PAGES {
            unseen += usize::from(!long);
            continue;
        }
        if full {
            pages.push(String::new());
        }
        if let Some(page) = pages.last_mut() {
            page.push_str(&block);
            page.push('\n');
        }
    }
    if unseen > 0
        && let Some(page) = pages.first_mut()
    {
        page.insert_str(
            0,
            &format!(
                "{} not shown, because they are too long: `windlass plan` prints them.\n\n",
                counted(unseen, "change")
            ),
        );
    }
    (pages, unseen)
}

/// What a reviewer has to see first: what is lost, what gives rights or reaches beyond a namespace,
/// what runs; data last.
fn danger(change: &Change) -> u8 {
    match (&change.action, change.key.kind.as_str()) {
        (Action::Prune | Action::Recreate, _) => 0,
        _ if change.problem.is_some() => 0,
        _ if change.key.namespace.is_none() || change.key.group == "rbac.authorization.k8s.io" => 1,
        (_, "ConfigMap" | "Secret") => 4,
        (
            _,
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "CronJob" | "Pod"
            | "ServiceAccount" | "NetworkPolicy",
        ) => 2,
        _ => 3,
    }
}

/// A change whose difference alone is longer than a page.
fn brief_change(change: &Change) -> String {
    format!(
        "- {} {}: its diff is longer than a page: `windlass plan` prints it.\n",
        code(&change.key.to_string()),
        action_word(&change.action)
    )
}
