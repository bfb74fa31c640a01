//! Image references. An image's identity is its digest; a tag is a label.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fieldset::FieldPath;
use super::ids::text_type;
use super::{CommitSha, Invalid, RepoName};

/// `sha256:` and 64 hexadecimal digits.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Digest(String);

impl Digest {
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The first twelve hexadecimal digits, for people.
    pub fn short(&self) -> &str {
        &self.0[7..19]
    }
}

impl FromStr for Digest {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let hex = text.strip_prefix("sha256:").unwrap_or("");
        if hex.len() == 64
            && hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            Ok(Self(text.into()))
        } else {
            Err(Invalid(format!(
                "`{text}` is not a digest: write `sha256:` and 64 lower-case hexadecimal digits"
            )))
        }
    }
}

text_type!(Digest);

/// A tag as the OCI distribution specification allows it.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Tag(String);

impl Tag {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let bytes = text.as_bytes();
        if (1..=128).contains(&bytes.len())
            && word(bytes[0])
            && bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-')
        {
            Ok(Self(text.into()))
        } else {
            Err(Invalid(format!("`{text}` is not an image tag")))
        }
    }
}

text_type!(Tag);

/// An image as it stands in a manifest: `name[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ImageRef {
    /// Registry and repository: `ghcr.io/acme/shop`.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

impl FromStr for ImageRef {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon before the last slash belongs to the registry's port.
        let after_slash = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[after_slash..].split_once(':') {
            Some((last, tag)) => (&rest[..after_slash + last.len()], Some(tag.parse()?)),
            None => (rest, None),
        };
        Ok(Self {
            name: image_name(name)?,
            tag,
            digest,
        })
    }
}

/// Checks an image's name and converts it to lower case, as registries have it. GHCR owners are
/// often written otherwise.
pub fn image_name(text: &str) -> Result<String, Invalid> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_./:".contains(&b);
    if text.is_empty()
        || text.len() > 255
        || !text.bytes().all(legal)
        || text.starts_with('/')
        || text.ends_with('/')
    {
        return Err(Invalid(format!("`{text}` is not an image name")));
    }
    Ok(text.to_ascii_lowercase())
}

/// Whether two names mean the same image: names of Docker Hub can be written in several ways.
pub fn same_image(a: &str, b: &str) -> bool {
    shortest(a) == shortest(b)
}

/// The shortest form of a name, in which all others end: `docker.io/library/redis` and
/// `library/redis` are `redis`.
pub fn shortest(name: &str) -> &str {
    // If the rest begins like a registry, `docker.io/` cannot be left out.
    let is_registry = |path: &str| {
        path.split_once('/')
            .is_some_and(|(first, _)| first == "localhost" || first.contains(['.', ':']))
    };
    let path = match name.split_once('/') {
        Some(("docker.io" | "index.docker.io", path)) if !is_registry(path) => path,
        _ => name,
    };
    path.strip_prefix("library/")
        .filter(|image| !image.contains('/'))
        .unwrap_or(path)
}

/// The first reference to an image within a text, with where it stands.
pub fn reference_in(text: &str, image: &str) -> Option<(Range<usize>, ImageRef)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._-/:@+".contains(c);
    let mut start = 0;
    for piece in text.split_inclusive(|c| !is_part(c)) {
        let word = piece.trim_end_matches(|c| !is_part(c));
        let reference = word.parse::<ImageRef>().ok();
        let is_it = |reference: &ImageRef| same_image(&reference.name, image);
        if let Some(reference) = reference.filter(is_it) {
            return Some((start..start + word.len(), reference));
        }
        start += piece.len();
    }
    None
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// A place that windlass.yaml names for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPlace {
    pub image: String,
    /// The file's path in the application's directory.
    pub file: String,
    pub path: FieldPath,
}

/// An image proposed for a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// Registry and repository, without tag.
    pub image: String,
    pub digest: Digest,
    pub tag: Tag,
    /// The commit of `source` that the image was built from.
    pub commit: CommitSha,
    /// The source repository.
    pub source: RepoName,
}

/// Whether a text names an image: its tag, its digest, or at least seven digits of the digest.
pub fn names(text: &str, tag: Option<&Tag>, digest: Option<&Digest>) -> bool {
    let has_tag = tag.is_some_and(|tag| tag.to_string() == text);
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let is_long = digits.len() >= 7 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let digest = digest.map(ToString::to_string).unwrap_or_default();
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    has_tag || is_long && hex.starts_with(&digits.to_ascii_lowercase())
}

impl Candidate {
    pub fn reference(&self) -> ImageRef {
        ImageRef {
            name: self.image.clone(),
            tag: Some(self.tag.clone()),
            digest: Some(self.digest.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_take_apart_and_print_back() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for text in [
            "nginx",
            "nginx:1.2",
            "host:5000/a/b",
            "host:5000/a/b:v1",
            &format!("ghcr.io/a/b:v1@{digest}"),
            &format!("a@{digest}"),
        ] {
            assert_eq!(text.parse::<ImageRef>().unwrap().to_string(), *text);
        }
        let read: ImageRef = "host:5000/a/b:v1".parse().unwrap();
        assert_eq!(
            (read.name.as_str(), read.tag.unwrap().as_str()),
            ("host:5000/a/b", "v1")
        );
        for bad in ["", "a b", "a:", "a@sha256:12", "a:b c", ":x"] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn docker_hubs_names_are_one_name() {
        let table = [
            (
                &["docker.io/acme/x", "index.docker.io/acme/x", "acme/x"][..],
                "acme/x",
            ),
            (
                &[
                    "docker.io/library/redis",
                    "index.docker.io/library/redis",
                    "library/redis",
                    "docker.io/redis",
                    "redis",
                ],
                "redis",
            ),
            (&["ghcr.io/acme/x"], "ghcr.io/acme/x"),
            (&["ghcr.io/library/redis"], "ghcr.io/library/redis"),
            (&["localhost:5000/redis"], "localhost:5000/redis"),
            (&["docker.io/ghcr.io/acme/x"], "docker.io/ghcr.io/acme/x"),
            (&["library/a/b"], "library/a/b"),
        ];
        for (names, expected) in table {
            for name in names {
                assert_eq!(shortest(name), expected, "{name}");
                assert!(
                    same_image(name, expected) && name.ends_with(expected),
                    "{name}"
                );
            }
        }
        assert!(!same_image("acme/x", "ghcr.io/acme/x") && !same_image("redis", "acme/redis"));
    }
}
