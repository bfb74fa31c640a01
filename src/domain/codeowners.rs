//! `CODEOWNERS`: the owners of a file, by GitHub's rules (docs.github.com, "About
//! code owners"): the last matching line counts.

use super::wildcard;

/// The lines of the file: a pattern and its owners (`@user`, `@org/team`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeOwners(Vec<(String, Vec<String>)>);

/// The paths where GitHub finds the file, in its order.
pub const PLACES: [&str; 3] = [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"];

impl CodeOwners {
    pub fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line
                .split('#')
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_string);
            Some((words.next()?, words.collect()))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// The owners of a file; none if no line names one.
    pub fn of(&self, path: &str) -> &[String] {
        self.0
            .iter()
            .rev()
            .find(|(pattern, _)| matches(pattern, path))
            .map(|(_, owners)| owners.as_slice())
            .unwrap_or_default()
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let anchored = pattern.trim_end_matches('/').contains('/');
    let body = pattern.trim_start_matches('/');
    let (body, folder) = match body.strip_suffix('/') {
        Some(body) => (body, true),
        None => (body, false),
    };
    let wanted: Vec<&str> = body.split('/').collect();
    let parts: Vec<&str> = path.split('/').collect();
    let starts = if anchored { 0..1 } else { 0..parts.len() };
    // A pattern that names a folder matches everything in it; one that ends in `/*` matches only
    // direct files.
    starts.into_iter().any(|start| {
        (start + 1..=parts.len()).any(|end| {
            let whole = end == parts.len();
            let below = !whole && (folder || wanted.last() != Some(&"*") || wanted.len() == 1);
            (if folder { !whole } else { whole || below }) && glob(&wanted, &parts[start..end])
        })
    })
}

fn glob(wanted: &[&str], parts: &[&str]) -> bool {
    match wanted.split_first() {
        None => parts.is_empty(),
        Some((&"**", rest)) => (0..=parts.len()).any(|skip| glob(rest, &parts[skip..])),
        Some((first, rest)) => parts
            .split_first()
            .is_some_and(|(part, others)| wildcard(first, part) && glob(rest, others)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_matches_counts() {
        let owners = CodeOwners::parse(
            "# all\n*  @ada\n/apps/  @acme/deployers @mia # both\n*.md\n/apps/shop/production/ @acme/release\ndocs/* @rita\napps/**/secret.yaml @sec\n",
        );
        let table: [(&str, &[&str]); 9] = [
            ("x", &["@ada"]),
            ("a/b/c", &["@ada"]),
            ("apps/shop/staging/a.yaml", &["@acme/deployers", "@mia"]),
            ("apps", &["@ada"]),
            ("other/apps/x", &["@ada"]),
            ("apps/shop/production/a/b.yaml", &["@acme/release"]),
            ("a/README.md", &[]),
            ("docs/a/b", &["@ada"]),
            ("apps/x/y/secret.yaml", &["@sec"]),
        ];
        for (path, expected) in table {
            assert_eq!(owners.of(path), expected, "{path}");
        }
        assert_eq!(owners.of("docs/a"), ["@rita"]);
    }
}
