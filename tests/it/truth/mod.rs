//! What is said is so, what is there stays, what is there already can be taken
//! over: the findings of the audits of 2026-11-26 about the core's surroundings.
//!
//! - `takeover`: what other tools left is taken over, and nothing else changes
//! - `deletions`: what is deleted, what is kept, and what ends first
//! - `controllers`: what controllers of Kubernetes keep: aggregated roles, replicas, Jobs that are done
//! - `merge_keys`: the lists that a client-side apply merges
//! - `versions`: kinds that are served under another version
//! - `previews`: what a preview must not leave out: failures, new applications, order and interruption

mod controllers;
mod deletions;
mod merge_keys;
mod previews;
mod takeover;
mod versions;

use crate::support::{Setup, World};

/// A ConfigMap of a name.
fn config(name: &str, more: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{more}}}\ndata: {{a: '1'}}\n")
}

/// A world whose windlass may write objects of every kind.
async fn that_may_do_everything() -> World {
    let projects = "projects: {acme: {repositories: [acme/config], clusters: [local], namespaces: ['*-staging', '*-production'], kinds: ['*']}}\n";
    let world = World::asleep(Setup {
        projects: Some(projects.into()),
        ..Setup::default()
    })
    .await;
    for account in ["windlass", "windlass-preview"] {
        let subject = format!("--serviceaccount={}:{account}", world.home());
        world.kubectl(&[
            "create",
            "clusterrolebinding",
            &format!("{}{account}", world.prefix),
            "--clusterrole=cluster-admin",
            &subject,
        ]);
    }
    world
}
