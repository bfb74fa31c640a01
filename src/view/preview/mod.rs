//! A preview's comment and check run.
//!
//! The fullest form that fits is taken: whole differences, differences without
//! context, equal differences told once, names alone. Which form it is, is
//! said; every deletion and recreation is named in each of them.
//!
//! - `parts`: what is told of each change; `buckets`, `holders`: what is told besides
//! - `forms`: the details, by how much is told; `names`: the shortest of them
//! - `title`, `alerts`, `policy`: what stands above the details
//! - `pages`: the check run's further texts

mod alerts;
mod buckets;
mod forms;
mod holders;
mod names;
mod pages;
mod parts;
mod policy;
mod title;

pub(super) use buckets::buckets;
pub(super) use holders::drift_lines;
pub(super) use parts::{parts, problem};
pub(super) use title::{action_word, counted, counts, title};

use serde::Serialize;

use self::alerts::{Alert, alerts};
use self::forms::{FORMS, Form, details};
use self::names::brief;
use self::pages::paged;
use self::parts::Part;
use self::title::{plain, verdict_line};
use super::markers::sticky;
use super::{MOST_BYTES, render};
use crate::domain::gate::Next;
use crate::domain::manifest::FileLine;
use crate::domain::pull_request::{Preview, Wanted};

/// What a preview becomes: the sticky comment, and the check run's three texts.
pub struct PreviewText {
    /// The comment without its last lines.
    pub body: String,
    /// Objects of it are deleted by `/confirm-prune` alone.
    leaves: bool,
    /// Its last line, and what of it is no part of the fingerprint.
    footer: String,
    varies: String,
    pub title: String,
    pub summary: String,
    pub text: String,
    /// What follows on the text, where the whole does not fit: each a check run's text of its own.
    pub pages: Vec<String>,
    /// How many changes are shown nowhere, since they do not fit.
    pub unseen: usize,
    /// What is shown at the lines of the files that changed: the first of many.
    pub annotations: Vec<Annotation>,
}

/// A problem at a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    pub place: FileLine,
    pub title: String,
    pub message: String,
}

/// Annotations that GitHub takes in one request (REST, *Create a check run*).
const MOST_ANNOTATIONS: usize = 50;

fn annotations(preview: &Preview) -> Vec<Annotation> {
    let applications = preview.applications.iter();
    let problems = applications.flat_map(|app| app.plan.problems());
    let annotations = problems.filter_map(|change| {
        Some(Annotation {
            place: change.notes.place.clone()?,
            title: format!("{} cannot be applied", change.key),
            message: problem(change)?,
        })
    });
    annotations.take(MOST_ANNOTATIONS).collect()
}

/// What the comment's frame takes at most, beside the details.
const FRAME: usize = 4_000;

#[derive(Serialize)]
struct PreviewView {
    verdict: String,
    alerts: Vec<Alert>,
    details: String,
}

impl PreviewText {
    /// The comment. `next`: what comes next, if that is known.
    pub fn comment(&self, next: Option<Next>) -> Wanted {
        let then = match self.leaves {
            true => " After that, `/confirm-prune` here deletes what leaves Git.",
            false => "",
        };
        let next = next.map(|next| format!("{}{then}\n\n", words(next)));
        let text = format!(
            "{}\n\n{}{}\n",
            self.body,
            next.unwrap_or_default(),
            self.footer
        );
        sticky(&text, &self.varies, false)
    }
}

/// It stays true while the gates change: the comment is not edited for that.
fn words(next: Next) -> String {
    const MISSING: &str = "`/why` says what is missing now.";
    let needs = |approvals: u32| match approvals {
        0 => "**Next:** ".to_string(),
        1 => "**Needs one approval.** Then ".into(),
        several => format!("**Needs {several} approvals.** Then "),
    };
    match next {
        Next::Ready => "**Next:** mark it as ready for review.".into(),
        Next::WindlassMerges { approvals } => format!(
            "{}windlass merges it as soon as all gates pass. {MISSING}",
            needs(approvals)
        ),
        Next::PersonMerges { approvals } => format!(
            "{}merge it yourself, or have windlass do it by `/merge`. {MISSING}",
            needs(approvals)
        ),
    }
}

pub fn preview(preview: &Preview) -> PreviewText {
    let parts = parts(preview);
    let whole = details(&parts, Form::Full);
    let (mut pages, unseen) = paged(&parts, &whole);
    let mut verdict = verdict_line(preview);
    if unseen > 0 {
        verdict.push_str(&format!(" · **{} not shown**", counted(unseen, "change")));
    }
    let alerts = alerts(preview);
    let summary: Vec<_> = std::iter::once(verdict.as_str())
        .chain(alerts.iter().map(|alert| alert.text.as_str()))
        .collect();
    let (summary, title) = (summary.join("\n\n"), plain(&verdict));
    let duration = match preview.duration.as_secs_f64() {
        short if short < 0.1 => format!("{:.2} s", short),
        long => format!("{long:.1} s"),
    };
    // While newer bases change nothing of it, the comment stays as it is: a push costs no edit of
    // every open pull request's.
    let base = preview.base.short();
    let varies = format!(" on base `{base}` · {duration}");
    let footer = format!(
        "<sub>head `{}`{varies} · plan `{}` · `/help`</sub>",
        preview.head.short(),
        &preview.digest()[..16]
    );
    let body = render(
        "preview.md",
        PreviewView {
            verdict,
            alerts,
            details: fitting(&parts, &whole),
        },
    );
    PreviewText {
        body: body.trim_end().into(),
        leaves: preview.applications.iter().any(|app| app.leaves),
        footer,
        varies,
        title,
        summary,
        text: if pages.is_empty() {
            whole
        } else {
            pages.remove(0)
        },
        pages,
        unseen,
        annotations: annotations(preview),
    }
}

/// The fullest details that fit into a comment. `whole`: in the full form.
fn fitting(parts: &[Part<'_>], whole: &str) -> String {
    let room = MOST_BYTES - FRAME;
    // Most previews fit whole: the shorter forms are made only where they are needed.
    if whole.len() <= room {
        return whole.trim().into();
    }
    let shorter = FORMS[1..]
        .iter()
        .map(|form| details(parts, *form))
        .find(|details| details.len() <= room);
    let details = shorter.unwrap_or_else(|| brief(parts, room));
    details.trim().into()
}

#[cfg(test)]
mod tests;
