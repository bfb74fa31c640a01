//! CODEOWNERS: whose review a file needs.
//!
//! The last line whose pattern matches decides; patterns are those of gitignore, without
//! exclusions and ranges (docs.github.com, about code owners).

use std::path::Path;

use crate::sandbox::forge::git::git;

/// The lines of a CODEOWNERS file.
pub struct Owners(Vec<(String, Vec<String>)>);

impl Owners {
    /// The first that there is at a commit, where GitHub looks for it.
    pub fn read(repo: &Path, commit: &str) -> Option<Self> {
        [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"]
            .iter()
            .find_map(|place| git(repo, &["cat-file", "blob", &format!("{commit}:{place}")]).ok())
            .map(|text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let pattern = words.next()?.to_string();
            let owners = words.filter_map(|word| word.strip_prefix('@'));
            Some((pattern, owners.map(str::to_string).collect()))
        });
        Self(lines.collect())
    }

    /// The owners of a file, without their `@`; none where no line matches, or one that names none.
    pub fn of(&self, file: &str) -> Vec<&str> {
        let line = self.0.iter().rev().find(|(line, _)| matches(line, file));
        line.map(|(_, owners)| owners.iter().map(String::as_str).collect())
            .unwrap_or_default()
    }
}

/// Whether a pattern means a file, or a folder that the file is in.
fn matches(pattern: &str, file: &str) -> bool {
    let folder = pattern.ends_with('/');
    let trimmed = pattern.trim_end_matches('/');
    let anchored = trimmed.contains('/');
    let wanted: Vec<&str> = trimmed.trim_start_matches('/').split('/').collect();
    let path: Vec<&str> = file.split('/').collect();
    // `docs/*` means the files of that folder, not those of its folders.
    let whole = anchored && wanted.last() == Some(&"*");
    let starts = if anchored { 0..1 } else { 0..path.len() };
    starts.into_iter().any(|start| {
        let ends = start + 1..=path.len();
        ends.into_iter().any(|end| {
            let fits = (!folder || end < path.len()) && (!whole || end == path.len());
            fits && segments_match(&wanted, &path[start..end])
        })
    })
}

fn segments_match(wanted: &[&str], path: &[&str]) -> bool {
    match (wanted, path) {
        ([], []) => true,
        (["**", rest @ ..], _) => {
            (0..=path.len()).any(|skipped| segments_match(rest, &path[skipped..]))
        }
        ([first, rest @ ..], [name, names @ ..]) => {
            segment_matches(first, name) && segments_match(rest, names)
        }
        _ => false,
    }
}

/// `*` stands for any number of characters, `?` for one.
fn segment_matches(wanted: &str, name: &str) -> bool {
    let mut rest = wanted.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('*') => {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter()
                .any(|at| segment_matches(rest.as_str(), &name[at..]))
        }
        Some(wanted) => {
            let mut names = name.chars();
            names
                .next()
                .is_some_and(|first| wanted == '?' || wanted == first)
                && segment_matches(rest.as_str(), names.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_matches_decides() {
        let owners = Owners::parse(
            "* @ada # everything\n*.yaml @bob\n/apps/ @acme/platform\napps/*/open.txt\ndocs/* @mia\n**/logs @ops\n",
        );
        let table: [(&str, &[&str]); 8] = [
            ("README.md", &["ada"]),
            ("deep/down/x.yaml", &["bob"]),
            ("apps/shop/x.yaml", &["acme/platform"]),
            ("other/apps/x.txt", &["ada"]),
            ("apps/shop/open.txt", &[]),
            ("docs/a.md", &["mia"]),
            ("docs/deep/a.md", &["ada"]),
            ("build/logs/today", &["ops"]),
        ];
        for (file, wanted) in table {
            assert_eq!(owners.of(file), wanted, "{file}");
        }
    }
}
