//! What a pull request does to each object of an application: what a sync of
//! the base would leave, compared with what a sync of the head would leave.
//!
//! Of an object that did not move, nothing is asked. Of one that is as it was
//! left, what the base leaves is the live object; of the others both sides are
//! asked ([`dry_run::predict_one`]). What a sync would set back anyway is drift,
//! and what is merged and was not applied yet waits: neither is the pull
//! request's doing.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use crate::cluster::home::InventoryEntry;
use crate::cluster::{Applied, Known};
use crate::controller::Result;
use crate::controller::dry_run::{
    self, AT_ONCE, Asked, Asking, Predicted, ask, fields, fingerprint, is_as_left, predict_one,
    side,
};
use crate::domain::manifest::{Manifest, ResourceKey, cleaned};
use crate::domain::plan::{self, Comparison, Proof, Side};
use crate::domain::{OWNER_LABEL, ownership};

/// Base and head of one application, for a preview.
pub struct Sides<'a> {
    pub base: &'a [Manifest],
    pub head: &'a [Manifest],
    /// What was synced last, where that is not the base: what was in it is ours.
    pub synced: Option<&'a [Manifest]>,
    pub inventory: &'a [InventoryEntry],
}

/// What a preview finds.
#[derive(Default)]
pub struct Compared {
    /// What the pull request does.
    pub change: Vec<Comparison>,
    /// What a sync of the base would do anyway: others changed live objects.
    pub drift: Vec<Comparison>,
    /// What is merged and was not applied yet.
    pub waiting: Vec<Comparison>,
    /// Objects that were not asked about, since nothing about them moved.
    pub unmoved: usize,
}

/// Compares what a sync of the base leaves with what a sync of the head would leave.
pub async fn compare(asking: &Asking<'_>, sides: Sides<'_>) -> Result<Compared> {
    let (base, head) = (printed(sides.base), printed(sides.head));
    let entries: BTreeMap<_, _> = sides
        .inventory
        .iter()
        .map(|entry| (&entry.key, entry))
        .collect();
    let mut compared = Compared::default();
    let mut moved = Vec::new();
    for key in base.keys().chain(head.keys()).collect::<BTreeSet<_>>() {
        let (old, new) = (base.get(key), head.get(key));
        // Asked about by the version that will be: the one before may be served no more.
        let Some((manifest, print)) = new.or(old) else {
            continue;
        };
        if print_of(old) == print_of(new) {
            // What others reconcile is theirs to watch.
            let as_left = !asking.applies()
                || match asking.cluster.look(key, &manifest.version).await? {
                    Some(Known::Seen(seen)) => is_as_left(entries.get(key).copied(), print, &seen),
                    _ => false,
                };
            if as_left {
                compared.unmoved += 1;
                continue;
            }
        }
        moved.push(((*key).clone(), manifest.version.clone()));
    }
    let live = dry_run::read(asking, &moved).await?;
    let mut comparing = Comparing {
        asking,
        base,
        head,
        entries,
        live,
        applied: BTreeMap::new(),
        sides,
    };
    // What was never applied is nobody's yet, whatever Git has.
    let was_applied = |manifest: &&Manifest| {
        comparing
            .entries
            .get(&manifest.key)
            .is_some_and(|entry| entry.applied.is_some())
    };
    let synced = comparing
        .sides
        .synced
        .unwrap_or(comparing.sides.base)
        .iter()
        .filter(was_applied);
    let stands = comparing
        .sides
        .base
        .iter()
        .filter(|manifest| comparing.base_is_applied(&manifest.key));
    comparing.applied = synced
        .chain(stands)
        .map(|manifest| (&manifest.key, &manifest.value))
        .collect();
    let asked = moved
        .iter()
        .map(async |(key, _)| comparing.object(key).boxed().await);
    let found: Vec<_> = futures::stream::iter(asked.collect::<Vec<_>>())
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    for one in found {
        compared.change.extend(one.change);
        compared.drift.extend(one.drift);
        compared.waiting.extend(one.waiting);
    }
    Ok(compared)
}

/// Manifests by key, each with its fingerprint.
type Printed<'a> = BTreeMap<&'a ResourceKey, (&'a Manifest, String)>;

fn printed(manifests: &[Manifest]) -> Printed<'_> {
    manifests
        .iter()
        .map(|manifest| (&manifest.key, (manifest, fingerprint(manifest))))
        .collect()
}

fn print_of<'a>(printed: Option<&'a (&Manifest, String)>) -> Option<&'a String> {
    printed.map(|(_, print)| print)
}

/// What is known of an application whose base and head are compared.
struct Comparing<'a> {
    asking: &'a Asking<'a>,
    sides: Sides<'a>,
    base: Printed<'a>,
    head: Printed<'a>,
    entries: BTreeMap<&'a ResourceKey, &'a InventoryEntry>,
    live: BTreeMap<ResourceKey, Value>,
    /// Each object as it was applied last.
    applied: BTreeMap<&'a ResourceKey, &'a Value>,
}

/// What a preview finds about one object.
#[derive(Default)]
struct Found {
    change: Option<Comparison>,
    drift: Option<Comparison>,
    waiting: Option<Comparison>,
}

impl Comparing<'_> {
    /// Whether the manifest that the base has is what was applied last.
    fn base_is_applied(&self, key: &ResourceKey) -> bool {
        let applied = self
            .entries
            .get(key)
            .and_then(|entry| entry.applied.as_ref());
        applied.is_some() && applied == print_of(self.base.get(key))
    }

    /// Whether the live object is what the base made of it: then there is nothing to ask about the base.
    fn base_stands(&self, key: &ResourceKey) -> bool {
        let (Some(entry), Some(live)) = (self.entries.get(key), self.live.get(key)) else {
            return false;
        };
        self.base_is_applied(key) && entry.left.as_deref() == Some(&ownership::signal(live))
    }

    async fn predict(
        &self,
        manifest: Option<&Manifest>,
        set: &[Manifest],
    ) -> Asked<Option<Predicted>> {
        let Some(manifest) = manifest else {
            return Ok(None);
        };
        let (live, applied) = (
            self.live.get(&manifest.key).cloned(),
            self.applied.get(&manifest.key).copied(),
        );
        predict_one(self.asking, manifest, live, set, applied, false)
            .await
            .map(Some)
    }

    /// Asks about one object, and compares the answers while the server works on those about the next.
    async fn object(&self, key: &ResourceKey) -> Asked<Found> {
        let (asking, base, head) = (self.asking, self.base.get(key), self.head.get(key));
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
        // What others must not see is not shown on any side.
        let shown = !matches!(
            &of_head,
            Some(Predicted {
                live: None,
                after: Side::Refused(_),
                ..
            })
        );
        let now = || side(self.live.get(key).cloned().filter(|_| shown));
        let asked = of_base.is_some();
        let left = match of_base {
            Some(predicted) => {
                let mut comparison = Comparison::new(key.clone(), now(), predicted.after.clone());
                comparison.notes = predicted.notes.clone();
                settle_answers(asking, &mut comparison, &predicted, &[base]).await?;
                veil(&mut comparison);
                let place = if !asking.applies() || self.base_is_applied(key) {
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
            Some(mut predicted) => {
                let mut notes = std::mem::take(&mut predicted.notes);
                notes.reverted.clear();
                let manager = asking.manager();
                if let Side::Object(after, _) = &predicted.after {
                    notes.admitted = ownership::admitted(after)
                        .iter()
                        .map(ToString::to_string)
                        .collect();
                    if let Side::Object(before, _) = &left {
                        notes.kept = fields(
                            ownership::kept(before, after, &manager),
                            &predicted.manifest,
                        );
                        notes.replaced = ownership::replaced_lists(before, after, &manager)
                            .iter()
                            .map(ToString::to_string)
                            .collect();
                    }
                }
                let after = std::mem::replace(&mut predicted.after, Side::Absent);
                let mut comparison = Comparison {
                    key: key.clone(),
                    before: left,
                    after,
                    notes,
                };
                settle_answers(asking, &mut comparison, &predicted, &[base, head]).await?;
                comparison
            }
            // Gone from Git: what is not marked as ours stays.
            None => {
                let live = self.live.get(key);
                // What others apply they prune by their own marks.
                let ours = !asking.applies()
                    || live.is_some_and(|live| {
                        live["metadata"]["labels"][OWNER_LABEL] == asking.owner
                    });
                Comparison::new(
                    key.clone(),
                    if ours { left } else { Side::Absent },
                    Side::Absent,
                )
            }
        };
        // Of a Secret that would tell whoever guesses its value.
        if asked
            && key.kind != "Secret"
            && let (Some(now), Side::Object(after, _)) =
                (self.live.get(key).filter(|_| shown), &comparison.after)
            && cleaned(now) == cleaned(after)
        {
            // Somebody changed it by hand to just this: nothing moves, and nothing is set back.
            comparison.notes.already = true;
            found.drift = None;
        }
        show_git_sides(&mut comparison, base, head);
        found.change = Some(comparison);
        Ok(found)
    }
}

/// A webhook that fills in random values or times makes two answers to one question differ. It is only asked again where
/// something differs that Git has on no side; what then comes out differently is hidden, and counted.
async fn settle_answers(
    asking: &Asking<'_>,
    comparison: &mut Comparison,
    predicted: &Predicted,
    git: &[Option<&Manifest>],
) -> Asked<()> {
    let (Side::Object(before, _), Side::Object(after, Proof::Server)) =
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
    let force = predicted.write.force || !asking.applies();
    if let Applied::Object(second) =
        ask(asking, &predicted.manifest, &predicted.write.payload, force).await?
    {
        let paths = plan::settle_unstable(after, &second);
        plan::mark_unstable(before, &paths);
        comparison.notes.unstable = paths.iter().map(ToString::to_string).collect();
    }
    Ok(())
}

/// Of a Secret the two Git sides are compared, never the live one: or a guess could be tested by a pull request.
fn show_git_sides(comparison: &mut Comparison, base: Option<&Manifest>, head: Option<&Manifest>) {
    if !comparison.key.is_core("Secret") {
        return;
    }
    for (side, manifest) in [
        (&mut comparison.before, base),
        (&mut comparison.after, head),
    ] {
        if let Side::Object(value, _) = side {
            value["data"] = manifest
                .map(|manifest| manifest.value["data"].clone())
                .unwrap_or_default();
        }
    }
}

/// Of a live Secret no more is told than that its data is not Git's.
fn veil(comparison: &mut Comparison) {
    if !comparison.key.is_core("Secret") {
        return;
    }
    if let (Side::Object(before, _), Side::Object(after, _)) =
        (&mut comparison.before, &mut comparison.after)
    {
        let differs = before["data"] != after["data"];
        before["data"] = if differs {
            serde_json::json!({"(all)": "(as it is)"})
        } else {
            Value::Null
        };
        after["data"] = if differs {
            serde_json::json!({"(all)": "(as Git has it)"})
        } else {
            Value::Null
        };
    }
}
