//! A directory of a tree → manifests: plain YAML, kustomize, or a Helm chart.
//!
//! A pull request's head is untrusted input. What a rendering reads is settled
//! before anything runs: [`inputs`] follows every reference of every
//! kustomization inside the tree, and refuses one that leads out of it (remote
//! bases and files, absolute paths, symbolic links), names plugins, or does not
//! exist. Only those files are laid out for the child process, which runs in a
//! [`jail`] with an empty environment, a time limit and an output limit. The
//! hash of the inputs is the rendering's identity: the cache's key, and what
//! tells which applications a change touches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::domain::catalog::Place;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::{Invalid, cel, edit, yaml};
use crate::git::{EntryMode, Listing, Mirror, TreeId};

mod chart;
pub mod jail;
pub mod run;

use run::{Job, MOST_TIME, Trouble};
pub use run::{Local, Program, Programs, Runner};

/// Bounds on what one rendering may read.
const MOST_FILES: usize = 2_000;
const MOST_INPUT: usize = 32 << 20;
const MOST_LINKS: usize = 8;
const MOST_RULE_TIME: Duration = Duration::from_secs(5);
/// Texts longer than this are read one at a time: a value takes a hundred times the bytes of its text.
const LONG_TEXT: usize = 1 << 20;

/// What renders a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
enum How {
    Plain,
    Kustomize,
    /// The chart's directory, and the files of values in their order.
    Helm {
        chart: String,
        values: Vec<String>,
    },
}

/// What a chart may ask about where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Release {
    pub name: String,
    pub namespace: String,
    /// `v1.37.2`.
    pub kubernetes: String,
    /// `apps/v1`, `apps/v1/Deployment`.
    pub apis: Vec<String>,
}

/// What one application's rendering reads.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The application's directory.
    pub directory: String,
    how: How,
    /// Path → content.
    files: BTreeMap<String, Arc<[u8]>>,
    /// Over paths and contents.
    pub hash: String,
}

impl Inputs {
    /// Whether the rendering depends on where it goes.
    pub fn asks_the_cluster(&self) -> bool {
        matches!(self.how, How::Helm { .. })
    }

    pub fn reads(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Where an object stands, as `path:line`, for whoever has to mend it. A name that kustomize makes (by a prefix, by a
    /// hash) and a template of a chart are not found.
    pub fn locate(&self, key: &ResourceKey) -> Option<String> {
        // The application's own directory first: a patch there is what its author knows.
        let (own, others): (Vec<_>, Vec<_>) = self
            .files
            .iter()
            .partition(|(path, _)| path.starts_with(&format!("{}/", self.directory)));
        own.into_iter().chain(others).find_map(|(path, content)| {
            let text = std::str::from_utf8(content).ok()?;
            let mut line = 1;
            for document in edit::split_documents(text) {
                // A quick look first: most files are about something else.
                let may = document.contains(&key.kind) && document.contains(&key.name);
                let read = if may {
                    yaml::documents(document).ok()
                } else {
                    None
                };
                let is = |value: &Value| {
                    value["kind"] == key.kind.as_str()
                        && value["metadata"]["name"] == key.name.as_str()
                };
                if read.is_some_and(|all| all.iter().any(is)) {
                    let empty = document
                        .lines()
                        .take_while(|line| line.trim().is_empty() || line.starts_with(['#', '-']))
                        .count();
                    return Some(format!("{path}:{}", line + empty));
                }
                line += document.matches('\n').count();
            }
            None
        })
    }

    /// The files under the application's own directory, for edits.
    pub fn own_files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let prefix = format!("{}/", self.directory);
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, content)| (path.as_str(), &content[..]))
    }
}

/// A tree with its listing, read once for all applications.
pub struct Source<'a> {
    mirror: &'a Mirror,
    tree: TreeId,
    files: Arc<Listing>,
}

impl<'a> Source<'a> {
    pub fn open(mirror: &'a Mirror, tree: TreeId) -> anyhow::Result<Self> {
        Ok(Self {
            mirror,
            tree,
            files: mirror.files(tree)?,
        })
    }

    /// Every directory that holds something.
    pub fn directories(&self) -> BTreeSet<String> {
        let mut directories = BTreeSet::new();
        for path in self.files.keys() {
            let mut at = path.as_str();
            while let Some((parent, _)) = at.rsplit_once('/') {
                if !directories.insert(parent.to_string()) {
                    break;
                }
                at = parent;
            }
        }
        directories
    }

    /// Path → object id, for telling which files two trees differ in.
    pub fn listing(&self) -> &Listing {
        &self.files
    }

    pub fn text(&self, path: &str) -> anyhow::Result<Option<String>> {
        Ok(self
            .mirror
            .read(self.tree, path)?
            .map(|content| String::from_utf8_lossy(&content).into_owned()))
    }

    /// The files under a directory.
    fn under(&self, directory: &str) -> impl Iterator<Item = &String> {
        let prefix = format!("{directory}/");
        self.files
            .range(prefix.clone()..)
            .map(|(path, _)| path)
            .take_while(move |path| path.starts_with(&prefix))
    }

    fn is_directory(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.files
            .range(prefix.clone()..)
            .next()
            .is_some_and(|(found, _)| found.starts_with(&prefix))
    }

    /// A file's content; a symbolic link is followed inside the tree and nowhere else.
    fn content(&self, path: &str) -> Result<Option<Vec<u8>>, Invalid> {
        let mut at = path.to_string();
        for _ in 0..MOST_LINKS {
            let Some((mode, id)) = self.files.get(&at) else {
                return Ok(None);
            };
            let blob = || {
                self.mirror
                    .blob(id)
                    .map_err(|error| Invalid(format!("{at}: {error}")))
            };
            match mode {
                EntryMode::File => return blob().map(Some),
                EntryMode::Symlink => {
                    let target = String::from_utf8_lossy(&blob()?).into_owned();
                    let parent = at.rsplit_once('/').map_or("", |(parent, _)| parent);
                    at = join(parent, &target).ok_or_else(|| {
                        Invalid(format!(
                            "{path} is a symbolic link that leads out of the repository ({target})"
                        ))
                    })?;
                }
                EntryMode::Directory | EntryMode::Submodule => {
                    return Err(Invalid(format!("{path} is a submodule: they are not read")));
                }
            }
        }
        Err(Invalid(format!(
            "{path} is a symbolic link that leads nowhere"
        )))
    }
}

/// `base/path` without `.` and `..`; None where it leads out of the tree.
fn join(base: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Why a directory cannot be read, and what is in it: what it is known by, whatever the words are.
#[derive(Debug, Clone)]
pub struct Unreadable {
    pub why: Invalid,
    pub hash: String,
}

/// What rendering an application reads; None where there is no such directory.
pub fn inputs(source: &Source<'_>, place: &Place) -> Result<Option<Inputs>, Unreadable> {
    read(source, place).map_err(|why| {
        let mut hash = Sha256::new();
        for path in source.under(&place.directory) {
            hash.update(format!("{path}\0{:?}\n", source.files.get(path)));
        }
        Unreadable {
            why,
            hash: format!("unreadable {}", hex::encode(hash.finalize())),
        }
    })
}

fn read(source: &Source<'_>, place: &Place) -> Result<Option<Inputs>, Invalid> {
    let directory = &place.directory;
    if !source.is_directory(directory) {
        return Ok(None);
    }
    let mut walk = Walk {
        source,
        files: BTreeMap::new(),
        visited: BTreeSet::new(),
        size: 0,
    };
    let chart = place.chart.clone().or_else(|| {
        source
            .files
            .contains_key(&format!("{directory}/Chart.yaml"))
            .then(|| directory.clone())
    });
    let how = if let Some(chart) = chart {
        walk.chart(&chart)?;
        let mut values = Vec::new();
        if chart != *directory {
            for path in source
                .under(directory)
                .filter(|path| path.ends_with(".yaml") || path.ends_with(".yml"))
            {
                walk.file(path)?;
                values.push(path.clone());
            }
        }
        How::Helm { chart, values }
    } else if KUSTOMIZATIONS
        .iter()
        .any(|name| source.files.contains_key(&format!("{directory}/{name}")))
    {
        walk.kustomization(directory)?;
        How::Kustomize
    } else {
        for path in source.under(directory).filter(|path| {
            [".yaml", ".yml", ".json"]
                .iter()
                .any(|end| path.ends_with(end))
        }) {
            walk.file(path)?;
        }
        How::Plain
    };
    let mut hash = Sha256::new();
    for (path, content) in &walk.files {
        hash.update((path.len() as u64).to_be_bytes());
        hash.update(path);
        hash.update((content.len() as u64).to_be_bytes());
        hash.update(content);
    }
    hash.update(directory);
    hash.update(format!("{how:?}"));
    Ok(Some(Inputs {
        directory: directory.clone(),
        how,
        files: walk.files,
        hash: hex::encode(hash.finalize()),
    }))
}

/// Follows the references of kustomizations.
struct Walk<'a> {
    source: &'a Source<'a>,
    files: BTreeMap<String, Arc<[u8]>>,
    visited: BTreeSet<String>,
    size: usize,
}

impl Walk<'_> {
    fn file(&mut self, path: &str) -> Result<bool, Invalid> {
        if self.files.contains_key(path) {
            return Ok(true);
        }
        let Some(content) = self.source.content(path)? else {
            return Ok(false);
        };
        self.size += content.len();
        if self.files.len() >= MOST_FILES || self.size > MOST_INPUT {
            return Err(Invalid(format!(
                "more than {MOST_FILES} files or {} MiB are read: split the application",
                MOST_INPUT >> 20
            )));
        }
        self.files.insert(path.into(), content.into());
        Ok(true)
    }

    fn kustomization(&mut self, directory: &str) -> Result<(), Invalid> {
        if !self.visited.insert(directory.into()) {
            return Ok(());
        }
        let join_file = |name: &&&str| {
            if directory.is_empty() {
                name.to_string()
            } else {
                format!("{directory}/{name}")
            }
        };
        let present: Vec<_> = KUSTOMIZATIONS
            .iter()
            .map(|name| join_file(&name))
            .filter(|path| self.source.files.contains_key(path))
            .collect();
        let [file] = &present[..] else {
            return Err(Invalid(format!(
                "{directory}: {} kustomization files where there must be one",
                present.len()
            )));
        };
        self.file(file)?;
        let text = String::from_utf8_lossy(&self.files[file]).into_owned();
        let documents =
            yaml::documents(&text).map_err(|error| Invalid(format!("{file}: {error}")))?;
        for document in &documents {
            for reference in
                references(document).map_err(|why| Invalid(format!("{file}: {why}")))?
            {
                self.reference(directory, file, &reference)?;
            }
        }
        Ok(())
    }

    /// A chart is read whole, and with it the charts in this repository that it depends on.
    fn chart(&mut self, chart: &str) -> Result<(), Invalid> {
        if !self.visited.insert(chart.into()) {
            return Ok(());
        }
        let about = format!("{chart}/Chart.yaml");
        if !self.source.files.contains_key(&about) {
            return Err(Invalid(format!(
                "{chart} is no chart: it has no Chart.yaml"
            )));
        }
        let paths: Vec<_> = self.source.under(chart).cloned().collect();
        for path in paths {
            self.file(&path)?;
        }
        for (name, place) in chart::dependencies(&about, &self.files[&about])? {
            let vendored = self.source.is_directory(&format!("{chart}/charts/{name}"))
                || self.source.under(&format!("{chart}/charts")).any(|path| {
                    path.rsplit('/').next().is_some_and(|file| {
                        file.starts_with(&format!("{name}-")) && file.ends_with(".tgz")
                    })
                });
            match place.strip_prefix("file://") {
                _ if vendored => {}
                Some(path) => {
                    let path = join(chart, path).ok_or_else(|| {
                        Invalid(format!("{about}: `{place}` is not in this repository"))
                    })?;
                    self.chart(&path)?;
                }
                None => {
                    return Err(Invalid(format!(
                        "{about}: the chart `{name}` is not in this repository: run `helm dependency build {chart}` and commit its charts/"
                    )));
                }
            }
        }
        Ok(())
    }

    fn reference(&mut self, directory: &str, file: &str, reference: &str) -> Result<(), Invalid> {
        let outside = || {
            Invalid(format!(
                "{file} refers to `{reference}`, which is not in this repository: remote bases and files are not read; put a copy beside it"
            ))
        };
        let remote =
            reference.contains("://") || reference.contains('?') || reference.starts_with("git@");
        let path = join(directory, reference)
            .filter(|_| !remote)
            .ok_or_else(outside)?;
        if self.source.is_directory(&path) {
            return self.kustomization(&path);
        }
        if self.file(&path)? {
            Ok(())
        } else {
            Err(outside())
        }
    }
}

/// `windlass rules`: reads what [`Renderer::broken_rules`] laid out, and prints what is broken, as a list.
pub fn rules(file: &Path) -> anyhow::Result<String> {
    let asked: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let before = Some(&asked["before"]).filter(|before| !before.is_null());
    let broken = cel::broken_rules(&asked["schema"], &asked["object"], before)
        .err()
        .unwrap_or_default();
    Ok(serde_json::to_string(&broken)?)
}

/// Every path that a kustomization names; an error for what is not rendered here.
fn references(document: &Value) -> Result<Vec<String>, String> {
    for field in ["helmCharts", "helmChartInflationGenerator", "helmGlobals"] {
        if !document[field].is_null() {
            return Err(format!(
                "`{field}` is not supported: make the chart an application of its own"
            ));
        }
    }
    let mut found = Vec::new();
    // Inline YAML stands where a path could.
    let mut add = |value: &Value| {
        if let Some(text) = value.as_str()
            && !text.contains('\n')
        {
            found.push(text.to_string());
        }
    };
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for field in [
        "resources",
        "bases",
        "components",
        "crds",
        "configurations",
        "transformers",
        "generators",
        "validators",
        "patchesStrategicMerge",
    ] {
        items(&document[field]).iter().for_each(&mut add);
    }
    for field in ["patches", "patchesJson6902", "replacements"] {
        items(&document[field])
            .iter()
            .for_each(|patch| add(&patch["path"]));
    }
    add(&document["openapi"]["path"]);
    for field in ["configMapGenerator", "secretGenerator"] {
        for generator in items(&document[field]) {
            items(&generator["envs"]).iter().for_each(&mut add);
            add(&generator["env"]);
            for entry in items(&generator["files"]) {
                let text = entry.as_str().unwrap_or_default();
                add(&Value::String(
                    text.split_once('=').map_or(text, |(_, path)| path).into(),
                ));
            }
        }
    }
    Ok(found)
}

/// What the renderings of one pull request's head may take together: somebody pushes as many applications as he likes.
#[derive(Debug)]
pub struct Budget {
    /// Milliseconds of renderers, and bytes of what they print.
    time: AtomicU64,
    output: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            time: (3 * 60 * 1000).into(),
            output: (128 << 20).into(),
        }
    }
}

impl Budget {
    /// False: it is used up.
    fn take(of: &AtomicU64, amount: u64) -> bool {
        of.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            Some(left.saturating_sub(amount))
        })
        .is_ok_and(|left| left > amount)
    }

    fn is_used_up(&self) -> bool {
        self.time.load(Ordering::SeqCst) == 0 || self.output.load(Ordering::SeqCst) == 0
    }
}

/// Runs renderers and remembers what they gave.
#[derive(Clone)]
pub struct Renderer {
    shared: Arc<Shared>,
    budget: Option<Arc<Budget>>,
}

struct Shared {
    runner: Runner,
    /// Schemas whose rules took too long once: nobody waits for them again.
    slow: moka::sync::Cache<String, ()>,
    /// What validation rules said, by all that they were asked about.
    rules: moka::future::Cache<String, Result<(), String>>,
    evaluating: Semaphore,
    /// Reading what is long.
    reading: Semaphore,
    /// As JSON, which takes a tenth of the memory: a look at ten thousand objects needs them only while it lasts.
    cache: moka::future::Cache<(String, Option<Release>), Arc<str>>,
}

/// Bytes of renderings that are remembered.
const MOST_REMEMBERED: u64 = 256 << 20;

impl Renderer {
    pub fn new(runner: Runner) -> Self {
        let shared = Shared {
            runner,
            reading: Semaphore::new(1),
            slow: moka::sync::Cache::new(1_000),
            rules: moka::future::Cache::builder().max_capacity(5_000).build(),
            evaluating: Semaphore::new(2),
            cache: moka::future::Cache::builder()
                .weigher(|_, text: &Arc<str>| u32::try_from(text.len()).unwrap_or(u32::MAX))
                .max_capacity(MOST_REMEMBERED)
                .build(),
        };
        Self {
            shared: Arc::new(shared),
            budget: None,
        }
    }

    /// The same renderer, whose renderings take from one budget.
    pub fn within(&self, budget: Budget) -> Self {
        Self {
            budget: Some(Arc::new(budget)),
            ..self.clone()
        }
    }

    /// What of a schema's validation rules an object breaks. The rules may be a pull request's, written to take for ever or to
    /// end the process: they are evaluated by `windlass rules` in the jail.
    pub async fn broken_rules(
        &self,
        schema: &Value,
        object: &Value,
        before: Option<&Value>,
    ) -> Result<(), String> {
        let too_slow =
            || "the validation rules of its definition cannot be evaluated in time".to_string();
        let definition = hex::encode(Sha256::digest(schema.to_string()));
        if self.shared.slow.contains_key(&definition) {
            return Err(too_slow());
        }
        let asked =
            serde_json::json!({"schema": schema, "object": object, "before": before}).to_string();
        let key = hex::encode(Sha256::digest(&asked));
        let evaluating = async {
            let not_now =
                || Err::<Result<(), String>, _>("they cannot be evaluated just now".to_string());
            let Ok(_turn) = self.shared.evaluating.acquire().await else {
                return not_now();
            };
            let files = BTreeMap::from([(
                "rules.json".to_string(),
                Arc::<[u8]>::from(asked.as_bytes()),
            )]);
            let inputs = Inputs {
                directory: "definition".into(),
                how: How::Plain,
                files,
                hash: String::new(),
            };
            let arguments = ["rules".to_string(), "rules.json".to_string()];
            // It takes from nobody's budget: what it says holds for everybody who asks about the same.
            let alone = Self {
                shared: self.shared.clone(),
                budget: None,
            };
            match alone
                .run(&inputs, Program::Windlass, &arguments, MOST_RULE_TIME)
                .await
            {
                Ok(out) => match serde_json::from_str::<Vec<String>>(&out) {
                    Ok(broken) if broken.is_empty() => Ok(Ok(())),
                    Ok(broken) => Ok(Err(broken.join("; "))),
                    Err(_) => Ok(Err(too_slow())),
                },
                // Out of time, of memory, of its stack: one such object is enough to know the schema by.
                Err(NotRendered::Invalid(_)) => {
                    self.shared.slow.insert(definition, ());
                    Ok(Err(too_slow()))
                }
                // It is asked again: that says nothing about the rules.
                Err(_) => not_now(),
            }
        };
        self.shared
            .rules
            .try_get_with(key, evaluating)
            .await
            .map_err(|why| (*why).clone())?
    }

    /// Whether the jail holds where renderers run: a program tries to get out of it.
    pub async fn check_jail(&self) -> Result<(), NotRendered> {
        let nothing = Inputs {
            directory: ".".into(),
            how: How::Plain,
            files: BTreeMap::new(),
            hash: String::new(),
        };
        let tried = self
            .run(&nothing, Program::Windlass, &["escape".into()], MOST_TIME)
            .await?;
        match serde_json::from_str::<Vec<String>>(&tried) {
            Ok(ways) if ways.is_empty() => Ok(()),
            Ok(ways) => Err(Invalid(format!("a renderer can {}", ways.join(", "))).into()),
            Err(_) => Err(Invalid("what the jail lets through could not be tried".into()).into()),
        }
    }

    /// The manifests, as rendered: namespaces not yet settled. The error is in words for the author. `release` counts
    /// for charts only.
    pub async fn render(
        &self,
        inputs: &Inputs,
        release: Option<Release>,
    ) -> Result<Arc<Vec<Manifest>>, NotRendered> {
        loop {
            let rendered = self.render_once(inputs, release.clone()).await;
            // Who waited for the rendering of a head that then had no budget left has one of his own, or needs none.
            let anothers = self
                .budget
                .as_ref()
                .is_none_or(|budget| !budget.is_used_up());
            if !(anothers && matches!(rendered, Err(NotRendered::UsedUp(_)))) {
                return rendered;
            }
        }
    }

    async fn render_once(
        &self,
        inputs: &Inputs,
        release: Option<Release>,
    ) -> Result<Arc<Vec<Manifest>>, NotRendered> {
        let key = (inputs.hash.clone(), release.clone());
        let rendering = async {
            let manifests = match &inputs.how {
                How::Plain => {
                    let _turn = self
                        .turn_to_read(inputs.files.values().map(|content| content.len()).sum())
                        .await;
                    tokio::task::block_in_place(|| plain(inputs))?
                }
                How::Kustomize => {
                    let out = self
                        .run(
                            inputs,
                            Program::Kustomize,
                            &["build".into(), inputs.directory.clone()],
                            MOST_TIME,
                        )
                        .await?;
                    self.read(&out, &inputs.directory).await?
                }
                How::Helm { chart, values } => {
                    let release = release.ok_or_else(|| {
                        Invalid(format!(
                            "{}: a chart needs to know where it goes",
                            inputs.directory
                        ))
                    })?;
                    self.helm(inputs, chart, values, &release).await?
                }
            };
            let mut seen = BTreeSet::new();
            if let Some(twice) = manifests
                .iter()
                .find(|manifest| !seen.insert(manifest.key.clone()))
            {
                return Err(Invalid(format!(
                    "{}: {} is there twice",
                    inputs.directory, twice.key
                ))
                .into());
            }
            Ok::<Arc<str>, NotRendered>(Manifest::store(&manifests).into())
        };
        let stored = self
            .shared
            .cache
            .try_get_with(key, rendering)
            .await
            .map_err(|error: Arc<NotRendered>| (*error).clone())?;
        Ok(Manifest::restore(&stored).map(Arc::new)?)
    }

    /// Whoever reads what is long waits for its turn.
    async fn turn_to_read(&self, length: usize) -> Option<SemaphorePermit<'_>> {
        if length > LONG_TEXT {
            self.shared.reading.acquire().await.ok()
        } else {
            None
        }
    }

    async fn read(&self, text: &str, directory: &str) -> Result<Vec<Manifest>, Invalid> {
        let _turn = self.turn_to_read(text.len()).await;
        Manifest::parse_all(text, directory)
    }

    /// Runs a program on the inputs; what it printed. It takes from the budget.
    async fn run(
        &self,
        inputs: &Inputs,
        program: Program,
        arguments: &[String],
        most: Duration,
    ) -> Result<String, NotRendered> {
        let used_up = || Err(NotRendered::UsedUp(inputs.directory.clone()));
        if self
            .budget
            .as_ref()
            .is_some_and(|budget| budget.is_used_up())
        {
            return used_up();
        }
        let job = Job {
            program,
            arguments: arguments.to_vec(),
            files: inputs.layout(),
            of_head: self.budget.is_some(),
            most,
        };
        let (took, printed) = self.shared.runner.run(&job).await;
        if let Some(budget) = &self.budget {
            let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let length = printed.as_ref().map_or(0, |text| text.len() as u64);
            if (
                Budget::take(&budget.time, took),
                Budget::take(&budget.output, length),
            ) != (true, true)
            {
                return used_up();
            }
        }
        let told = |why: &str| format!("{}: {}: {why}", inputs.directory, program.name());
        printed.map_err(|trouble| match trouble {
            Trouble::Author(why) => NotRendered::Invalid(Invalid(told(&why))),
            Trouble::Passing(why) => NotRendered::Passing(told(&why)),
        })
    }
}

/// Why there is no rendering.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotRendered {
    /// In words for the author.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A pull request's head has used up its budget.
    #[error(
        "{0}: this commit has used up what the renderings of one pull request may take: split it"
    )]
    UsedUp(String),
    /// It may be had another time.
    #[error("{0}")]
    Passing(String),
}

fn plain(inputs: &Inputs) -> Result<Vec<Manifest>, Invalid> {
    let mut manifests: Vec<Manifest> = Vec::new();
    let mut nodes = 0;
    for (path, content) in &inputs.files {
        let read = Manifest::parse_all(&String::from_utf8_lossy(content), path)?;
        nodes += read
            .iter()
            .map(|manifest| yaml::nodes(&manifest.value))
            .sum::<usize>();
        if nodes > yaml::MOST_NODES {
            return Err(Invalid(format!(
                "{}: its manifests have more than {} values: split it",
                inputs.directory,
                yaml::MOST_NODES
            )));
        }
        manifests.extend(read);
    }
    Ok(manifests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_in_their_files() {
        let file = |text: &str| Arc::<[u8]>::from(text.as_bytes());
        let files = BTreeMap::from([
            (
                "base/all.yaml".to_string(),
                file(
                    "# all\n---\nkind: A\nmetadata: {name: x}\n---\n# this one\nkind: B\nmetadata: {name: x}\n",
                ),
            ),
            (
                "own/patch.yaml".to_string(),
                file("kind: A\nmetadata:\n  name: x\n"),
            ),
        ]);
        let inputs = Inputs {
            directory: "own".into(),
            how: How::Plain,
            files,
            hash: String::new(),
        };
        let at = |kind: &str| {
            inputs.locate(&ResourceKey {
                group: String::new(),
                kind: kind.into(),
                namespace: None,
                name: "x".into(),
            })
        };
        assert_eq!(
            (at("A").as_deref(), at("B").as_deref(), at("C")),
            (Some("own/patch.yaml:1"), Some("base/all.yaml:7"), None)
        );
    }

    #[test]
    fn paths_do_not_lead_out() {
        for (base, path, expected) in [
            ("apps/shop/staging", "../base", Some("apps/shop/base")),
            ("apps", "./a//b/.", Some("apps/a/b")),
            ("apps", "../..", None),
            ("apps", "/etc/passwd", None),
            ("", "..", None),
        ] {
            assert_eq!(join(base, path).as_deref(), expected, "{base} {path}");
        }
    }

    #[test]
    fn every_way_to_name_a_file_is_followed() {
        let document = serde_json::json!({
            "resources": ["a.yaml", "https://example.com/b"], "patches": [{"path": "p.yaml"}, {"patch": "x: 1"}],
            "patchesStrategicMerge": ["s.yaml", "inline:\n  yaml: 1"], "configMapGenerator": [{"files": ["k=f.txt", "g.txt"], "envs": [".env"]}],
            "openapi": {"path": "o.json"},
        });
        assert_eq!(
            references(&document).unwrap(),
            [
                "a.yaml",
                "https://example.com/b",
                "s.yaml",
                "p.yaml",
                "o.json",
                ".env",
                "f.txt",
                "g.txt"
            ]
        );
        assert!(references(&serde_json::json!({"helmCharts": [{}]})).is_err());
    }
}
