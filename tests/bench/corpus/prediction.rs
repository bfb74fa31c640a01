//! What `windlass plan` says of a branch.

use std::process::Command;

use serde_json::Value;
use windlass::judged_by::{Action, Change, Confidence, Masked, Notes, ResourceKey};

use crate::support::{World, plane};

/// What `windlass plan` says of a branch.
pub fn predicted(world: &World, base: &str, head: &str) -> Vec<Change> {
    let of_applications = by_application(world, base, head, &[]);
    of_applications
        .into_iter()
        .flat_map(|(_, changes)| changes)
        .collect()
}

/// The same by application: its title, and its changes.
pub fn by_application(
    world: &World,
    base: &str,
    head: &str,
    more: &[&str],
) -> Vec<(String, Vec<Change>)> {
    let tool = |name: &str| plane().tools().program(name).unwrap().display().to_string();
    let said = Command::new(env!("CARGO_BIN_EXE_windlass"))
        .args([
            "plan",
            "--output",
            "json",
            "--base",
            base,
            "--head",
            head,
            "--namespace",
            &world.home(),
            "--kustomize",
            &tool("kustomize"),
            "--helm",
            &tool("helm"),
        ])
        .args([
            "--repo",
            world
                .forge
                .repository_path("acme", "config")
                .to_str()
                .unwrap(),
        ])
        .args(more)
        .env("KUBECONFIG", plane().kubeconfig())
        .output()
        .unwrap();
    let read: Value = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said.stderr)));
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let of = |app: &Value| {
        assert!(app["error"].is_null(), "{}", app["error"]);
        let title = app["application"].as_str().unwrap().to_string();
        (title, list(&app["changes"]).iter().map(change_of).collect())
    };
    list(&read["applications"]).iter().map(of).collect()
}

fn change_of(change: &Value) -> Change {
    let action = match change["action"].as_str().unwrap() {
        "create" => Action::Create,
        "configure" => Action::Configure,
        "recreate" => Action::Recreate,
        "prune" => Action::Prune,
        other => panic!("{other}: {change}"),
    };
    let side = |name: &str| {
        Some(change[name].clone())
            .filter(|side| !side.is_null())
            .map(Masked::printed)
    };
    let key: ResourceKey = serde_json::from_value(change["object"].clone()).unwrap();
    Change {
        key,
        version: change["version"].as_str().unwrap().to_string(),
        action,
        confidence: Confidence::Server,
        before: side("before"),
        after: side("after"),
        problem: change["problem"].as_str().map(str::to_string),
        notes: Notes::default(),
        hidden: vec![],
    }
}
