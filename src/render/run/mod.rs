//! Runs the programs that render: here, as children in the jail, or in another
//! container that has nothing to lose, over a socket.
//!
//! A job is pure: files in, text out. Each child has bounds of its own (time,
//! output, memory) and all together have theirs, kept from outside: a program
//! of a pull request's choosing does not keep its own.
//!
//! - [`local`]: children on this machine, and [`memory`], what they take
//! - [`socket`]: a renderer in another container, both ends of it

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

mod local;
mod memory;
mod socket;

pub use local::Local;
pub use memory::resident;
use socket::Answer;
pub use socket::{RenderArgs, serve};

pub const MOST_TIME: Duration = Duration::from_secs(30);
/// How long a renderer elsewhere is waited for: its own bounds, and its queue.
const ELSEWHERE: Duration = Duration::from_secs(90);

/// What can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    Kustomize,
    Helm,
    /// This very program: evaluates validation rules, tries the jail.
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

/// Where they are.
#[derive(Debug, Clone)]
pub struct Programs {
    pub kustomize: PathBuf,
    /// None: charts are not rendered.
    pub helm: Option<PathBuf>,
    /// This very program, which jails the others; None: they run without a jail.
    pub launcher: Option<PathBuf>,
}

/// Files in, text out.
#[derive(Debug, Clone)]
pub struct Job {
    pub program: Program,
    pub arguments: Vec<String>,
    /// Path → content.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// It belongs to a pull request's head: those never take every place at once.
    pub of_head: bool,
    /// The time that it may take.
    pub most: Duration,
}

/// Why a job did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// What it was given is wrong, or asks for too much: in words for its author.
    Author(String),
    /// It may come to its end another time: others took what it needed, or nobody renders just now.
    Passing(String),
}

/// Where jobs are done.
pub enum Runner {
    Local(Local),
    /// The socket of a `windlass render`.
    Elsewhere(PathBuf),
}

impl Runner {
    /// How long a job took, and what it printed, or why it did not come to its end.
    pub async fn run(&self, job: &Job) -> (Duration, Result<String, Trouble>) {
        let started = Instant::now();
        match self {
            Self::Local(local) => local.run(job).await,
            Self::Elsewhere(socket) => {
                let asked = tokio::time::timeout(ELSEWHERE, socket::ask(socket, job)).await;
                let answer = asked.unwrap_or_else(|_| {
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
