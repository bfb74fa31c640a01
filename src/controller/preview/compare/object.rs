//! One object of an application, asked about on both sides and compared.

use std::collections::BTreeMap;

use serde_json::Value;

use super::secret::{mask_live_secret, show_git_sides};
use super::{Entries, Printed, Sides, print_of};
use crate::cluster::Applied;
use crate::controller::dry_run::{AppScope, Asked, Prediction, ask, fields, predict_one, side};
use crate::domain::manifest::{Manifest, ResourceKey, without_server_fields};
use crate::domain::plan::{self, Comparison, Confidence, Side};
use crate::domain::{OWNER_LABEL, ownership};

/// What is known of an application whose base and head are compared.
pub struct Comparing<'a> {
    scope: &'a AppScope<'a>,
    sides: Sides<'a>,
    base: Printed<'a>,
    head: Printed<'a>,
    entries: Entries<'a>,
    live: BTreeMap<ResourceKey, Value>,
    /// Each object as it was applied last.
    applied: BTreeMap<&'a ResourceKey, &'a Value>,
}

/// What a preview finds about one object.
#[derive(Default)]
pub struct Found {
    pub change: Option<Comparison>,
    pub drift: Option<Comparison>,
    pub waiting: Option<Comparison>,
}

impl<'a> Comparing<'a> {
    pub fn new(
        scope: &'a AppScope<'a>,
        sides: Sides<'a>,
        (base, head): (Printed<'a>, Printed<'a>),
        entries: Entries<'a>,
        live: BTreeMap<ResourceKey, Value>,
    ) -> Self {
        let mut comparing = Self {
            scope,
            sides,
            base,
            head,
            entries,
            live,
            applied: BTreeMap::new(),
        };
        comparing.applied = comparing.last_applied();
        comparing
    }

    /// Each object of ours as it was applied last.
    fn last_applied(&self) -> BTreeMap<&'a ResourceKey, &'a Value> {
        // What was never applied is nobody's yet, whatever Git has.
        let was_applied = |manifest: &&Manifest| {
            self.entries
                .get(&manifest.key)
                .is_some_and(|entry| entry.manifest_hash.is_some())
        };
        let synced = self
            .sides
            .synced
            .unwrap_or(self.sides.base)
            .iter()
            .filter(was_applied);
        let stands = self
            .sides
            .base
            .iter()
            .filter(|manifest| self.base_is_applied(&manifest.key));
        synced
            .chain(stands)
            .map(|manifest| (&manifest.key, &manifest.value))
            .collect()
    }

    /// Whether the manifest that the base has is what was applied last.
    fn base_is_applied(&self, key: &ResourceKey) -> bool {
        let applied = self
            .entries
            .get(key)
            .and_then(|entry| entry.manifest_hash.as_ref());
        applied.is_some() && applied == print_of(self.base.get(key))
    }

    /// Whether the live object is what the base made of it: then there is nothing to ask about the base.
    fn base_stands(&self, key: &ResourceKey) -> bool {
        let (Some(entry), Some(live)) = (self.entries.get(key), self.live.get(key)) else {
            return false;
        };
        self.base_is_applied(key)
            && entry.ownership_hash.as_deref() == Some(&ownership::ownership_hash(live))
    }

    async fn predict(
        &self,
        manifest: Option<&Manifest>,
        set: &[Manifest],
    ) -> Asked<Option<Prediction>> {
        let Some(manifest) = manifest else {
            return Ok(None);
        };
        let (live, applied) = (
            self.live.get(&manifest.key).cloned(),
            self.applied.get(&manifest.key).copied(),
        );
        predict_one(self.scope, manifest, live, set, applied, false)
            .await
            .map(Some)
    }

    /// Asks about one object, and compares the answers while the server works on those about the next.
    pub async fn object(&self, key: &ResourceKey) -> Asked<Found> {
        let (base, head) = (self.base.get(key), self.head.get(key));
        let changed = print_of(base) != print_of(head);
        let (base, head) = (
            base.map(|(manifest, _)| *manifest),
            head.map(|(manifest, _)| *manifest),
        );
        let (of_base, of_head) = futures::future::try_join(
            self.predict(base.filter(|_| !self.base_stands(key)), self.sides.base),
            self.predict(head.filter(|_| changed), self.sides.head),
        )
        .await?;
        let mut found = Found::default();
        let live = self.live.get(key).filter(|_| is_shown(of_head.as_ref()));
        let now = || side(live.cloned());
        let asked = of_base.is_some();
        let left = match of_base {
            Some(predicted) => {
                let comparison = self.base_comparison(key, now(), &predicted, base).await?;
                let place = if !self.scope.applies() || self.base_is_applied(key) {
                    &mut found.drift
                } else {
                    &mut found.waiting
                };
                *place = Some(comparison);
                predicted.after
            }
            None => now(),
        };
        if !changed {
            return Ok(found);
        }
        // What the base cannot be applied with is not this change's doing.
        let left = if matches!(left, Side::Refused(_)) {
            now()
        } else {
            left
        };
        let mut comparison = match of_head {
            Some(predicted) => {
                self.head_comparison(key, left, predicted, &[base, head])
                    .await?
            }
            None => self.deletion(key, left),
        };
        if asked && is_already(live, &comparison) {
            // Somebody changed it by hand to just this: nothing moves, and nothing is set back.
            comparison.notes.already = true;
            found.drift = None;
        }
        show_git_sides(&mut comparison, base, head);
        found.change = Some(comparison);
        Ok(found)
    }

    /// The live object, and what a sync of the base would make of it.
    async fn base_comparison(
        &self,
        key: &ResourceKey,
        now: Side,
        predicted: &Prediction,
        base: Option<&Manifest>,
    ) -> Asked<Comparison> {
        let mut comparison = Comparison::new(key.clone(), now, predicted.after.clone());
        comparison.notes = predicted.notes.clone();
        settle_answers(self.scope, &mut comparison, predicted, &[base]).await?;
        mask_live_secret(&mut comparison);
        Ok(comparison)
    }

    /// What a sync of the base leaves, and what a sync of the head would. `git`: what Git has on its sides.
    async fn head_comparison(
        &self,
        key: &ResourceKey,
        before: Side,
        mut predicted: Prediction,
        git: &[Option<&Manifest>],
    ) -> Asked<Comparison> {
        let notes = std::mem::take(&mut predicted.notes);
        let after = std::mem::replace(&mut predicted.after, Side::Absent);
        let mut comparison = Comparison {
            key: key.clone(),
            before,
            after,
            notes,
        };
        add_notes(&mut comparison, &predicted.manifest, &self.scope.manager());
        settle_answers(self.scope, &mut comparison, &predicted, git).await?;
        Ok(comparison)
    }

    /// Gone from Git: what is not marked as ours stays.
    fn deletion(&self, key: &ResourceKey, before: Side) -> Comparison {
        let live = self.live.get(key);
        // What others apply they prune by their own marks.
        let ours = !self.scope.applies()
            || live.is_some_and(|live| live["metadata"]["labels"][OWNER_LABEL] == self.scope.owner);
        Comparison::new(
            key.clone(),
            if ours { before } else { Side::Absent },
            Side::Absent,
        )
    }
}

/// What others must not see is not shown on any side.
fn is_shown(of_head: Option<&Prediction>) -> bool {
    !matches!(
        of_head,
        Some(Prediction {
            live: None,
            after: Side::Refused(_),
            ..
        })
    )
}

/// Whether the live object is what a sync would make of it. Of a Secret that would tell whoever guesses its value.
fn is_already(live: Option<&Value>, comparison: &Comparison) -> bool {
    match (live, &comparison.after) {
        (Some(now), Side::Object(after, _)) if comparison.key.kind != "Secret" => {
            without_server_fields(now) == without_server_fields(after)
        }
        _ => false,
    }
}

/// Notes on what a change does beside the change: what admission puts in, what others keep, what is replaced.
fn add_notes(comparison: &mut Comparison, manifest: &Manifest, manager: &str) {
    let notes = &mut comparison.notes;
    notes.reverted.clear();
    let Side::Object(after, _) = &comparison.after else {
        return;
    };
    notes.admitted = ownership::admitted(after)
        .iter()
        .map(ToString::to_string)
        .collect();
    if let Side::Object(before, _) = &comparison.before {
        notes.kept = fields(ownership::kept(before, after, manager), manifest);
        notes.replaced = ownership::replaced_lists(before, after, manager)
            .iter()
            .map(ToString::to_string)
            .collect();
    }
}

/// A webhook that fills in random values or times makes two answers to one question differ. It is only asked again where
/// something differs that Git has on no side; what then comes out differently is hidden, and counted.
async fn settle_answers(
    scope: &AppScope<'_>,
    comparison: &mut Comparison,
    predicted: &Prediction,
    git: &[Option<&Manifest>],
) -> Asked<()> {
    let (Side::Object(before, _), Side::Object(after, Confidence::Server)) =
        (&mut comparison.before, &mut comparison.after)
    else {
        return Ok(());
    };
    if predicted.write.recreate
        || !plan::differs_beside(
            before,
            after,
            &git.iter()
                .flatten()
                .map(|manifest| &manifest.value)
                .collect::<Vec<_>>(),
        )
    {
        return Ok(());
    }
    let force = predicted.write.force || !scope.applies();
    if let Applied::Object(second) =
        ask(scope, &predicted.manifest, &predicted.write.payload, force).await?
    {
        let paths = plan::settle_unstable(after, &second);
        plan::mark_unstable(before, &paths);
        comparison.notes.unstable = paths.iter().map(ToString::to_string).collect();
    }
    Ok(())
}
