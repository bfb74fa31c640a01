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
//!
//! - [`source`]: a tree, and reading files in it
//! - [`inputs`]: what a rendering reads, and its hash; with [`kustomize`] and
//!   [`chart`], which know what their files name and how they are built
//! - [`run`], [`jail`]: the programs, as children or in a container of their own
//! - [`budget`]: what the renderings of one pull request may take
//! - [`rules`]: validation rules of custom resources
//! - here: [`Renderer`], which remembers what was rendered

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::domain::manifest::Manifest;
use crate::domain::{Invalid, yaml};

mod budget;
mod chart;
mod inputs;
pub mod jail;
mod kustomize;
mod rules;
pub mod run;
mod source;

pub use budget::Budget;
use inputs::How;
pub use inputs::{Inputs, Unreadable, inputs};
pub use rules::rules;
use run::{Job, MOST_TIME, Trouble};
pub use run::{Local, Program, Programs, Runner};
pub use source::Source;

/// How many links, and charts in charts, are followed.
const MOST_LINKS: usize = 8;
/// Texts longer than this are read one at a time: a value takes a hundred times the bytes of its text.
const LONG_TEXT: usize = 1 << 20;
/// Bytes of renderings that are remembered.
const MOST_REMEMBERED: u64 = 256 << 20;

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

/// Why there is no rendering.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotRendered {
    /// In words for the author.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A pull request's head has used up its budget.
    #[error("{0}: this commit has used up the rendering budget of one pull request: split it")]
    UsedUp(String),
    /// It may be had another time.
    #[error("{0}")]
    Passing(String),
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
            let manifests = self.build(inputs, release).await?;
            let mut seen = BTreeSet::new();
            if let Some(twice) = manifests
                .iter()
                .find(|manifest| !seen.insert(manifest.key.clone()))
            {
                return Err(Invalid(format!(
                    "{}: {} is defined twice",
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

    /// The manifests by what renders the directory.
    async fn build(
        &self,
        inputs: &Inputs,
        release: Option<Release>,
    ) -> Result<Vec<Manifest>, NotRendered> {
        match &inputs.how {
            How::Plain => {
                let _turn = self
                    .turn_to_read(inputs.files.values().map(|content| content.len()).sum())
                    .await;
                Ok(tokio::task::block_in_place(|| plain(inputs))?)
            }
            How::Kustomize => self.kustomize(inputs).await,
            How::Helm { chart, values } => {
                let release = release.ok_or_else(|| {
                    Invalid(format!("{}: a chart needs a destination", inputs.directory))
                })?;
                self.helm(inputs, chart, values, &release).await
            }
        }
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
            let length = printed.as_ref().map_or(0, String::len);
            if !budget.take(took, length) {
                return used_up();
            }
        }
        let told = |why: &str| format!("{}: {}: {why}", inputs.directory, program.name());
        printed.map_err(|trouble| match trouble {
            Trouble::Author(why) => NotRendered::Invalid(Invalid(told(&why))),
            Trouble::Passing(why) => NotRendered::Passing(told(&why)),
        })
    }

    async fn read(&self, text: &str, directory: &str) -> Result<Vec<Manifest>, Invalid> {
        let _turn = self.turn_to_read(text.len()).await;
        Manifest::parse_all(text, directory)
    }

    /// Whoever reads what is long waits for its turn.
    async fn turn_to_read(&self, length: usize) -> Option<SemaphorePermit<'_>> {
        if length > LONG_TEXT {
            self.shared.reading.acquire().await.ok()
        } else {
            None
        }
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
