//! Which objects may be pruned. If something could be lost, a person has to approve the change or
//! confirm the deletion. Objects that are marked to be kept are never pruned.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::domain::Live;
use crate::domain::labels::PRUNE;
use crate::domain::manifest::ResourceKey;

/// What an object's annotations or labels say about its deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// It is never deleted, whatever was approved.
    Keep(String),
    /// A person has to confirm the deletion.
    Confirm(String),
}

/// Marks that say "do not delete": an annotation (or, with Flux, a label) and one of its values.
/// Sources: helm.sh/docs/howto/charts_tips_and_tricks, argo-cd docs/user-guide/sync-options.md,
/// fluxcd.io Kustomization "Controlling the apply behavior", sigs.k8s.io/cli-utils pkg/common, kapp
/// docs/apply.md, kluctl docs "deletes".
const KEEP_MARKS: [(&str, &str); 9] = [
    (PRUNE, "never"),
    ("helm.sh/resource-policy", "keep"),
    ("argocd.argoproj.io/sync-options", "Prune=false"),
    ("argocd.argoproj.io/sync-options", "Delete=false"),
    ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
    ("cli-utils.sigs.k8s.io/on-remove", "keep"),
    ("client.lifecycle.config.k8s.io/deletion", "detach"),
    ("kapp.k14s.io/delete-strategy", "orphan"),
    ("kluctl.io/skip-delete", "true"),
];
const CONFIRM_MARKS: [(&str, &str); 3] = [
    (PRUNE, "confirm"),
    ("argocd.argoproj.io/sync-options", "Prune=confirm"),
    ("argocd.argoproj.io/sync-options", "Delete=confirm"),
];

/// The mark on an object, in Git or live, that restricts its deletion.
pub fn mark(object: &Value) -> Option<Mark> {
    let metadata = &object["metadata"];
    let has = |name: &str, wanted: &str| {
        ["annotations", "labels"]
            .iter()
            .filter_map(|map| metadata[*map][name].as_str())
            .any(|text| {
                // A list of options, as in `Prune=false,Validate=false`; people add spaces and
                // capitals.
                text.split(',').any(|option| {
                    option
                        .split_whitespace()
                        .collect::<String>()
                        .eq_ignore_ascii_case(wanted)
                })
            })
    };
    let find = |marks: &[(&str, &str)]| {
        marks
            .iter()
            .find(|(name, wanted)| has(name, wanted))
            .map(|(name, wanted)| format!("{name}: {wanted}"))
    };
    find(&KEEP_MARKS)
        .map(Mark::Keep)
        .or_else(|| find(&CONFIRM_MARKS).map(Mark::Confirm))
}

/// Why an object that is no longer in Git is never pruned.
pub fn protected(live: &Live) -> Option<String> {
    match mark(live)? {
        Mark::Keep(mark) => Some(format!("it is marked `{mark}`")),
        Mark::Confirm(_) => None,
    }
}

/// Built-in kinds whose deletion loses nothing that Git cannot restore, and interrupts nothing.
const HARMLESS: [(&str, &str); 9] = [
    ("", "ConfigMap"),
    ("", "Endpoints"),
    ("", "PodTemplate"),
    ("apps", "ControllerRevision"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("coordination.k8s.io", "Lease"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
];

/// Whether a deletion may lose something: true of every kind that is not known to be harmless.
fn is_destructive(key: &ResourceKey) -> bool {
    !HARMLESS
        .iter()
        .any(|(group, kind)| key.group == *group && key.kind == *kind)
}

/// How many objects of harmless kinds may be pruned without a confirmation: 3, or a tenth of the
/// application.
fn budget(owned: usize) -> usize {
    (owned / 10).max(3)
}

/// A live object of ours that is no longer in Git.
#[derive(Debug, Clone)]
pub struct PruneCandidate {
    pub key: ResourceKey,
    pub uid: String,
    /// An approved pull request removed it, and its preview listed the deletion.
    pub approved: bool,
    /// It is only pruned after a confirmation: no commit removed it from Git, or its own mark asks
    /// for that.
    pub needs_confirmation: bool,
    /// It is a hook.
    pub hook: bool,
}

/// Which objects may be pruned, and which wait for a confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PruneDecision {
    pub prune: Vec<ResourceKey>,
    pub withheld: Vec<(ResourceKey, String)>,
    /// The digest that confirms the withheld objects.
    pub confirm: Option<String>,
    /// The confirmed objects that still exist, a line each: remembered, so that the rest needs no
    /// second confirmation.
    pub confirmed: Vec<String>,
}

impl PruneDecision {
    /// The names of the objects that wait for a confirmation.
    pub fn to_confirm(&self) -> Vec<String> {
        self.withheld
            .iter()
            .take(300)
            .map(|(key, _)| key.to_string())
            .collect()
    }
}

/// What somebody confirmed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Confirmed<'a> {
    /// The digest in the confirmation.
    pub digest: Option<&'a str>,
    /// The objects that were confirmed or approved before.
    pub lines: &'a [String],
}

/// Prunes approved objects. Others are pruned if they are few and harmless, or if the digest that
/// names them is confirmed. `owned`: how many objects the application has.
pub fn decide_prune(
    candidates: &[PruneCandidate],
    owned: usize,
    confirmed: Confirmed<'_>,
    title: &str,
) -> PruneDecision {
    let (hooks, kept): (Vec<_>, Vec<_>) = candidates.iter().partition(|candidate| candidate.hook);
    // If an earlier commit's approval covered it and it still waits, it needs no second one.
    let is_known = |candidate: &PruneCandidate| confirmed.lines.contains(&line(candidate));
    let (approved, others): (Vec<_>, Vec<_>) = kept.into_iter().partition(|candidate| {
        !candidate.needs_confirmation && (candidate.approved || is_known(candidate))
    });
    let harmless = others.len() <= budget(owned)
        && !others
            .iter()
            .any(|candidate| candidate.needs_confirmation || is_destructive(&candidate.key));
    let mut decision = confirmed_only(others, harmless, confirmed, title);
    decision.confirmed.extend(lines(&approved));
    decision.confirmed.sort();
    let all = hooks.into_iter().chain(approved);
    decision
        .prune
        .extend(all.map(|candidate| candidate.key.clone()));
    decision
}

/// The same for an application that was removed from Git: every deletion needs a confirmation.
pub fn decide_retired(
    candidates: &[PruneCandidate],
    confirmed: Confirmed<'_>,
    title: &str,
) -> PruneDecision {
    confirmed_only(candidates.iter().collect(), false, confirmed, title)
}

fn confirmed_only(
    candidates: Vec<&PruneCandidate>,
    harmless: bool,
    confirmed: Confirmed<'_>,
    title: &str,
) -> PruneDecision {
    let (digest, lines) = (digest(&candidates), lines(&candidates));
    let prune = || {
        candidates
            .iter()
            .map(|candidate| candidate.key.clone())
            .collect()
    };
    if candidates.is_empty() || harmless {
        return PruneDecision {
            prune: prune(),
            ..PruneDecision::default()
        };
    }
    if confirmed.digest == Some(&digest) || lines.iter().all(|line| confirmed.lines.contains(line))
    {
        return PruneDecision {
            prune: prune(),
            confirmed: lines,
            ..PruneDecision::default()
        };
    }
    let why = format!(
        "its deletion waits for a confirmation: `/confirm-prune`, or `windlass confirm-prune {title}`"
    );
    PruneDecision {
        prune: vec![],
        withheld: candidates
            .into_iter()
            .map(|candidate| (candidate.key.clone(), why.clone()))
            .collect(),
        confirm: Some(digest),
        confirmed: vec![],
    }
}

/// The digest that names exactly these objects.
fn digest(candidates: &[&PruneCandidate]) -> String {
    format!(
        "wlp1:{}",
        &hex::encode(Sha256::digest(lines(candidates).join("\n")))[..16]
    )
}

fn line(candidate: &PruneCandidate) -> String {
    format!("{} {}", candidate.key, candidate.uid)
}

fn lines(candidates: &[&PruneCandidate]) -> Vec<String> {
    let mut lines: Vec<_> = candidates.iter().map(|candidate| line(candidate)).collect();
    lines.sort();
    lines
}

#[cfg(test)]
mod tests;
