//! `/take`: takes the fields that the preview says others hold. The application's object keeps them for the sync, and the
//! preview is made again.

use std::collections::BTreeSet;

use super::Invocation;
use super::request::{Needs, Request};
use crate::cluster::store;
use crate::controller::pull_request::invalidate_previews;
use crate::controller::{Result, application};
use crate::domain::TargetKey;
use crate::domain::command::{Answer, Done, Row, Sought};
use crate::domain::ownership::FieldRule;
use crate::domain::plan::Plan;

pub async fn run(invocation: &Invocation<'_>, applications: &[TargetKey]) -> Result<Answer> {
    let (mut rows, mut changed) = (Vec::new(), BTreeSet::new());
    let previews = invocation.observation.shown_preview.iter();
    for app in previews.flat_map(|shown_preview| &shown_preview.preview.applications) {
        let held = held_by_others(&app.plan);
        if held.is_empty() || !applications.contains(&app.key) {
            continue;
        }
        let known = invocation.ctx.store.application(&app.key).await?;
        let mut rules = application::accepted_takes(known.as_ref());
        for rule in &held {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
        let text = serde_json::to_string(&rules).unwrap_or_default();
        let request = Request {
            application: &app.key,
            subject: &text,
            annotations: &[(store::TAKE, Some(&text))],
            needs: Needs::Quorum,
        };
        let outcome = match invocation.request(&request).await? {
            Err(why) => Err(why),
            Ok(false) => Ok(Done::NeverSynced),
            Ok(true) => {
                changed.insert(app.key.clone());
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
        invalidate_previews(invocation.ctx, &invocation.key.repo, &changed, |_| true);
    }
    Ok(Answer::Applications {
        rows,
        none: Sought::Field,
    })
}

/// The fields about which a plan waits for a decision, each as the rule that takes it.
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
