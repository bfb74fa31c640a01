//! Finds the places where a file sets an image, and sets tag and digest there.

use serde_json::Value;

use super::document::{single, split_documents};
use super::{Assignment, EditError, Kind, Step, Steps, at, edited};
use crate::domain::image::{Candidate, Digest, ImageRef, same_image, shortest};
use crate::domain::manifest::{group_of, is_custom_group};

/// Sets tag and digest of the candidate's image in the places of `text` that are wanted. None: there
/// are none. If it has the candidate already, the text stays the same.
pub(super) fn set_where(
    text: &str,
    kind: Kind,
    candidate: &Candidate,
    is_wanted: &dyn Fn(&Place) -> bool,
) -> Result<Option<String>, EditError> {
    let (bom, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let mut out = String::from(bom);
    let mut used = false;
    for document in split_documents(body) {
        match set_in_document(document, kind, candidate, is_wanted)? {
            Some(edited) => {
                used = true;
                out.push_str(&edited);
            }
            None => out.push_str(document),
        }
    }
    Ok(used.then_some(out))
}

/// The places where `text` sets an image.
pub(super) fn places_in(text: &str, kind: Kind, image: &str) -> Result<Vec<Place>, EditError> {
    let mut found = Vec::new();
    for document in split_documents(text.strip_prefix('\u{feff}').unwrap_or(text))
        .into_iter()
        .filter(|text| mentions(text, image))
    {
        found.extend(places(&single(document)?, kind, image));
    }
    Ok(found)
}

/// Whether a text contains the image's name at all. Most files do not, and are then not parsed.
fn mentions(text: &str, image: &str) -> bool {
    let (text, image) = (text.to_ascii_lowercase(), shortest(image));
    // A values file may have the registry beside it.
    let name = image.rsplit('/').next().unwrap_or(image);
    text.contains(image) || text.contains(name)
}

fn set_in_document(
    text: &str,
    kind: Kind,
    candidate: &Candidate,
    is_wanted: &dyn Fn(&Place) -> bool,
) -> Result<Option<String>, EditError> {
    if !mentions(text, &candidate.image) {
        return Ok(None);
    }
    let before = single(text)?;
    let places = places(&before, kind, &candidate.image);
    let assignments: Vec<_> = places
        .iter()
        .filter(|place| is_wanted(place))
        .flat_map(|place| place.assignments(candidate))
        .collect();
    if assignments.is_empty() {
        return Ok(None);
    }
    edited(text, &before, &assignments).map(Some)
}

/// A place where a document sets an image.
pub(super) struct Place {
    pub(super) steps: Steps,
    /// The image's name as it stands there.
    pub(super) name: String,
    pub(super) digest: Option<Digest>,
    pub(super) form: Form,
}

/// How a place sets an image.
pub(super) enum Form {
    /// An entry of a kustomization's `images:`.
    Entry,
    /// A whole reference.
    Field,
    /// Name and tag apart, in a mapping: the keys of tag and digest.
    Apart {
        tag: String,
        digest: Option<&'static str>,
    },
}

/// The keys that charts have for a digest. Behind `sha`, `sha256:` is left out.
const DIGESTS: [&str; 2] = ["digest", BARE];
const BARE: &str = "sha";

impl Place {
    pub(super) fn is_entry(&self) -> bool {
        matches!(self.form, Form::Entry)
    }

    /// Whether kustomize sets it by an entry of `images:`.
    pub(super) fn is_of_a_container(&self) -> bool {
        let lists = ["containers", "initContainers"];
        let is_list = |step: &Step| matches!(step, Step::Key(key) if lists.contains(&key.as_str()));
        self.steps.iter().any(is_list)
    }

    /// The digest that another document has at the same path. None: it has nothing there.
    pub(super) fn digest_in(&self, document: &Value) -> Option<Option<Digest>> {
        let at = at(document, &self.steps)?;
        let text = |key: &str| at.get(key).and_then(Value::as_str);
        let digest = match &self.form {
            Form::Field => at.as_str()?.split_once('@').map(|(_, digest)| digest),
            Form::Entry => text("digest"),
            Form::Apart { tag, .. } => {
                let digest = DIGESTS.iter().find_map(|key| text(key));
                let tag = text(tag);
                // Nothing of it is there.
                tag.or(digest)?;
                digest.or(tag.and_then(|tag| Some(tag.split_once('@')?.1)))
            }
        };
        Some(digest.and_then(read_digest))
    }

    /// The assignments that make it the candidate's.
    fn assignments(&self, candidate: &Candidate) -> Vec<Assignment> {
        let at = |key: &str, value: String| Assignment {
            steps: [self.steps.clone(), vec![Step::Key(key.into())]].concat(),
            value: value.into(),
        };
        let (tag, digest) = (candidate.tag.to_string(), candidate.digest.to_string());
        match &self.form {
            Form::Field => {
                let image = ImageRef {
                    name: self.name.clone(),
                    ..candidate.reference()
                };
                vec![Assignment {
                    steps: self.steps.clone(),
                    value: image.to_string().into(),
                }]
            }
            Form::Entry => vec![at("newTag", tag), at("digest", digest)],
            Form::Apart {
                tag: key,
                digest: Some(BARE),
            } => vec![at(key, tag), at(BARE, bare(&digest))],
            Form::Apart {
                tag: key,
                digest: Some(other),
            } => vec![at(key, tag), at(other, digest)],
            // Charts put a tag behind the colon of a reference, and a digest may follow it there.
            Form::Apart { tag: key, .. } => vec![at(key, format!("{tag}@{digest}"))],
        }
    }
}

fn places(document: &Value, kind: Kind, image: &str) -> Vec<Place> {
    let mut found = Vec::new();
    match kind {
        Kind::Kustomization => of_kustomization(document, image, &mut found),
        Kind::Manifests if is_kustomization(document) => {
            of_kustomization(document, image, &mut found);
        }
        Kind::Manifests => manifest_fields(document, image, &mut Vec::new(), &mut found),
        Kind::Values => values(document, image, &mut Vec::new(), &mut found),
        Kind::Named => {}
    }
    found
}

fn is_kustomization(document: &Value) -> bool {
    let version = document["apiVersion"].as_str().unwrap_or_default();
    matches!(
        document["kind"].as_str(),
        Some("Kustomization" | "Component")
    ) && (version.is_empty() || version.starts_with("kustomize.config.k8s.io/"))
}

/// Entries of a kustomization's `images:`, and the values of its charts.
fn of_kustomization(document: &Value, image: &str, found: &mut Vec<Place>) {
    entries(document, image, found);
    let charts = document["helmCharts"].as_array().into_iter().flatten();
    for (index, chart) in charts.enumerate() {
        let keys = ["helmCharts", "valuesInline"].map(|key| Step::Key(key.into()));
        let [charts, inline] = keys;
        let mut steps = vec![charts, Step::Index(index), inline];
        values(&chart["valuesInline"], image, &mut steps, found);
    }
}

/// Entries of a kustomization's `images:`.
fn entries(document: &Value, image: &str, found: &mut Vec<Place>) {
    let all = document["images"].as_array().into_iter().flatten();
    for (index, entry) in all.enumerate() {
        let name = entry["newName"].as_str().or_else(|| entry["name"].as_str());
        let Some(name) = name.filter(|name| same_image(&name.to_ascii_lowercase(), image)) else {
            continue;
        };
        found.push(Place {
            steps: vec![Step::Key("images".into()), Step::Index(index)],
            name: name.into(),
            digest: entry["digest"].as_str().and_then(|text| text.parse().ok()),
            form: Form::Entry,
        });
    }
}

/// Every `image:` field of a manifest.
fn manifest_fields(value: &Value, image: &str, steps: &mut Steps, found: &mut Vec<Place>) {
    match group_of(value) {
        // Flux's kinds for images name what is followed, not what runs.
        "image.toolkit.fluxcd.io" => return,
        group if is_custom_group(group) => return values(value, image, steps, found),
        _ => {}
    }
    below(value, steps, &mut |key, value, steps| match value {
        Value::String(text) if key == Some("image") => found.extend(field(text, image, steps)),
        other => manifest_fields(other, image, steps, found),
    });
}

/// A whole reference to the image.
fn field(text: &str, image: &str, steps: &Steps) -> Option<Place> {
    let read: ImageRef = text.parse().ok()?;
    same_image(&read.name, image).then(|| Place {
        steps: steps.clone(),
        name: read.name,
        digest: read.digest,
        form: Form::Field,
    })
}

/// The places of a chart's values, or of a custom kind: `image: NAME:TAG`, `images: [NAME:TAG]`, and
/// mappings with `repository` and `tag`.
fn values(value: &Value, image: &str, steps: &mut Steps, found: &mut Vec<Place>) {
    if let Some(apart) = apart(value, image, steps) {
        found.push(apart);
        return;
    }
    below(value, steps, &mut |key, value, steps| match value {
        Value::String(text) if matches!(key, Some("image" | "imageName")) => {
            found.extend(field(text, image, steps));
        }
        Value::Array(_) if key.is_some_and(|key| key.ends_with("mages")) => {
            below(value, steps, &mut |_, item, steps| match item {
                Value::String(text) => found.extend(field(text, image, steps)),
                other => values(other, image, steps, found),
            });
        }
        other => values(other, image, steps, found),
    });
}

/// A mapping that has the image's name and its tag apart: the name in one or more of `registry`,
/// `repository`, and `image` or `name`.
fn apart(value: &Value, image: &str, steps: &Steps) -> Option<Place> {
    let map = value.as_object()?;
    let text = |key: &str| {
        let text = map.get(key).and_then(Value::as_str);
        text.map(|text| text.trim_matches('/'))
            .filter(|text| !text.is_empty())
    };
    let (registry, repository) = (text("registry"), text("repository"));
    let last = text("image").or_else(|| text("name"));
    let joined = |parts: &[Option<&str>]| {
        let parts: Option<Vec<_>> = parts.iter().copied().collect();
        let name = parts?.join("/");
        let is_name = !name.contains('@') && name.parse::<ImageRef>().ok()?.tag.is_none();
        (is_name && same_image(&name.to_ascii_lowercase(), image)).then_some(name)
    };
    let has = |key: &&str| map.contains_key(*key);
    let tag = ["tag", "imageTag"].iter().copied().find(|key| has(key));
    let of_repository = joined(&[registry, repository, last])
        .or_else(|| joined(&[registry, repository]))
        .or_else(|| joined(&[repository, last]))
        .or_else(|| joined(&[repository]));
    let (name, tag) = match of_repository {
        Some(name) => (name, tag.unwrap_or("tag")),
        // A name alone is an image's if its tag is beside it.
        None => (joined(&[registry, last]).or_else(|| joined(&[last]))?, tag?),
    };
    let digest = DIGESTS.iter().find_map(|key| text(key));
    let digest = digest.or_else(|| Some(text(tag)?.split_once('@')?.1));
    Some(Place {
        steps: steps.clone(),
        digest: digest.and_then(read_digest),
        form: Form::Apart {
            digest: DIGESTS.into_iter().find(|key| has(key)),
            tag: tag.into(),
        },
        name,
    })
}

/// A digest without `sha256:`.
pub(super) fn bare(digest: &str) -> String {
    digest.split_once(':').map_or(digest, |(_, hex)| hex).into()
}

fn read_digest(text: &str) -> Option<Digest> {
    match text.contains(':') {
        true => text.parse().ok(),
        false => format!("sha256:{text}").parse().ok(),
    }
}

/// Calls `visit` with each value of a mapping or list: its key, if it has one, itself, and its path.
fn below(
    value: &Value,
    steps: &mut Steps,
    visit: &mut impl FnMut(Option<&str>, &Value, &mut Steps),
) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                steps.push(Step::Key(key.clone()));
                visit(Some(key), value, steps);
                steps.pop();
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                steps.push(Step::Index(index));
                visit(None, item, steps);
                steps.pop();
            }
        }
        _ => {}
    }
}
