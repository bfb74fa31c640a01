//! The generated applications of the benchmark's corpus, applied by another
//! tool: each round every application changes, windlass previews that, the tool
//! applies it, and every object is compared with the preview.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;
use windlass::judged_by::Change;

use crate::application::{Application, CLASSES, Class, Dice};
use crate::files::adapted;
use crate::others::{Round, others};
use crate::peer::Peer;
use crate::prediction::by_application;
use crate::score::{Objects, score, selected};
use crate::support::World;

/// How many objects came out as predicted, and those that did not.
#[derive(Default)]
pub struct Score {
    pub held: usize,
    pub missed: Vec<String>,
    pub drawn: BTreeMap<Class, usize>,
}

pub struct Corpus<'a> {
    pub world: &'a World,
    pub peer: &'a dyn Peer,
    /// The namespace of the applications.
    pub namespace: String,
    pub applications: Vec<Application>,
    pub dice: Dice,
    pub turn: usize,
    /// How often each application's marked objects were changed.
    pub marked: Vec<usize>,
}

impl Corpus<'_> {
    fn files(&self) -> BTreeMap<String, String> {
        let namespace = self
            .peer
            .needs_namespaces()
            .then_some(self.namespace.as_str());
        let of = |(number, one): (usize, &Application)| {
            let marked = self.marked(number);
            one.files(&self.world.prefix)
                .into_iter()
                .map(move |(path, text)| match path.ends_with("/config.yaml") {
                    true => (path, text + &marked),
                    false => (path, text),
                })
        };
        let all = self.applications.iter().enumerate().flat_map(of);
        all.map(|(path, text)| (path, adapted(&text, namespace, self.peer.recreate())))
            .collect()
    }

    /// An object for each mark that the tool knows; at times there are none.
    fn marked(&self, number: usize) -> String {
        let (name, generation) = (&self.applications[number].name, self.marked[number]);
        let marks = self
            .peer
            .marks()
            .iter()
            .enumerate()
            .filter(|_| generation % 4 != 3);
        let object = |(n, (mark, value)): (usize, &(&str, &str))| {
            format!(
                "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-marked-{n}, annotations: {{{mark}: '{value}'}}}}\ndata: {{v: '{generation}', k{generation}: x}}\n"
            )
        };
        marks.map(object).collect()
    }

    /// Changes the marked objects of some applications, after somebody edited them by hand.
    fn change_marked(&mut self, round: usize) {
        let edit = r#"{"data":{"theirs":"1","v":"theirs"}}"#;
        for number in (round % 3..self.applications.len()).step_by(3) {
            let name = &self.applications[number].name;
            for n in 0..self.peer.marks().len() {
                let object = format!("configmap/{name}-marked-{n}");
                let there = self.world.kubectl(&[
                    "-n",
                    &self.namespace,
                    "get",
                    &object,
                    "--ignore-not-found",
                    "-o",
                    "name",
                ]);
                if !there.is_empty() {
                    self.world.kubectl(&[
                        "-n",
                        &self.namespace,
                        "patch",
                        &object,
                        "--type=merge",
                        "--field-manager=kubectl-edit",
                        "-p",
                        edit,
                    ]);
                }
            }
            self.marked[number] += 1;
        }
    }

    /// The first commit, applied by the tool.
    pub async fn begin(&self) {
        let names: Vec<_> = self
            .applications
            .iter()
            .map(|one| one.name.clone())
            .collect();
        let mut files = self.files();
        files.extend(self.peer.files(&names, &self.namespace));
        let mut changes: Vec<_> = files
            .iter()
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        let gone: Vec<String> = ["staging", "production"]
            .iter()
            .flat_map(|stage| {
                ["kustomization", "namespace", "config", "secret"]
                    .map(|file| format!("apps/shop/{stage}/{file}.yaml"))
            })
            .chain(
                ["kustomization", "deployment", "service"]
                    .map(|file| format!("apps/shop/base/{file}.yaml")),
            )
            .collect();
        changes.extend(gone.iter().map(|path| (path.as_str(), None)));
        let commit = self.world.commit("The corpus", &changes);
        self.peer.declare(self.world, &names);
        let failed = self.applied(&commit).await;
        assert!(failed.is_empty(), "the first commit is applied: {failed:?}");
    }

    /// Waits until the tool is done with a commit: the applications that failed, and why.
    async fn applied(&self, commit: &str) -> BTreeMap<String, String> {
        self.peer.refresh(self.world, commit);
        let started = Instant::now();
        loop {
            if let Some(all) = self.peer.outcome(self.world, commit) {
                return all
                    .into_iter()
                    .filter_map(|(name, why)| Some((name, why?)))
                    .collect();
            }
            assert!(
                started.elapsed() < Duration::from_secs(600),
                "it is not done with {commit}"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Draws one or two changes for each application, and has others meddle.
    fn change(&mut self, drawn: &mut BTreeMap<Class, usize>) -> Round {
        let mut round = Round::default();
        for (number, application) in self.applications.iter_mut().enumerate() {
            application.fails = false;
            for _ in 0..1 + self.dice.roll(2) {
                let class = CLASSES[self.turn % CLASSES.len()];
                self.turn += 1;
                let no_deployment = application.stateful
                    && matches!(
                        class,
                        Class::Autoscaler | Class::ScaledByOthers | Class::HorizontalPodAutoscaler
                    );
                if no_deployment {
                    continue;
                }
                *drawn.entry(class).or_default() += 1;
                round.draw(class, number, application);
                application.change(class, &mut self.dice);
                round.drawn(class, application);
            }
        }
        others(self.world, &self.namespace, &round);
        round
    }

    /// One round: changed, previewed, applied, compared.
    pub async fn round(&mut self, number: usize, total: &mut Score) {
        let (files, former) = (self.files(), self.applications.clone());
        let round = self.change(&mut total.drawn);
        self.change_marked(number);
        let branch = format!("round-{number}");
        self.push(&branch, &files);
        let plan = by_application(
            self.world,
            "main",
            &branch,
            &["--repository", "acme/config"],
        );
        let was = self.live();
        let commit = self.push("main", &files);
        let failed = tokio::select! {
            failed = self.applied(&commit) => failed,
            () = self.release_all(&round.held_back) => unreachable!("it does not end"),
        };
        self.release(&round.held_back);
        let is = self.live();
        self.compare(&plan, &failed, (&was, &is), total);
        self.revert(&failed, former).await;
    }

    /// Lets go what a finalizer holds, as long as it is polled: what is kept is not deleted at all.
    async fn release_all(&self, names: &[String]) {
        loop {
            self.release(names);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn release(&self, names: &[String]) {
        let (namespace, none) = (&self.namespace, r#"{"metadata":{"finalizers":null}}"#);
        for name in names {
            let at = "jsonpath={.metadata.deletionTimestamp}";
            let get = [
                "-n",
                namespace,
                "get",
                "configmap",
                name,
                "--ignore-not-found",
                "-o",
                at,
            ];
            if !self.world.kubectl(&get).is_empty() {
                let patch = [
                    "-n",
                    namespace,
                    "patch",
                    "configmap",
                    name,
                    "--type=merge",
                    "-p",
                    none,
                ];
                self.world.kubectl(&patch);
            }
        }
    }

    /// Commits what differs from these files.
    fn push(&self, branch: &str, before: &BTreeMap<String, String>) -> String {
        let after = self.files();
        let changed = after
            .iter()
            .filter(|(path, text)| before.get(*path) != Some(text));
        let mut changes: Vec<_> = changed
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        let gone = before.keys().filter(|path| !after.contains_key(*path));
        changes.extend(gone.map(|path| (path.as_str(), None)));
        let forge = &self.world.forge;
        forge
            .push("acme/config", branch, "ada", "Changes", &changes)
            .unwrap()
    }

    /// Takes back what failed, as people do.
    async fn revert(&mut self, failed: &BTreeMap<String, String>, former: Vec<Application>) {
        if failed.is_empty() {
            return;
        }
        let files = self.files();
        for (now, former) in self.applications.iter_mut().zip(former) {
            if failed.contains_key(&now.name) {
                *now = former;
            }
        }
        let commit = self.push("main", &files);
        let failed = self.applied(&commit).await;
        assert!(
            failed.is_empty(),
            "what was taken back is applied: {failed:?}"
        );
    }

    /// Holds the plan of each application against what became of its objects.
    fn compare(
        &self,
        plan: &[(String, Vec<Change>)],
        failed: &BTreeMap<String, String>,
        (was, is): (&Objects, &Objects),
        total: &mut Score,
    ) {
        let (mut going, mut refused) = (Vec::new(), BTreeSet::new());
        for (title, changes) in plan {
            // An object that declares an application may have its namespace before its name.
            let name = title.split('/').next().unwrap_or_default();
            let name = name.rsplit('-').next().unwrap_or_default();
            let problem = changes.iter().find_map(|change| change.problem.as_ref());
            match (problem, failed.get(name)) {
                (None, None) => going.extend(changes),
                (Some(_), Some(_)) => {
                    total.held += 1;
                    refused.insert(name.to_string());
                }
                (Some(why), None) => {
                    total.missed.push(format!(
                        "{name} was applied, but the preview refused it: {why}"
                    ));
                    refused.insert(name.to_string());
                }
                (None, Some(why)) => {
                    total.missed.push(format!(
                        "{name} failed, which the preview did not say: {why}"
                    ));
                    refused.insert(name.to_string());
                }
            }
        }
        // Of an application that is not applied nothing else is compared.
        let of_refused = |(_, _, object): &&(String, Option<String>, String)| {
            refused.iter().any(|name| object.contains(name.as_str()))
        };
        let without = |live: &Objects| -> Objects {
            live.iter()
                .filter(|(key, _)| !of_refused(key))
                .map(|(key, object)| (key.clone(), object.clone()))
                .collect()
        };
        score(
            &going,
            &without(was),
            &without(is),
            &mut total.held,
            &mut total.missed,
        );
    }

    /// The live objects of the applications.
    fn live(&self) -> Objects {
        let names: BTreeSet<_> = self
            .applications
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        let ours = |(_, namespace, name): &(String, Option<String>, String), _: &mut Value| {
            let own = namespace
                .as_ref()
                .is_none_or(|one| one.starts_with(self.world.prefix.as_str()));
            let bare = name
                .strip_prefix(self.world.prefix.as_str())
                .unwrap_or(name);
            own && bare.get(..4).is_some_and(|start| names.contains(start))
                && (namespace.is_some() || name.contains(self.world.prefix.as_str()))
        };
        let mut found = selected(self.world, &[]);
        found.retain(ours);
        found
    }
}
