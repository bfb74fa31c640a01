//! git, run in a repository.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, bail};

/// Runs git in a repository; what it printed, without the final newline.
pub fn git(repo: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    run(repo, arguments, None, &[])
}

pub(super) fn run(
    repo: &Path,
    arguments: &[&str],
    stdin: Option<&[u8]>,
    environment: &[(&str, &str)],
) -> anyhow::Result<String> {
    let printed = run_for_bytes(repo, arguments, stdin, environment)?;
    Ok(String::from_utf8_lossy(&printed)
        .trim_end_matches('\n')
        .to_string())
}

pub(super) fn run_for_bytes(
    repo: &Path,
    arguments: &[&str],
    stdin: Option<&[u8]>,
    environment: &[(&str, &str)],
) -> anyhow::Result<Vec<u8>> {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(repo)
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(environment.iter().copied())
        .stdin(if stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start git")?;
    if let (Some(input), Some(mut pipe)) = (stdin, child.stdin.take()) {
        pipe.write_all(input)?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "git {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

/// Answers of git about commits by their ids, which never change: each is asked for once.
type Answers = HashMap<(PathBuf, Vec<String>), Option<String>>;

/// Runs git about nothing but ids of commits, or remembers what it said. None: it failed.
pub fn settled(repo: &Path, arguments: &[&str]) -> Option<String> {
    static ANSWERS: OnceLock<Mutex<Answers>> = OnceLock::new();
    let answers = || {
        ANSWERS
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    let key = (
        repo.to_path_buf(),
        arguments
            .iter()
            .map(|argument| argument.to_string())
            .collect(),
    );
    if let Some(known) = answers().get(&key) {
        return known.clone();
    }
    let answer = git(repo, arguments).ok();
    answers().insert(key, answer.clone());
    answer
}

pub fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}
