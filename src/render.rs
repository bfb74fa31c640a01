//! A directory of a tree → manifests: plain YAML, or kustomize.
//!
//! A pull request's head is untrusted input. What a rendering reads is settled
//! before anything runs: [`inputs`] follows every reference of every
//! kustomization inside the tree, and refuses one that leads out of it (remote
//! bases and files, absolute paths, symbolic links), names Helm charts or
//! plugins, or does not exist. Only those files are laid out for the child
//! process, which runs with an empty environment, a time limit and an output
//! limit. The hash of the inputs is the rendering's identity: the cache's key,
//! and what tells which applications a change touches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::domain::manifest::Manifest;
use crate::domain::{Invalid, yaml};
use crate::git::{EntryMode, Mirror, TreeId};

/// Bounds on what one rendering may read, print and take.
const MOST_FILES: usize = 2_000;
const MOST_INPUT: usize = 32 << 20;
const MOST_OUTPUT: u64 = 64 << 20;
const MOST_TIME: Duration = Duration::from_secs(30);
const MOST_LINKS: usize = 8;

/// What one application's rendering reads.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The application's directory.
    pub directory: String,
    kustomize: bool,
    /// Path → content.
    files: BTreeMap<String, Arc<[u8]>>,
    /// Over paths and contents.
    pub hash: String,
}

impl Inputs {
    pub fn reads(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// The files under the application's own directory, for edits.
    pub fn own_files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let prefix = format!("{}/", self.directory);
        self.files.iter().filter(move |(path, _)| path.starts_with(&prefix)).map(|(path, content)| (path.as_str(), &content[..]))
    }
}

/// A tree with its listing, read once for all applications.
pub struct Source<'a> {
    mirror: &'a Mirror,
    tree: TreeId,
    files: BTreeMap<String, (EntryMode, String)>,
}

impl<'a> Source<'a> {
    pub fn open(mirror: &'a Mirror, tree: TreeId) -> anyhow::Result<Self> {
        Ok(Self { mirror, tree, files: mirror.files(tree)? })
    }

    pub fn tree(&self) -> TreeId {
        self.tree
    }

    /// Every directory that holds something.
    pub fn directories(&self) -> BTreeSet<String> {
        let mut directories = BTreeSet::new();
        for path in self.files.keys() {
            let mut at = path.as_str();
            while let Some((parent, _)) = at.rsplit_once('/') {
                if !directories.insert(parent.to_string()) {
                    break;
                }
                at = parent;
            }
        }
        directories
    }

    /// Path → object id, for telling which files two trees differ in.
    pub fn listing(&self) -> &BTreeMap<String, (EntryMode, String)> {
        &self.files
    }

    pub fn text(&self, path: &str) -> anyhow::Result<Option<String>> {
        Ok(self.mirror.read(self.tree, path)?.map(|content| String::from_utf8_lossy(&content).into_owned()))
    }

    fn is_directory(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.files.range(prefix.clone()..).next().is_some_and(|(found, _)| found.starts_with(&prefix))
    }

    /// A file's content; a symbolic link is followed inside the tree and nowhere else.
    fn content(&self, path: &str) -> Result<Option<Vec<u8>>, Invalid> {
        let mut at = path.to_string();
        for _ in 0..MOST_LINKS {
            let Some((mode, id)) = self.files.get(&at) else { return Ok(None) };
            let blob = || self.mirror.blob(id).map_err(|error| Invalid(format!("{at}: {error}")));
            match mode {
                EntryMode::File => return blob().map(Some),
                EntryMode::Symlink => {
                    let target = String::from_utf8_lossy(&blob()?).into_owned();
                    let parent = at.rsplit_once('/').map_or("", |(parent, _)| parent);
                    at = join(parent, &target)
                        .ok_or_else(|| Invalid(format!("{path} is a symbolic link that leads out of the repository ({target})")))?;
                }
                EntryMode::Directory | EntryMode::Submodule => return Err(Invalid(format!("{path} is a submodule: they are not read"))),
            }
        }
        Err(Invalid(format!("{path} is a symbolic link that leads nowhere")))
    }
}

/// `base/path` without `.` and `..`; None where it leads out of the tree.
fn join(base: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// What rendering a directory reads; None where there is no such directory.
pub fn inputs(source: &Source<'_>, directory: &str) -> Result<Option<Inputs>, Invalid> {
    if !source.is_directory(directory) {
        return Ok(None);
    }
    let mut walk = Walk { source, files: BTreeMap::new(), visited: BTreeSet::new(), size: 0 };
    let kustomize = KUSTOMIZATIONS.iter().any(|name| source.files.contains_key(&format!("{directory}/{name}")));
    if kustomize {
        walk.kustomization(directory)?;
    } else {
        let prefix = format!("{directory}/");
        let names: Vec<_> =
            source.files.range(prefix.clone()..).map(|(path, _)| path).take_while(|path| path.starts_with(&prefix)).collect();
        for path in names.into_iter().filter(|path| [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end))) {
            walk.file(path)?;
        }
    }
    let mut hash = Sha256::new();
    for (path, content) in &walk.files {
        hash.update((path.len() as u64).to_be_bytes());
        hash.update(path);
        hash.update((content.len() as u64).to_be_bytes());
        hash.update(content);
    }
    hash.update(directory);
    Ok(Some(Inputs { directory: directory.into(), kustomize, files: walk.files, hash: hex::encode(hash.finalize()) }))
}

/// Follows the references of kustomizations.
struct Walk<'a> {
    source: &'a Source<'a>,
    files: BTreeMap<String, Arc<[u8]>>,
    visited: BTreeSet<String>,
    size: usize,
}

impl Walk<'_> {
    fn file(&mut self, path: &str) -> Result<bool, Invalid> {
        if self.files.contains_key(path) {
            return Ok(true);
        }
        let Some(content) = self.source.content(path)? else { return Ok(false) };
        self.size += content.len();
        if self.files.len() >= MOST_FILES || self.size > MOST_INPUT {
            return Err(Invalid(format!("more than {MOST_FILES} files or {} MiB are read: split the application", MOST_INPUT >> 20)));
        }
        self.files.insert(path.into(), content.into());
        Ok(true)
    }

    fn kustomization(&mut self, directory: &str) -> Result<(), Invalid> {
        if !self.visited.insert(directory.into()) {
            return Ok(());
        }
        let join_file = |name: &&&str| if directory.is_empty() { name.to_string() } else { format!("{directory}/{name}") };
        let present: Vec<_> =
            KUSTOMIZATIONS.iter().map(|name| join_file(&name)).filter(|path| self.source.files.contains_key(path)).collect();
        let [file] = &present[..] else {
            return Err(Invalid(format!("{directory}: {} kustomization files where there must be one", present.len())));
        };
        self.file(file)?;
        let text = String::from_utf8_lossy(&self.files[file]).into_owned();
        let documents = yaml::documents(&text).map_err(|error| Invalid(format!("{file}: {error}")))?;
        for document in &documents {
            for reference in references(document).map_err(|why| Invalid(format!("{file}: {why}")))? {
                self.reference(directory, file, &reference)?;
            }
        }
        Ok(())
    }

    fn reference(&mut self, directory: &str, file: &str, reference: &str) -> Result<(), Invalid> {
        let outside = || {
            Invalid(format!(
                "{file} refers to `{reference}`, which is not in this repository: remote bases and files are not read; put a copy beside it"
            ))
        };
        let remote = reference.contains("://") || reference.contains('?') || reference.starts_with("git@");
        let path = join(directory, reference).filter(|_| !remote).ok_or_else(outside)?;
        if self.source.is_directory(&path) {
            return self.kustomization(&path);
        }
        if self.file(&path)? { Ok(()) } else { Err(outside()) }
    }
}

/// Every path that a kustomization names; an error for what is not rendered here.
fn references(document: &Value) -> Result<Vec<String>, String> {
    for field in ["helmCharts", "helmChartInflationGenerator", "helmGlobals"] {
        if !document[field].is_null() {
            return Err(format!("`{field}` is not supported: render the chart into the repository"));
        }
    }
    let mut found = Vec::new();
    // Inline YAML stands where a path could.
    let mut add = |value: &Value| {
        if let Some(text) = value.as_str()
            && !text.contains('\n')
        {
            found.push(text.to_string());
        }
    };
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for field in
        ["resources", "bases", "components", "crds", "configurations", "transformers", "generators", "validators", "patchesStrategicMerge"]
    {
        items(&document[field]).iter().for_each(&mut add);
    }
    for field in ["patches", "patchesJson6902", "replacements"] {
        items(&document[field]).iter().for_each(|patch| add(&patch["path"]));
    }
    add(&document["openapi"]["path"]);
    for field in ["configMapGenerator", "secretGenerator"] {
        for generator in items(&document[field]) {
            items(&generator["envs"]).iter().for_each(&mut add);
            add(&generator["env"]);
            for entry in items(&generator["files"]) {
                let text = entry.as_str().unwrap_or_default();
                add(&Value::String(text.split_once('=').map_or(text, |(_, path)| path).into()));
            }
        }
    }
    Ok(found)
}

/// Runs renderers and remembers what they gave.
pub struct Renderer {
    kustomize: PathBuf,
    work: PathBuf,
    cache: moka::future::Cache<String, Arc<Vec<Manifest>>>,
}

impl Renderer {
    pub fn new(kustomize: PathBuf, work: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&work)?;
        Ok(Self { kustomize, work, cache: moka::future::Cache::builder().max_capacity(2_000).build() })
    }

    /// The manifests, as rendered: namespaces not yet settled. The error is in words for the author.
    pub async fn render(&self, inputs: &Inputs) -> Result<Arc<Vec<Manifest>>, Invalid> {
        let rendering = async {
            let manifests = if inputs.kustomize { self.kustomize(inputs).await? } else { plain(inputs)? };
            let mut seen = BTreeSet::new();
            if let Some(twice) = manifests.iter().find(|manifest| !seen.insert(manifest.key.clone())) {
                return Err(Invalid(format!("{}: {} is there twice", inputs.directory, twice.key)));
            }
            Ok(Arc::new(manifests))
        };
        self.cache.try_get_with(inputs.hash.clone(), rendering).await.map_err(|error: Arc<Invalid>| (*error).clone())
    }

    async fn kustomize(&self, inputs: &Inputs) -> Result<Vec<Manifest>, Invalid> {
        let failed = |what: &str, error: &dyn std::fmt::Display| Invalid(format!("{}: {what}: {error}", inputs.directory));
        let folder =
            tempfile::Builder::new().prefix("render-").tempdir_in(&self.work).map_err(|error| failed("cannot lay out files", &error))?;
        for (path, content) in &inputs.files {
            let path = folder.path().join(path);
            let parent = path.parent().unwrap_or(Path::new("/"));
            std::fs::create_dir_all(parent)
                .and_then(|()| std::fs::write(&path, content))
                .map_err(|error| failed("cannot lay out files", &error))?;
        }
        let mut child = tokio::process::Command::new(&self.kustomize)
            .arg("build")
            .arg(&inputs.directory)
            .current_dir(folder.path())
            .env_clear()
            // No program to be found, no way out: a second wall behind the check of references.
            .env("PATH", "")
            .env("HOME", folder.path())
            .env("HTTP_PROXY", "http://127.0.0.1:1")
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("cannot start kustomize", &error))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed("cannot start kustomize", &"no pipes"));
        };
        let run = async {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let (mut stdout, mut stderr) = (stdout.take(MOST_OUTPUT + 1), stderr.take(64 << 10));
            let (read, _) = tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
            read?;
            drop((stdout, stderr));
            Ok::<_, std::io::Error>((child.wait().await?, out, err))
        };
        let (status, out, err) = tokio::time::timeout(MOST_TIME, run)
            .await
            .map_err(|_| failed("kustomize", &format!("took longer than {} s", MOST_TIME.as_secs())))?
            .map_err(|error| failed("kustomize", &error))?;
        if out.len() as u64 > MOST_OUTPUT {
            return Err(failed("kustomize", &format!("printed more than {} MiB", MOST_OUTPUT >> 20)));
        }
        if !status.success() {
            let words = String::from_utf8_lossy(&err)
                .replace(&folder.path().display().to_string(), "")
                .trim()
                .trim_start_matches("Error: ")
                .to_string();
            return Err(failed("kustomize", &words));
        }
        Manifest::parse_all(&String::from_utf8_lossy(&out), &inputs.directory)
    }
}

fn plain(inputs: &Inputs) -> Result<Vec<Manifest>, Invalid> {
    let mut manifests = Vec::new();
    for (path, content) in &inputs.files {
        manifests.extend(Manifest::parse_all(&String::from_utf8_lossy(content), path)?);
    }
    Ok(manifests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_do_not_lead_out() {
        for (base, path, expected) in [
            ("apps/shop/staging", "../base", Some("apps/shop/base")),
            ("apps", "./a//b/.", Some("apps/a/b")),
            ("apps", "../..", None),
            ("apps", "/etc/passwd", None),
            ("", "..", None),
        ] {
            assert_eq!(join(base, path).as_deref(), expected, "{base} {path}");
        }
    }

    #[test]
    fn every_way_to_name_a_file_is_followed() {
        let document = serde_json::json!({
            "resources": ["a.yaml", "https://example.com/b"], "patches": [{"path": "p.yaml"}, {"patch": "x: 1"}],
            "patchesStrategicMerge": ["s.yaml", "inline:\n  yaml: 1"], "configMapGenerator": [{"files": ["k=f.txt", "g.txt"], "envs": [".env"]}],
            "openapi": {"path": "o.json"},
        });
        assert_eq!(
            references(&document).unwrap(),
            ["a.yaml", "https://example.com/b", "s.yaml", "p.yaml", "o.json", ".env", "f.txt", "g.txt"]
        );
        assert!(references(&serde_json::json!({"helmCharts": [{}]})).is_err());
    }
}
