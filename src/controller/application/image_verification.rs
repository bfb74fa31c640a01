//! Whether the running images are the ones in Git: compares the digest in Git
//! with the `imageID` of the running pods.
//!
//! Runtimes report the digest that they pulled: the named one or, of an index,
//! the manifest of their own platform. The manifests of an index are read from
//! the registry. The answer is checked by its digest, so the registry need not
//! be trusted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::cluster::store::ApplicationStatus;
use crate::controller::cache::locked;
use crate::controller::{Reader, Result};
use crate::domain::Live;
use crate::domain::TargetKey;
use crate::domain::image::{Digest, ImageRef};
use crate::domain::manifest::Manifest;

/// The result of an application's image verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Digests that running pods were observed to run.
    pub proven: Vec<String>,
    /// Why the others are not.
    pub unproven: Option<String>,
    /// When to check again without an event.
    pub next_check: Option<Instant>,
}

/// The last check of an application's pods: of which digests, with which result, when the next one
/// is due, and after which pause.
#[derive(Clone)]
pub struct LastCheck {
    about: Vec<String>,
    found: Verification,
    next: Instant,
    pause: Duration,
}

/// Pauses between two checks of images that are not proven: pods may be starting, the registry may
/// be unreachable.
const FIRST_PAUSE: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The result in the status, for images that are still the same.
pub fn known(status: &ApplicationStatus, images: &[ImageRef]) -> Verification {
    let wanted = digests(images);
    let proven = status
        .proven
        .iter()
        .filter(|digest| wanted.contains(digest.as_str()))
        .cloned()
        .collect();
    let same = digests(&status.images) == wanted;
    Verification {
        proven,
        unproven: status.unproven.clone().filter(|_| same),
        next_check: None,
    }
}

/// Checks the pods, once for each digest; `recheck`: again, since somebody requested it.
pub async fn check(
    ctx: &Reader,
    key: &TargetKey,
    cluster: &Cluster,
    manifests: &[Manifest],
    images: &[ImageRef],
    status: &ApplicationStatus,
    recheck: bool,
) -> Result<Verification> {
    let known = known(status, images);
    let wanted = digests(images);
    if wanted
        .iter()
        .all(|digest| known.proven.iter().any(|proven| proven == digest))
    {
        locked(&ctx.cache.applications.verifications).remove(key);
        return Ok(Verification {
            unproven: None,
            ..known
        });
    }
    // If a digest could not be proven, or runs nowhere, it is not checked at each reconcile.
    let last_check = locked(&ctx.cache.applications.verifications)
        .get(key)
        .cloned();
    let pause = match last_check.filter(|last_check| last_check.is_about(&wanted)) {
        // The cached result, not the one in the status: if writing the status failed, the doubt
        // must not be lost.
        Some(last_check) if Instant::now() < last_check.next && !recheck => {
            return Ok(last_check.found);
        }
        Some(last_check) => (last_check.pause * 2).min(LONGEST_PAUSE),
        None => FIRST_PAUSE,
    };
    let next = Instant::now() + pause;
    let found = evidence(ctx, cluster, manifests, images)
        .await?
        .verification(known.proven, next);
    let last_check = LastCheck {
        about: wanted.iter().map(ToString::to_string).collect(),
        found: found.clone(),
        next,
        pause,
    };
    locked(&ctx.cache.applications.verifications).insert(key.clone(), last_check);
    Ok(found)
}

impl LastCheck {
    fn is_about(&self, digests: &BTreeSet<&str>) -> bool {
        let about = self.about.iter().map(String::as_str);
        about.eq(digests.iter().copied())
    }
}

/// The evidence from running pods, by the digest in Git.
#[derive(Debug, Default)]
struct Evidence {
    /// Digests that a container runs.
    runs: BTreeSet<String>,
    /// Digests in whose place a container runs another image, or an unknown one: each with the
    /// reason.
    doubts: BTreeMap<String, String>,
}

impl Evidence {
    /// `proven`: what was proven before. One doubt about a digest outweighs what other containers prove.
    fn verification(self, mut proven: Vec<String>, next: Instant) -> Verification {
        let Self { runs, doubts } = self;
        let undoubted = |digest: &String| !doubts.contains_key(digest);
        proven.extend(runs.into_iter().filter(undoubted));
        proven.sort();
        proven.dedup();
        let is_doubted = !doubts.is_empty();
        let doubts: Vec<_> = doubts.into_values().collect();
        Verification {
            proven,
            unproven: is_doubted.then(|| format!("unproven: {}", doubts.join("; "))),
            next_check: is_doubted.then_some(next),
        }
    }
}

async fn evidence(
    ctx: &Reader,
    cluster: &Cluster,
    manifests: &[Manifest],
    images: &[ImageRef],
) -> Result<Evidence> {
    let mut evidence = Evidence::default();
    for manifest in manifests
        .iter()
        .filter(|manifest| manifest.value["spec"]["selector"]["matchLabels"].is_object())
    {
        let expected: Vec<_> = manifest
            .images()
            .into_iter()
            .filter(|image| images.contains(image) && image.digest.is_some())
            .collect();
        if expected.is_empty() {
            continue;
        }
        let pods = cluster.pods_of(&manifest.value).await?;
        for (image, id) in pods.iter().flat_map(containers) {
            let Some(digest) = image.digest.as_ref().filter(|_| expected.contains(&image)) else {
                continue;
            };
            match doubt(ctx, &image, digest, id.as_ref()).await {
                None => drop(evidence.runs.insert(digest.to_string())),
                Some(why) => drop(evidence.doubts.insert(digest.to_string(), why)),
            }
        }
    }
    Ok(evidence)
}

/// Why a container that reports an image's `id` does not prove the digest; None: it does.
async fn doubt(
    ctx: &Reader,
    image: &ImageRef,
    digest: &Digest,
    id: Option<&Digest>,
) -> Option<String> {
    let name = &image.name;
    match id {
        Some(id) if id == digest || listed(ctx, image, id).await => None,
        Some(id) => Some(format!(
            "pods run {} for {name} `{}`",
            id.short(),
            digest.short()
        )),
        None => Some(format!("the runtime does not report the digest of {name}")),
    }
}

fn digests(images: &[ImageRef]) -> BTreeSet<&str> {
    images
        .iter()
        .filter_map(|image| image.digest.as_ref())
        .map(Digest::as_str)
        .collect()
}

/// Each running container's image as the pod names it, and the digest that the runtime reports for
/// it.
fn containers(pod: &Live) -> Vec<(ImageRef, Option<Digest>)> {
    let named: BTreeMap<_, _> = ["containers", "initContainers"]
        .iter()
        .filter_map(|field| pod["spec"][*field].as_array())
        .flatten()
        .filter_map(|container| {
            Some((
                container["name"].as_str()?,
                container["image"].as_str()?.parse::<ImageRef>().ok()?,
            ))
        })
        .collect();
    let statuses = ["containerStatuses", "initContainerStatuses"]
        .iter()
        .filter_map(|field| pod["status"][*field].as_array())
        .flatten();
    statuses
        .filter_map(|status| {
            let image = named.get(status["name"].as_str()?)?.clone();
            let id = status["imageID"].as_str().unwrap_or_default();
            let digest = id.rfind("sha256:").and_then(|at| id[at..].parse().ok());
            Some((image, digest))
        })
        .collect()
}

/// Whether the index that a digest names lists another one.
async fn listed(ctx: &Reader, image: &ImageRef, id: &Digest) -> bool {
    match ctx.registry.manifests_of(image).await {
        Ok(manifests) => manifests.contains(id),
        Err(error) => {
            let error = format!("{error:#}");
            tracing::info!(
                image = image.name,
                error,
                "an image's index could not be read"
            );
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_outweighs_what_other_containers_show() {
        let next = Instant::now();
        let verification = |runs: &[&str], doubts: &[&str]| {
            let evidence = Evidence {
                runs: runs.iter().map(ToString::to_string).collect(),
                doubts: doubts
                    .iter()
                    .map(|digest| (digest.to_string(), format!("not {digest}")))
                    .collect(),
            };
            evidence.verification(vec!["b".into()], next)
        };
        let cases = [
            (vec![], vec![], vec!["b"], None),
            (vec!["b", "a"], vec![], vec!["a", "b"], None),
            (vec!["a"], vec!["a"], vec!["b"], Some("unproven: not a")),
            (
                vec!["a"],
                vec!["d", "c"],
                vec!["a", "b"],
                Some("unproven: not c; not d"),
            ),
        ];
        for (runs, doubts, proven, unproven) in cases {
            let verification = verification(&runs, &doubts);
            assert_eq!(verification.proven, proven);
            assert_eq!(verification.unproven.as_deref(), unproven);
            assert_eq!(verification.next_check, unproven.map(|_| next));
        }
    }
}
