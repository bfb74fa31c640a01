//! Flux's helm-controller: a Kustomization an application, which has a HelmRelease of a
//! chart in the same repository.

use serde_json::{Value, json};
use windlass::sandbox::process::Server;

use crate::flux::{Flux, controller};
use crate::peer::Peer;
use crate::programs::define;
use crate::support::World;

pub struct Helm {
    flux: Flux,
    destination: String,
    _server: Server,
}

impl Helm {
    pub fn start(world: &World, namespace: &str, destination: &str) -> Self {
        define("helm");
        let flux = Flux::start(world, namespace);
        let home = world.cache().with_file_name("flux");
        let more = ["--concurrent=8".to_string()];
        let server = controller("helm-controller", &more, namespace, &home);
        Self {
            flux,
            destination: destination.into(),
            _server: server,
        }
    }

    fn kustomization(&self, name: &str) -> Value {
        json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": name, "namespace": self.flux.namespace},
            "spec": {"interval": "1h", "prune": true, "path": format!("./releases/{name}"),
                "sourceRef": {"kind": "GitRepository", "name": "config"}}})
    }

    /// A release of the application's directory as it is in each commit. What its pods do is no
    /// matter of its objects.
    fn release(&self, name: &str) -> Value {
        let source =
            json!({"kind": "GitRepository", "name": "config", "namespace": self.flux.namespace});
        json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"name": name, "namespace": self.destination},
            "spec": {"interval": "1h", "timeout": "2m",
                "install": {"disableWait": true}, "upgrade": {"disableWait": true},
                "chart": {"spec": {"chart": format!("./apps/{name}/staging"), "interval": "1h",
                    "reconcileStrategy": "Revision", "sourceRef": source}}}})
    }
}

impl Peer for Helm {
    fn reconcile(&self) -> String {
        self.flux.reconcile()
    }

    fn files(&self, applications: &[String], _: &str) -> Vec<(String, String)> {
        let catalog = (
            "windlass.yaml".into(),
            "version: 1\ndiscover: flux\n".into(),
        );
        let of = |name: &String| {
            [
                (
                    format!("clusters/home/{name}.yaml"),
                    self.kustomization(name).to_string(),
                ),
                (
                    format!("releases/{name}/release.yaml"),
                    self.release(name).to_string(),
                ),
            ]
        };
        applications.iter().flat_map(of).chain([catalog]).collect()
    }

    fn recreate(&self) -> (&'static str, &'static str) {
        // There is none: what is immutable fails.
        ("example.com/note", "none")
    }

    fn marks(&self) -> &'static [(&'static str, &'static str)] {
        &[("note", "none"), ("helm.sh/resource-policy", "keep")]
    }

    fn needs_namespaces(&self) -> bool {
        false
    }

    fn declare(&self, world: &World, applications: &[String]) {
        self.flux.declare_source(world);
        let items: Vec<_> = applications
            .iter()
            .map(|name| self.kustomization(name))
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        world.with_file(&["apply"], &list.to_string());
    }

    fn refresh(&self, world: &World, commit: &str) {
        self.flux.refresh(world, commit);
    }

    fn outcome(&self, world: &World, commit: &str) -> Option<Vec<(String, Option<String>)>> {
        let get = ["-n", &self.destination, "get", "helmreleases", "-o", "json"];
        let all: Value = serde_json::from_str(&world.kubectl(&get)).unwrap();
        let of = |one: &Value| {
            let name = one["metadata"]["name"].as_str()?.to_string();
            let status = &one["status"];
            // `0.1.0+` and the first twelve digits of the commit.
            let attempted = status["lastAttemptedRevision"].as_str()?;
            let ready = status["conditions"]
                .as_array()?
                .iter()
                .find(|one| one["type"] == "Ready")?;
            let is_done = attempted.ends_with(&commit[..12])
                && status["observedGeneration"] == one["metadata"]["generation"];
            match ready["status"].as_str()? {
                "True" if is_done => Some((name, None)),
                "False" if is_done => Some((name, Some(ready["message"].to_string()))),
                _ => None,
            }
        };
        let releases = all["items"].as_array()?;
        let kustomizations = self.flux.outcome(world, commit)?;
        let outcome: Option<Vec<_>> = releases.iter().map(of).collect();
        outcome.filter(|outcome| outcome.len() == kustomizations.len())
    }
}
