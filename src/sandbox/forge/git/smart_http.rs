//! What stands behind the clone URLs: `git http-backend`, run as a CGI program.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::sandbox::forge::{Call, Inner, Reply, ReplyBody};

impl Inner {
    /// `git http-backend` behind the clone URLs. A push is announced as webhooks afterwards.
    pub(in crate::sandbox::forge) fn smart_http(&self, call: &Call) -> Reply {
        let Some((repo, _)) = call.path.trim_start_matches('/').split_once(".git/") else {
            return Reply::error(404, "Not Found");
        };
        let found = self
            .state()
            .by_full_name(repo)
            .map(|repo| (repo.id, repo.owner.clone(), repo.name.clone()));
        let Some((id, owner, name)) = found else {
            return Reply::error(404, "Not Found");
        };
        let write =
            call.query.contains("git-receive-pack") || call.path.ends_with("git-receive-pack");
        let Some(login) = self.git_user(call, id, write) else {
            return Reply {
                status: 401,
                body: ReplyBody::Empty,
                headers: vec![("www-authenticate", "Basic realm=\"GitHub\"".into())],
            };
        };
        let pushes = call.path.ends_with("git-receive-pack");
        if pushes
            && let Ok(body) = inflated(call)
            && let Some(refusal) = self.refused_push(&owner, &name, &body)
        {
            return refusal;
        }
        let before = self.branches(&owner, &name);
        let reply = self
            .http_backend(call)
            .unwrap_or_else(|error| Reply::error(500, error.to_string()));
        if pushes {
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

    fn http_backend(&self, call: &Call) -> anyhow::Result<Reply> {
        let body = inflated(call)?;
        let (repo, rest) = call
            .path
            .trim_start_matches('/')
            .split_once(".git/")
            .context("a repository")?;
        let mut child = Command::new("git")
            .arg("http-backend")
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
