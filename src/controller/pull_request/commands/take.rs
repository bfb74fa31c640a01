//! `/take`: the fields that the preview says others hold. Kept with the application, so that the sync knows it too; the
//! preview is made anew.

use std::collections::BTreeSet;

use super::Given;
use super::request::Request;
use crate::cluster::store;
use crate::controller::pull_request::anew;
use crate::controller::{Result, application};
use crate::domain::command::{Answer, Done, Row};
use crate::domain::ownership::FieldRule;
use crate::domain::plan::Plan;

pub async fn run(given: &Given<'_>) -> Result<Answer> {
    let (mut rows, mut taken) = (Vec::new(), BTreeSet::new());
    let shown = given.look.shown.iter();
    for app in shown.flat_map(|shown| &shown.preview.applications) {
        let held = held_by_others(&app.plan);
        if held.is_empty() {
            continue;
        }
        let known = given.ctx.store.application(&app.key).await?;
        let mut rules = application::taken(known.as_ref());
        for rule in &held {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
        let text = serde_json::to_string(&rules).unwrap_or_default();
        let request = Request {
            application: &app.key,
            subject: &text,
            annotation: (store::TAKE, &text),
        };
        let outcome = match given.request(&request).await? {
            Err(why) => Err(why),
            Ok(false) => Ok(Done::NeverSynced),
            Ok(true) => {
                taken.insert(app.key.clone());
                Ok(Done::Takes(
                    held.into_iter().map(|rule| rule.path).collect(),
                ))
            }
        };
        rows.push(Row {
            application: app.key.clone(),
            outcome,
        });
    }
    if !rows.is_empty() {
        anew(given.ctx, &given.key.repo, &taken, |_| true);
    }
    Ok(Answer::Applications(given.command, rows))
}

/// The fields that a plan waits for a decision about, each as the rule that takes it.
fn held_by_others(plan: &Plan) -> Vec<FieldRule> {
    let of = plan.problems().flat_map(|change| {
        let fields = change.notes.undecided.iter().flat_map(|(_, paths)| paths);
        fields.map(|path| FieldRule {
            kind: Some(change.key.kind.clone()),
            name: Some(change.key.name.clone()),
            path: path.clone(),
        })
    });
    of.collect()
}
