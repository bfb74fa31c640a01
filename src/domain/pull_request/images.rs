//! The images that a pull request changes, and links that compare their sources.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::image::{Candidate, ImageRef, same_image};

/// An image that the pull request changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageChange {
    pub name: String,
    pub from: Option<ImageRef>,
    pub to: Option<ImageRef>,
    /// The link to the change of the image's source, as text and URL. None: no event announced the
    /// source commits.
    pub source: Option<(String, String)>,
    /// It takes back the newest image that was announced here.
    pub taken_back: Option<TakenBack>,
}

/// What it decides to take an image back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TakenBack {
    /// The stage is held, since windlass merges into it without a review.
    pub holds: bool,
}

/// Whether a change takes back the newest image that was announced. `newest`: the candidates of the
/// stage.
pub fn takes_back(change: &ImageChange, newest: &[Candidate]) -> bool {
    let digest = |image: &Option<ImageRef>| image.as_ref().and_then(|image| image.digest.clone());
    let (from, to) = (digest(&change.from), digest(&change.to));
    from != to
        && newest.iter().any(|candidate| {
            same_image(&candidate.image, &change.name) && Some(&candidate.digest) == from.as_ref()
        })
}

/// The link that compares the source of an image before and after. `announced`: all remembered
/// candidates. `web`: the base URL of GitHub's pages.
pub fn source_of(
    change: &ImageChange,
    announced: &[Candidate],
    web: &str,
) -> Option<(String, String)> {
    let of = |image: &Option<ImageRef>| {
        let digest = image.as_ref()?.digest.as_ref()?;
        announced
            .iter()
            .rfind(|candidate| candidate.digest == *digest)
    };
    let to = of(&change.to)?;
    Some(
        match of(&change.from).filter(|from| from.source == to.source && from.commit != to.commit) {
            Some(from) => (
                format!(
                    "{}…{}",
                    &from.commit.as_str()[..7],
                    &to.commit.as_str()[..7]
                ),
                format!(
                    "{web}/{}/compare/{}...{}",
                    to.source, from.commit, to.commit
                ),
            ),
            None => (
                to.commit.as_str()[..7].to_string(),
                format!("{web}/{}/commit/{}", to.source, to.commit),
            ),
        },
    )
}

/// The images that differ between two renderings: what a container ran before and what it runs now,
/// each pair once. Containers that exist on one side only are paired by the image's name, in their
/// order. An image that other containers run on both sides is neither added nor removed.
pub fn image_changes(base: &[(String, ImageRef)], head: &[(String, ImageRef)]) -> Vec<ImageChange> {
    let of = |all: &[(String, ImageRef)], name: &str| -> BTreeMap<String, ImageRef> {
        all.iter()
            .filter(|(_, image)| image.name == name)
            .cloned()
            .collect()
    };
    let names: BTreeSet<_> = base
        .iter()
        .chain(head)
        .map(|(_, image)| image.name.as_str())
        .collect();
    let mut changes = Vec::new();
    for name in names {
        let (before, after) = (of(base, name), of(head, name));
        let mut pairs: Vec<_> = before
            .iter()
            .filter_map(|(at, from)| Some((Some(from), Some(after.get(at)?))))
            .filter(|(from, to)| from != to)
            .collect();
        let removed: Vec<_> = before
            .iter()
            .filter(|(at, _)| !after.contains_key(*at))
            .map(|(_, image)| image)
            .collect();
        let added: Vec<_> = after
            .iter()
            .filter(|(at, _)| !before.contains_key(*at))
            .map(|(_, image)| image)
            .collect();
        let unpaired = (0..removed.len().max(added.len()))
            .map(|at| (removed.get(at).copied(), added.get(at).copied()));
        pairs.extend(unpaired.filter(|pair| match pair {
            (Some(_), None) => after.is_empty(),
            (None, Some(to)) => !before.values().any(|known| known == *to),
            (from, to) => from != to,
        }));
        for (from, to) in pairs {
            let change = ImageChange {
                name: name.into(),
                from: from.cloned(),
                to: to.cloned(),
                source: None,
                taken_back: None,
            };
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
    }
    changes
}
