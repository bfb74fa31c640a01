//! What windlass did, as a sentence: for the log, Kubernetes Events, notifications and the page.

use super::markdown::first_of;
use super::preview::{action_word, counted};
use crate::domain::activity::{Reverted, RevertedField, State, Subject, What};
use crate::domain::health::{Health, SyncState};
use crate::domain::manifest::ResourceKey;
use crate::domain::plan::Action;

/// Objects that are named of many.
const MOST_NAMED: usize = 12;

/// `shop/staging`, or `acme/config#17`.
pub fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Application(key) => key.title(),
        Subject::PullRequest(key) => key.to_string(),
    }
}

/// A sentence that stands alone.
pub fn notification(about: &Subject, what: &What) -> String {
    let subject = subject(about);
    let text = advised(&subject, what);
    format!("{subject}: {}", super::terminal::unmarked(&text))
}

/// What happened, and what a person can do about it.
pub fn advised(subject: &str, what: &What) -> String {
    let text = activity(what);
    match what {
        What::DriftReverted(_) => format!("{text}. {}", how_to_keep(subject)),
        _ => text,
    }
}

/// One line, without an end. It names no subject.
pub fn activity(what: &What) -> String {
    match what {
        What::Applied { revision, objects } => applied(revision.short(), objects),
        What::DriftReverted(reverted) => drift_reverted(reverted),
        What::Pruned(object) => format!("deleted {}: Git does not have it any more", object.key),
        What::State(state) => state_words(state),
        What::Retired => {
            "nothing is left of it in the cluster: Git does not have it any more".into()
        }
        What::Proposed { title } => format!("proposed “{title}”"),
        What::Closed { number } => format!("closed #{number}: it is not needed any more"),
        What::Previewed { title } => format!("published the preview: {title}"),
        What::Gate { state, why } => format!("gate {state}: {why}"),
        What::Merged { commit } => format!("merged as {}", commit.short()),
        What::Command { line, author } => format!("answered {line} of {author}"),
    }
}

fn applied(revision: &str, objects: &[(Action, ResourceKey)]) -> String {
    let named = objects
        .iter()
        .map(|(action, key)| format!("{key} {}", action_word(action)));
    format!(
        "applied {} of {revision}: {}",
        counted(objects.len(), "object"),
        first_of(MOST_NAMED, named)
    )
}

/// Which fields have their old values again, and how to keep such a change the next time.
fn drift_reverted(
    Reverted {
        object,
        was_deleted,
        fields,
    }: &Reverted,
) -> String {
    if *was_deleted {
        return format!("created {} again, which somebody had deleted", object.key);
    }
    if fields.is_empty() {
        return format!("set {} back to what Git has", object.key);
    }
    if let [field] = &fields[..] {
        return format!(
            "set {} of {} back {}",
            field.path,
            object.key,
            values(field)
        );
    }
    let fields: Vec<_> = fields
        .iter()
        .map(|field| format!("{} {}", field.path, values(field)))
        .collect();
    format!("set {} back: {}", object.key, fields.join(", "))
}

fn values(RevertedField { by, from, to, .. }: &RevertedField) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".into());
    format!("from {} to {} ({by})", value(from), value(to))
}

fn state_words(state: &State) -> String {
    let at = state
        .revision
        .as_ref()
        .map(|at| format!(" at {}", at.short()));
    let what = match (state.sync, state.health) {
        (SyncState::Synced, Health::Healthy) => "synced and healthy".to_string(),
        (SyncState::Synced, health) => format!("synced, {}", format!("{health:?}").to_lowercase()),
        (SyncState::OutOfSync, health) => {
            format!("out of sync, {}", format!("{health:?}").to_lowercase())
        }
        (SyncState::Unknown, _) => "its state is not known".into(),
    };
    let message = state.message.as_deref().filter(|text| !text.is_empty());
    let message = message.map(|text| format!(": {}", text.replace('\n', "; ")));
    format!(
        "{what}{}{}",
        at.unwrap_or_default(),
        message.unwrap_or_default()
    )
}

/// What a person does who wants to keep a change that was reverted.
fn how_to_keep(application: &str) -> String {
    format!("To keep such a change: windlass pause {application} --for 2h, and change it in Git")
}
