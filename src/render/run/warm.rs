//! Renderers that go on running between jobs, which saves each job their start.
//!
//! A renderer serves jobs of one trust only: what a pull request's head does to
//! it can reach nothing else. It is jailed like one that is started for one job,
//! and ends when it has used too much, or has waited for too long.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::local::{MOST_OUTPUT, broken, failed, lay_out, printed_too_much, without_warnings};
use super::memory::resident;
use super::{Job, Program, Trouble, Trust};

/// How long a renderer waits for its next job.
const KEPT: Duration = Duration::from_secs(60);
/// What a renderer may have used when it is kept: run time, since a process has a limit of
/// processor time; and resident memory in bytes.
const MOST_SPENT: Duration = Duration::from_secs(25);
const MOST_KEPT: u64 = 160 << 20;
/// The most bytes of an answer's first line, and of the words about a failure.
const MOST_LINE: u64 = 200;
const MOST_WORDS: usize = 64 << 10;

/// The program ended before it answered: its last words.
pub(super) struct Ended(String);

impl From<Ended> for Trouble {
    fn from(Ended(words): Ended) -> Self {
        Self::Author(without_warnings(&words))
    }
}

#[derive(Serialize)]
struct Request<'a> {
    program: Program,
    arguments: &'a [String],
    folder: &'a Path,
    own_schema: bool,
}

#[derive(Deserialize)]
struct Answer {
    failed: bool,
    length: u64,
}

/// A running renderer.
pub(super) struct Warm {
    trust: Trust,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: File,
    /// What it may read and write; the files of each job are in a folder below.
    folder: TempDir,
    spent: Duration,
}

impl Warm {
    /// `command`: starts the program in the folder, in a jail.
    pub(super) fn start(
        trust: Trust,
        mut command: Command,
        folder: TempDir,
    ) -> Result<Self, Trouble> {
        let stderr = tempfile::tempfile_in(folder.path());
        let stderr = stderr.and_then(|file| Ok((file.try_clone()?, file)));
        let (stderr, written) = stderr.map_err(|error| broken("cannot start", &error))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::from(written))
            .spawn()
            .map_err(|error| broken("cannot start", &error))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(broken("cannot start", &"no pipes"));
        };
        Ok(Self {
            trust,
            child,
            stdin,
            stdout: BufReader::new(stdout),
            stderr,
            folder,
            spent: Duration::ZERO,
        })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Runs a job: its output, or why it failed. After a time-out it must not be used again.
    pub(super) async fn run(&mut self, job: &Job) -> Result<Result<String, Trouble>, Ended> {
        let started = Instant::now();
        let files = match self.files(job) {
            Ok(files) => files,
            Err(error) => return Ok(Err(broken("cannot lay out files", &error))),
        };
        let answered = self.ask(job, &files).await;
        let (is_failure, text) = answered.map_err(|_| Ended(self.last_words()))?;
        self.spent += started.elapsed();
        let Some(mut text) = text else {
            self.spent = MOST_SPENT;
            return Ok(Err(printed_too_much()));
        };
        let _ = std::fs::remove_dir_all(&files);
        Ok(if is_failure {
            text.truncate(MOST_WORDS);
            Err(failed(&text, &files))
        } else {
            Ok(String::from_utf8_lossy(&text).into_owned())
        })
    }

    /// Lays out the files of a job. They are made where the renderer cannot write, and then moved:
    /// nothing that an earlier job left is followed.
    fn files(&self, job: &Job) -> std::io::Result<PathBuf> {
        let beside = self.folder.path().parent().unwrap_or(self.folder.path());
        let made = tempfile::Builder::new()
            .prefix("render-")
            .tempdir_in(beside)?;
        lay_out(made.path(), &job.files, &job.links)?;
        let name = made.path().file_name().unwrap_or_default();
        let to = self.folder.path().join(name);
        std::fs::rename(made.path(), &to)?;
        // It is no longer where it was made.
        let _ = made.keep();
        Ok(to)
    }

    /// Whether the job failed, and the answer; None: it is too long.
    async fn ask(&mut self, job: &Job, files: &Path) -> std::io::Result<(bool, Option<Vec<u8>>)> {
        let mut line = serde_json::to_vec(&Request {
            program: job.program,
            arguments: &job.arguments,
            folder: files,
            own_schema: job.has_own_schema(),
        })?;
        line.push(b'\n');
        self.stdin.write_all(&line).await?;
        self.stdin.flush().await?;
        let mut line = Vec::new();
        let mut first = (&mut self.stdout).take(MOST_LINE);
        first.read_until(b'\n', &mut line).await?;
        let Answer { failed, length } = serde_json::from_slice(&line)?;
        if length > MOST_OUTPUT {
            return Ok((failed, None));
        }
        let mut text = vec![0; usize::try_from(length).unwrap_or_default()];
        self.stdout.read_exact(&mut text).await?;
        Ok((failed, Some(text)))
    }

    fn last_words(&mut self) -> String {
        let mut words = Vec::new();
        let read = self.stderr.seek(SeekFrom::Start(0)).and_then(|_| {
            let mut first = (&mut self.stderr).take(MOST_WORDS as u64);
            first.read_to_end(&mut words)
        });
        match read {
            Ok(_) if !words.is_empty() => String::from_utf8_lossy(&words).into_owned(),
            _ => "the program ended before it was done".into(),
        }
    }

    fn is_worn_out(&self) -> bool {
        let memory = self.pid().and_then(resident);
        self.spent >= MOST_SPENT || memory.is_none_or(|bytes| bytes > MOST_KEPT)
    }
}

/// Renderers that wait for a job, the one that has waited longest first.
#[derive(Default)]
pub(super) struct Idle(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    renderers: Vec<(Instant, Warm)>,
    /// Somebody ends those that wait for too long.
    swept: bool,
}

impl Idle {
    /// One that has served this trust before.
    pub(super) fn take(&self, trust: &Trust) -> Option<Warm> {
        let renderers = &mut lock(&self.0).renderers;
        let at = renderers.iter().position(|(_, one)| one.trust == *trust)?;
        Some(renderers.remove(at).1)
    }

    /// Ends some, until there are at most so many.
    pub(super) fn leave(&self, most: usize) {
        let mut waiting = lock(&self.0);
        let ended = waiting.renderers.len().saturating_sub(most);
        let ended: Vec<_> = waiting.renderers.drain(..ended).collect();
        // Removing their folders takes time.
        drop(waiting);
        drop(ended);
    }

    pub(super) fn put(&self, renderer: Warm) {
        if renderer.is_worn_out() {
            return;
        }
        let mut waiting = lock(&self.0);
        waiting.renderers.push((Instant::now(), renderer));
        if !std::mem::replace(&mut waiting.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
    }
}

async fn sweep(waiting: Weak<Mutex<Waiting>>) {
    loop {
        tokio::time::sleep(KEPT / 4).await;
        let Some(waiting) = waiting.upgrade() else {
            return;
        };
        let mut waiting = lock(&waiting);
        let is_over = |(since, _): &mut (Instant, Warm)| since.elapsed() >= KEPT;
        let ended: Vec<_> = waiting.renderers.extract_if(.., is_over).collect();
        waiting.swept = !waiting.renderers.is_empty();
        let goes_on = waiting.swept;
        drop(waiting);
        drop(ended);
        if !goes_on {
            return;
        }
    }
}

fn lock(waiting: &Mutex<Waiting>) -> std::sync::MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
