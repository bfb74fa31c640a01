//! What `windlass plan` says of a branch.

use std::process::Command;

use serde_json::Value;
use windlass::judged_by::{Action, Change, Confidence, Masked, Notes, ResourceKey};

use crate::support::{World, plane};

/// What `windlass plan` says of a branch.
pub fn predicted(world: &World, base: &str, head: &str) -> Vec<Change> {
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
        .env("KUBECONFIG", plane().kubeconfig())
        .output()
        .unwrap();
    let read: Value = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said.stderr)));
    let changes = read["applications"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|app| app["changes"].as_array().unwrap());
    changes
        .map(|change| {
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
            let problem = change["problem"].as_str().map(str::to_string);
            let key: ResourceKey = serde_json::from_value(change["object"].clone()).unwrap();
            let version = change["version"].as_str().unwrap().to_string();
            Change {
                key,
                version,
                action,
                confidence: Confidence::Server,
                before: side("before"),
                after: side("after"),
                problem,
                notes: Notes::default(),
                hidden: vec![],
            }
        })
        .collect()
}
