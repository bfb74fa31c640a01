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

fn candidates(kind: &str, count: usize, approved: bool) -> Vec<PruneCandidate> {
    (0..count)
        .map(|n| PruneCandidate {
            key: key(kind, &format!("n{n}")),
            uid: format!("u{n}"),
            approved,
            needs_confirmation: false,
            hook: false,
        })
        .collect()
}

#[test]
fn what_would_be_lost_needs_somebodys_word() {
    let decided = |candidates: &[PruneCandidate], owned, digest| {
        decide_prune(
            candidates,
            owned,
            Confirmed { digest, lines: &[] },
            "shop/staging",
        )
    };
    assert_eq!(
        decided(&candidates("ConfigMap", 3, false), 5, None)
            .prune
            .len(),
        3
    );
    assert_eq!(
        decided(&candidates("ConfigMap", 4, false), 5, None)
            .prune
            .len(),
        0
    );
    assert_eq!(
        decided(&candidates("ConfigMap", 10, false), 100, None)
            .prune
            .len(),
        10
    );
    assert_eq!(
        decided(&candidates("Deployment", 1, true), 5, None)
            .prune
            .len(),
        1
    );
    let waits = decided(&candidates("Deployment", 1, false), 5, None);
    assert_eq!((waits.prune.len(), waits.withheld.len()), (0, 1));
    let confirm = waits.confirm.unwrap();
    assert_eq!(
        decided(&candidates("Deployment", 1, false), 5, Some(&confirm))
            .prune
            .len(),
        1
    );
    assert_eq!(
        decided(&candidates("Deployment", 2, false), 5, Some(&confirm))
            .prune
            .len(),
        0,
        "more than was confirmed"
    );
}

#[test]
fn what_was_approved_stays_approved_while_it_waits() {
    let first = decide_prune(
        &candidates("Deployment", 1, true),
        5,
        Confirmed::default(),
        "a/b",
    );
    assert_eq!(first.confirmed, ["Deployment n0 u0"]);
    // The commit that removed it failed; another commit fixes that.
    let lines = Confirmed {
        digest: None,
        lines: &first.confirmed,
    };
    let later = decide_prune(&candidates("Deployment", 1, false), 5, lines, "a/b");
    assert_eq!((later.prune.len(), later.withheld.len()), (1, 0));
    // An object that was created again under the same name is another one.
    let mut recreated = candidates("Deployment", 1, false);
    recreated[0].uid = "u9".into();
    assert_eq!(decide_prune(&recreated, 5, lines, "a/b").prune.len(), 0);
}

#[test]
fn only_what_is_known_to_be_harmless_goes_without_a_word() {
    let destructive = |group: &str, kind: &str| {
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
        assert!(destructive(group, kind), "{group} {kind}");
    }
    assert!(
        !destructive("", "ConfigMap") && !destructive("autoscaling", "HorizontalPodAutoscaler")
    );
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
        protected(&Live::new(label.clone())).unwrap(),
        "it is marked `kustomize.toolkit.fluxcd.io/prune: disabled`"
    );
    let marked = PruneCandidate {
        needs_confirmation: true,
        hook: false,
        ..candidates("ConfigMap", 1, true).remove(0)
    };
    assert_eq!(
        decide_prune(&[marked], 50, Confirmed::default(), "a/b")
            .withheld
            .len(),
        1
    );
}

proptest! {
    /// Every object is either pruned or withheld, and withheld ones can be confirmed.
    #[test]
    fn judgement_is_complete(kinds in proptest::collection::vec((0usize..4, any::<bool>()), 0..20), owned in 0usize..200) {
        let names = ["ConfigMap", "Deployment", "PersistentVolumeClaim", "HTTPRoute"];
        let all: Vec<_> = kinds.iter().enumerate().map(|(n, (kind, approved))| PruneCandidate { key: key(names[*kind], &n.to_string()), uid: n.to_string(), approved: *approved, needs_confirmation: false, hook: false }).collect();
        let decided = decide_prune(&all, owned, Confirmed::default(), "a/b");
        prop_assert_eq!(decided.prune.len() + decided.withheld.len(), all.len());
        prop_assert_eq!(decided.withheld.is_empty(), decided.confirm.is_none());
        let again = decide_prune(&all, owned, Confirmed { digest: decided.confirm.as_deref(), lines: &[] }, "a/b");
        prop_assert_eq!(again.prune.len(), all.len());
        // If windlass stops after some of them, the rest needs no second confirmation.
        let rest = decide_prune(&all[all.len() / 2..], owned, Confirmed { digest: decided.confirm.as_deref(), lines: &again.confirmed }, "a/b");
        prop_assert_eq!(rest.prune.len(), all.len() - all.len() / 2);
    }
}
