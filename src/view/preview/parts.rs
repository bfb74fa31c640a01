//! What is told of each change: facts and differences, from which each form takes.

use std::collections::BTreeMap;

use super::super::markdown::{code, quoted};
use super::holders::holders;
use crate::domain::effect::{self, Effect};
use crate::domain::plan::{Change, Confidence, Style};
use crate::domain::pull_request::{ApplicationPreview, Preview};

/// One application, with all that is told of its changes: each form takes from it.
pub(in crate::view) struct Part<'a> {
    pub app: &'a ApplicationPreview,
    pub told: Vec<Told<'a>>,
}

/// A change that does something, or cannot.
pub(in crate::view) struct Told<'a> {
    pub change: &'a Change,
    pub facts: Vec<String>,
    /// Its difference, and without the equal lines around.
    pub whole: String,
    pub(super) tight: String,
    /// Without where it is: it may be the same in other objects.
    pub(super) shared: String,
}

pub(in crate::view) fn parts<'a>(preview: &'a Preview) -> Vec<Part<'a>> {
    let part = |app: &'a ApplicationPreview| {
        let mut effects: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for Effect { key, text, .. } in effect::effects(&app.plan) {
            effects.entry(key).or_default().push(text);
        }
        let told = app.plan.effective().map(|change| {
            let style = |context, places| Style { context, places };
            let [whole, tight, shared] =
                change.diffs([style(3, true), style(0, true), style(0, false)]);
            Told {
                change,
                facts: facts(change, effects.remove(&change.key).unwrap_or_default()),
                whole,
                tight,
                shared,
            }
        });
        Part {
            app,
            told: told.collect(),
        }
    };
    preview.applications.iter().map(part).collect()
}

/// Why a change cannot be made, with the field that was probably meant.
pub(in crate::view) fn problem(change: &Change) -> Option<String> {
    let problem = change.problem.clone()?;
    let meant = change.notes.meant.as_ref();
    let meant = meant.map(|field| format!("\ndid you mean {field}?"));
    Some(problem + &meant.unwrap_or_default())
}

fn facts(change: &Change, mut facts: Vec<String>) -> Vec<String> {
    let notes = &change.notes;
    if notes.already {
        facts.push("the cluster already matches: somebody changed it by hand".into());
    }
    if let Some(hook) = &notes.hook {
        facts.push(quoted(hook));
    }
    if let Some(why) = &notes.recreate {
        facts.push(format!("is deleted and created again: {}", code(why)));
    }
    if let Some(why) = &notes.unverified {
        facts.push(format!("{}: {}", badge(change.confidence), quoted(why)));
    }
    if notes.allotted {
        facts.push("the server assigns node ports and addresses when this is applied".into());
    }
    if !notes.taken.is_empty() {
        facts.push(format!("takes {}", holders(&notes.taken)));
    }
    if !notes.adopted.is_empty() {
        let from: Vec<_> = notes.adopted.iter().map(|manager| code(manager)).collect();
        facts.push(format!(
            "adoption: takes over the fields that {} set, once; those that Git does not have are removed",
            from.join(", ")
        ));
    }
    if !notes.replaced.is_empty() {
        let lists: Vec<_> = notes.replaced.iter().map(|path| code(path)).collect();
        facts.push(format!(
            "replaces the whole list, including entries that others added: {}",
            lists.join(", ")
        ));
    }
    facts.extend(notes.facts.iter().map(|fact| quoted(fact)));
    facts.extend(
        notes
            .warnings
            .iter()
            .map(|warning| format!("the server warns: {}", code(warning))),
    );
    facts
}

pub(super) fn badge(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Server => "✓ dry-run",
        Confidence::Simulated => "◐ estimate",
        Confidence::Static => "○ not checked",
    }
}
