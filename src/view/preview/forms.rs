//! The details of a preview by how much is told: whole differences, without context, equal ones
//! once, names alone.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::markdown::{code, code_element, fence, told};
use super::super::render;
use super::buckets::{Bucket, buckets};
use super::parts::{Part, Told, badge, problem};
use super::title::{action_word, counts};
use crate::domain::image::ImageRef;
use crate::domain::plan::{self, Confidence};

/// How much is told, from most to least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Full,
    /// Only the lines that differ.
    Tight,
    /// Equal differences once.
    Grouped,
    Names,
}

pub(super) const FORMS: [Form; 4] = [Form::Full, Form::Tight, Form::Grouped, Form::Names];

#[derive(Serialize)]
struct DetailsView {
    images: Vec<ImageView>,
    /// Whether any image's source is known.
    sources: bool,
    applications: Vec<ApplicationView>,
    groups: Vec<GroupView>,
    /// Said where the form is not the full one.
    form: &'static str,
}

#[derive(Serialize)]
struct ImageView {
    application: String,
    name: String,
    from: String,
    to: String,
    source: String,
}

#[derive(Serialize)]
struct ApplicationView {
    title: String,
    cluster: String,
    /// For the table: what happens, how well it is known, what else.
    happens: String,
    confidence: String,
    error: Option<String>,
    notes: Vec<String>,
    changes: Vec<ChangeView>,
    buckets: Vec<Bucket>,
}

#[derive(Serialize)]
pub(super) struct ChangeView {
    key: String,
    action: String,
    size: String,
    open: bool,
    problem: Option<String>,
    facts: Vec<String>,
    diff: Option<String>,
}

#[derive(Serialize)]
pub(super) struct GroupView {
    pub objects: Vec<String>,
    pub diff: String,
}

pub(super) fn details(parts: &[Part<'_>], form: Form) -> String {
    let total: usize = parts.iter().map(|part| part.told.len()).sum();
    let images = parts.iter().flat_map(|Part { app, .. }| {
        app.images.iter().map(|image| ImageView {
            application: code(&app.key.title()),
            name: code(&image.name),
            from: image_side(&image.from),
            to: image_side(&image.to),
            // Made of names and commits that were checked: no text of anybody's is in it.
            source: image
                .source
                .as_ref()
                .map(|(label, url)| format!("[{label}]({url})"))
                .unwrap_or_default(),
        })
    });
    let images: Vec<_> = images.collect();
    let groups = if form == Form::Grouped {
        groups(parts)
    } else {
        Vec::new()
    };
    render(
        "details.md",
        DetailsView {
            sources: images.iter().any(|image| !image.source.is_empty()),
            images,
            applications: parts
                .iter()
                .map(|part| application_view(part, form, total <= 3))
                .collect(),
            groups,
            form: match form {
                Form::Full => "",
                Form::Tight => {
                    "Only the lines that differ are shown, because the full preview is too long for a comment."
                }
                Form::Grouped => {
                    "Equal diffs are shown once, because the full preview is too long for a comment."
                }
                Form::Names => "The diffs are too long for a comment and are left out here.",
            },
        },
    )
}

/// Equal differences, with the objects that have them; the most common first.
pub(super) fn groups(parts: &[Part<'_>]) -> Vec<GroupView> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for told in parts
        .iter()
        .flat_map(|part| &part.told)
        .filter(|told| told.change.problem.is_none())
    {
        found
            .entry(&told.shared)
            .or_default()
            .push(code(&told.change.key.to_string()));
    }
    let mut groups: Vec<_> = found
        .into_iter()
        .map(|(diff, objects)| GroupView {
            objects,
            diff: fence(diff),
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.objects.len()));
    groups
}

fn image_side(image: &Option<ImageRef>) -> String {
    let Some(image) = image else {
        return "—".into();
    };
    let tag = image.tag.as_ref().map(|tag| code(tag.as_str()));
    let digest = image.digest.as_ref().map(|digest| code(digest.short()));
    [tag, digest]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

fn application_view(Part { app, told: all }: &Part<'_>, form: Form, open: bool) -> ApplicationView {
    let changes = all
        .iter()
        .map(|told| change_view(told, form, open))
        .collect();
    let mut happens = counts([&app.plan]);
    let failed = app.plan.problems().count() + usize::from(app.error.is_some());
    if failed > 0 {
        happens.push(format!("**{failed} cannot be applied**"));
    }
    if happens.is_empty() {
        happens.push("nothing changes".into());
    }
    let worst = app
        .plan
        .effective()
        .map(|change| change.confidence)
        .max()
        .unwrap_or(Confidence::Server);
    ApplicationView {
        title: app.key.title(),
        cluster: code(&app.cluster),
        happens: happens.join(", "),
        confidence: if app.error.is_some() {
            "✗ not planned".into()
        } else {
            badge(worst).into()
        },
        error: app.error.as_ref().map(|error| told(error)),
        notes: app.notes.clone(),
        changes,
        buckets: buckets(app),
    }
}

pub(super) fn change_view(
    Told {
        change,
        facts,
        whole,
        tight,
        ..
    }: &Told<'_>,
    form: Form,
    open: bool,
) -> ChangeView {
    let (added, removed) = plan::size(whole);
    let key = code_element(&change.key.to_string());
    let diff = match form {
        _ if change.problem.is_some() || change.before == change.after => None,
        Form::Full => Some(fence(whole)),
        Form::Tight => Some(fence(tight)),
        Form::Grouped | Form::Names => None,
    };
    ChangeView {
        key,
        action: match (&change.problem, change.is_hook()) {
            (Some(_), _) => "cannot be applied".into(),
            (None, true) => "hook runs".into(),
            (None, false) => action_word(&change.action).into(),
        },
        size: if change.problem.is_some() {
            String::new()
        } else {
            format!("+{added} −{removed}")
        },
        open: open || change.problem.is_some(),
        problem: problem(change).map(|problem| told(&problem)),
        facts: if form == Form::Names {
            Vec::new()
        } else {
            facts.clone()
        },
        diff,
    }
}
