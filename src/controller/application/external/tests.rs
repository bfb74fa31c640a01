use super::*;
use crate::domain::external::Refusal;

fn found(synced: bool, has_revision: bool) -> Found {
    Found {
        object: Reconciler::ArgoCd(crate::domain::catalog::Named {
            cluster: None,
            namespace: "argocd".into(),
            name: "shop".into(),
        })
        .object()
        .unwrap()
        .0,
        version: "v1alpha1",
        live: Live::new(serde_json::json!({})),
        status: ExternalStatus {
            applied: Some(Applied::Commit("a".repeat(40).parse().unwrap())),
            synced,
            health: (Health::Progressing, "1 of 2 pods".into()),
            assesses_objects: true,
            failed: None,
            waits: None,
        },
        is_outdated: false,
        has_revision,
        failed: None,
    }
}

fn told(found: &Found, refused: Option<(Refusal, bool)>) -> ApplicationStatus {
    let mut requests = Requests::default();
    requests.refused = refused;
    with_external(ApplicationStatus::default(), "it", found, &requests)
}

#[test]
fn it_is_synced_once_their_revision_has_ours() {
    let failing = |fails: bool| {
        let mut failed = found(false, true);
        failed.failed = fails.then(|| "it: no".to_string());
        failed
    };
    let mut old = found(true, false);
    old.is_outdated = true;
    let mut waiting = found(false, true);
    waiting.status.waits = Some("blocked by sync window".into());
    let mut nothing = found(false, false);
    nothing.status.applied = None;
    let cases = [
        (found(true, true), SyncState::Synced, "1 of 2 pods"),
        (
            found(true, false),
            SyncState::OutOfSync,
            "it is at aaaaaaaaaaaa",
        ),
        (
            found(false, true),
            SyncState::OutOfSync,
            "it has not synced yet",
        ),
        (nothing, SyncState::OutOfSync, "it has not synced yet"),
        (
            old,
            SyncState::OutOfSync,
            "it is not what Git declares yet: whatever applies it has to sync first",
        ),
        (
            waiting,
            SyncState::OutOfSync,
            "it waits: blocked by sync window",
        ),
        (failing(true), SyncState::OutOfSync, "it: no"),
        // It failed at an earlier commit.
        (
            failing(false),
            SyncState::OutOfSync,
            "it has not synced yet",
        ),
    ];
    for (found, sync, message) in cases {
        let failed = found.failed.is_some();
        let status = told(&found, None);
        assert_eq!(status.sync, sync);
        assert_eq!(status.message.as_deref(), Some(message));
        assert_eq!((status.blocked, status.reason.is_some()), (failed, failed));
        assert_eq!(status.health, Health::Progressing);
    }
}

#[test]
fn a_refused_request_blocks_only_if_a_person_waits_for_it() {
    for by_person in [false, true] {
        let status = told(&found(true, false), Some((Refusal::OtherSource, by_person)));
        assert_eq!(status.blocked, by_person);
        assert_eq!(
            status.message.as_deref(),
            Some(
                "it is at aaaaaaaaaaaa. windlass requests no sync of it, since its source is not this repository. Sync it there"
            )
        );
    }
}
