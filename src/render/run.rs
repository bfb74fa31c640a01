//! Runs the programs that render: here, as children in the jail, or in another
//! container that has nothing to lose, over a socket.
//!
//! A job is pure: files in, text out. Each child has bounds of its own (time,
//! output, memory) and all together have theirs, kept from outside: a program
//! of a pull request's choosing does not keep its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

const MOST_OUTPUT: u64 = 32 << 20;
pub const MOST_TIME: Duration = Duration::from_secs(30);
/// Memory that a child may really take, and how often that is looked at. Beyond the address space that a Go program
/// reserves, which says little.
const MOST_RESIDENT: u64 = 320 << 20;
const LOOK_AT_MEMORY: Duration = Duration::from_millis(20);
/// What a Go program is told to stay under (`GOMEMLIMIT`, with some room): so many of them fit at once.
const USUAL_RESIDENT: u64 = 200 << 20;
/// A request to a renderer elsewhere, and its answer.
const MOST_MESSAGE: u64 = 96 << 20;
/// How long it is waited for until a renderer elsewhere listens.
const STARTING: Duration = Duration::from_secs(10);
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
                let asked = tokio::time::timeout(ELSEWHERE, ask(socket, job)).await;
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

/// Children on this machine.
pub struct Local {
    programs: Programs,
    work: PathBuf,
    at_once: usize,
    children: Semaphore,
    /// Of them, those of pull requests' heads.
    heads: Semaphore,
    /// What all children take, and may take.
    resident: AtomicU64,
    most_resident: u64,
}

impl Local {
    /// `work`: a folder for throw-away folders.
    pub fn new(programs: Programs, work: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&work)?;
        // What a windlass that was killed has left.
        for entry in std::fs::read_dir(&work)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("render-") {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let cores = std::thread::available_parallelism()
            .map_or(2, |cores| cores.get())
            .clamp(2, 8);
        // Half of what the container may take is the children's; no more at once than fit into it.
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
        })
    }

    async fn run(&self, job: &Job) -> (Duration, Result<String, Trouble>) {
        let stopping = || {
            (
                Duration::ZERO,
                Err(Trouble::Passing("windlass is stopping".into())),
            )
        };
        let _of_head = if job.of_head {
            Some(self.heads.acquire().await)
        } else {
            None
        };
        let Ok(_turn) = self.children.acquire().await else {
            return stopping();
        };
        let started = Instant::now();
        let printed = self.child(job).await;
        (started.elapsed(), printed)
    }

    async fn child(&self, job: &Job) -> Result<String, Trouble> {
        let broken = |what: &str, error: &dyn std::fmt::Display| {
            Trouble::Passing(format!("{what}: {error}"))
        };
        let no_helm = "charts are not rendered here: windlass was started without --helm";
        let program = match job.program {
            Program::Kustomize => self.programs.kustomize.clone(),
            Program::Helm => self
                .programs
                .helm
                .clone()
                .ok_or_else(|| Trouble::Author(no_helm.into()))?,
            Program::Windlass => std::env::current_exe()
                .map_err(|error| broken("cannot find this program", &error))?,
        };
        let folder = tempfile::Builder::new()
            .prefix("render-")
            .tempdir_in(&self.work)
            .map_err(|error| broken("cannot lay out files", &error))?;
        lay_out(folder.path(), &job.files)
            .map_err(|error| broken("cannot lay out files", &error))?;
        let mut command = match &self.programs.launcher {
            Some(launcher) => {
                let mut command = tokio::process::Command::new(launcher);
                command
                    .arg("jail")
                    .arg("--folder")
                    .arg(folder.path())
                    .arg("--")
                    .arg(program);
                command
            }
            None => tokio::process::Command::new(program),
        };
        let mut child = command
            .args(&job.arguments)
            .current_dir(folder.path())
            .env_clear()
            // No program to be found, no way out: a second wall behind the check of references.
            .env("PATH", "")
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .env("HTTP_PROXY", "http://127.0.0.1:1")
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            // Renderers are short-lived Go programs, many at a time: one thread each, and no garbage collected before it is much.
            .env("GOMAXPROCS", "1")
            .env("GOGC", "off")
            .env("GOMEMLIMIT", "192MiB")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| broken("cannot start", &error))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(broken("cannot start", &"no pipes"));
        };
        let pid = child.id();
        let run = async {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let (mut stdout, mut stderr) = (stdout.take(MOST_OUTPUT + 1), stderr.take(64 << 10));
            let (read, _) =
                tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
            read?;
            drop((stdout, stderr));
            Ok::<_, std::io::Error>((child.wait().await?, out, err))
        };
        // What ends first; the child is killed when this goes.
        let most = job.most.min(MOST_TIME);
        let ended = tokio::select! {
            ended = tokio::time::timeout(most, run) => ended.map_err(|_| Trouble::Author(format!("took longer than {} s", most.as_secs())))?,
            trouble = self.takes_too_much(pid) => return Err(trouble),
        };
        let (status, out, err) = ended.map_err(|error| broken("cannot be read", &error))?;
        if out.len() as u64 > MOST_OUTPUT {
            return Err(Trouble::Author(format!(
                "printed more than {} MiB",
                MOST_OUTPUT >> 20
            )));
        }
        if !status.success() {
            let words =
                String::from_utf8_lossy(&err).replace(&folder.path().display().to_string(), "");
            return Err(Trouble::Author(
                words.trim().trim_start_matches("Error: ").to_string(),
            ));
        }
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// Comes back when a child takes more memory than it may, alone or with the others.
    async fn takes_too_much(&self, pid: Option<u32>) -> Trouble {
        let mut own = Resident {
            all: &self.resident,
            known: 0,
        };
        let Some(pid) = pid else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(LOOK_AT_MEMORY).await;
            own.set(resident(pid).unwrap_or_default());
            if own.known > MOST_RESIDENT {
                return Trouble::Author(format!(
                    "took more than {} MiB of memory",
                    MOST_RESIDENT >> 20
                ));
            }
            // Over what all may take: who takes more than his part of it ends.
            let running = self
                .at_once
                .saturating_sub(self.children.available_permits())
                .max(1);
            let part = self.most_resident / running as u64;
            if self.resident.load(Ordering::SeqCst) > self.most_resident && own.known > part {
                return Trouble::Passing(format!(
                    "more than {} MiB of memory were not to be had beside others",
                    part >> 20
                ));
            }
        }
    }
}

fn lay_out(folder: &Path, files: &BTreeMap<String, Arc<[u8]>>) -> std::io::Result<()> {
    for (path, content) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::write(path, content)?;
    }
    Ok(())
}

/// A child's part of what all children take.
struct Resident<'a> {
    all: &'a AtomicU64,
    known: u64,
}

impl Resident<'_> {
    fn set(&mut self, bytes: u64) {
        self.all.fetch_add(bytes, Ordering::SeqCst);
        self.all.fetch_sub(self.known, Ordering::SeqCst);
        self.known = bytes;
    }
}

impl Drop for Resident<'_> {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Bytes of memory that a process takes (proc(5), `VmRSS`); None: there is no such process any more.
pub fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Bytes of memory that the container may take (cgroup v2); None: no limit is set.
fn memory_limit() -> Option<u64> {
    std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()?
        .trim()
        .parse()
        .ok()
}

// ---- elsewhere

#[derive(Serialize, Deserialize)]
struct Request {
    program: Program,
    arguments: Vec<String>,
    /// Path → content in base64.
    files: BTreeMap<String, String>,
    of_head: bool,
    /// Milliseconds.
    most: u64,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    /// Milliseconds.
    took: u64,
    printed: Result<String, Trouble>,
}

async fn ask(socket: &Path, job: &Job) -> anyhow::Result<Answer> {
    let since = Instant::now();
    let mut stream = loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => break stream,
            // Its container may just be starting.
            Err(_) if since.elapsed() < STARTING => {
                tokio::time::sleep(Duration::from_millis(200)).await
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("no renderer listens at {}", socket.display()));
            }
        }
    };
    let files = job
        .files
        .iter()
        .map(|(path, content)| (path.clone(), BASE64.encode(content)))
        .collect();
    let request = Request {
        program: job.program,
        arguments: job.arguments.clone(),
        files,
        of_head: job.of_head,
        most: job.most.as_millis() as u64,
    };
    send(&mut stream, &request).await?;
    receive(&mut stream)
        .await
        .context("the renderer's container")
}

/// A message: its length in eight bytes, little end first, and JSON.
async fn send(stream: &mut UnixStream, message: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_vec(message)?;
    stream.write_u64_le(text.len() as u64).await?;
    stream.write_all(&text).await?;
    Ok(stream.flush().await?)
}

async fn receive<T: serde::de::DeserializeOwned>(stream: &mut UnixStream) -> anyhow::Result<T> {
    let length = stream.read_u64_le().await?;
    anyhow::ensure!(
        length <= MOST_MESSAGE,
        "a message of {length} bytes is too long"
    );
    let mut text = Vec::new();
    stream.take(length).read_to_end(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}

/// `windlass render`
#[derive(Debug, Clone, clap::Args)]
pub struct RenderArgs {
    /// The socket to listen at, in a folder that windlass's container shares
    #[arg(long, value_name = "FILE")]
    socket: PathBuf,

    /// The kustomize program
    #[arg(
        long,
        env = "WINDLASS_KUSTOMIZE",
        default_value = "kustomize",
        value_name = "PROGRAM"
    )]
    pub kustomize: PathBuf,

    /// The helm program; without it charts are not rendered
    #[arg(long, env = "WINDLASS_HELM", value_name = "PROGRAM")]
    pub helm: Option<PathBuf>,

    /// Folder for what is laid out for a rendering
    #[arg(long, default_value = "/tmp", value_name = "FOLDER")]
    work: PathBuf,
}

/// Renders what windlass sends, until it is stopped. Whoever runs this has no token and no network: what a renderer could
/// reach if it got out of its jail is nothing.
pub async fn serve(args: &RenderArgs, programs: Programs) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(&args.socket);
    let listener = UnixListener::bind(&args.socket)
        .with_context(|| format!("cannot listen at {}", args.socket.display()))?;
    let runner = Arc::new(Runner::Local(Local::new(programs, args.work.clone())?));
    tracing::info!(socket = %args.socket.display(), "rendering");
    loop {
        let (mut stream, _) = listener.accept().await?;
        let runner = runner.clone();
        tokio::spawn(async move {
            let answered = async {
                let Request {
                    program,
                    arguments,
                    files,
                    of_head,
                    most,
                } = receive(&mut stream).await?;
                let files = files.into_iter().map(|(path, content)| {
                    // Only files in the folder: whoever asks is not believed either.
                    let legal = !path.starts_with('/')
                        && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
                    anyhow::ensure!(legal, "`{path}` is no file of a rendering");
                    Ok((path, Arc::<[u8]>::from(BASE64.decode(content)?)))
                });
                let job = Job {
                    program,
                    arguments,
                    files: files.collect::<anyhow::Result<_>>()?,
                    of_head,
                    most: Duration::from_millis(most),
                };
                let (took, printed) = runner.run(&job).await;
                send(
                    &mut stream,
                    &Answer {
                        took: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                        printed,
                    },
                )
                .await
            };
            if let Err(error) = answered.await {
                tracing::warn!(%error, "a rendering was not answered");
            }
        });
    }
}
