//! The Helm chart renders what the kustomize base does, and refuses settings that there are not.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::commands::built;
use crate::support::plane;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

fn helm(arguments: &[&str]) -> Output {
    let mut command = Command::new(plane().tools().program("helm").unwrap());
    let command = command.args(arguments).current_dir(DEPLOY);
    command.env("HOME", plane().folder()).output().unwrap()
}

fn text(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The objects of the chart with these values.
fn of_chart(sets: &[&str]) -> BTreeMap<String, Value> {
    let mut arguments = vec!["template", "windlass", "chart", "--namespace", "windlass"];
    for set in sets {
        arguments.extend(["--set", set]);
    }
    by_name(&text(helm(&arguments)))
}

/// The objects of the base with these components.
fn of_base(components: &[&str]) -> BTreeMap<String, Value> {
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .args(["-r", DEPLOY, folder.path().to_str().unwrap()])
        .status();
    assert!(copied.unwrap().success());
    let at = folder.path().join("deploy");
    let file = at.join("kustomization.yaml");
    let mut base = std::fs::read_to_string(&file).unwrap();
    base.push_str("\ncomponents:\n");
    for component in components {
        base.push_str(&format!("  - components/{component}\n"));
    }
    if components.is_empty() {
        base = base.replace("\ncomponents:\n", "");
    }
    std::fs::write(&file, base).unwrap();
    by_name(&built(&at))
}

/// Kind and name → the object without what each tool adds of its own.
fn by_name(rendered: &str) -> BTreeMap<String, Value> {
    let objects = windlass::judged_by::yaml::documents(rendered).unwrap();
    let named = objects.into_iter().map(|mut object| {
        let name = format!(
            "{} {}",
            object["kind"].as_str().unwrap(),
            object["metadata"]["name"].as_str().unwrap()
        );
        plain(&mut object);
        (name, object)
    });
    // Helm makes the namespace by a flag.
    named
        .filter(|(name, _)| name != "Namespace windlass")
        .collect()
}

fn plain(object: &mut Value) {
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["labels", "annotations"] {
        let Some(all) = metadata.get_mut(field).and_then(Value::as_object_mut) else {
            continue;
        };
        let own =
            |name: &String| name.starts_with("helm.sh/") || name.starts_with("app.kubernetes.io/");
        all.retain(|name, _| !own(name));
        if all.is_empty() {
            metadata.remove(field);
        }
    }
    // Without an order of their own.
    fn sorted(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(sorted);
                if items.iter().all(|item| item["name"].is_string()) {
                    items.sort_by_key(|item| item["name"].to_string());
                }
            }
            Value::Object(fields) => fields.values_mut().for_each(sorted),
            _ => {}
        }
    }
    if object["kind"] == "Deployment" {
        sorted(object);
    }
    if let Some(data) = object.get_mut("data").and_then(Value::as_object_mut) {
        for text in data.values_mut() {
            *text = text.as_str().unwrap_or_default().trim().into();
        }
    }
}

#[test]
fn the_chart_is_the_base() {
    let modes: [(&[&str], &[&str]); 5] = [
        (&[], &[]),
        (
            &["renderer.enabled=true", "openshift.enabled=true"],
            &["renderer", "openshift"],
        ),
        (
            &["previewOnly.enabled=true", "previewOnly.rights=read"],
            &["preview-only"],
        ),
        (&["clusterSecrets.enabled=true"], &["cluster-secrets"]),
        (
            &[
                "serviceMonitor.enabled=true",
                "prometheusRule.enabled=true",
                "grafanaDashboard.enabled=true",
            ],
            &["monitoring"],
        ),
    ];
    for (sets, components) in modes {
        let (chart, base) = (of_chart(sets), of_base(components));
        let names = |all: &BTreeMap<String, Value>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&chart), names(&base), "{sets:?}");
        for (name, object) in &base {
            assert_eq!(chart[name], *object, "{name} with {sets:?}");
        }
    }
}

#[test]
fn clusters_and_their_labels_are_settings() {
    let chart = of_chart(&[
        "clusters.eu.secretName=cluster-eu",
        "clusters.eu.labels.env=live",
        "clusters.us.file=/etc/us/kubeconfig",
        "clusters.us.labels.env=live",
        "clusters.us.labels.wave=late",
        "localLabels.env=build",
        "clusterSecrets.enabled=true",
        "clusterSecrets.execPlugins={aws,gke}",
    ]);
    let container = &chart["Deployment windlass"]["spec"]["template"]["spec"]["containers"][0];
    let value = |name: &str| {
        let mut all = container["env"].as_array().unwrap().iter();
        let found = all.find(|one| one["name"] == name).unwrap();
        found["value"].as_str().unwrap().to_string()
    };
    assert_eq!(
        value("WINDLASS_CLUSTERS"),
        "eu=/etc/windlass-clusters/eu,us=/etc/us/kubeconfig"
    );
    assert_eq!(
        value("WINDLASS_CLUSTER_LABELS"),
        "local:env=build,eu:env=live,us:env=live,us:wave=late"
    );
    assert_eq!(value("WINDLASS_CLUSTER_SECRETS"), "true");
    assert_eq!(value("WINDLASS_CLUSTER_EXEC_PLUGINS"), "aws,gke");
}

#[test]
fn settings_that_there_are_not_are_refused() {
    let linted = text(helm(&["lint", "--strict", "chart"]));
    assert!(linted.contains("0 chart(s) failed"), "{linted}");
    for set in [
        "foo=1",
        "rbac.mode=x",
        "replicas=none",
        "secret.create=true",
        "ingress.enabled=true",
        "previewOnly.rights=write",
    ] {
        let refused = helm(&["template", "windlass", "chart", "--set", set]);
        assert!(!refused.status.success(), "{set}");
    }
    let chart = std::fs::read_to_string(Path::new(DEPLOY).join("chart/Chart.yaml")).unwrap();
    let chart: Value = windlass::judged_by::yaml::documents(&chart)
        .unwrap()
        .remove(0);
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(DEPLOY).join(path)).unwrap()
}

/// The words of a text that begin with `windlass_`.
fn metrics(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("windlass_"))
        .collect()
}

/// What stands between backticks, with a word for each `{{ $labels.… }}`.
fn commands(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    let plain = spans.map(|span| {
        let mut parts = span.split("{{");
        let first = parts.next().unwrap_or_default().to_string();
        parts.fold(first, |text, part| {
            let after = part.split_once("}}").map_or("", |(_, after)| after);
            format!("{text}x{after}")
        })
    });
    plain.collect()
}

#[test]
fn alerts_and_the_dashboard_name_what_there_is() {
    let reference = file("../docs/reference/metrics.md");
    let (alerts, dashboard) = (
        file("chart/files/monitoring/alerts.yaml"),
        file("chart/files/monitoring/dashboard.json"),
    );
    for metric in metrics(&alerts).into_iter().chain(metrics(&dashboard)) {
        let name = metric.trim_end_matches("_bucket");
        assert!(reference.contains(&format!("`{name}`")), "{metric}");
    }
    let _: Value = serde_json::from_str(&dashboard).unwrap();
    let statuses = file("../docs/reference/statuses.md");
    let rule = windlass::judged_by::yaml::documents(&alerts)
        .unwrap()
        .remove(0);
    let groups = rule["spec"]["groups"].as_array().unwrap();
    let rules: Vec<_> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    assert!(rules.len() > 7, "{}", rules.len());
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        let expression = rule["expr"].as_str().unwrap();
        for part in expression.split("reason").skip(1) {
            let codes = part.split('"').nth(1).unwrap_or_default();
            for code in codes.split('|') {
                assert!(
                    statuses.contains(&format!("| `{code}` |")),
                    "{name}: {code}"
                );
            }
        }
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}"
        );
        let said = |field: &str| rule["annotations"][field].as_str().unwrap_or_default();
        assert!(!said("summary").is_empty(), "{name}");
        let (page, anchor) = said("runbook_url").rsplit_once('#').unwrap();
        assert!(page.ends_with("/docs/operations.md"), "{name}: {page}");
        let title = anchor.replace('-', " ");
        let headings = file("../docs/operations.md")
            .to_lowercase()
            .replace('\'', "");
        assert!(
            headings.contains(&format!("\n## {title}\n")),
            "{name}: {anchor}"
        );
        let run = commands(said("description"));
        assert!(
            run.iter().any(|one| ["kubectl ", "windlass "]
                .iter()
                .any(|it| one.starts_with(it))),
            "{name} names no command"
        );
        for command in run.iter().filter(|one| one.starts_with("windlass ")) {
            let words = shlex::split(command).unwrap();
            let parsed = windlass::cli::command().try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{name}: {command}");
        }
    }
}

/// What only previews may dry-run by an account whose writes a policy refuses, or only read.
#[test]
fn a_windlass_that_only_previews_may_write_nothing() {
    let writes = |all: &BTreeMap<String, Value>, account: &str| {
        let bound = all.values().filter(|object| {
            let is = |subject: &Value| subject["name"] == account;
            object["subjects"]
                .as_array()
                .is_some_and(|all| all.iter().any(is))
        });
        let aggregates = |role: &Value| {
            role["metadata"]["labels"]["windlass.dev/aggregate-to-windlass"] == "true"
        };
        let roles = bound.flat_map(|binding| {
            let named = |field: &str| binding["roleRef"][field].as_str().unwrap();
            match all.get(&format!("{} {}", named("kind"), named("name"))) {
                // The control plane fills it in.
                Some(role) if role["aggregationRule"].is_object() => {
                    all.values().filter(|role| aggregates(role)).collect()
                }
                found => Vec::from_iter(found),
            }
        });
        let rules = roles.filter_map(|role| role["rules"].as_array()).flatten();
        let verbs = rules.filter_map(|rule| rule["verbs"].as_array()).flatten();
        let changes = ["create", "update", "patch", "delete", "*"];
        verbs
            .filter(|verb| changes.contains(&verb.as_str().unwrap()))
            .count()
    };
    for rights in ["read", "dry-run"] {
        let set = format!("previewOnly.rights={rights}");
        let all = of_chart(&["previewOnly.enabled=true", &set]);
        assert_eq!(writes(&all, "windlass"), 0, "{rights}");
        assert!(
            !all.keys()
                .any(|name| name.starts_with("CustomResourceDefinition"))
        );
        let pod =
            all["Deployment windlass"]["spec"]["template"]["spec"]["containers"][0].to_string();
        assert!(
            pod.contains("--preview-only") && !pod.contains("EVENTS_TOKEN"),
            "{pod}"
        );
        let dry_runs = rights == "dry-run";
        assert_eq!(pod.contains("WINDLASS_PREVIEW_ACCOUNT"), dry_runs);
        let policy = all.contains_key("ValidatingAdmissionPolicy windlass-previews-only-look");
        assert_eq!(
            (policy, writes(&all, "windlass-preview") > 0),
            (dry_runs, dry_runs)
        );
    }
}
