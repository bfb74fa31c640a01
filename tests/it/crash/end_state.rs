//! What the forge and the cluster hold at the end.

use http::Method;
use serde_json::{Value, json};
use windlass::sandbox::forge::git::git;

use crate::support::World;

/// Everything that the forge and the cluster hold, less what may differ: times, commits and ids
/// (scrubbed), how often a status was posted on the way to its last state, the order of unrelated
/// comments, resource versions and generations.
pub async fn end_state(world: &World) -> String {
    let mut out = String::new();
    let path = world.forge.repository_path("acme", "config");
    // Commits of one second come in no order of their own.
    out.push_str(&git(&path, &["log", "--topo-order", "--format=%an: %s", "main"]).unwrap());
    out.push_str(&format!(
        "\ntree {}\n",
        git(&path, &["ls-tree", "-r", "main"]).unwrap()
    ));
    out.push_str(
        &git(
            &path,
            &["for-each-ref", "--format=%(refname)", "refs/heads"],
        )
        .unwrap(),
    );
    for number in 1..=world.read("pulls?state=all").as_array().unwrap().len() as u64 {
        out.push_str(&format!("\n\n#{number} {}", world.conversation(number)));
        let pull = world.read(&format!("pulls/{number}"));
        // An open one has no merge commit.
        let commits = [&pull["head"]["sha"], &pull["merge_commit_sha"]];
        for commit in commits.into_iter().filter_map(Value::as_str) {
            let status = world.read(&format!("commits/{commit}/status"));
            for status in status["statuses"].as_array().into_iter().flatten() {
                out.push_str(&format!(
                    "\n{} {} {}",
                    status["context"], status["state"], status["description"]
                ));
            }
            let checks = world.as_user(
                "ada",
                Method::GET,
                &format!("commits/{commit}/check-runs?filter=all"),
                Value::Null,
            );
            for check in checks["check_runs"].as_array().into_iter().flatten() {
                out.push_str(&format!(
                    "\n{} {} {}",
                    check["name"], check["conclusion"], check["output"]["title"]
                ));
            }
        }
    }
    for stage in ["staging", "production"] {
        let namespace = world.namespace(&format!("shop-{stage}"));
        for (version, kind, plural) in [
            ("apps/v1", "Deployment", "deployments"),
            ("v1", "Service", "services"),
            ("v1", "ConfigMap", "configmaps"),
            ("v1", "Secret", "secrets"),
        ] {
            let mut objects = world.list(version, kind, plural, &namespace).await;
            objects.retain(|object| object["metadata"]["name"] != "kube-root-ca.crt");
            for object in &mut objects {
                object.as_object_mut().unwrap().remove("status");
                let metadata = object["metadata"].as_object_mut().unwrap();
                for field in [
                    "uid",
                    "resourceVersion",
                    "creationTimestamp",
                    "generation",
                    "managedFields",
                ] {
                    metadata.remove(field);
                }
                metadata
                    .get_mut("annotations")
                    .and_then(Value::as_object_mut)
                    .map(|a| a.remove("deployment.kubernetes.io/revision"));
                for address in ["clusterIP", "clusterIPs"] {
                    object["spec"]
                        .as_object_mut()
                        .map(|spec| spec.remove(address));
                }
            }
            out.push_str(&format!(
                "\n{kind}: {}",
                serde_json::to_string_pretty(&objects).unwrap()
            ));
        }
    }
    for object in world.applications().await {
        let status = &object["status"];
        let mut inventory = status["inventory"].clone();
        for entry in inventory.as_array_mut().into_iter().flatten() {
            let line = entry.as_str().unwrap();
            assert!(line.contains(" uid="), "{line} has no uid");
            *entry = line
                .split(' ')
                .filter(|word| !word.starts_with("uid="))
                .collect::<Vec<_>>()
                .join(" ")
                .into();
        }
        out.push_str(&format!(
            "\n{} {} {} {} {}",
            object["metadata"]["name"],
            status["sync"],
            status["health"],
            status["message"],
            inventory
        ));
    }
    let mut promotions = world
        .list(
            "windlass.dev/v1alpha1",
            "Promotion",
            "promotions",
            &world.home(),
        )
        .await;
    promotions.sort_by_key(|promotion| promotion["metadata"]["name"].to_string());
    for promotion in promotions {
        let (spec, status) = (&promotion["spec"], &promotion["status"]);
        out.push_str(&format!(
            "\n{} {} {} {}",
            promotion["metadata"]["name"],
            json!(spec["candidates"]),
            status["state"],
            status["pullRequest"]
        ));
    }
    // The owner label is made from the repository's id, which differs from forge to forge.
    let owner = world.forge.state().by_full_name("acme/config").unwrap().id;
    let mut text = world.scrub(&out);
    for stage in ["staging", "production"] {
        let key = windlass::judged_by::TargetKey {
            repo: "acme/config".parse().unwrap(),
            application: "shop".parse().unwrap(),
            stage: stage.parse().unwrap(),
            cluster: None,
        };
        text = text.replace(&key.owner_label(owner), "(owner)");
    }
    text
}
