//! Runs the programs that render: as child processes in the jail, or over a
//! socket in another container that has no credentials.
//!
//! A job is pure: files in, text out. Each child has limits (time, output,
//! memory), and all together have some too. They are enforced from outside.
//!
//! - [`local`]: child processes on this machine; [`warm`]: those that go on running between
//!   jobs; [`memory`]: what they use
//! - [`socket`]: a renderer in another container, both client and server

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::domain::catalog::KUSTOMIZATIONS;

mod local;
mod memory;
mod socket;
mod warm;

use local::Local;
pub use memory::resident;
use socket::Answer;
pub use socket::{RenderArgs, serve};

pub const MOST_TIME: Duration = Duration::from_secs(30);
/// How long to wait for a renderer in another container: its time limit, and its queue.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(90);

/// The programs that a job may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    Kustomize,
    Helm,
    /// windlass itself: evaluates validation rules, tests the jail.
    Windlass,
}

impl Program {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kustomize => "kustomize",
            Self::Helm => "helm",
            Self::Windlass => "windlass",
        }
    }
}

/// The paths of the programs.
#[derive(Debug, Clone)]
pub struct Programs {
    pub kustomize: PathBuf,
    /// None: charts are not rendered.
    pub helm: Option<PathBuf>,
    /// `windlass-renderer`, which is both and goes on running; None: the others are started for
    /// each job.
    pub warm: Option<PathBuf>,
    /// windlass itself, which puts the others into the jail; None: they run without a jail.
    pub launcher: Option<PathBuf>,
}

/// Files in, text out.
#[derive(Debug, Clone)]
pub struct Job {
    pub program: Program,
    pub arguments: Vec<String>,
    /// Path → content.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// Symbolic links, each with the directory that it leads to; no link is on either path.
    pub links: BTreeMap<String, String>,
    pub trust: Trust,
    /// The time limit.
    pub most: Duration,
}

/// Where a job's files come from. What jobs of one trust do to a process reaches no other trust.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Trust {
    /// From a branch that is synced, or the working copy of `windlass plan`.
    Merged,
    /// From a pull request's head, by its commit: such jobs never take all slots.
    Head(String),
}

impl Job {
    /// Whether a kustomization may change what kustomize knows of the kinds. kustomize takes the
    /// field's name in any case, and escaped.
    fn has_own_schema(&self) -> bool {
        self.files.iter().any(|(path, content)| {
            let name = path.rsplit('/').next().unwrap_or(path);
            KUSTOMIZATIONS.contains(&name) && {
                let text = String::from_utf8_lossy(content);
                text.contains('\\') || text.to_ascii_lowercase().contains("openapi")
            }
        })
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// The files are wrong or need too much: a message for their author.
    Author(String),
    /// It may succeed later: others used the resources, or no renderer is available.
    Passing(String),
}

/// Where jobs run.
pub enum Runner {
    Local(Box<Local>),
    /// The socket of a `windlass render`.
    Remote(PathBuf),
}

impl Runner {
    /// Child processes on this machine. `work`: the parent of their temporary folders.
    pub fn local(programs: Programs, work: PathBuf) -> anyhow::Result<Self> {
        Ok(Self::Local(Box::new(Local::new(programs, work)?)))
    }

    /// Runs a job. Returns how long it took, and its output or the error.
    pub async fn run(&self, job: &Job) -> (Duration, Result<String, Trouble>) {
        let started = Instant::now();
        match self {
            Self::Local(local) => local.run(job).await,
            Self::Remote(socket) => {
                let answer =
                    tokio::time::timeout(REMOTE_TIMEOUT, socket::request(socket, job)).await;
                let answer = answer.unwrap_or_else(|_| {
                    Err(anyhow::anyhow!("the renderer's container does not answer"))
                });
                match answer {
                    Ok(Answer { took, printed }) => (Duration::from_millis(took), printed),
                    Err(error) => (
                        started.elapsed(),
                        Err(Trouble::Passing(format!("{error:#}"))),
                    ),
                }
            }
        }
    }
}
