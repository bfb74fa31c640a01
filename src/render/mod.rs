//! A directory of a tree → manifests: plain YAML, kustomize, or a Helm chart.
//!
//! A pull request's head is untrusted input. The files that a rendering reads are
//! determined before anything runs: [`inputs`] follows every reference of every
//! kustomization inside the tree. It refuses a reference that leads out of the
//! tree (absolute paths, symbolic links), names a plugin,
//! or does not exist. Only those files are written for the child process, which
//! runs in a [`jail`] with an empty environment, a time limit and an output
//! limit. The hash of the inputs identifies a rendering: it is the cache's key,
//! and shows which applications a change touches.
//!
//! - [`source`]: a tree, and reading files in it
//! - [`inputs`]: the files that a rendering reads, and their hash; [`kustomize`]
//!   and [`chart`] (with [`dependencies`]) follow references and run the program;
//!   [`declared`]: what an object of Argo CD or Flux says about it;
//!   [`releases`]: what Flux's HelmReleases among the objects install;
//!   [`editable`]: those that an image may be set in
//! - [`plain`]: manifests as they are; [`inflation`]: charts in kustomizations; [`ksops`]: their
//!   encrypted files
//! - [`complete`], [`remote`]: what it needs from elsewhere, fetched
//! - [`run`], [`jail`]: running the programs, as child processes or in a
//!   container of their own
//! - [`budget`]: limits for all renderings of one pull request
//! - [`rules`]: validation rules of custom resources
//! - here: [`Renderer`], which caches renderings

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Instrument as _;

use crate::domain::Invalid;
use crate::domain::manifest::Manifest;
use crate::traces;

mod budget;
mod chart;
mod complete;
mod declared;
mod dependencies;
mod editable;
mod inflation;
mod inputs;
pub mod jail;
mod ksops;
mod kustomize;
mod locate;
mod plain;
mod releases;
mod remote;
mod rules;
pub mod run;
mod source;

pub use budget::Budget;
pub use editable::editable;
use inputs::How;
pub use inputs::{Inputs, Unreadable, inputs};
pub use remote::{Fetcher, Sources};
pub use rules::rules;
use run::{Job, MOST_TIME, Trouble, Trust};
pub use run::{Program, Programs, Runner};
pub use source::{Source, check_pointer, places_of};

/// How many symbolic links, and nested charts, are followed.
const MOST_LINKS: usize = 8;
/// Longer texts are parsed one at a time: parsed values take a hundred times the bytes of their
/// text.
const LONG_TEXT: usize = 1 << 20;
/// The size of the cache of renderings, in bytes.
const MOST_CACHED: u64 = 256 << 20;

/// Helm's `.Release` and `.Capabilities`: where a chart is installed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Release {
    pub name: String,
    pub namespace: String,
    /// `v1.37.2`.
    pub kubernetes: String,
    /// `apps/v1`, `apps/v1/Deployment`.
    pub apis: Vec<String>,
}

/// Why a rendering failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotRendered {
    /// The files are wrong: a message for their author.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A pull request's head has used up its budget.
    #[error("{0}: this commit has used up the rendering budget of one pull request: split it")]
    UsedUp(String),
    /// It may succeed later.
    #[error("{0}")]
    Passing(String),
}

/// Runs renderers and caches their output.
#[derive(Clone)]
pub struct Renderer {
    shared: Arc<Shared>,
    budget: Option<Arc<Budget>>,
    /// What fetches from elsewhere. None: nothing may.
    fetcher: Option<Arc<Fetcher>>,
}

struct Shared {
    runner: Runner,
    /// Schemas whose validation rules once took too long: they are not evaluated again.
    slow: moka::sync::Cache<String, ()>,
    /// Results of validation rules, by a digest of schema and objects.
    rules: moka::future::Cache<String, Result<(), String>>,
    evaluating: Semaphore,
    /// Parsing of long texts, one at a time.
    parsing: Semaphore,
    /// Renderings as JSON, which takes a tenth of the memory of parsed manifests.
    cache: moka::future::Cache<Key, Arc<Stored>>,
    /// Templates that use `lookup`, by the same keys.
    lookups: moka::future::Cache<Key, Arc<str>>,
}

/// A rendering: of which inputs, for which cluster. What a head's processes made is not taken for
/// what is merged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    trust: Trust,
    inputs: String,
    release: Option<Release>,
}

/// A rendering as it is kept.
struct Stored {
    manifests: String,
    /// Keys that are repeated in their mapping, in words.
    repeated: Vec<String>,
}

impl Renderer {
    pub fn new(runner: Runner) -> Self {
        let shared = Shared {
            runner,
            parsing: Semaphore::new(1),
            slow: moka::sync::Cache::new(1_000),
            rules: moka::future::Cache::builder().max_capacity(5_000).build(),
            evaluating: Semaphore::new(2),
            cache: moka::future::Cache::builder()
                .weigher(|_, stored: &Arc<Stored>| {
                    u32::try_from(stored.manifests.len()).unwrap_or(u32::MAX)
                })
                .max_capacity(MOST_CACHED)
                .build(),
            lookups: moka::future::Cache::new(5_000),
        };
        Self {
            shared: Arc::new(shared),
            budget: None,
            fetcher: None,
        }
    }

    /// The same renderer, which may fetch what is elsewhere.
    pub fn fetching(self, fetcher: Fetcher) -> Self {
        Self {
            fetcher: Some(Arc::new(fetcher)),
            ..self
        }
    }

    /// The same renderer for a pull request's head, with a budget for its renderings.
    pub fn within(&self, budget: Budget) -> Self {
        Self {
            budget: Some(Arc::new(budget)),
            ..self.clone()
        }
    }

    /// The same renderer for what is merged.
    pub fn of_merged(&self) -> Self {
        Self {
            budget: None,
            ..self.clone()
        }
    }

    fn trust(&self) -> Trust {
        match &self.budget {
            Some(budget) => Trust::Head(budget.head.clone()),
            None => Trust::Merged,
        }
    }

    fn key(&self, inputs: &Inputs, release: Option<&Release>) -> Key {
        Key {
            trust: self.trust(),
            inputs: inputs.hash.clone(),
            release: release.cloned(),
        }
    }

    /// Renders the manifests. Their namespaces are not normalized yet. `release` matters for charts
    /// only.
    pub async fn render(
        &self,
        inputs: &Inputs,
        release: Option<Release>,
    ) -> Result<Arc<Vec<Manifest>>, NotRendered> {
        let stored = self.stored(inputs, release).await?;
        Ok(Manifest::restore(&stored.manifests).map(Arc::new)?)
    }

    /// Where what is rendered repeats a key in a mapping, in words: the last value counts.
    pub async fn repeated(
        &self,
        inputs: &Inputs,
        release: Option<Release>,
    ) -> Result<Vec<String>, NotRendered> {
        Ok(self.stored(inputs, release).await?.repeated.clone())
    }

    async fn stored(
        &self,
        inputs: &Inputs,
        release: Option<Release>,
    ) -> Result<Arc<Stored>, NotRendered> {
        loop {
            let rendered = self.render_once(inputs, release.clone()).await;
            // The cache may return the failure of a concurrent call whose budget was used up. If
            // ours is not, try again.
            let of_another_call = self
                .budget
                .as_ref()
                .is_none_or(|budget| !budget.is_used_up());
            if !(of_another_call && matches!(rendered, Err(NotRendered::UsedUp(_)))) {
                return rendered;
            }
        }
    }

    async fn render_once(
        &self,
        inputs: &Inputs,
        release: Option<Release>,
    ) -> Result<Arc<Stored>, NotRendered> {
        let key = self.key(inputs, release.as_ref());
        let rendering = async {
            let (mut manifests, repeated) = self.build_all(inputs, release.as_ref()).await?;
            if let (Some(cluster), Some(releases)) = (&release, &inputs.releases) {
                manifests = self.with_releases(manifests, releases, cluster).await?;
            }
            let mut keys = BTreeSet::new();
            if let Some(twice) = manifests
                .iter()
                .find(|manifest| !keys.insert(manifest.key.clone()))
            {
                return Err(Invalid(format!(
                    "{}: {} is defined twice",
                    inputs.directory, twice.key
                ))
                .into());
            }
            let manifests = Manifest::store(&manifests);
            Ok::<_, NotRendered>(Arc::new(Stored {
                manifests,
                repeated,
            }))
        };
        let stored = self.shared.cache.try_get_with(key, rendering).await;
        stored.map_err(|error: Arc<NotRendered>| (*error).clone())
    }

    /// Renders all sources: of an object that several have, the last one counts. With the keys that
    /// are repeated.
    async fn build_all(
        &self,
        inputs: &Inputs,
        release: Option<&Release>,
    ) -> Result<(Vec<Manifest>, Vec<String>), NotRendered> {
        let (mut manifests, mut repeated) = self.build(inputs, release).await?;
        for other in &inputs.beside {
            let (more, keys) = self.build(other, release).await?;
            let known: BTreeSet<_> = more.iter().map(|manifest| &manifest.key).collect();
            manifests.retain(|manifest| !known.contains(&manifest.key));
            manifests.extend(more);
            repeated.extend(keys);
        }
        Ok((manifests, repeated))
    }

    /// Renders a source by the tool that its directory needs.
    async fn build(
        &self,
        inputs: &Inputs,
        release: Option<&Release>,
    ) -> Result<(Vec<Manifest>, Vec<String>), NotRendered> {
        let inputs = &*self.complete(inputs).await?;
        match &inputs.how {
            How::Plain => {
                let _permit = self
                    .permit_to_parse(inputs.files.values().map(|content| content.len()).sum())
                    .await;
                Ok(tokio::task::block_in_place(|| plain::all(inputs))?)
            }
            // It refuses such keys itself.
            How::Kustomize | How::Generated(_) => Ok((self.kustomize(inputs).await?, Vec::new())),
            How::Helm(chart) => {
                let release = release.ok_or_else(|| {
                    Invalid(format!("{}: a chart needs a destination", inputs.directory))
                })?;
                self.helm(inputs, chart, release).await
            }
        }
    }

    /// Runs a program on the inputs, within the budget. Returns its output.
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
            links: inputs.links.clone(),
            trust: self.trust(),
            most,
        };
        let span = traces::rendering(program.name(), &inputs.directory);
        let (took, printed) = self.shared.runner.run(&job).instrument(span).await;
        if let Some(budget) = &self.budget {
            let length = printed.as_ref().map_or(0, String::len);
            if !budget.take(took, length) {
                return used_up();
            }
        }
        let message = |why: &str| format!("{}: {}: {why}", inputs.directory, program.name());
        printed.map_err(|trouble| match trouble {
            Trouble::Author(why) => NotRendered::Invalid(Invalid(message(&why))),
            Trouble::Passing(why) => NotRendered::Passing(message(&why)),
        })
    }

    /// The manifests that a program printed for the inputs.
    async fn parse(&self, text: &str, inputs: &Inputs) -> Result<Vec<Manifest>, Invalid> {
        let _permit = self.permit_to_parse(text.len()).await;
        inputs.parse(text, &inputs.directory)
    }

    /// For a long text: waits until no other one is being parsed.
    async fn permit_to_parse(&self, length: usize) -> Option<SemaphorePermit<'_>> {
        if length > LONG_TEXT {
            self.shared.parsing.acquire().await.ok()
        } else {
            None
        }
    }

    /// Checks the jail: a program tries to get out of it.
    pub async fn check_jail(&self) -> Result<(), NotRendered> {
        let no_files = Inputs::of_files(".", How::Plain, BTreeMap::new(), String::new());
        let open_ways = self
            .run(&no_files, Program::Windlass, &["escape".into()], MOST_TIME)
            .await?;
        match serde_json::from_str::<Vec<String>>(&open_ways) {
            Ok(ways) if ways.is_empty() => Ok(()),
            Ok(ways) => Err(Invalid(format!("a renderer can {}", ways.join(", "))).into()),
            Err(_) => Err(Invalid("what the jail lets through could not be tried".into()).into()),
        }
    }
}
