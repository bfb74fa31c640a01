//! Argo CD: repo-server and application-controller with redis, and an
//! Application an application.

use std::path::Path;

use serde_json::{Value, json};
use windlass::sandbox::process::{Server, free_port};

use crate::peer::{Peer, TOKEN_USER};
use crate::programs::{define, folder, listening, start};
use crate::support::World;

pub struct ArgoCd {
    namespace: String,
    destination: String,
    sync_options: Vec<&'static str>,
    _servers: Vec<Server>,
}

impl ArgoCd {
    /// Its controllers, in `namespace`, where its objects are too. `destination`: the namespace of
    /// what they apply.
    pub fn start(
        world: &World,
        namespace: &str,
        destination: &str,
        sync_options: &[&'static str],
    ) -> Self {
        define("argocd");
        settings(world, namespace);
        let home = world.cache().with_file_name("argocd");
        std::fs::create_dir_all(&home).unwrap();
        let (redis, repository) = (free_port().unwrap(), free_port().unwrap());
        let redis_address = format!("--redis=127.0.0.1:{redis}");
        let port = |flag: &str, port: u16| format!("--{flag}={port}");
        let more = [
            ("ARGOCD_FAKE_IN_CLUSTER", "true"),
            ("ARGOCD_GPG_ENABLED", "false"),
            ("ARGOCD_K8S_CLIENT_QPS", "500"),
            ("ARGOCD_SYNC_WAVE_DELAY", "0"),
        ];
        let common = ["--loglevel=info".to_string(), redis_address];
        let run = |name: &str, arguments: &[String]| {
            let arguments = [arguments, &common].concat();
            start(&folder().join(name), &arguments, &more, &home)
        };
        let cache = [
            "--port".into(),
            redis.to_string(),
            "--save".into(),
            String::new(),
            "--bind".into(),
            "127.0.0.1".into(),
        ];
        let server = [
            "--address=127.0.0.1".into(),
            port("port", repository),
            "--metrics-address=127.0.0.1".into(),
            port("metrics-port", free_port().unwrap()),
            "--disable-tls".into(),
        ];
        let controller = [
            format!("--namespace={namespace}"),
            format!("--repo-server=127.0.0.1:{repository}"),
            "--repo-server-plaintext".into(),
            port("metrics-port", free_port().unwrap()),
            "--app-resync=86400".into(),
        ];
        let mut servers = vec![
            start(Path::new("/usr/bin/redis-server"), &cache, &[], &home),
            run("argocd-repo-server", &server),
        ];
        [redis, repository].into_iter().for_each(listening);
        servers.push(run("argocd-application-controller", &controller));
        Self {
            namespace: namespace.into(),
            destination: destination.into(),
            sync_options: sync_options.into(),
            _servers: servers,
        }
    }
}

/// What Argo CD's own manifests install beside its controllers.
fn settings(world: &World, namespace: &str) {
    let part_of = json!({"app.kubernetes.io/part-of": "argocd"});
    let metadata = |name: &str| json!({"name": name, "namespace": namespace, "labels": part_of});
    let token = world.forge.state().token_of("ada");
    let items = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("argocd-cm")},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("argocd-rbac-cm")},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata("argocd-secret"), "stringData": {"server.secretkey": "sandbox"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "config", "namespace": namespace,
            "labels": {"argocd.argoproj.io/secret-type": "repository"}},
            "stringData": {"type": "git", "url": repository(world), "username": TOKEN_USER, "password": token, "forceHttpBasicAuth": "true"}},
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default", "namespace": namespace},
            "spec": {"sourceRepos": ["*"], "destinations": [{"namespace": "*", "server": "*"}], "clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}},
    ]);
    world.with_file(
        &["apply"],
        &json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string(),
    );
}

fn repository(world: &World) -> String {
    format!("{}/acme/config.git", world.forge.url())
}

const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";

impl Peer for ArgoCd {
    fn reconcile(&self) -> String {
        format!(
            "{{ by: argocd, name: \"{{application}}\", namespace: {} }}",
            self.namespace
        )
    }

    fn recreate(&self) -> (&'static str, &'static str) {
        // kubectl refuses --force with --server-side.
        let options = match self.sync_options.is_empty() {
            true => "Force=true",
            false => "Force=true,ServerSideApply=false",
        };
        (SYNC_OPTIONS, options)
    }

    fn marks(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("note", "none"),
            (SYNC_OPTIONS, "Replace=true"),
            (SYNC_OPTIONS, "ServerSideApply=true"),
            (SYNC_OPTIONS, "ServerSideApply=false"),
            (SYNC_OPTIONS, "Prune=false"),
        ]
    }

    fn needs_namespaces(&self) -> bool {
        false
    }

    fn declare(&self, world: &World, applications: &[String]) {
        let items: Vec<_> = applications
            .iter()
            .enumerate()
            .map(|(number, name)| {
                // Some keep what leaves Git.
                let prune = number % 8 != 7;
                let mut options = self.sync_options.clone();
                let ignored = match number % 4 {
                    1 => ignored(name),
                    3 => {
                        options.push("RespectIgnoreDifferences=true");
                        ignored(name)
                    }
                    _ => json!([]),
                };
                json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name, "namespace": self.namespace},
                    "spec": {"project": "default",
                        "source": {"repoURL": repository(world), "targetRevision": "main", "path": format!("apps/{name}/staging")},
                        "destination": {"server": "https://kubernetes.default.svc", "namespace": self.destination},
                        "syncPolicy": {"automated": {"prune": prune}, "retry": {"limit": 3, "backoff": {"duration": "3s", "factor": 1, "maxDuration": "10s"}}, "syncOptions": options},
                        "ignoreDifferences": ignored}})
            })
            .collect();
        world.with_file(
            &["apply"],
            &json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string(),
        );
    }

    fn refresh(&self, world: &World, _: &str) {
        let all = [
            "-n",
            &self.namespace,
            "annotate",
            "--overwrite",
            "applications.argoproj.io",
            "--all",
            "argocd.argoproj.io/refresh=normal",
        ];
        world.kubectl(&all);
    }

    fn outcome(&self, world: &World, commit: &str) -> Option<Vec<(String, Option<String>)>> {
        let text = world.kubectl(&[
            "-n",
            &self.namespace,
            "get",
            "applications.argoproj.io",
            "-o",
            "json",
        ]);
        let all: Value = serde_json::from_str(&text).unwrap();
        let of = |one: &Value| {
            let name = one["metadata"]["name"].as_str()?.to_string();
            let (status, operation) = (&one["status"], &one["status"]["operationState"]);
            if status["sync"]["revision"] != commit
                || !one["metadata"]["annotations"]["argocd.argoproj.io/refresh"].is_null()
            {
                return None;
            }
            let of_it = operation["syncResult"]["revision"] == commit;
            match operation["phase"].as_str() {
                Some("Succeeded") if of_it => Some((name, None)),
                Some("Failed" | "Error") if of_it => {
                    Some((name, Some(operation["message"].to_string())))
                }
                Some("Running") => None,
                // It could not even compare.
                _ if status["sync"]["status"] == "Unknown" => {
                    Some((name, Some(status["conditions"].to_string())))
                }
                _ if status["sync"]["status"] == "Synced" || only_to_prune(status) => {
                    Some((name, None))
                }
                _ => None,
            }
        };
        all["items"].as_array()?.iter().map(of).collect()
    }
}

/// Fields that an Application does not compare: of objects that others edit, too.
fn ignored(name: &str) -> Value {
    let marked = |number: usize| format!("{name}-marked-{number}");
    json!([
        {"kind": "ConfigMap", "name": marked(0), "jsonPointers": ["/data/v", "/data/none"]},
        {"kind": "ConfigMap", "name": marked(2), "jqPathExpressions": [".data.v", ".data.theirs"]},
        {"kind": "ConfigMap", "name": marked(4), "managedFieldsManagers": ["kubectl-edit"]},
        {"group": "apps", "kind": "*", "jsonPointers": ["/spec/replicas"],
            "jqPathExpressions": [".spec.template.spec.containers[] | select(.name == \"app\") | .resources"]},
    ])
}

/// Whether it has nothing left to do but deletions, which it does not do by itself.
fn only_to_prune(status: &Value) -> bool {
    let resources = status["resources"].as_array().into_iter().flatten();
    let mut differing = resources
        .filter(|one| one["status"] == "OutOfSync")
        .peekable();
    differing.peek().is_some() && differing.all(|one| one["requiresPruning"] == true)
}
