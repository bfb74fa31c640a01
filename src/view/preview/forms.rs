//! The details of a preview by how much is told: whole differences, without context, equal ones
//! once, names alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::markdown::{code, code_element, fence, told};
use super::super::render;
use super::buckets::{Bucket, buckets};
use super::parts::{Part, Told, badge, problem};
use super::title::{action_word, counts};
use crate::domain::image::ImageRef;
use crate::domain::plan::{self, Action, Confidence};
use crate::domain::pull_request::{ApplicationPreview, ImageChange};

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
    leaves: bool,
    title: String,
    cluster: String,
    /// For the table: what happens, how well it is known, what else.
    happens: String,
    confidence: String,
    error: Option<String>,
    notes: Vec<String>,
    changes: Vec<ChangeView>,
    /// How many changes are shown once for all.
    same: usize,
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
    pub open: bool,
}

/// Of so many objects with the same change, the difference is shown once.
const MANY: usize = 4;

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
    let (common, groups) = match form {
        Form::Full => common(parts),
        Form::Grouped => (BTreeSet::new(), groups(parts)),
        Form::Tight | Form::Names => Default::default(),
    };
    render(
        "details.md",
        DetailsView {
            sources: images.iter().any(|image| !image.source.is_empty()),
            images,
            applications: parts
                .iter()
                .map(|part| application_view(part, form, total <= 3, &common))
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

/// The differences that many objects have, and each of them once: as its first object has it.
/// Hidden values look equal without being so: Secrets stay by themselves.
fn common<'a>(parts: &'a [Part<'_>]) -> (BTreeSet<&'a str>, Vec<GroupView>) {
    let mut found: BTreeMap<&str, Vec<&Told<'_>>> = BTreeMap::new();
    let is_common = |told: &&Told<'_>| {
        let change = told.change;
        change.action == Action::Configure
            && change.problem.is_none()
            && change.before != change.after
            && !change.key.is_core("Secret")
    };
    for told in parts.iter().flat_map(|part| &part.told).filter(is_common) {
        found.entry(&told.shared).or_default().push(told);
    }
    found.retain(|_, all| all.len() >= MANY);
    let group = |all: &Vec<&Told<'_>>| GroupView {
        objects: all
            .iter()
            .map(|told| code(&told.change.key.to_string()))
            .collect(),
        diff: fence(&all[0].whole),
        open: found.len() <= 3,
    };
    let mut groups: Vec<_> = found.values().map(group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.objects.len()));
    (found.into_keys().collect(), groups)
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
            open: false,
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

/// `common`: the differences that are shown once for all.
fn application_view(
    Part { app, told: all }: &Part<'_>,
    form: Form,
    open: bool,
    common: &BTreeSet<&str>,
) -> ApplicationView {
    let is_common = |told: &Told<'_>| {
        let change = told.change;
        change.action == Action::Configure
            && !change.key.is_core("Secret")
            && common.contains(told.shared.as_str())
    };
    let (same, others): (Vec<_>, Vec<_>) = all.iter().partition(|told| is_common(told));
    // What there is to say of one of them stays with it.
    let (same, with_facts): (Vec<_>, Vec<_>) =
        same.into_iter().partition(|told| told.facts.is_empty());
    let with_facts = with_facts.into_iter().map(|told| ChangeView {
        diff: None,
        ..change_view(told, form, open)
    });
    let others = others.into_iter();
    let others = others.map(|told| change_view(told, form, open));
    let changes: Vec<_> = with_facts.chain(others).collect();
    let mut happens = counts([&app.plan]);
    let failed = app.plan.problems().count() + usize::from(app.error.is_some());
    if failed > 0 {
        happens.push(format!("**{failed} cannot be applied**"));
    }
    if happens.is_empty() {
        happens.push(match app.leaves {
            true => "leaves Git".into(),
            false => "nothing changes".into(),
        });
    }
    let worst = app
        .plan
        .effective()
        .map(|change| change.confidence)
        .max()
        .unwrap_or(Confidence::Server);
    ApplicationView {
        leaves: app.leaves,
        title: app.key.title(),
        cluster: cluster(app),
        happens: happens.join(", "),
        confidence: match () {
            () if app.error.is_some() => "✗ not planned".into(),
            // Nothing of it is dry-run.
            () if app.leaves => "—".into(),
            () => badge(worst).into(),
        },
        error: app.error.as_ref().map(|error| told(error)),
        notes: app.notes.iter().cloned().chain(taken_back(app)).collect(),
        changes,
        same: same.len(),
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

/// What is decided by taking images back.
fn taken_back(app: &ApplicationPreview) -> Vec<String> {
    let words = |image: &ImageChange| {
        let taken_back = image.taken_back?;
        let tag = image.from.as_ref().and_then(|from| from.tag.as_ref());
        let name = match tag {
            Some(tag) => format!("{}:{tag}", image.name),
            None => image.name.clone(),
        };
        let (title, name) = (code(&app.key.of_stage().title()), code(&name));
        let next = match taken_back.holds {
            true => "and holds the stage: the next image is merged after `/resume`",
            false => "and proposes the next image that is announced",
        };
        Some(format!(
            "Once this is merged, windlass does not propose {name} for {title} again, {next}."
        ))
    };
    app.images.iter().filter_map(words).collect()
}

/// `` `us` ``, or `` `us`, wave 2 `` where other clusters are synced first.
pub(super) fn cluster(app: &ApplicationPreview) -> String {
    match app.wave {
        0 => code(&app.cluster),
        before => format!("{}, wave {}", code(&app.cluster), before + 1),
    }
}
