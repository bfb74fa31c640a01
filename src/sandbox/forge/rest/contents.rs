//! Files and folders, as they are at a ref.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::{Answer, Asked};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::git::{git, read_blob};

impl Asked<'_> {
    pub(super) fn contents(&self, path: &str) -> Answer {
        self.read("contents", |shapes, repo| {
            let reference = self.query.get("ref").cloned().unwrap_or_else(|| repo.default_branch.clone());
            let object = format!("{reference}:{path}");
            let kind = git(&self.path(), &["cat-file", "-t", &object]).map_err(|_| Reply::error(404, "Not Found"))?;
            let url = |path: &str| format!("{}/contents/{path}?ref={reference}", shapes.repo_url(repo));
            let entry = |path: &str, kind: &str, sha: &str, size: usize| {
                let git_url = format!("{}/git/{}s/{sha}", shapes.repo_url(repo), if kind == "dir" { "tree" } else { "blob" });
                json!({"name": path.rsplit('/').next(), "path": path, "sha": sha, "size": size, "url": url(path), "html_url": url(path),
                    "git_url": git_url, "download_url": null, "type": kind, "_links": {"self": url(path), "git": git_url, "html": url(path)}})
            };
            if kind == "tree" {
                let listing = git(&self.path(), &["ls-tree", "--long", &object]).unwrap_or_default();
                let entries: Vec<_> = listing
                    .lines()
                    .filter_map(|line| {
                        let (facts, name) = line.split_once('\t')?;
                        let facts: Vec<_> = facts.split_whitespace().collect();
                        let full = if path.is_empty() { name.to_string() } else { format!("{path}/{name}") };
                        Some(entry(&full, if facts[1] == "tree" { "dir" } else { "file" }, facts[2], facts[3].parse().unwrap_or(0)))
                    })
                    .collect();
                return Ok(Reply::json(200, Value::Array(entries)));
            }
            let sha = git(&self.path(), &["rev-parse", &object]).unwrap_or_default();
            let content = read_blob(&self.path(), &sha).unwrap_or_default();
            let mut value = entry(path, "file", &sha, content.len());
            value["content"] = BASE64.encode(&content).into();
            value["encoding"] = "base64".into();
            Ok(Reply::json(200, value))
        })
    }
}
