//! Flux: source-controller and kustomize-controller, a GitRepository, and a
//! Kustomization an application.

use std::path::Path;

use serde_json::{Value, json};
use windlass::sandbox::process::{Server, free_port};

use crate::peer::{Peer, TOKEN_USER};
use crate::programs::{define, folder, start};
use crate::support::World;

pub struct Flux {
    pub namespace: String,
    _servers: Vec<Server>,
}

const FLAGS: [&str; 5] = [
    "--events-addr=",
    "--kube-api-qps=500",
    "--kube-api-burst=1000",
    "--log-level=info",
    "--enable-leader-election=false",
];

fn address(flag: &str) -> String {
    format!("--{flag}=127.0.0.1:{}", free_port().unwrap())
}

/// Starts a controller of Flux, in `namespace`; its files are in `home`.
pub fn controller(name: &str, more: &[String], namespace: &str, home: &Path) -> Server {
    let flags = FLAGS.iter().map(|flag| flag.to_string());
    let addresses = ["metrics-addr", "health-addr"].map(address);
    let arguments: Vec<_> = more.iter().cloned().chain(addresses).chain(flags).collect();
    let environment = [("RUNTIME_NAMESPACE", namespace)];
    start(&folder().join(name), &arguments, &environment, home)
}

impl Flux {
    /// Its controllers, in `namespace`, where its objects are too.
    pub fn start(world: &World, namespace: &str) -> Self {
        define("flux");
        let home = world.cache().with_file_name("flux");
        std::fs::create_dir_all(&home).unwrap();
        let storage = free_port().unwrap();
        let source = [
            "--concurrent=4".into(),
            format!("--storage-path={}", home.join("storage").display()),
            format!("--storage-addr=127.0.0.1:{storage}"),
            format!("--storage-adv-addr=127.0.0.1:{storage}"),
        ];
        std::fs::create_dir_all(home.join("storage")).unwrap();
        let servers = vec![
            controller("source-controller", &source, namespace, &home),
            controller(
                "kustomize-controller",
                &["--concurrent=8".into()],
                namespace,
                &home,
            ),
        ];
        Self {
            namespace: namespace.into(),
            _servers: servers,
        }
    }

    /// The config repository as its source.
    pub fn declare_source(&self, world: &World) {
        let token = world.forge.state().token_of("ada");
        let metadata = json!({"name": "config", "namespace": self.namespace});
        let items = [
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
                "stringData": {"username": TOKEN_USER, "password": token}}),
            json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": metadata,
                "spec": {"interval": "1h", "url": format!("{}/acme/config.git", world.forge.url()), "ref": {"branch": "main"},
                    "secretRef": {"name": "config"}}}),
        ];
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        world.with_file(&["apply"], &list.to_string());
    }

    fn get(&self, world: &World, what: &str) -> Value {
        let text = world.kubectl(&["-n", &self.namespace, "get", what, "-o", "json"]);
        serde_json::from_str(&text).unwrap()
    }
}

impl Peer for Flux {
    fn reconcile(&self) -> String {
        format!(
            "{{ by: flux, name: \"{{application}}\", namespace: {} }}",
            self.namespace
        )
    }

    fn recreate(&self) -> (&'static str, &'static str) {
        ("kustomize.toolkit.fluxcd.io/force", "enabled")
    }

    fn marks(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("note", "none"),
            ("kustomize.toolkit.fluxcd.io/ssa", "Merge"),
            ("kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent"),
            ("kustomize.toolkit.fluxcd.io/ssa", "Ignore"),
            ("kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
            ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
        ]
    }

    fn needs_namespaces(&self) -> bool {
        true
    }

    fn declare(&self, world: &World, applications: &[String]) {
        self.declare_source(world);
        let metadata = |name: &str| json!({"name": name, "namespace": self.namespace});
        // Some keep what leaves Git, some recreate whatever the server refuses.
        let items: Vec<_> = applications.iter().enumerate().map(|(number, name)| {
            let (prune, force) = (number % 8 != 7, number % 8 == 6);
            json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": metadata(name),
                "spec": {"interval": "1h", "retryInterval": "1h", "prune": prune, "force": force, "path": format!("./apps/{name}/staging"), "timeout": "2m",
                    "sourceRef": {"kind": "GitRepository", "name": "config"}}})
        }).collect();
        world.with_file(
            &["apply"],
            &json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string(),
        );
    }

    fn refresh(&self, world: &World, commit: &str) {
        let mark = format!("reconcile.fluxcd.io/requestedAt={commit}");
        world.kubectl(&[
            "-n",
            &self.namespace,
            "annotate",
            "--overwrite",
            "gitrepository/config",
            &mark,
        ]);
    }

    /// Done, or failed, by application; None: some are not done yet.
    fn outcome(&self, world: &World, commit: &str) -> Option<Vec<(String, Option<String>)>> {
        let all = self.get(world, "kustomizations");
        let of = |one: &Value| {
            let name = one["metadata"]["name"].as_str()?.to_string();
            let status = &one["status"];
            let at = |field: &str| {
                status[field]
                    .as_str()
                    .is_some_and(|is| is.ends_with(commit))
            };
            let ready = status["conditions"]
                .as_array()?
                .iter()
                .find(|one| one["type"] == "Ready")?;
            match (
                at("lastAppliedRevision"),
                at("lastAttemptedRevision"),
                ready["status"].as_str()?,
            ) {
                (true, _, "True") => Some((name, None)),
                (_, true, "False") => Some((name, Some(ready["message"].to_string()))),
                _ => None,
            }
        };
        all["items"].as_array()?.iter().map(of).collect()
    }
}
