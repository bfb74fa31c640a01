//! Whether an edit moves an image and nothing else: by what an application renders to before and
//! after it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::domain::hook::Hook;
use crate::domain::image::{Candidate, ImageRef, reference_in, same_image};
use crate::domain::manifest::{Manifest, ResourceKey};

/// Why an edit is not only the move of these images; in words for its author.
pub fn moves_only(
    before: &[Manifest],
    after: &[Manifest],
    candidates: &[Candidate],
) -> Result<(), String> {
    let moves = Moves::new(before, candidates);
    let old: Vec<_> = before.iter().map(|old| (moves.key_of(old), old)).collect();
    let mut new = BTreeMap::new();
    for manifest in after {
        new.entry(moves.key_of(manifest)).or_insert(manifest);
    }
    let keys: BTreeSet<_> = old.iter().map(|(key, _)| key).collect();
    if let Some(key) = keys.symmetric_difference(&new.keys().collect()).next() {
        return Err(format!("setting the image adds or removes {key}"));
    }
    for candidate in candidates {
        if before == after || is_left(after, candidate) {
            return Err(format!(
                "setting `{}` has no effect: something else sets the image after that",
                candidate.image
            ));
        }
    }
    for (key, old) in &old {
        if let Some(field) = moves.other(&old.value, &new[key].value, String::new()) {
            return Err(format!(
                "setting the image also changes {field} of {}",
                old.key
            ));
        }
    }
    Ok(())
}

/// Whether the image still runs otherwise, and nowhere as it should.
fn is_left(after: &[Manifest], candidate: &Candidate) -> bool {
    let images = after.iter().flat_map(Manifest::images);
    let mut same = images
        .filter(|image| same_image(&image.name, &candidate.image))
        .peekable();
    same.peek().is_some() && !same.any(|image| image.digest.as_ref() == Some(&candidate.digest))
}

/// The texts that may change: the candidates, each with the tags that it has before.
struct Moves<'a>(Vec<(&'a Candidate, BTreeSet<String>)>);

impl<'a> Moves<'a> {
    fn new(before: &[Manifest], candidates: &'a [Candidate]) -> Self {
        let images: Vec<_> = before.iter().flat_map(Manifest::images).collect();
        let tags = |candidate: &Candidate| {
            let same = images
                .iter()
                .filter(|image| same_image(&image.name, &candidate.image));
            same.filter_map(|image| image.tag.as_ref().map(ToString::to_string))
                .collect()
        };
        Self(
            candidates
                .iter()
                .map(|candidate| (candidate, tags(candidate)))
                .collect(),
        )
    }

    /// The first field that changes otherwise.
    fn other(&self, old: &Value, new: &Value, field: String) -> Option<String> {
        match (old, new) {
            (old, new) if old == new => None,
            (Value::Object(a), Value::Object(b)) => {
                let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
                let (none, at) = (Value::Null, |name: &str| format!("{field}.{name}"));
                names.into_iter().find_map(|name| {
                    let side = |map: &'_ serde_json::Map<String, Value>| map.get(name).cloned();
                    self.other(
                        &side(a).unwrap_or(none.clone()),
                        &side(b).unwrap_or(none.clone()),
                        at(name),
                    )
                })
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                let items = a.iter().zip(b).enumerate();
                items
                    .into_iter()
                    .find_map(|(index, (a, b))| self.other(a, b, format!("{field}[{index}]")))
            }
            (Value::String(a), Value::String(b)) if self.is_move(a, b, &field) => None,
            // A tag that YAML read as a number, or that was not there.
            (Value::Null | Value::Number(_) | Value::Bool(_), Value::String(b))
                if self.is_move("", b, &field) =>
            {
                None
            }
            _ => Some(field),
        }
    }

    /// What names an object: names may have the tag, and a hook's may end in a digest of its content,
    /// where Git has `generateName`.
    fn key_of(&self, manifest: &Manifest) -> ResourceKey {
        let mut key = manifest.key.clone();
        if Hook::of(&manifest.value).is_some()
            && let Some(at) = key.name.len().checked_sub(8)
            && key.name.is_char_boundary(at)
            && key.name[at..].bytes().all(|b| b.is_ascii_hexdigit())
        {
            key.name.truncate(at);
        }
        for (candidate, tags) in &self.0 {
            let tag = candidate.tag.to_string();
            // A short one may stand anywhere.
            for known in tags.iter().chain([&tag]).filter(|tag| tag.len() > 2) {
                for known in [
                    known.clone(),
                    known.replace('.', "-"),
                    known.to_ascii_lowercase(),
                ] {
                    key.name = key.name.replace(&known, "");
                }
            }
        }
        key
    }

    /// The image itself; a text with its tag, as a version label; or a checksum of such texts.
    fn is_move(&self, old: &str, new: &str, field: &str) -> bool {
        // A label cannot hold a digest: a chart that shows the tag in one needs a `digest` beside it.
        if field.contains(".labels.") && new.contains('@') {
            return false;
        }
        let is_checksum = field.contains("checksum") || field.contains("hash");
        if is_checksum && old.len() == new.len() {
            return true;
        }
        self.0.iter().any(|(candidate, tags)| {
            let is_ours = |read: ImageRef| match read.digest {
                Some(digest) => digest == candidate.digest,
                None => read.tag.as_ref() == Some(&candidate.tag),
            };
            // By itself, or within a text, as an argument has it.
            let moves = || {
                let (from, _) = reference_in(old, &candidate.image)?;
                let (to, now) = reference_in(new, &candidate.image)?;
                let is_same_around =
                    old[..from.start] == new[..to.start] && old[from.end..] == new[to.end..];
                Some(is_same_around && is_ours(now))
            };
            let forms = forms(candidate);
            let becomes = |known: &String| forms.iter().any(|form| old.replace(known, form) == new);
            moves() == Some(true)
                || forms.iter().any(|form| form == new)
                || tags.iter().any(becomes)
        })
    }
}

/// The texts that an edit writes for a candidate.
fn forms(candidate: &Candidate) -> [String; 4] {
    let (tag, digest) = (candidate.tag.to_string(), candidate.digest.to_string());
    let bare = digest.trim_start_matches("sha256:").to_string();
    [format!("{tag}@{digest}"), tag, digest, bare]
}

#[cfg(test)]
mod tests {
    use super::super::tests::candidate;
    use super::*;

    fn rendered(image: &str, version: &str, more: &str) -> Vec<Manifest> {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a, labels: {{version: '{version}'}}}}\nspec: {{containers: [{{name: a, image: '{image}'{more}}}]}}\n"
        );
        Manifest::parse_all(&text, "a.yaml").unwrap()
    }

    #[test]
    fn only_the_image_and_what_shows_its_tag_may_change() {
        let before = rendered("ghcr.io/acme/shop:1.0", "v1.0", "");
        let moved = format!("ghcr.io/acme/shop:2.0@{}", candidate("2.0").digest);
        let table = [
            (rendered(&moved, "v1.0", ""), ""),
            (rendered(&moved, "v2.0", ""), ""),
            (
                rendered(&moved, "v3", ""),
                "setting the image also changes .metadata.labels.version of Pod a",
            ),
            (
                rendered(&moved, "v1.0", ", args: [x]"),
                "setting the image also changes .spec.containers[0].args of Pod a",
            ),
            (
                rendered(&moved, &format!("2.0@{}", candidate("2.0").digest), ""),
                "setting the image also changes .metadata.labels.version of Pod a",
            ),
            (
                rendered(&moved.replace('b', "a"), "v1.0", ""),
                "setting `ghcr.io/acme/shop` has no effect: something else sets the image after that",
            ),
            (
                before.clone(),
                "setting `ghcr.io/acme/shop` has no effect: something else sets the image after that",
            ),
            (Vec::new(), "setting the image adds or removes Pod a"),
        ];
        for (after, expected) in table {
            let found = moves_only(&before, &after, &[candidate("2.0")]).err();
            assert_eq!(found.unwrap_or_default(), expected);
        }
    }
}
