//! Patterns of paths, such as `apps/{application}/{stage}`: which paths they
//! match, and what stands at their placeholders.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::invalid;
use crate::domain::Invalid;

pub(super) const APPLICATION: &str = "application";
pub(super) const STAGE: &str = "stage";
pub(super) const CLUSTER: &str = "cluster";

/// Bounds on what a match tries: placeholders in one name, and those that stand for several names.
const MOST_FREE: usize = 3;
const MOST_DEEP: usize = 2;
/// And the steps of one match: a path that needs more does not match.
const MOST_STEPS: u32 = 5_000;

/// A pattern of directories, or of files if it ends like a file of manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) text: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// One directory or file name.
    One(Vec<Part>),
    /// `{name...}`: one or more directory names.
    Several(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// `*`: any text.
    Any,
    /// `{name}`: any text, which is the placeholder's value.
    Placeholder(String),
}

/// The placeholders of a path, with their values.
pub(super) type Found = BTreeMap<String, String>;

impl Pattern {
    pub(super) fn parse(path: &str) -> Result<Self, Invalid> {
        let text = path.trim_end_matches('/');
        if text.matches("...}").count() > MOST_DEEP
            || text
                .split('/')
                .any(|part| part.matches(['{', '*']).count() > MOST_FREE)
        {
            return Err(invalid(format_args!(
                "`{path}`: at most {MOST_FREE} placeholders stand in one name, and {MOST_DEEP} for several"
            )));
        }
        let segments = text.split('/').map(|part| match part {
            "" | "." | ".." => Err(invalid(format_args!(
                "`{path}`: a path is relative to the repository's root, without `.` and `..`"
            ))),
            part => segment(path, part),
        });
        Ok(Self {
            segments: segments.collect::<Result<_, _>>()?,
            text: text.into(),
        })
    }

    /// Whether it matches files, and not directories.
    pub(super) fn is_of_files(&self) -> bool {
        is_manifest(&self.text)
    }

    /// Whether it goes to any depth.
    pub(super) fn is_deep(&self) -> bool {
        let deep = |segment: &Segment| matches!(segment, Segment::Several(_));
        self.segments.iter().any(deep)
    }

    /// The names of its placeholders.
    pub(super) fn placeholders(&self) -> BTreeSet<&str> {
        self.segments.iter().flat_map(Segment::names).collect()
    }

    /// The placeholders of a path; None: it does not match. `is_stage`: the values that `{stage}` may
    /// have.
    pub(super) fn find(&self, path: &str, is_stage: &dyn Fn(&str) -> bool) -> Option<Found> {
        let parts: Vec<&str> = path.split('/').collect();
        let steps = Cell::new(MOST_STEPS);
        let allows = |name: &str, value: &str| {
            steps.set(steps.get().saturating_sub(1));
            steps.get() > 0 && (name != STAGE || is_stage(value))
        };
        path_matches(&self.segments, &parts, Found::new(), &allows)
    }

    /// How similar a path is, for suggestions: in percent of each of its names.
    pub(super) fn similarity(&self, path: &str, is_stage: &dyn Fn(&str) -> bool) -> usize {
        let parts: Vec<&str> = path.split('/').collect();
        let score = |(segment, part): (&Segment, &&str)| match segment {
            Segment::One(pieces) => match &pieces[..] {
                [Part::Literal(text)] => {
                    (strsim::normalized_damerau_levenshtein(text, part) * 100.0) as usize
                }
                [Part::Placeholder(name)] if name == STAGE && is_stage(part) => 100,
                [Part::Placeholder(name)] if name == STAGE => 0,
                _ => 10,
            },
            Segment::Several(_) => 10,
        };
        let sum: usize = self.segments.iter().zip(&parts).map(score).sum();
        sum.saturating_sub(self.segments.len().abs_diff(parts.len()) * 50)
    }
}

impl Segment {
    fn names(&self) -> Vec<&str> {
        match self {
            Self::Several(name) => vec![name],
            Self::One(parts) => parts.iter().filter_map(Part::name).collect(),
        }
    }
}

impl Part {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Placeholder(name) => Some(name),
            Self::Literal(_) | Self::Any => None,
        }
    }
}

/// Whether a file's name ends like one of manifests.
pub fn is_manifest(path: &str) -> bool {
    [".yaml", ".yml", ".json"]
        .iter()
        .any(|end| path.ends_with(end))
}

fn segment(path: &str, part: &str) -> Result<Segment, Invalid> {
    let several = part
        .strip_prefix('{')
        .and_then(|part| part.strip_suffix("...}"));
    if let Some(name) = several.filter(|name| is_name(name)) {
        return Ok(Segment::Several(name.into()));
    }
    let mut parts = Vec::new();
    let mut rest = part;
    while let Some(at) = rest.find(['{', '*']) {
        if at > 0 {
            parts.push(Part::Literal(rest[..at].into()));
        }
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix('*') {
            parts.push(Part::Any);
            rest = after;
            continue;
        }
        let placeholder = rest[1..].split_once('}').filter(|(name, _)| is_name(name));
        let Some((name, after)) = placeholder else {
            break;
        };
        parts.push(Part::Placeholder(name.into()));
        rest = after;
    }
    if rest.contains(['{', '}']) {
        return Err(invalid(format_args!(
            "`{path}`: `{part}` is not a placeholder: write `{{application}}`, `{{stage}}`, `{{application...}}` for several directories, another word in braces, or `*`"
        )));
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest.into()));
    }
    Ok(Segment::One(parts))
}

/// Whether a text can be a placeholder's name.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn path_matches(
    segments: &[Segment],
    parts: &[&str],
    found: Found,
    allows: &dyn Fn(&str, &str) -> bool,
) -> Option<Found> {
    let Some((segment, segments)) = segments.split_first() else {
        return parts.is_empty().then_some(found);
    };
    match segment {
        Segment::One(pieces) => {
            let (part, parts) = parts.split_first()?;
            let next = |found| path_matches(segments, parts, found, allows);
            part_matches(pieces, part, found, allows, &next)
        }
        Segment::Several(name) => (1..=parts.len()).find_map(|taken| {
            let value = parts[..taken].join("/");
            let found = with(&found, name, &value, allows)?;
            path_matches(segments, &parts[taken..], found, allows)
        }),
    }
}

fn part_matches(
    pieces: &[Part],
    text: &str,
    found: Found,
    allows: &dyn Fn(&str, &str) -> bool,
    next: &dyn Fn(Found) -> Option<Found>,
) -> Option<Found> {
    let Some((piece, pieces)) = pieces.split_first() else {
        return text.is_empty().then(|| next(found))?;
    };
    if let Part::Literal(literal) = piece {
        let rest = text.strip_prefix(literal.as_str())?;
        return part_matches(pieces, rest, found, allows, next);
    }
    // The longest value first: `{application}-{stage}` is an application with dashes in its name.
    let mut ends: Vec<_> = text
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .collect();
    if matches!(piece, Part::Any) {
        ends.insert(0, 0);
    }
    ends.into_iter().rev().find_map(|end| {
        let (value, rest) = text.split_at(end);
        let found = match piece.name() {
            Some(name) => with(&found, name, value, allows)?,
            None if allows("", value) => found.clone(),
            None => return None,
        };
        part_matches(pieces, rest, found, allows, next)
    })
}

/// The placeholders with one more. None: it may not have this value, or has another one.
fn with(
    found: &Found,
    name: &str,
    value: &str,
    allows: &dyn Fn(&str, &str) -> bool,
) -> Option<Found> {
    let known = found.get(name);
    if known.is_some_and(|known| known != value) || !allows(name, value) {
        return None;
    }
    let mut found = found.clone();
    found.insert(name.into(), value.into());
    Some(found)
}

/// The names of the placeholders in a text.
pub(super) fn names_in(text: &str) -> Vec<&str> {
    let inner = text.split('{').skip(1);
    let names = inner.filter_map(|part| part.split_once('}'));
    names
        .map(|(name, _)| name)
        .filter(|name| is_name(name))
        .collect()
}

/// A text with its placeholders replaced.
pub(super) fn fill(text: &str, found: &Found) -> String {
    let mut text = text.to_string();
    for (name, value) in found {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_stand_for_names_parts_of_names_and_several_names() {
        let table = [
            (
                "apps/{application}/{stage}",
                "apps/shop/prod",
                "application=shop stage=prod",
            ),
            ("apps/{application}/{stage}", "apps/shop/qa", "-"),
            (
                "{stage}/{application}",
                "prod/shop",
                "application=shop stage=prod",
            ),
            (
                "{application}-{stage}",
                "my-shop-prod",
                "application=my-shop stage=prod",
            ),
            (
                "apps/{application}/values-{stage}.yaml",
                "apps/a/values-prod.yaml",
                "application=a stage=prod",
            ),
            (
                "apps/{namespace}/{application}/app",
                "apps/media/plex/app",
                "application=plex namespace=media",
            ),
            (
                "apps/{application...}/{stage}",
                "apps/a/b/prod",
                "application=a/b stage=prod",
            ),
            ("apps/{application...}/{stage}", "apps/prod", "-"),
            ("*/{application}", "x/a", "application=a"),
            ("v*/{application}", "v/a", "application=a"),
            ("*/{application}", "x/y/a", "-"),
            (
                "{stage}/{application}-{stage}",
                "prod/a-prod",
                "application=a stage=prod",
            ),
            ("{stage}/{application}-{stage}", "prod/a-dev", "-"),
            ("platform", "platform", ""),
        ];
        for (pattern, path, expected) in table {
            let found = Pattern::parse(pattern)
                .unwrap()
                .find(path, &|stage| ["prod", "dev"].contains(&stage));
            let found = found.map_or("-".into(), |found| {
                let all: Vec<_> = found
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                all.join(" ")
            });
            assert_eq!(found, expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_match_ends_soon() {
        let pattern = Pattern::parse("{a...}/{b...}/*a*a*a!").unwrap();
        let path = format!("{}{}", "a/".repeat(60), "a".repeat(250));
        assert_eq!(pattern.find(&path, &|_| true), None);
    }

    #[test]
    fn what_is_no_placeholder_is_refused() {
        for pattern in [
            "apps/{}",
            "apps/{a b}",
            "apps/}x",
            "apps/x{application...}",
            "/apps",
            "a//b",
            "../a",
            "*a*b*c*d",
            "{a...}/{b...}/{c...}",
        ] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
