//! Child processes on this machine, each in a jail and a folder of its own, with
//! limits for each and for all together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::memory::{Resident, memory_limit, resident};
use super::warm::{Ended, Idle, Warm};
use super::{Job, MOST_TIME, Program, Programs, Trouble, Trust};

pub(super) const MOST_OUTPUT: u64 = 32 << 20;
/// The resident memory that a child may use, and how often that is measured. (The address space
/// that a Go program reserves says little.)
const MOST_RESIDENT: u64 = 320 << 20;
const MEASURE_EVERY: Duration = Duration::from_millis(20);
/// The usual memory of a child: `GOMEMLIMIT` and some room. It determines how many run at once.
const USUAL_RESIDENT: u64 = 200 << 20;

/// Runs child processes on this machine.
pub struct Local {
    programs: Programs,
    work: PathBuf,
    at_once: usize,
    children: Semaphore,
    /// Limits those for pull requests' heads: they leave one slot free.
    heads: Semaphore,
    /// The memory that all children use, and may use.
    resident: AtomicU64,
    most_resident: u64,
    /// Warm renderers without a job.
    idle: Idle,
}

/// The arguments for a program: what is `kustomize build` elsewhere is `kubectl kustomize`.
fn arguments_of(job: &Job, program: &Path) -> Vec<String> {
    let is_kubectl = program.file_name().is_some_and(|name| name == "kubectl");
    match (job.program, &job.arguments[..]) {
        (Program::Kustomize, [_, rest @ ..]) if is_kubectl => {
            [&["kustomize".to_string()], rest].concat()
        }
        _ => job.arguments.clone(),
    }
}

impl Local {
    /// `work`: the parent of the children's temporary folders.
    pub fn new(programs: Programs, work: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&work)?;
        // Remove what a killed windlass left.
        for entry in std::fs::read_dir(&work)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("render-") {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let cores = std::thread::available_parallelism()
            .map_or(2, |cores| cores.get())
            .clamp(2, 8);
        // Children may use half of the container's memory; as many run at once as fit into that.
        let most_resident = memory_limit().map_or(cores as u64 * MOST_RESIDENT, |limit| {
            (limit / 2).max(MOST_RESIDENT)
        });
        let at_once = cores
            .min(usize::try_from(most_resident / USUAL_RESIDENT).unwrap_or(cores))
            .max(1);
        let (children, heads, resident) = (
            Semaphore::new(at_once),
            Semaphore::new((at_once - 1).max(1)),
            AtomicU64::new(0),
        );
        Ok(Self {
            programs,
            work,
            at_once,
            children,
            heads,
            resident,
            most_resident,
            idle: Idle::default(),
        })
    }

    pub(super) async fn run(&self, job: &Job) -> (Duration, Result<String, Trouble>) {
        let stopping = || {
            (
                Duration::ZERO,
                Err(Trouble::Passing("windlass is stopping".into())),
            )
        };
        let _of_head = if matches!(job.trust, Trust::Head(_)) {
            Some(self.heads.acquire().await)
        } else {
            None
        };
        let Ok(_permit) = self.children.acquire().await else {
            return stopping();
        };
        let started = Instant::now();
        let printed = self.child(job).await;
        (started.elapsed(), printed)
    }

    async fn child(&self, job: &Job) -> Result<String, Trouble> {
        match (&self.programs.warm, job.program) {
            (Some(program), Program::Kustomize | Program::Helm) => self.warm(program, job).await,
            _ => self.once(job).await,
        }
    }

    /// Runs a job in a renderer that may have run others of its trust.
    async fn warm(&self, program: &Path, job: &Job) -> Result<String, Trouble> {
        if let Some(kept) = self.idle.take(&job.trust) {
            // If it ends, the job may not be what ended it: another renderer tries it again.
            if let Ok(printed) = self.run_in(kept, job).await {
                return printed;
            }
        }
        let folder = self.folder()?;
        let command = self.command(program, &[], folder.path());
        let fresh = Warm::start(job.trust.clone(), command, folder)?;
        self.run_in(fresh, job).await?
    }

    /// Runs a job in a warm renderer, and keeps that if it is as good as before.
    async fn run_in(
        &self,
        mut renderer: Warm,
        job: &Job,
    ) -> Result<Result<String, Trouble>, Ended> {
        let pid = renderer.pid();
        let printed = match self.within_limits(job, pid, renderer.run(job)).await {
            Ok(printed) => printed?,
            Err(trouble) => return Ok(Err(trouble)),
        };
        self.idle.put(renderer);
        Ok(printed)
    }

    /// Runs a job in a process of its own.
    async fn once(&self, job: &Job) -> Result<String, Trouble> {
        let program = self.program(job.program)?;
        let folder = self.folder()?;
        lay_out(folder.path(), &job.files, &job.links)
            .map_err(|error| broken("cannot lay out files", &error))?;
        let child = self
            .command(&program, &arguments_of(job, &program), folder.path())
            .spawn()
            .map_err(|error| broken("cannot start", &error))?;
        let pid = child.id();
        // The child is killed when its future is dropped.
        let Output {
            status,
            stdout,
            stderr,
        } = self.within_limits(job, pid, output_of(child)).await??;
        if stdout.len() as u64 > MOST_OUTPUT {
            return Err(printed_too_much());
        }
        if !status.success() {
            return Err(failed(&stderr, folder.path()));
        }
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// Waits for what a process does, while it takes no more time and memory than it may.
    async fn within_limits<T>(
        &self,
        job: &Job,
        pid: Option<u32>,
        work: impl Future<Output = T>,
    ) -> Result<T, Trouble> {
        let most = job.most.min(MOST_TIME);
        let too_long = |_| Trouble::Author(format!("took longer than {} s", most.as_secs()));
        tokio::select! {
            ended = tokio::time::timeout(most, work) => ended.map_err(too_long),
            trouble = self.takes_too_much(pid) => Err(trouble),
        }
    }

    /// A folder for a new process, which takes the place of one that waits if all are taken.
    fn folder(&self) -> Result<TempDir, Trouble> {
        self.idle.leave(self.at_once.saturating_sub(self.running()));
        tempfile::Builder::new()
            .prefix("render-")
            .tempdir_in(&self.work)
            .map_err(|error| broken("cannot lay out files", &error))
    }

    /// How many processes run a job.
    fn running(&self) -> usize {
        self.at_once
            .saturating_sub(self.children.available_permits())
            .max(1)
    }

    fn program(&self, program: Program) -> Result<PathBuf, Trouble> {
        let no_helm = "charts are not rendered here: windlass was started without --helm";
        match program {
            Program::Kustomize => Ok(self.programs.kustomize.clone()),
            Program::Helm => self
                .programs
                .helm
                .clone()
                .ok_or_else(|| Trouble::Author(no_helm.into())),
            Program::Windlass => {
                std::env::current_exe().map_err(|error| broken("cannot find this program", &error))
            }
        }
    }

    /// The command for a program, jailed in the folder if there is a launcher.
    fn command(&self, program: &Path, arguments: &[String], folder: &Path) -> Command {
        let mut command = match &self.programs.launcher {
            Some(launcher) => {
                let mut command = Command::new(launcher);
                command
                    .arg("jail")
                    .arg("--folder")
                    .arg(folder)
                    .arg("--")
                    .arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            // No programs on PATH and no network by proxy: a second barrier behind the check of
            // references.
            .env("PATH", "")
            .env("HOME", folder)
            .env("TMPDIR", folder)
            .env("HTTP_PROXY", "http://127.0.0.1:1")
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            // Renderers are Go programs, many at a time: one thread each, and garbage collection
            // only near the limit.
            .env("GOMAXPROCS", "1")
            .env("GOGC", "off")
            .env("GOMEMLIMIT", "192MiB")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Returns when a child uses too much memory, alone or together with the others.
    async fn takes_too_much(&self, pid: Option<u32>) -> Trouble {
        let mut own = Resident {
            all: &self.resident,
            known: 0,
        };
        let Some(pid) = pid else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(MEASURE_EVERY).await;
            own.set(resident(pid).unwrap_or_default());
            if own.known > MOST_RESIDENT {
                return Trouble::Author(format!(
                    "took more than {} MiB of memory",
                    MOST_RESIDENT >> 20
                ));
            }
            // If all together use too much, those that use more than an equal share are killed.
            let share = self.most_resident / self.running() as u64;
            if self.resident.load(Ordering::SeqCst) > self.most_resident && own.known > share {
                return Trouble::Passing(format!(
                    "took more than {} MiB of memory while other renderings needed the rest",
                    share >> 20
                ));
            }
        }
    }
}

/// What a program says of its failure, for the author of its files: without the folder they are in.
pub(super) fn failed(words: &[u8], folder: &Path) -> Trouble {
    let words = String::from_utf8_lossy(words).replace(&folder.display().to_string(), "");
    Trouble::Author(without_warnings(&words))
}

pub(super) fn printed_too_much() -> Trouble {
    Trouble::Author(format!("printed more than {} MiB", MOST_OUTPUT >> 20))
}

pub(super) fn broken(what: &str, error: &dyn std::fmt::Display) -> Trouble {
    Trouble::Passing(format!("{what}: {error}"))
}

/// The output of a child until it ends, cut at a little more than the limit.
async fn output_of(mut child: Child) -> Result<Output, Trouble> {
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(broken("cannot start", &"no pipes"));
    };
    let reading = async {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (mut stdout, mut stderr) = (stdout.take(MOST_OUTPUT + 1), stderr.take(64 << 10));
        let (read, _) = tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
        read?;
        drop((stdout, stderr));
        Ok::<_, std::io::Error>(Output {
            status: child.wait().await?,
            stdout: out,
            stderr: err,
        })
    };
    reading
        .await
        .map_err(|error| broken("cannot be read", &error))
}

pub(super) fn lay_out(
    folder: &Path,
    files: &BTreeMap<String, Arc<[u8]>>,
    links: &BTreeMap<String, String>,
) -> std::io::Result<()> {
    for (path, content) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::write(path, content)?;
    }
    // After the files: none is written through a link.
    for (path, to) in links {
        let up = "../".repeat(path.matches('/').count());
        let path = folder.join(path);
        std::fs::create_dir_all(folder.join(to))?;
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::os::unix::fs::symlink(format!("{up}{to}"), path)?;
    }
    Ok(())
}

/// What a program says of its failure, without what it warns of before.
pub(super) fn without_warnings(words: &str) -> String {
    let is_warning = |line: &str| {
        let line = line.trim_start_matches(['#', ' ']).to_ascii_lowercase();
        line.starts_with("warning:") || line.starts_with("use --debug flag")
    };
    let lines: Vec<_> = words.lines().filter(|line| !is_warning(line)).collect();
    let words = lines.join("\n");
    words.trim().trim_start_matches("Error: ").to_string()
}
