//! The hooks that would run.

use crate::controller::Result;
use crate::controller::dry_run::{self, AppScope};
use crate::domain::hook::{self, Hook, When};
use crate::domain::manifest::Manifest;
use crate::domain::plan::{Comparison, Confidence, Side};
use crate::view;

/// The hooks that a sync of the head runs: the server dry-runs them as new objects.
pub async fn hooks_that_run(
    scope: &AppScope<'_>,
    before: &[(Manifest, Hook)],
    after: &[(Manifest, Hook)],
    first: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<Comparison>> {
    let mut found = Vec::new();
    for (manifest, hook) in after {
        let Some(when) = hook.when else {
            notes.push(view::not_run(&manifest.key, &hook.words));
            continue;
        };
        if !hook.runs(first) {
            continue;
        }
        let old = before.iter().find(|(old, _)| old.key == manifest.key);
        let before = old.map_or(Side::Absent, |(old, _)| {
            Side::Object(old.as_live(), Confidence::Server)
        });
        let live = if scope.shows_live {
            scope.cluster.live(&manifest.key, &manifest.version).await?
        } else {
            None
        };
        let blocked = live.is_some_and(|live| !hook::may_replace(&live, scope.owner));
        let after = match scope
            .cluster
            .probe(&manifest.key, &manifest.version, &manifest.value)
            .await?
        {
            _ if blocked => Side::Refused(dry_run::not_a_hook(&manifest.key)),
            Err(refusal) => Side::Refused(crate::domain::mask::Mask::scrub(
                &refusal.message,
                &manifest.value,
            )),
            Ok(_) => Side::Object(manifest.as_live(), Confidence::Server),
        };
        let mut comparison = Comparison::new(manifest.key.clone(), before, after);
        let when = if when == When::Before {
            "before"
        } else {
            "after"
        };
        comparison.notes.hook = Some(format!("runs {when} the rest is synced ({})", hook.words));
        found.push(comparison);
    }
    Ok(found)
}
