//! What may be deleted: what would be lost is lost only by a change that somebody approved, or
//! confirmed, and never what is marked to be kept.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::domain::labels::PRUNE;
use crate::domain::manifest::ResourceKey;

/// What an object's marks say about its deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// It stays, whatever anybody approved.
    Keep(String),
    /// Somebody has to confirm it.
    Confirm(String),
}

/// Marks of other tools that say "do not delete": the annotation (Flux takes a label too), and one of its values.
/// Sources: helm.sh/docs/howto/charts_tips_and_tricks, argo-cd docs/user-guide/sync-options.md, fluxcd.io Kustomization
/// "Controlling the apply behavior", sigs.k8s.io/cli-utils pkg/common, kapp docs/apply.md, kluctl docs "deletes".
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

/// The mark on an object, in Git or live, that rules about its deletion.
pub fn mark(object: &Value) -> Option<Mark> {
    let metadata = &object["metadata"];
    let has = |name: &str, wanted: &str| {
        ["annotations", "labels"]
            .iter()
            .filter_map(|map| metadata[*map][name].as_str())
            .any(|text| {
                // Lists of options: `Prune=false,Validate=false`; written by people, with spaces and capitals.
                text.split(',').any(|one| {
                    one.split_whitespace()
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

/// Why an object that Git has no more is left where it is, whatever anybody approved.
pub fn protected(live: &Value) -> Option<String> {
    match mark(live)? {
        Mark::Keep(mark) => Some(format!("it is marked `{mark}`")),
        Mark::Confirm(_) => None,
    }
}

/// Kinds of Kubernetes itself with which nothing is lost that Git cannot bring back, and nobody is cut off from anything.
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

/// Whether something may be lost with an object: so of every kind that is not known to be harmless.
fn is_destructive(key: &ResourceKey) -> bool {
    !HARMLESS
        .iter()
        .any(|(group, kind)| key.group == *group && key.kind == *kind)
}

/// So many prunes of harmless kinds need nobody's word: 3, or a tenth of the application.
fn budget(owned: usize) -> usize {
    (owned / 10).max(3)
}

/// An object that Git has no more.
#[derive(Debug, Clone)]
pub struct Gone {
    pub key: ResourceKey,
    pub uid: String,
    /// The preview of a change that somebody approved listed it.
    pub approved: bool,
    /// Nobody took it out of Git, or its own mark asks for that: it waits for a confirmation, whatever it is.
    pub asks: bool,
    /// It is run, not kept.
    pub hook: bool,
}

/// What may be pruned, and what waits for a confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PruneDecision {
    pub prune: Vec<ResourceKey>,
    pub withheld: Vec<(ResourceKey, String)>,
    /// Names the withheld ones: what has to be confirmed.
    pub confirm: Option<String>,
    /// What was confirmed and is not gone yet, line by line: kept, so that the rest of it needs no second word.
    pub confirmed: Vec<String>,
}

impl PruneDecision {
    /// The names of what waits for a confirmation.
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
    /// The digest that names all of it.
    pub digest: Option<&'a str>,
    /// What it named, once that was seen.
    pub lines: &'a [String],
}

/// Prunes that an approved preview listed are done. Others are done when they are few and harmless, or confirmed by
/// the digest that names them. `owned`: how many objects the application has.
pub fn judge(gone: &[Gone], owned: usize, confirmed: Confirmed<'_>, title: &str) -> PruneDecision {
    let (hooks, kept): (Vec<_>, Vec<_>) = gone.iter().partition(|one| one.hook);
    // What was approved with an earlier commit, and has waited since, needs no second word.
    let is_known = |one: &Gone| confirmed.lines.contains(&line(one));
    let (approved, others): (Vec<_>, Vec<_>) = kept
        .into_iter()
        .partition(|one| !one.asks && (one.approved || is_known(one)));
    let harmless = others.len() <= budget(owned)
        && !others
            .iter()
            .any(|one| one.asks || is_destructive(&one.key));
    let mut judgement = confirmed_only(others, harmless, confirmed, title);
    judgement.confirmed.extend(lines(&approved));
    judgement.confirmed.sort();
    let all = hooks.into_iter().chain(approved);
    judgement.prune.extend(all.map(|one| one.key.clone()));
    judgement
}

/// The same for an application that Git has no more at all: somebody has to confirm that, whatever it is.
pub fn decide_retired(gone: &[Gone], confirmed: Confirmed<'_>, title: &str) -> PruneDecision {
    confirmed_only(gone.iter().collect(), false, confirmed, title)
}

fn confirmed_only(
    gone: Vec<&Gone>,
    harmless: bool,
    confirmed: Confirmed<'_>,
    title: &str,
) -> PruneDecision {
    let (digest, lines) = (digest(&gone), lines(&gone));
    let prune = || gone.iter().map(|one| one.key.clone()).collect();
    if gone.is_empty() || harmless {
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
        withheld: gone
            .into_iter()
            .map(|one| (one.key.clone(), why.clone()))
            .collect(),
        confirm: Some(digest),
        confirmed: vec![],
    }
}

/// Names exactly these objects.
fn digest(gone: &[&Gone]) -> String {
    format!(
        "wlp1:{}",
        &hex::encode(Sha256::digest(lines(gone).join("\n")))[..16]
    )
}

fn line(one: &Gone) -> String {
    format!("{} {}", one.key, one.uid)
}

fn lines(gone: &[&Gone]) -> Vec<String> {
    let mut lines: Vec<_> = gone.iter().map(|one| line(one)).collect();
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(kind: &str, name: &str) -> ResourceKey {
        ResourceKey {
            group: String::new(),
            kind: kind.into(),
            namespace: None,
            name: name.into(),
        }
    }

    fn gone(kind: &str, count: usize, approved: bool) -> Vec<Gone> {
        (0..count)
            .map(|n| Gone {
                key: key(kind, &format!("n{n}")),
                uid: format!("u{n}"),
                approved,
                asks: false,
                hook: false,
            })
            .collect()
    }

    #[test]
    fn what_would_be_lost_needs_somebodys_word() {
        let judged = |gone: &[Gone], owned, digest| {
            judge(
                gone,
                owned,
                Confirmed { digest, lines: &[] },
                "shop/staging",
            )
        };
        assert_eq!(judged(&gone("ConfigMap", 3, false), 5, None).prune.len(), 3);
        assert_eq!(judged(&gone("ConfigMap", 4, false), 5, None).prune.len(), 0);
        assert_eq!(
            judged(&gone("ConfigMap", 10, false), 100, None).prune.len(),
            10
        );
        assert_eq!(judged(&gone("Deployment", 1, true), 5, None).prune.len(), 1);
        let waits = judged(&gone("Deployment", 1, false), 5, None);
        assert_eq!((waits.prune.len(), waits.withheld.len()), (0, 1));
        let confirm = waits.confirm.unwrap();
        assert_eq!(
            judged(&gone("Deployment", 1, false), 5, Some(&confirm))
                .prune
                .len(),
            1
        );
        assert_eq!(
            judged(&gone("Deployment", 2, false), 5, Some(&confirm))
                .prune
                .len(),
            0,
            "more than was confirmed"
        );
    }

    #[test]
    fn what_was_approved_stays_approved_while_it_waits() {
        let first = judge(&gone("Deployment", 1, true), 5, Confirmed::default(), "a/b");
        assert_eq!(first.confirmed, ["Deployment n0 u0"]);
        // The change that removed it failed; another commit mends that.
        let lines = Confirmed {
            digest: None,
            lines: &first.confirmed,
        };
        let later = judge(&gone("Deployment", 1, false), 5, lines, "a/b");
        assert_eq!((later.prune.len(), later.withheld.len()), (1, 0));
        // Another object of the same name is another one.
        let mut anew = gone("Deployment", 1, false);
        anew[0].uid = "u9".into();
        assert_eq!(judge(&anew, 5, lines, "a/b").prune.len(), 0);
    }

    #[test]
    fn only_what_is_known_to_be_harmless_goes_without_a_word() {
        let grave = |group: &str, kind: &str| {
            is_destructive(&ResourceKey {
                group: group.into(),
                ..key(kind, "a")
            })
        };
        for (group, kind) in [
            ("", "Secret"),
            ("", "Service"),
            ("", "ServiceAccount"),
            ("", "ResourceQuota"),
            ("apps", "Deployment"),
            ("networking.k8s.io", "NetworkPolicy"),
            ("policy", "PodDisruptionBudget"),
            ("storage.k8s.io", "StorageClass"),
            (
                "admissionregistration.k8s.io",
                "ValidatingWebhookConfiguration",
            ),
            ("postgresql.cnpg.io", "Cluster"),
            ("acme.example", "ConfigMap"),
        ] {
            assert!(grave(group, kind), "{group} {kind}");
        }
        assert!(!grave("", "ConfigMap") && !grave("autoscaling", "HorizontalPodAutoscaler"));
    }

    #[test]
    fn other_tools_marks_are_honoured() {
        let marked = |name: &str, value: &str| {
            mark(&serde_json::json!({"metadata": {"annotations": {name: value}}}))
        };
        for (name, value) in [
            ("windlass.dev/prune", "never"),
            ("helm.sh/resource-policy", "keep"),
            (
                "argocd.argoproj.io/sync-options",
                "Validate=false, Prune=false",
            ),
            ("argocd.argoproj.io/sync-options", "Delete=false"),
            ("kustomize.toolkit.fluxcd.io/prune", "Disabled"),
        ] {
            assert!(
                matches!(marked(name, value), Some(Mark::Keep(_))),
                "{name}: {value}"
            );
        }
        assert!(matches!(
            marked("argocd.argoproj.io/sync-options", "Prune=confirm"),
            Some(Mark::Confirm(_))
        ));
        assert_eq!(
            marked("argocd.argoproj.io/sync-options", "PruneLast=true"),
            None
        );
        let label = serde_json::json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/prune": "disabled"}}});
        assert_eq!(
            protected(&label).unwrap(),
            "it is marked `kustomize.toolkit.fluxcd.io/prune: disabled`"
        );
        let asks = Gone {
            asks: true,
            hook: false,
            ..gone("ConfigMap", 1, true).remove(0)
        };
        assert_eq!(
            judge(&[asks], 50, Confirmed::default(), "a/b")
                .withheld
                .len(),
            1
        );
    }

    proptest! {
        /// Nothing is lost: every object is pruned or withheld, and withheld ones can be confirmed.
        #[test]
        fn judgement_is_complete(kinds in proptest::collection::vec((0usize..4, any::<bool>()), 0..20), owned in 0usize..200) {
            let names = ["ConfigMap", "Deployment", "PersistentVolumeClaim", "HTTPRoute"];
            let all: Vec<_> = kinds.iter().enumerate().map(|(n, (kind, approved))| Gone { key: key(names[*kind], &n.to_string()), uid: n.to_string(), approved: *approved, asks: false, hook: false }).collect();
            let judged = judge(&all, owned, Confirmed::default(), "a/b");
            prop_assert_eq!(judged.prune.len() + judged.withheld.len(), all.len());
            prop_assert_eq!(judged.withheld.is_empty(), judged.confirm.is_none());
            let again = judge(&all, owned, Confirmed { digest: judged.confirm.as_deref(), lines: &[] }, "a/b");
            prop_assert_eq!(again.prune.len(), all.len());
            // Cut off after some of them, the rest needs no second word.
            let rest = judge(&all[all.len() / 2..], owned, Confirmed { digest: judged.confirm.as_deref(), lines: &again.confirmed }, "a/b");
            prop_assert_eq!(rest.prune.len(), all.len() - all.len() / 2);
        }
    }
}
