//! What an application renders to on the base and at the head, and which of those objects its
//! project allows.

use std::collections::BTreeSet;

use crate::cluster::store::Served;
use crate::controller::dry_run::{self, AppScope, Outside};
use crate::controller::resource_owners::RenderInputs;
use crate::controller::{Environment, Result};
use crate::domain::build::release;
use crate::domain::catalog::{Destination, Target};
use crate::domain::hook::{self, Hook};
use crate::domain::manifest::Manifest;
use crate::domain::plan::Comparison;
use crate::domain::substitute::Transforms;
use crate::domain::{Invalid, RepoName};

/// Why an application's destination cannot be used.
pub fn unreachable(
    environment: &Environment,
    repo: &RepoName,
    destination: &Destination,
) -> Option<String> {
    if let Err(error) = environment.cluster(&destination.cluster) {
        return Some(error.to_string());
    }
    let refused = environment.fence(repo, destination).destination().err();
    refused.map(|why| why.to_string())
}

/// How an application is rendered. `known`: the cluster's capabilities of the rendering before.
pub struct Rendering<'a> {
    pub environment: &'a Environment,
    pub target: &'a Target,
    pub known: Option<&'a Served>,
}

/// What an application renders to.
#[derive(Default)]
pub struct Rendered {
    pub base: Vec<Manifest>,
    pub head: Vec<Manifest>,
    /// The manifests that were synced last, if not the base's.
    pub synced: Option<Vec<Manifest>>,
    /// The template of the head that uses Helm's `lookup`.
    pub looks_up: Option<String>,
    /// Keys of the head that are repeated in a mapping, each with its place.
    pub repeated: Vec<String>,
    /// Charts of the repository that change and that Flux goes on with as they were.
    pub former_charts: Vec<String>,
    /// What the Kustomizations of base and head fill in, if they declare the application.
    declared: (Option<Transforms>, Option<Transforms>),
}

#[derive(Clone, Copy)]
enum Side {
    Merged,
    Head,
}

impl Rendering<'_> {
    /// Renders all sides. An error is the head's, for its author. If the head removes the
    /// application, only the base is rendered.
    pub async fn all(
        &self,
        before: &RenderInputs,
        after: &RenderInputs,
        synced: Option<&RenderInputs>,
    ) -> Result<std::result::Result<Rendered, Invalid>> {
        let base = self.manifests(before, Side::Merged).await?;
        let was_empty = base.as_ref().is_ok_and(Vec::is_empty) && !matches!(before, Ok(None));
        let base = base.unwrap_or_default();
        let former = match (before, after) {
            (Ok(Some(before)), Ok(Some(after))) => after.with_former_charts(before),
            _ => None,
        };
        let (after, former_charts) = match former {
            Some((inputs, charts)) => (&Ok(Some(inputs)), charts),
            None => (after, Vec::new()),
        };
        let head = match self.manifests(after, Side::Head).await? {
            Ok(head) => head,
            Err(why) => return Ok(Err(why)),
        };
        let declared = |read: &RenderInputs| match read {
            Ok(Some(inputs)) => inputs.transforms().cloned(),
            _ => None,
        };
        let mut rendered = Rendered {
            base,
            head,
            declared: (declared(before), declared(after)),
            former_charts,
            ..Rendered::default()
        };
        if matches!(after, Ok(None)) {
            return Ok(Ok(rendered));
        }
        if rendered.head.is_empty() && !was_empty {
            return Ok(Err(Invalid("it renders no objects: nothing would be pruned, and the sync would stop with that message".into())));
        }
        if let Ok(Some(inputs)) = after {
            let (environment, target) = (self.environment, self.target);
            rendered.looks_up = environment.looks_up(target, inputs).await?;
            rendered.repeated = environment.repeated(target, inputs, self.known).await?;
        }
        if let Some(synced) = synced {
            let manifests = self.manifests(synced, Side::Merged).await?;
            rendered.synced = Some(manifests.unwrap_or_default());
        }
        rendered.leave_out_unknown();
        Ok(Ok(rendered))
    }

    async fn manifests(
        &self,
        read: &RenderInputs,
        side: Side,
    ) -> Result<std::result::Result<Vec<Manifest>, Invalid>> {
        let (environment, target, known) = (self.environment, self.target, self.known);
        let inputs = match read {
            Ok(Some(inputs)) => inputs,
            Ok(None) => return Ok(Ok(Vec::new())),
            Err(unreadable) => return Ok(Err(unreadable.why.clone())),
        };
        let rendered = match side {
            Side::Merged => environment.render_merged(target, inputs, known).await?,
            Side::Head => environment.render(target, inputs, known).await?,
        };
        Ok(rendered.map(|manifests| manifests.to_vec()))
    }
}

impl Rendered {
    /// Leaves out what a HelmRelease installs that is not rendered on the other side: it would look
    /// as if it came or went.
    fn leave_out_unknown(&mut self) {
        let unknown: BTreeSet<_> = [&self.base, &self.head]
            .into_iter()
            .flatten()
            .filter_map(release::not_rendered)
            .collect();
        let is_known = |manifest: &Manifest| {
            let of = manifest.installed_by.as_ref();
            of.is_none_or(|of| !unknown.contains(of))
        };
        for side in [&mut self.base, &mut self.head] {
            side.retain(is_known);
        }
    }

    /// The names of the base's objects.
    pub fn names(&self) -> Vec<String> {
        let names = self.base.iter().map(|manifest| manifest.key.to_string());
        names.collect()
    }

    /// The base alone, as it is for this scope.
    pub async fn settled_base(&self, scope: &AppScope<'_>) -> Result<NormalizedSide> {
        settled_side(scope, &self.base, self.declared.0.as_ref()).await
    }

    pub async fn settled(&self, scope: &AppScope<'_>) -> Result<Normalized> {
        Ok(Normalized {
            base: self.settled_base(scope).await?,
            head: settled_side(scope, &self.head, self.declared.1.as_ref()).await?,
            synced: match &self.synced {
                Some(synced) => {
                    let declared = self.declared.0.as_ref();
                    let settled = dry_run::normalize_by(scope, synced, declared).await?;
                    Some(settled.manifests)
                }
                None => None,
            },
        })
    }
}

/// The rendered manifests, normalized for the cluster.
pub struct Normalized {
    pub base: NormalizedSide,
    pub head: NormalizedSide,
    pub synced: Option<Vec<Manifest>>,
}

/// One side, with hooks and manifests that the project does not allow kept apart.
pub struct NormalizedSide {
    pub manifests: Vec<Manifest>,
    pub hooks: Vec<(Manifest, Hook)>,
    pub outside: Vec<Outside>,
}

async fn settled_side(
    scope: &AppScope<'_>,
    manifests: &[Manifest],
    declared: Option<&Transforms>,
) -> Result<NormalizedSide> {
    let settled = dry_run::normalize_by(scope, manifests, declared).await?;
    let (hooks, manifests) = hook::split(settled.manifests);
    Ok(NormalizedSide {
        manifests,
        hooks,
        outside: settled.outside,
    })
}

impl Normalized {
    /// The head's objects of kinds that the base has none of.
    pub fn new_kinds(&self) -> impl Iterator<Item = &Manifest> {
        self.head.manifests.iter().filter(|manifest| {
            !self.base.manifests.iter().any(|known| {
                known.key.kind == manifest.key.kind && known.key.group == manifest.key.group
            })
        })
    }
}

/// The head's objects that the project does not allow: those that the base has identically, which
/// are not this change's doing, and those that the change adds.
pub fn refusals(base: &[Outside], head: &[Outside]) -> (Vec<Comparison>, Vec<Comparison>) {
    let is_known = |outside: &&Outside| base.iter().any(|other| other.manifest == outside.manifest);
    let (known, added): (Vec<_>, Vec<_>) = head.iter().partition(is_known);
    (dry_run::refusals(known), dry_run::refusals(added))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::manifest::ResourceKey;

    fn outside(name: &str, data: &str) -> Outside {
        let key = ResourceKey {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: Some("others".into()),
            name: name.into(),
        };
        Outside {
            manifest: Manifest::new(key, "v1", json!({"data": data})),
            why: "no".into(),
        }
    }

    #[test]
    fn what_the_base_has_outside_is_not_the_changes_doing() {
        let base = [outside("same", "a"), outside("changed", "a")];
        let head = [
            outside("same", "a"),
            outside("changed", "b"),
            outside("new", "a"),
        ];
        let (known, brought) = refusals(&base, &head);
        let names = |all: Vec<Comparison>| -> Vec<String> {
            all.into_iter().map(|one| one.key.name).collect()
        };
        assert_eq!(names(known), ["same"]);
        assert_eq!(names(brought), ["changed", "new"]);
    }
}
