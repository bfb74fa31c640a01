//! Puts what is elsewhere beside the files of the tree, before the jail: charts into the `charts/` of
//! those that depend on them, bases of kustomize into a folder of their own, to which the
//! kustomizations that name them are rewritten.
//!
//! What is wanted is pinned (an exact version, a commit), and stands in files that are part of the
//! inputs' hash: the hash need not cover what is fetched.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::inflation::Inflation;
use super::inputs::{Inputs, MOST_FILES, MOST_INPUT};
use super::remote::{Base, ChartVersion, FETCHED, Fetcher, Found};
use super::run::Trouble;
use super::{NotRendered, Renderer};
use crate::domain::{Invalid, yaml};

/// The most that one application may want.
pub(super) const MOST_WANTED: usize = 100;

/// Something from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Where it is asked for, as `path:line`.
    pub(super) at: String,
    pub(super) what: What,
    /// The namespace that charts of a base take if they have none.
    pub(super) namespace: Option<String>,
}

impl Wanted {
    pub(super) fn new(at: &str, what: What) -> Self {
        Self {
            at: at.into(),
            what,
            namespace: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Chart {
        chart: ChartVersion,
        /// The directory that it is put into.
        into: String,
        /// What helps if it may not be fetched.
        instead: String,
    },
    Base {
        base: Base,
        /// The kustomization, and the words by which it names the base.
        file: String,
        written: String,
    },
}

impl What {
    /// What it is, for people; where it comes from; and what helps if that is not allowed.
    fn words(&self) -> (String, &str, String) {
        match self {
            Self::Chart { chart, instead, .. } => (
                format!("the chart `{}`", chart.name),
                &chart.repository,
                instead.clone(),
            ),
            Self::Base { base, written, .. } => (
                format!("`{written}`"),
                &base.repository,
                "put a copy beside it".into(),
            ),
        }
    }
}

impl Renderer {
    /// The inputs with what is wanted from elsewhere.
    pub(super) async fn complete<'a>(
        &self,
        inputs: &'a Inputs,
    ) -> Result<Cow<'a, Inputs>, NotRendered> {
        if inputs.wanted.is_empty() {
            return Ok(Cow::Borrowed(inputs));
        }
        // What stands there is what was fetched.
        if let Some(path) = inputs.paths().find(|path| path.starts_with(FETCHED)) {
            return Err(Invalid(format!("{path}: {FETCHED} is windlass's own: rename it")).into());
        }
        let mut complete = inputs.clone();
        let wanted = inputs.wanted.iter().cloned();
        // With the folder of the repository that asks.
        let mut pending: VecDeque<_> = wanted.map(|wanted| (String::new(), wanted)).collect();
        let mut known: Vec<_> = pending.iter().cloned().collect();
        let mut count = 0;
        while let Some((folder, wanted)) = pending.pop_front() {
            count += 1;
            if count > MOST_WANTED {
                let why = format!(
                    "{}: more than {MOST_WANTED} charts and bases from elsewhere: split the application",
                    wanted.at
                );
                return Err(Invalid(why).into());
            }
            let fetcher = self.allowed_fetcher(&wanted)?;
            for nested in complete.add(fetcher, &folder, &wanted).await? {
                let is_same = |(folder, other): &(String, Wanted)| {
                    (folder, &other.what) == (&nested.0, &nested.1.what)
                };
                if !known.iter().any(is_same) {
                    known.push(nested.clone());
                    pending.push_back(nested);
                }
            }
            complete.check_size()?;
        }
        Ok(Cow::Owned(complete))
    }

    fn allowed_fetcher(&self, wanted: &Wanted) -> Result<&Arc<Fetcher>, Invalid> {
        let (what, place, instead) = wanted.what.words();
        self.fetcher.as_ref().ok_or_else(|| {
            Invalid(format!(
                "{}: {what} is not in this repository, and windlass may fetch nothing from elsewhere: {instead}, or have the server's administrator allow `- url: {place}` (--sources)",
                wanted.at
            ))
        })
    }
}

impl Inputs {
    /// Adds what is wanted by a file of a repository, whose files are in `folder`. Returns what that
    /// wants in turn.
    async fn add(
        &mut self,
        fetcher: &Arc<Fetcher>,
        folder: &str,
        wanted: &Wanted,
    ) -> Result<Vec<(String, Wanted)>, NotRendered> {
        match &wanted.what {
            What::Chart { chart, into, .. } => {
                let what = format!(
                    "the chart `{}` {} of {}",
                    chart.name, chart.version, chart.repository
                );
                let fetched = fetcher.chart(chart).await;
                let fetched = fetched.map_err(|trouble| told(wanted, &what, trouble))?;
                for (path, content) in fetched.iter() {
                    let path = within(folder, &format!("{into}/{path}"));
                    self.files.insert(path, content.clone());
                }
                Ok(Vec::new())
            }
            What::Base {
                base,
                file,
                written,
            } => {
                let found = fetcher.base(base, written).await;
                let found =
                    found.map_err(|trouble| told(wanted, &format!("`{written}`"), trouble))?;
                let file = within(folder, file);
                let place = self.place(base, &found, &file);
                self.rename(&file, written, &place).ok_or_else(|| {
                    Invalid(format!(
                        "{}: write `{written}` on a line of its own",
                        wanted.at
                    ))
                })?;
                let to = base.folder();
                for (path, real) in &found.links {
                    let real = within(&to, real);
                    self.links.insert(within(&to, path), real);
                }
                for inflation in &found.inflations {
                    self.add_inflation(inflation.within(&to, wanted));
                }
                let nested = found.wanted.iter().cloned();
                let nested = nested.map(|nested| {
                    let nested = Wanted {
                        at: format!("{}: {}", wanted.at, nested.at),
                        namespace: nested.namespace.or_else(|| wanted.namespace.clone()),
                        ..nested
                    };
                    (to.clone(), nested)
                });
                Ok(nested.collect())
            }
        }
    }

    /// Adds the files of a base. Returns where they are, seen from a kustomization.
    fn place(&mut self, base: &Base, found: &Found, kustomization: &str) -> String {
        let (beside, to) = (parent(kustomization), base.folder());
        if found.is_file {
            // kustomize reads files below the kustomization only.
            let name = hex::encode(Sha256::digest(format!("{to}/{}", base.path)));
            let name = format!("windlass-fetched-{}.yaml", &name[..12]);
            let content = found.files[&base.path].clone();
            self.files.insert(within(beside, &name), content);
            return name;
        }
        for (path, content) in &found.files {
            // One that is there has been rewritten.
            let file = self.files.entry(within(&to, path));
            file.or_insert_with(|| content.clone());
        }
        let up = beside.split('/').filter(|part| !part.is_empty()).count();
        let place = within(&to, &base.path);
        format!("{}{}", "../".repeat(up), place.trim_end_matches('/'))
    }

    /// Rewrites a kustomization.
    fn rename(&mut self, file: &str, from: &str, to: &str) -> Option<()> {
        let text = String::from_utf8_lossy(self.files.get(file)?);
        let rewritten = rewritten(&text, from, to)?;
        self.files
            .insert(file.into(), Arc::from(rewritten.into_bytes()));
        Some(())
    }

    /// Adds a chart of a base, which several kustomizations may name.
    fn add_inflation(&mut self, new: Inflation) {
        let is_same = |known: &Inflation| (&known.file, &known.entry) == (&new.file, &new.entry);
        if !self.inflations.iter().any(is_same) {
            self.inflations.push(new);
        }
    }

    fn check_size(&self) -> Result<(), Invalid> {
        let bytes: usize = self.files.values().map(|content| content.len()).sum();
        if self.files.len() <= 2 * MOST_FILES && bytes <= 2 * MOST_INPUT {
            return Ok(());
        }
        Err(Invalid(format!(
            "{}: with what is fetched, more than {} files or {} MiB are read: split the application",
            self.directory,
            2 * MOST_FILES,
            (2 * MOST_INPUT) >> 20
        )))
    }
}

fn told(wanted: &Wanted, what: &str, trouble: Trouble) -> NotRendered {
    let message = |why: &str| format!("{}: {what}: {why}", wanted.at);
    match trouble {
        Trouble::Author(why) => NotRendered::Invalid(Invalid(message(&why))),
        Trouble::Passing(why) => NotRendered::Passing(message(&why)),
    }
}

pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

pub(super) fn within(folder: &str, path: &str) -> String {
    match folder.is_empty() {
        true => path.into(),
        false => format!("{folder}/{path}"),
    }
}

/// A kustomization that names something by other words. None: that cannot be done without changing
/// anything else of it.
fn rewritten(text: &str, from: &str, to: &str) -> Option<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(from) {
        let (before, after) = (&rest[..at], &rest[at + from.len()..]);
        let ends = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || "\"'[],".contains(c));
        let whole = ends(before.chars().next_back()) && ends(after.chars().next());
        out.push_str(before);
        out.push_str(if whole { to } else { from });
        rest = after;
    }
    out.push_str(rest);
    let mut before = yaml::documents(text).ok()?;
    for document in &mut before {
        rename(document, from, to);
    }
    (yaml::documents(&out).ok()? == before && out != text).then_some(out)
}

fn rename(value: &mut serde_json::Value, from: &str, to: &str) {
    match value {
        serde_json::Value::String(text) if text == from => *text = to.into(),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| rename(item, from, to)),
        serde_json::Value::Object(fields) => {
            fields.values_mut().for_each(|item| rename(item, from, to))
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_a_base_is_rewritten() {
        let from = "github.com/o/r//a?ref=1";
        for (text, expected) in [
            (
                "resources:\n- github.com/o/r//a?ref=1 # x\n",
                Some("resources:\n- ../b # x\n"),
            ),
            (
                "resources: [\"github.com/o/r//a?ref=1\", x]\n",
                Some("resources: [\"../b\", x]\n"),
            ),
            (
                "resources:\n- github.com/o/r//a?ref=1\n- https://github.com/o/r//a?ref=1\n",
                Some("resources:\n- ../b\n- https://github.com/o/r//a?ref=1\n"),
            ),
            (
                "resources:\n- >-\n  github.com/o/r//a?ref=1\n",
                Some("resources:\n- >-\n  ../b\n"),
            ),
            (
                "x: see github.com/o/r//a?ref=1 there\nresources:\n- github.com/o/r//a?ref=1\n",
                None,
            ),
            ("resources:\n- \"github.com/o/r//a?ref\\x3d1\"\n", None),
        ] {
            assert_eq!(rewritten(text, from, "../b").as_deref(), expected, "{text}");
        }
    }
}
