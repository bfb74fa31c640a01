//! What stands behind the clone URLs: `git http-backend`, run as a CGI program.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::Context as _;

use crate::sandbox::forge::state::Repository;
use crate::sandbox::forge::{Call, Inner, Reply, ReplyBody};

impl Inner {
    /// `git http-backend` behind the clone URLs. A push is announced as webhooks afterwards.
    pub(in crate::sandbox::forge) fn smart_http(&self, call: &Call) -> Reply {
        let Some((repo, rest)) = call.path.trim_start_matches('/').split_once(".git/") else {
            return Reply::error(404, "Not Found");
        };
        let (found, moved) = {
            let state = self.state();
            let found = state.by_full_name(repo);
            let moved = || state.moved_to(repo.split_once('/')?.0, repo.split_once('/')?.1);
            let told = |repo: &Repository| (repo.id, repo.owner.clone(), repo.name.clone());
            (found.or_else(moved).map(told), found.is_none())
        };
        let Some((id, owner, name)) = found else {
            return Reply::error(404, "Not Found");
        };
        let write =
            call.query.contains("git-receive-pack") || call.path.ends_with("git-receive-pack");
        let login = match self.git_caller(call, id, write) {
            Ok(login) => login,
            Err(refusal) => return refusal,
        };
        if moved && call.method == http::Method::GET {
            let to = format!("{}/{owner}/{name}.git/{rest}?{}", self.origin(), call.query);
            return Reply::empty(301).with("location", to);
        }
        let pushes = call.path.ends_with("git-receive-pack");
        if pushes
            && let Ok(body) = inflated(call)
            && let Some(refusal) = self.refused_push(&owner, &name, &body)
        {
            return refusal;
        }
        if call.path.ends_with("/info/refs") && !write && login == self.state().app.bot() {
            let fetched = &mut self.state().fetched;
            *fetched.entry(format!("{owner}/{name}")).or_default() += 1;
        }
        let before = pushes.then(|| self.branches(&owner, &name));
        let mut reply = self
            .http_backend(call, &format!("{owner}/{name}"), rest)
            .unwrap_or_else(|error| Reply::error(500, error.to_string()));
        if login == self.state().app.bot() {
            self.lag_refs(call, id, &mut reply);
        }
        if let Some(before) = before {
            let after = self.branches(&owner, &name);
            let names: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
            for branch in names {
                let (old, new) = (before.get(&branch), after.get(&branch));
                if old != new {
                    self.moved(
                        &format!("{owner}/{name}"),
                        &branch,
                        old.map(String::as_str),
                        new.map(String::as_str),
                        &login,
                    );
                }
            }
            self.settle_queues();
        }
        reply
    }

    /// Who asks, or how it is refused.
    fn git_caller(&self, call: &Call, repository: u64, write: bool) -> Result<String, Reply> {
        let unknown = || Reply::empty(401).with("www-authenticate", "Basic realm=\"GitHub\"");
        let auth = self.authenticate(call).map_err(|_| unknown())?;
        self.settled(call).map_err(|_| unknown())?;
        self.admitted(&auth)?;
        let state = self.state();
        if write && state.by_id(repository).is_some_and(|repo| repo.archived) {
            return Err(Reply::error(
                403,
                "This repository was archived so it is read-only.",
            ));
        }
        drop(state);
        self.git_user(call, repository, write).ok_or_else(unknown)
    }

    /// Tells the App of refs as they were, where they are not seen to have moved yet.
    fn lag_refs(&self, call: &Call, repository: u64, reply: &mut Reply) {
        let newest = header(call, "git-protocol").contains("version=2");
        let lists = if call.path.ends_with("/git-upload-pack") {
            let body = inflated(call).unwrap_or_default();
            body.windows(15).any(|part| part == b"command=ls-refs")
        } else {
            call.query.contains("git-upload-pack") && !newest
        };
        if !lists {
            return;
        }
        let mut state = self.state();
        let mut stale = state.unseen.list_refs(repository);
        let default = state.by_id(repository).map(|repo| &repo.default_branch);
        let default = default.map(|branch| format!("refs/heads/{branch}"));
        let head = stale
            .iter()
            .find(|(name, _)| Some(name) == default.as_ref());
        if let Some((_, before)) = head.cloned() {
            stale.push(("HEAD".into(), before));
        }
        if let ReplyBody::Bytes(_, bytes) = &mut reply.body
            && !stale.is_empty()
        {
            *bytes = stale_listing(bytes, &stale);
        }
    }

    fn http_backend(&self, call: &Call, repo: &str, rest: &str) -> anyhow::Result<Reply> {
        let body = inflated(call)?;
        let mut child = Command::new(backend())
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("REMOTE_USER", "user")
            .env("REQUEST_METHOD", call.method.as_str())
            .env("PATH_INFO", format!("/{}.git/{rest}", repo.to_lowercase()))
            .env("QUERY_STRING", &call.query)
            .env("CONTENT_TYPE", header(call, "content-type"))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("GIT_PROTOCOL", header(call, "git-protocol"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut pipe = child.stdin.take().context("piped")?;
        let writer = std::thread::spawn(move || pipe.write_all(&body));
        let output = child.wait_with_output()?.stdout;
        let _ = writer.join();
        reply(&output)
    }
}

/// git's server for smart HTTP: by its own path, since `git http-backend` is a process more.
fn backend() -> &'static Path {
    static BACKEND: OnceLock<PathBuf> = OnceLock::new();
    BACKEND.get_or_init(|| {
        let programs = Command::new("git").arg("--exec-path").output();
        let programs = programs.map(|output| output.stdout).unwrap_or_default();
        Path::new(String::from_utf8_lossy(&programs).trim()).join("git-http-backend")
    })
}

/// A listing of refs in which some are where they were. Lines are git's packets: four hexadecimal
/// digits of length, then id, name, and what else is told.
fn stale_listing(bytes: &[u8], stale: &[(String, Option<String>)]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some(digits) = rest.get(..4) {
        let length = std::str::from_utf8(digits).ok();
        let length = length.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        // Packets shorter than their own length end sections.
        let length = length.unwrap_or(rest.len()).clamp(4, rest.len());
        let (packet, after) = rest.split_at(length);
        rest = after;
        let name: &[u8] = packet.get(45..).unwrap_or_default();
        let end = |byte: &u8| matches!(byte, b' ' | b'\n' | 0);
        let name = name.split(end).next().unwrap_or_default();
        match stale.iter().find(|(one, _)| one.as_bytes() == name) {
            Some((_, Some(before))) => {
                out.extend_from_slice(digits);
                out.extend_from_slice(before.as_bytes());
                out.extend_from_slice(&packet[44..]);
            }
            Some((_, None)) => {}
            None => out.extend_from_slice(packet),
        }
    }
    out
}

fn header(call: &Call, name: &str) -> String {
    call.headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_string()
}

/// The request's body; git sends it by gzip at times.
fn inflated(call: &Call) -> anyhow::Result<Vec<u8>> {
    if header(call, "content-encoding") != "gzip" {
        return Ok(call.body.to_vec());
    }
    let mut child = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut pipe = child.stdin.take().context("piped")?;
    let input = call.body.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&input));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    Ok(output.stdout)
}

/// What a CGI program printed, as an answer.
fn reply(output: &[u8]) -> anyhow::Result<Reply> {
    let end = output
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("CGI headers")?;
    let (mut status, mut kind) = (200, "application/octet-stream".to_string());
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        match line.split_once(": ") {
            Some(("Status", value)) => status = value.split(' ').next().unwrap_or("500").parse()?,
            Some(("Content-Type", value)) => kind = value.to_string(),
            _ => {}
        }
    }
    Ok(Reply {
        status,
        body: ReplyBody::Bytes(kind, output[end + 4..].to_vec()),
        headers: vec![("cache-control", "no-cache".into())],
    })
}
