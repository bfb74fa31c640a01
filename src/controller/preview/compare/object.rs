//! One object of an application, dry-run on both sides and compared.

use std::collections::BTreeMap;

use serde_json::Value;

use super::secret::{mask_live_secret, show_git_sides};
use super::{Entries, Hashed, Sides, hash_of};
use crate::cluster::Applied;
use crate::controller::dry_run::{
    AppScope, ClusterResult, Prediction, dry_run_apply, fields, predict_one, side, unfilled,
};
use crate::domain::manifest::{Manifest, ResourceKey, without_server_fields};
use crate::domain::plan::{self, Comparison, Confidence, Side};
use crate::domain::substitute::Unfilled;
use crate::domain::{Live, OWNER_LABEL, ownership};

/// What is known of an application whose base and head are compared.
pub struct Comparing<'a> {
    scope: &'a AppScope<'a>,
    sides: Sides<'a>,
    base: Hashed<'a>,
    head: Hashed<'a>,
    entries: Entries<'a>,
    live: BTreeMap<ResourceKey, Live>,
    /// Each object as it was applied last.
    applied: BTreeMap<&'a ResourceKey, &'a Value>,
}

/// What a preview finds about one object.
#[derive(Default)]
pub struct Found {
    pub change: Option<Comparison>,
    pub drift: Option<Comparison>,
    pub waiting: Option<Comparison>,
    /// It leaves Git, and stays in the cluster, since windlass did not apply it.
    pub is_left: bool,
}

impl<'a> Comparing<'a> {
    pub fn new(
        scope: &'a AppScope<'a>,
        sides: Sides<'a>,
        (base, head): (Hashed<'a>, Hashed<'a>),
        entries: Entries<'a>,
        live: BTreeMap<ResourceKey, Live>,
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
        // Fields of an object that was never applied are not ours yet, whatever Git has.
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
        let applied_base = self
            .sides
            .base
            .iter()
            .filter(|manifest| self.base_is_applied(&manifest.key));
        synced
            .chain(applied_base)
            .map(|manifest| (&manifest.key, &manifest.value))
            .collect()
    }

    /// Whether the base's manifest is the one that was applied last.
    fn base_is_applied(&self, key: &ResourceKey) -> bool {
        let applied = self
            .entries
            .get(key)
            .and_then(|entry| entry.manifest_hash.as_ref());
        applied.is_some() && applied == hash_of(self.base.get(key))
    }

    /// The same; whether others have applied it once is known by the live object only.
    fn was_applied(&self, key: &ResourceKey) -> bool {
        match self.scope.applies() {
            true => self.base_is_applied(key),
            false => self.live.contains_key(key),
        }
    }

    /// Whether the live object is as the base was applied: then the base needs no dry-run.
    fn base_is_live(&self, key: &ResourceKey) -> bool {
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
    ) -> ClusterResult<Option<Prediction>> {
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

    /// Dry-runs one object and compares the answers. Values that Flux fills in from elsewhere are
    /// not shown.
    pub async fn object(&self, key: &ResourceKey) -> ClusterResult<Found> {
        let mut found = self.found(key).await?;
        let of = async |side: &Hashed<'_>, set| match side.get(key) {
            Some((manifest, _)) => unfilled(self.scope, manifest, set).await.map(Some),
            None => Ok(None),
        };
        let base = of(&self.base, self.sides.base).await?;
        let head = of(&self.head, self.sides.head).await?;
        let (before, live) = (base.as_ref().or(head.as_ref()), self.live.get(key));
        for comparison in [&mut found.drift, &mut found.waiting].into_iter().flatten() {
            hide(comparison, (before, before), live);
        }
        if let Some(change) = &mut found.change {
            hide(change, (before, head.as_ref()), live);
        }
        Ok(found)
    }

    async fn found(&self, key: &ResourceKey) -> ClusterResult<Found> {
        let (base, head) = (self.base.get(key), self.head.get(key));
        let changed = hash_of(base) != hash_of(head);
        let (base, head) = (
            base.map(|(manifest, _)| *manifest),
            head.map(|(manifest, _)| *manifest),
        );
        let (of_base, of_head) = futures::future::try_join(
            self.predict(base.filter(|_| !self.base_is_live(key)), self.sides.base),
            self.predict(head.filter(|_| changed), self.sides.head),
        )
        .await?;
        let mut found = Found::default();
        let live = self
            .live
            .get(key)
            .filter(|_| may_show_live(of_head.as_ref()));
        let current = || side(live.cloned());
        let base_was_predicted = of_base.is_some();
        let before = match of_base {
            Some(predicted) => {
                let comparison = self
                    .base_comparison(key, current(), &predicted, base)
                    .await?;
                let place = if self.was_applied(key) {
                    &mut found.drift
                } else {
                    &mut found.waiting
                };
                *place = Some(comparison);
                predicted.after
            }
            None => current(),
        };
        if !changed {
            return Ok(found);
        }
        // If the base is refused, that is not this change's doing.
        let before = match before {
            Side::Refused(_) => current(),
            other => other,
        };
        let mut comparison = match of_head {
            Some(predicted) => {
                self.head_comparison(key, before, predicted, &[base, head])
                    .await?
            }
            None => self.removal(key, before, &mut found),
        };
        if base_was_predicted && is_already(live, &comparison) {
            // Somebody changed the live object by hand to exactly this: nothing changes, and
            // nothing is reverted.
            comparison.notes.already = true;
            found.drift = None;
        }
        show_git_sides(&mut comparison, base, head);
        found.change = Some(comparison);
        Ok(found)
    }

    /// Compares the live object with the result of a sync of the base.
    async fn base_comparison(
        &self,
        key: &ResourceKey,
        live: Side,
        predicted: &Prediction,
        base: Option<&Manifest>,
    ) -> ClusterResult<Comparison> {
        let mut comparison = Comparison::new(key.clone(), live, predicted.after.clone());
        comparison.notes = predicted.notes.clone();
        hide_unstable(self.scope, &mut comparison, predicted, &[base]).await?;
        mask_live_secret(&mut comparison);
        Ok(comparison)
    }

    /// Compares the results of a sync of the base and of the head. `git`: the manifests on both
    /// sides.
    async fn head_comparison(
        &self,
        key: &ResourceKey,
        before: Side,
        mut predicted: Prediction,
        git: &[Option<&Manifest>],
    ) -> ClusterResult<Comparison> {
        let notes = std::mem::take(&mut predicted.notes);
        let after = std::mem::replace(&mut predicted.after, Side::Absent);
        let mut comparison = Comparison {
            key: key.clone(),
            before,
            after,
            notes,
        };
        let manager = self.scope.manager_of(&predicted.manifest);
        add_notes(&mut comparison, &predicted.manifest, &manager);
        hide_unstable(self.scope, &mut comparison, &predicted, git).await?;
        Ok(comparison)
    }

    /// An object that is removed from Git: without our owner label it stays.
    fn removal(&self, key: &ResourceKey, before: Side, found: &mut Found) -> Comparison {
        let live = self.live.get(key);
        // Argo CD and Flux prune by their own labels.
        let ours = !self.scope.applies()
            || live.is_some_and(|live| live["metadata"]["labels"][OWNER_LABEL] == self.scope.owner);
        found.is_left = !ours && live.is_some();
        let before = if ours { before } else { Side::Absent };
        Comparison::new(key.clone(), before, Side::Absent)
    }
}

/// Hides what Flux fills in on both sides, in the server's words too.
fn hide(
    comparison: &mut Comparison,
    (before, after): (Option<&Unfilled>, Option<&Unfilled>),
    live: Option<&Live>,
) {
    for (side, unfilled) in [
        (&mut comparison.before, before),
        (&mut comparison.after, after),
    ] {
        let Some(unfilled) = unfilled else {
            continue;
        };
        match (side, live) {
            (Side::Object(object, _), _) => unfilled.hide(object),
            (Side::Refused(why), Some(live)) => unfilled.scrub(why, live),
            _ => {}
        }
        for warning in &mut comparison.notes.warnings {
            if let Some(live) = live {
                unfilled.scrub(warning, live);
            }
        }
    }
}

/// Whether the live object may be shown; objects of others must not be.
fn may_show_live(of_head: Option<&Prediction>) -> bool {
    !matches!(
        of_head,
        Some(Prediction {
            live: None,
            after: Side::Refused(_),
            ..
        })
    )
}

/// Whether the live object is what a sync would make of it. Never for a Secret: the answer would
/// confirm a guess.
fn is_already(live: Option<&Live>, comparison: &Comparison) -> bool {
    match (live, &comparison.after) {
        (Some(now), Side::Object(after, _)) if comparison.key.kind != "Secret" => {
            without_server_fields(now) == without_server_fields(after)
        }
        _ => false,
    }
}

/// Notes on side effects of a change: what admission adds, what other managers keep, which lists
/// are replaced.
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

/// A webhook that sets random values or times makes two dry-runs of one request differ. A second
/// dry-run is only made if a field differs that Git has on no side. Fields that differ between the
/// two are hidden, and counted.
async fn hide_unstable(
    scope: &AppScope<'_>,
    comparison: &mut Comparison,
    predicted: &Prediction,
    git: &[Option<&Manifest>],
) -> ClusterResult<()> {
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
        dry_run_apply(scope, &predicted.manifest, &predicted.write.payload, force).await?
    {
        let paths = plan::settle_unstable(after, &second);
        plan::mark_unstable(before, &paths);
        comparison.notes.unstable = paths.iter().map(ToString::to_string).collect();
    }
    Ok(())
}
