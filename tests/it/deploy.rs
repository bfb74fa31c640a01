//! `deploy/` is what the other tests run windlass with; here is that it can be
//! applied as it stands, and gives no more than it says.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::commands::built;
use crate::support::{Setup, World, plane};

fn rendered() -> Vec<Value> {
    let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
    windlass::judged_by::yaml::documents(&built(Path::new(deploy))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_base_is_applied_to_a_real_control_plane() {
    let documents = rendered();
    let file = tempfile::NamedTempFile::new().unwrap();
    let text: Vec<_> = documents.iter().map(Value::to_string).collect();
    std::fs::write(file.path(), text.join("\n---\n")).unwrap();
    let path = file.path().display().to_string();
    plane()
        .kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--validate=strict",
            "-f",
            &path,
        ])
        .unwrap();
    // The pod is only simulated; that it is admitted, scheduled and would run is real.
    plane()
        .kubectl(&[
            "-n",
            "windlass",
            "create",
            "secret",
            "generic",
            "windlass",
            "--from-literal=app-id=1",
        ])
        .unwrap();
    plane()
        .kubectl(&[
            "-n",
            "windlass",
            "rollout",
            "status",
            "deployment/windlass",
            "--timeout=60s",
        ])
        .unwrap();
    let table = plane()
        .kubectl(&[
            "get",
            "crd",
            "applications.windlass.dev",
            "promotions.windlass.dev",
            "freezes.windlass.dev",
        ])
        .unwrap();
    assert_eq!(table.lines().count(), 4, "{table}");
}

#[test]
fn components_for_other_nodes_fit_the_base() {
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .args([
            "-r",
            concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"),
            folder.path().to_str().unwrap(),
        ])
        .status();
    assert!(copied.unwrap().success());
    let file = folder.path().join("deploy/kustomization.yaml");
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace("# components:", "components:")
        .replace("#   - components", "  - components");
    std::fs::write(&file, text).unwrap();
    let text = built(file.parent().unwrap());
    let all = windlass::judged_by::yaml::documents(&text).unwrap();
    let pod =
        &all.iter().find(|one| one["kind"] == "Deployment").unwrap()["spec"]["template"]["spec"];
    assert!(
        pod["securityContext"]["runAsUser"].is_null()
            && pod["securityContext"]["runAsNonRoot"] == true,
        "{pod}"
    );
    assert_eq!(pod["automountServiceAccountToken"], false);
    let renderer = pod["containers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "renderer")
        .unwrap();
    let mounts: Vec<_> = renderer["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        (mounts, renderer["env"].clone()),
        (vec!["renderer", "renderings"], Value::Null),
        "it has neither token nor secrets"
    );
}

#[test]
fn no_right_is_given_that_is_not_named() {
    for document in rendered()
        .iter()
        .filter(|document| document["kind"] == "ClusterRole" || document["kind"] == "Role")
    {
        for rule in document["rules"].as_array().into_iter().flatten() {
            let text = rule.to_string();
            if text.contains("impersonate") {
                assert_eq!(
                    rule["resourceNames"],
                    serde_json::json!(["windlass-preview"]),
                    "{text}"
                );
                continue;
            }
            for word in ["\"*\"", "escalate", "bind"] {
                assert!(!text.contains(word), "{word} in {text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_no_role_names_is_refused_with_words() {
    // The server's settings let the repository have it; the cluster's administrator does not.
    let projects = windlass::sandbox::example::PROJECTS
        .replace("kinds: [", "kinds: [PriorityClass.scheduling.k8s.io, ");
    let world = World::with(Setup {
        projects: Some(projects),
        ..Setup::default()
    })
    .await;
    let overlay = "apps/shop/staging/kustomization.yaml";
    let with = world
        .file(overlay)
        .replace("  - config.yaml\n", "  - config.yaml\n  - class.yaml\n");
    let class = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata:\n  name: urgent\nvalue: 1000\n";
    let number = world.propose(
        "bob",
        "class",
        &[
            (overlay, Some(&with)),
            ("apps/shop/staging/class.yaml", Some(class)),
        ],
    );
    world.previewed(number).await;
    let body = world.comments(number)[0]["body"]
        .as_str()
        .unwrap()
        .to_string();
    assert!(
        body.contains("PriorityClass urgent") && body.contains("forbidden"),
        "{body}"
    );
}
