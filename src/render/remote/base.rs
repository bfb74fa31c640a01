//! Bases of kustomize in other Git repositories, at a commit: which files of them a kustomization reads.

use std::sync::Arc;

use secrecy::ExposeSecret as _;

use super::super::complete::Wanted;
use super::super::inflation::Inflation;
use super::super::inputs::Walk;
use super::super::run::Trouble;
use super::super::source::{Links, Source};
use super::sources::Credentials;
use super::web::Guard;
use super::{Fetcher, Unpacked};
use crate::domain::CommitSha;
use crate::git::{TooMuch, Way};
use crate::outgoing::causes;

/// The folder of bases, beside the files of the tree.
pub(in crate::render) const FETCHED: &str = ".windlass-fetched/";

/// A directory or file of another repository, as a kustomization names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::render) struct Base {
    /// `https://github.com/acme/bases`.
    pub(in crate::render) repository: String,
    /// Without a slash at its ends.
    pub(in crate::render) path: String,
    /// A commit, or what is refused.
    pub(in crate::render) reference: Option<String>,
}

/// What a base consists of: files by their paths in their repository, and what they want themselves.
#[derive(Debug, Default)]
pub(in crate::render) struct Found {
    pub(in crate::render) files: Unpacked,
    pub(in crate::render) links: Links,
    pub(in crate::render) wanted: Vec<Wanted>,
    pub(in crate::render) inflations: Vec<Inflation>,
    /// Whether the base is a file.
    pub(in crate::render) is_file: bool,
}

impl Base {
    /// Reads kustomize's ways to name one (github.com/kubernetes-sigs/kustomize,
    /// api/internal/git/repospec.go). None: it is no repository's.
    pub(in crate::render) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("git::").unwrap_or(text);
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let place = match place.strip_prefix("ssh://").or(Some(place)) {
            Some(rest) if rest.starts_with("git@") => {
                let rest = rest.trim_start_matches("git@");
                // `HOST:OWNER` or `HOST/OWNER`.
                format!("https://{}", rest.replacen(':', "/", 1))
            }
            _ if place.starts_with("github.com/") => format!("https://{place}"),
            _ => place.to_string(),
        };
        let (scheme, rest) = place.split_once("://")?;
        if scheme != "https" && scheme != "http" {
            return None;
        }
        let (host, path) = rest.split_once('/')?;
        if host == "raw.githubusercontent.com" {
            let mut parts = path.splitn(4, '/');
            let (owner, name, commit) = (parts.next()?, parts.next()?, parts.next()?);
            return Some(Self {
                repository: format!("https://github.com/{owner}/{name}"),
                path: parts.next()?.into(),
                reference: Some(commit.into()),
            });
        }
        let (repository, path) = if let Some((repository, path)) = path.split_once(".git/") {
            (repository.to_string(), path)
        } else if let Some(repository) = path.strip_suffix(".git") {
            (repository.to_string(), "")
        } else if let Some((repository, path)) = path.split_once("//") {
            (repository.to_string(), path)
        } else {
            let mut parts = path.splitn(3, '/');
            let (owner, name) = (parts.next()?, parts.next()?);
            (format!("{owner}/{name}"), parts.next().unwrap_or_default())
        };
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let reference = pairs.find(|(name, _)| ["ref", "version"].contains(name));
        let is_word = |part: &str| !matches!(part, "" | "." | "..");
        let whole = !host.starts_with('.')
            && repository.contains('/')
            && repository.split('/').all(is_word);
        whole.then(|| Self {
            repository: format!("{scheme}://{host}/{repository}"),
            path: path.trim_matches('/').into(),
            reference: reference.map(|(_, value)| value.into()),
        })
    }

    /// The folder that it is put into, beside the files of the tree.
    pub(in crate::render) fn folder(&self) -> String {
        let commit = self.reference.as_deref().unwrap_or_default();
        let place = self.repository.replace("://", "/").replace([':', '@'], "_");
        format!("{FETCHED}{place}/{commit}")
    }
}

impl Fetcher {
    /// What a base consists of. `written`: as the kustomization has it.
    pub(in crate::render) async fn base(
        self: &Arc<Self>,
        base: &Base,
        written: &str,
    ) -> Result<Arc<Found>, Trouble> {
        let (fetcher, of, written) = (self.clone(), base.clone(), written.to_string());
        let read = async move {
            let read = tokio::task::spawn_blocking(move || fetcher.read_base(&of, &written)).await;
            read.unwrap_or_else(|_| Err(Trouble::Passing("reading it was stopped".into())))
                .map(Arc::new)
        };
        let found = self.bases.try_get_with(base.clone(), read).await;
        found.map_err(|trouble| (*trouble).clone())
    }

    fn read_base(&self, base: &Base, written: &str) -> Result<Found, Trouble> {
        let sources = self.web.sources();
        let source = sources.allowed(&base.repository)?;
        let credentials = source.credentials();
        let credentials = credentials.map_err(|error| Trouble::Passing(format!("{error:#}")))?;
        let url = format!("{}.git", base.repository);
        let way = Way {
            url: &url,
            authorization: credentials.map(authorization),
            outgoing: &self.outgoing,
            resolver: Arc::new(Guard::new(sources)),
        };
        let folder = base.repository.replace("://", "/").replace([':', '@'], "_");
        let word = base.reference.as_deref().unwrap_or("HEAD");
        let Ok(commit) = word.parse::<CommitSha>() else {
            return Err(self.unpinned(&folder, word, written, &way));
        };
        let mirror = self
            .repositories
            .commit(&folder, &commit, &way)
            .map_err(trouble)?;
        let broken = |error: anyhow::Error| Trouble::Passing(format!("{error:#}"));
        let tree = mirror.tree(&commit).map_err(broken)?;
        let source = Source::open(&mirror, tree).map_err(broken)?;
        let mut walk = Walk::new(&source);
        let is_file = source.has_file(&base.path);
        let read = match is_file {
            true => walk.file(&base.path).map(drop),
            false if source.is_directory(&base.path) || base.path.is_empty() => {
                walk.kustomization(&base.path)
            }
            false => return Err(Trouble::Author(format!("it has no `{}`", base.path))),
        };
        read.map_err(|why| Trouble::Author(why.0))?;
        Ok(Found {
            files: walk.files,
            links: walk.links,
            wanted: walk.wanted,
            inflations: walk.inflations,
            is_file,
        })
    }

    /// What to write in place of a branch or tag.
    fn unpinned(&self, folder: &str, word: &str, written: &str, way: &Way<'_>) -> Trouble {
        let why = "only commits are read, since branches and tags move";
        match self.repositories.resolve(folder, word, way) {
            Ok(Some(commit)) => {
                let line = match written.contains(&format!("={word}")) {
                    true => written.replace(&format!("={word}"), &format!("={commit}")),
                    false if written.contains('?') => format!("{written}&ref={commit}"),
                    false => format!("{written}?ref={commit}"),
                };
                Trouble::Author(format!("{why}: `{word}` is now at `{line}`"))
            }
            Ok(None) => Trouble::Author(format!("{why}, and it has no branch or tag `{word}`")),
            Err(error) => trouble(error),
        }
    }
}

fn authorization(Credentials { user, secret }: Credentials) -> secrecy::SecretString {
    use base64::Engine as _;
    let user = user.unwrap_or_else(|| "x-access-token".into());
    let pair = format!("{user}:{}", secret.expose_secret());
    let pair = base64::engine::general_purpose::STANDARD.encode(pair);
    format!("Basic {pair}").into()
}

/// Words of git servers and gix, by what they mean.
fn trouble(error: anyhow::Error) -> Trouble {
    if error.is::<TooMuch>() {
        return Trouble::Author(error.to_string());
    }
    let words = causes(error.as_ref());
    let is = |all: &[&str]| all.iter().any(|word| words.contains(word));
    if is(&["401", "403", "404", "redentials"]) {
        return Trouble::Author("its server knows no such repository, or does not let windlass in: a private one needs `credentials` of its source, in the server's settings (--sources)".into());
    }
    if is(&["not our ref", "upload-pack: not"]) {
        return Trouble::Author("it has no such commit".into());
    }
    Trouble::Passing(format!("it cannot be fetched: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_to_name_a_base() {
        let sha = "0123456789012345678901234567890123456789";
        for (text, expected) in [
            (
                "https://github.com/o/r//a/b?ref=S",
                Some(("https://github.com/o/r", "a/b")),
            ),
            (
                "https://github.com/o/r/a/b/?ref=S&timeout=90s",
                Some(("https://github.com/o/r", "a/b")),
            ),
            (
                "github.com/o/r/a?submodules=false&ref=S",
                Some(("https://github.com/o/r", "a")),
            ),
            (
                "git::https://github.com/o/r.git//a?ref=S",
                Some(("https://github.com/o/r", "a")),
            ),
            (
                "git@github.com:o/r.git//a?ref=S",
                Some(("https://github.com/o/r", "a")),
            ),
            (
                "ssh://git@github.com/o/r.git/a?version=S",
                Some(("https://github.com/o/r", "a")),
            ),
            (
                "https://gitlab.example/g/sub/r//a?ref=S",
                Some(("https://gitlab.example/g/sub/r", "a")),
            ),
            (
                "https://github.com/o/r?ref=S",
                Some(("https://github.com/o/r", "")),
            ),
            (
                "https://raw.githubusercontent.com/o/r/S/a/b.yaml",
                Some(("https://github.com/o/r", "a/b.yaml")),
            ),
            ("https://example.com/evil.yaml", None),
            ("file:///etc//passwd?ref=S", None),
            ("https://github.com/o/../../x//a?ref=S", None),
            ("../base", None),
        ] {
            let base = Base::parse(&text.replace('S', sha));
            let expected = expected.map(|(repository, path)| Base {
                repository: repository.into(),
                path: path.into(),
                reference: Some(sha.into()),
            });
            assert_eq!(base, expected, "{text}");
        }
    }
}
