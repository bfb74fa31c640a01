//! What others do to the cluster between two rounds, and what has to hold besides what a plan says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;
use windlass::judged_by::{Action, Change};

use super::application::{Application, Class, TOOLS};
use super::score::Objects;
use crate::support::World;

/// What a round has to hold besides what the plan says.
#[derive(Default)]
pub struct Round {
    pub scaled: Vec<(String, &'static str)>,
    pub noted: Vec<String>,
    pub residue: String,
    /// By tool.
    pub left: BTreeMap<&'static str, String>,
    /// ConfigMaps that somebody put a finalizer on.
    pub held_back: Vec<String>,
    /// ConfigMaps that stay: their mark says so.
    pub kept: Vec<String>,
    /// Applications whose pods fail, with the ConfigMaps that the pods of before use.
    pub failing: Vec<(usize, String)>,
}
pub fn configmap(namespace: &str, name: &str) -> (String, Option<String>, String) {
    ("ConfigMap".into(), Some(namespace.into()), name.into())
}

impl Round {
    /// What others do before an application changes.
    pub fn draw(&mut self, class: Class, number: usize, application: &Application) {
        let name = &application.name;
        match class {
            Class::Autoscaler => self.scaled.push((name.clone(), "kube-controller-manager")),
            Class::ScaledByOthers => self.scaled.push((name.clone(), "some-scaler")),
            Class::OthersEntries => self.noted.push(name.clone()),
            Class::HashedConfigThatFails => self
                .failing
                .push((number, format!("{name}-hashed-{}", application.hashed))),
            Class::Finalizer if application.last => self.held_back.push(format!("{name}-last")),
            Class::KeptByMark => self.kept.push(format!("{name}-kept-{}", application.kept)),
            _ => {}
        }
    }

    /// What tools left of what an application has from now on.
    pub fn drawn(&mut self, class: Class, application: &Application) {
        if class == Class::ClientSideResidue {
            let (name, number) = (&application.name, application.adopted);
            let _ = write!(
                self.residue,
                "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-left-{number}, labels: {{old: label}}}}\ndata: {{keep: old, gone: '2'}}\n",
            );
        }
        if let Some((_, tool, _, marks)) = TOOLS.iter().find(|(of, ..)| *of == class) {
            let text = application.leftover(
                *application.left.last().unwrap(),
                marks,
                "minReadySeconds: 3, ",
            );
            self.left.entry(tool).or_default().push_str(&text);
        }
    }

    /// What stays though Git has it no more: by its mark, or since pods use it.
    pub fn score(
        &self,
        namespace: &str,
        is: &Objects,
        plan: &[Change],
        held: &mut usize,
        missed: &mut Vec<String>,
    ) {
        let told = |name: &str| {
            plan.iter()
                .any(|change| change.action == Action::Prune && change.key.name == name)
        };
        for name in &self.kept {
            match is.contains_key(&configmap(namespace, name)) && !told(name) {
                true => *held += 1,
                false => missed.push(format!(
                    "{name} is marked to be kept: is there {}, told to go {}",
                    is.contains_key(&configmap(namespace, name)),
                    told(name)
                )),
            }
        }
        for (_, name) in &self.failing {
            match is.contains_key(&configmap(namespace, name)) && told(name) {
                true => *held += 1,
                false => missed.push(format!(
                    "{name} is used by pods: is there {}, told to go {}",
                    is.contains_key(&configmap(namespace, name)),
                    told(name)
                )),
            }
        }
    }
}

/// The kinds by which Argo CD and Flux tell that they keep something; there is no object of them.
pub fn tools(world: &World) {
    let kinds = [
        ("argoproj.io", "v1alpha1", "Application", "applications"),
        (
            "kustomize.toolkit.fluxcd.io",
            "v1",
            "Kustomization",
            "kustomizations",
        ),
        (
            "helm.toolkit.fluxcd.io",
            "v2",
            "HelmRelease",
            "helmreleases",
        ),
    ];
    for (group, version, kind, plural) in kinds {
        let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")}, "spec": {"group": group, "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural}, "versions": [{"name": version, "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
        world.with_file(&["apply"], &definition.to_string());
        world.kubectl(&[
            "wait",
            "--for=condition=Established",
            &format!("crd/{plural}.{group}"),
            "--timeout=60s",
        ]);
    }
}

/// What others do to the cluster between two rounds.
pub fn others(world: &World, namespace: &str, round: &Round) {
    let patch = |object: String, manager: &str, more: &[&str], patch: &str| {
        let manager = format!("--field-manager={manager}");
        world.kubectl(
            &[
                &[
                    "-n",
                    namespace,
                    "patch",
                    &object,
                    "--type=merge",
                    &manager,
                    "-p",
                    patch,
                ],
                more,
            ]
            .concat(),
        );
    };
    for (name, manager) in &round.scaled {
        patch(
            format!("deployment/{name}"),
            manager,
            &["--subresource=scale"],
            r#"{"spec":{"replicas":2}}"#,
        );
    }
    let note =
        r#"{"metadata":{"annotations":{"operator.example/note":"seen"}},"data":{"theirs":"1"}}"#;
    for name in &round.noted {
        patch(format!("configmap/{name}"), "some-operator", &[], note);
    }
    for name in &round.held_back {
        patch(
            format!("configmap/{name}"),
            "some-operator",
            &[],
            r#"{"metadata":{"finalizers":["operator.example/last"]}}"#,
        );
    }
    if !round.residue.is_empty() {
        world.with_file(&["-n", namespace, "apply"], &round.residue);
    }
    for (_, tool, how, _) in TOOLS {
        if let Some(text) = round.left.get(tool) {
            world.with_file(&[&["-n", namespace], how].concat(), text);
        }
    }
}

/// Lets go what a finalizer held, once its deletion waits for that.
pub async fn release(world: &World, namespace: &str, names: &[String]) {
    let ending = |name: &String| {
        let at = "jsonpath={.metadata.deletionTimestamp}";
        !world
            .kubectl(&[
                "-n",
                namespace,
                "get",
                "configmap",
                name,
                "--ignore-not-found",
                "-o",
                at,
            ])
            .is_empty()
    };
    for name in names {
        crate::measures::wait(std::time::Duration::from_secs(300), async || ending(name)).await;
        let none = r#"{"metadata":{"finalizers":null}}"#;
        world.kubectl(&[
            "-n",
            namespace,
            "patch",
            "configmap",
            name,
            "--type=merge",
            "-p",
            none,
        ]);
    }
}
