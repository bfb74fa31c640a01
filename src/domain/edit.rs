//! Byte-exact edits of people's files: exactly the tag and digest of one image
//! change, or exactly some fields of one object, and the result is proven by
//! reading it again.
//!
//! [`set_image`] finds the spans with yamlpath, splices them, re-parses the
//! text before and after, and refuses unless exactly the wanted paths differ.
//! What cannot be edited safely (aliases, anchors, templates, duplicate keys)
//! fails that proof and is refused with words.

use serde_json::Value;
use yamlpath::{Component, Document, Route};

use super::fieldset::{self, Element, FieldPath};
use super::image::{Candidate, Digest, ImageRef, same_image, shortest};
use super::yaml;

/// An edit that is valid only on the blob it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEdit {
    /// Path in the repository.
    pub path: String,
    /// The file's new text.
    pub text: String,
}

/// Why a file that uses the image cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EditError(pub String);

type Steps = Vec<Step>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// One scalar to set, inside one document.
struct Assignment {
    steps: Steps,
    value: Value,
}

/// Sets fields of one object to scalars, wherever `text` has it. None where the object is not in the file.
pub fn set_fields(
    text: &str,
    kind: &str,
    name: &str,
    fields: &[(FieldPath, Value)],
) -> Result<Option<String>, EditError> {
    let mut out = String::new();
    let mut used = false;
    for document in split_documents(text) {
        let may = document.contains(kind) && document.contains(name);
        let read = if may { single(document).ok() } else { None };
        let Some(read) =
            read.filter(|read| read["kind"] == kind && read["metadata"]["name"] == name)
        else {
            out.push_str(document);
            continue;
        };
        if used {
            return Err(EditError(format!("the {kind} {name} is there twice")));
        }
        used = true;
        let assignments = fields.iter().map(|(path, value)| {
            if value.is_object() || value.is_array() {
                return Err(EditError(format!("{path} is more than one value")));
            }
            let steps = steps_of(&read, path)
                .ok_or_else(|| EditError(format!("{path} is not in the file")))?;
            Ok(Assignment {
                steps,
                value: value.clone(),
            })
        });
        out.push_str(&edited(
            document,
            &read,
            &assignments.collect::<Result<Vec<_>, _>>()?,
        )?);
    }
    Ok(used.then_some(out))
}

/// Where a field stands in a document; the last step may be a key that is yet to be put in.
fn steps_of(document: &Value, path: &FieldPath) -> Option<Steps> {
    let mut at = document;
    let mut steps = Vec::new();
    for (index, element) in path.0.iter().enumerate() {
        match element {
            Element::Field(name) => {
                steps.push(Step::Key(name.clone()));
                match at.get(name) {
                    Some(below) => at = below,
                    None if index + 1 == path.0.len()
                        && at.as_object().is_some_and(|map| !map.is_empty()) => {}
                    None => return None,
                }
            }
            other => {
                let position = fieldset::position(at.as_array()?, other)?;
                steps.push(Step::Index(position));
                at = &at[position];
            }
        }
    }
    Some(steps)
}

/// Sets tag and digest of the candidate's image wherever `text` names it: in a kustomization's `images:` list, or
/// in `image:` fields. None where the file does not use the image; the same text where it has the candidate already.
pub fn set_image(text: &str, candidate: &Candidate) -> Result<Option<String>, EditError> {
    let (bom, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let mut out = String::from(bom);
    let mut used = false;
    for document in split_documents(body) {
        match set_in_document(document, candidate)? {
            Some(edited) => {
                used = true;
                out.push_str(&edited);
            }
            None => out.push_str(document),
        }
    }
    Ok(used.then_some(out))
}

/// The digest at each place where `text` sets an image; None where it names none.
pub fn digests(text: &str, image: &str) -> Result<Vec<Option<Digest>>, EditError> {
    let mut found = Vec::new();
    for document in split_documents(text.strip_prefix('\u{feff}').unwrap_or(text))
        .into_iter()
        .filter(|text| names(text, image))
    {
        found.extend(
            places(&single(document)?, image)
                .into_iter()
                .map(|place| place.digest),
        );
    }
    Ok(found)
}

/// A quick look first: most files do not name the image, and need not be readable for us.
fn names(text: &str, image: &str) -> bool {
    text.to_ascii_lowercase().contains(shortest(image))
}

fn set_in_document(text: &str, candidate: &Candidate) -> Result<Option<String>, EditError> {
    if !names(text, &candidate.image) {
        return Ok(None);
    }
    let before = single(text)?;
    let assignments = assignments(&before, candidate);
    if assignments.is_empty() {
        return Ok(None);
    }
    edited(text, &before, &assignments).map(Some)
}

/// The text with the assignments made; proven by reading it again.
fn edited(text: &str, before: &Value, assignments: &[Assignment]) -> Result<String, EditError> {
    let mut wanted = before.clone();
    for assignment in assignments {
        set(&mut wanted, &assignment.steps, &assignment.value);
    }
    if wanted == *before {
        return Ok(text.to_string());
    }
    let mut edited = text.to_string();
    for assignment in assignments {
        edited = splice(&edited, before, assignment)?;
    }
    let after = single(&edited)?;
    if after != wanted {
        return Err(EditError(
            "the edit would change more than it should (an alias, an anchor, a template or a duplicate key is in the way): \
             write it as a plain value"
                .into(),
        ));
    }
    Ok(edited)
}

fn single(text: &str) -> Result<Value, EditError> {
    match yaml::documents(text) {
        Ok(mut documents) if documents.len() == 1 => Ok(documents.remove(0)),
        Ok(documents) => Err(EditError(format!(
            "read as {} documents where one was expected",
            documents.len()
        ))),
        Err(error) => Err(EditError(error)),
    }
}

/// A place where a document sets an image.
struct Place {
    steps: Steps,
    /// The name as an `image:` field has it; None: an entry of a kustomization, whose name stays as it is.
    name: Option<String>,
    digest: Option<Digest>,
}

/// Where a document sets an image: entries of a kustomization's `images:`, or `image:` fields.
fn places(document: &Value, image: &str) -> Vec<Place> {
    let mut found = Vec::new();
    if is_kustomization(document) {
        let entries = document["images"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for (index, entry) in entries.iter().enumerate() {
            let name = |key: &str| entry[key].as_str().map(str::to_ascii_lowercase);
            if name("newName")
                .or_else(|| name("name"))
                .is_some_and(|name| same_image(&name, image))
            {
                let steps = vec![Step::Key("images".into()), Step::Index(index)];
                found.push(Place {
                    steps,
                    name: None,
                    digest: entry["digest"].as_str().and_then(|text| text.parse().ok()),
                });
            }
        }
    } else {
        image_fields(document, &mut Vec::new(), &mut |steps, text| {
            if let Ok(read) = text.parse::<ImageRef>()
                && same_image(&read.name, image)
            {
                found.push(Place {
                    steps: steps.clone(),
                    name: Some(read.name),
                    digest: read.digest,
                });
            }
        });
    }
    found
}

/// What to set in a document so that it runs the candidate.
fn assignments(document: &Value, candidate: &Candidate) -> Vec<Assignment> {
    let mut found = Vec::new();
    for Place { steps, name, .. } in places(document, &candidate.image) {
        match name {
            Some(name) => {
                let image = ImageRef {
                    name,
                    ..candidate.reference()
                };
                found.push(Assignment {
                    steps,
                    value: image.to_string().into(),
                });
            }
            None => {
                let at = |key: &str| [steps.clone(), vec![Step::Key(key.into())]].concat();
                found.push(Assignment {
                    steps: at("newTag"),
                    value: candidate.tag.to_string().into(),
                });
                found.push(Assignment {
                    steps: at("digest"),
                    value: candidate.digest.to_string().into(),
                });
            }
        }
    }
    found
}

fn is_kustomization(document: &Value) -> bool {
    let kind = document["kind"].as_str();
    matches!(kind, Some("Kustomization" | "Component"))
        || (kind.is_none() && document["apiVersion"].is_null())
}

/// Calls `visit` with every string under a key `image`, and where it is.
fn image_fields(value: &Value, steps: &mut Steps, visit: &mut impl FnMut(&Steps, &str)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                steps.push(Step::Key(key.clone()));
                match value {
                    Value::String(text) if key == "image" => visit(steps, text),
                    other => image_fields(other, steps, visit),
                }
                steps.pop();
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                steps.push(Step::Index(index));
                image_fields(item, steps, visit);
                steps.pop();
            }
        }
        _ => {}
    }
}

fn set(document: &mut Value, steps: &[Step], value: &Value) {
    let mut at = document;
    for step in steps {
        at = match step {
            Step::Key(key) => &mut at[key.as_str()],
            Step::Index(index) => &mut at[*index],
        };
    }
    *at = value.clone();
}

fn route(steps: &[Step]) -> Route<'static> {
    Route::from(
        steps
            .iter()
            .map(|step| match step {
                Step::Key(key) => Component::from(key.clone()),
                Step::Index(index) => Component::from(*index),
            })
            .collect::<Vec<_>>(),
    )
}

/// Replaces one scalar in the text, or inserts its key into the mapping it belongs to.
fn splice(text: &str, before: &Value, assignment: &Assignment) -> Result<String, EditError> {
    let refuse = |why: String| EditError(why);
    let document = Document::new(text).map_err(|error| refuse(error.to_string()))?;
    if document.query_exists(&route(&assignment.steps)) {
        let feature = document
            .query_exact(&route(&assignment.steps))
            .map_err(|error| refuse(error.to_string()))?
            .ok_or_else(|| {
                refuse("the image's field is empty: give it a value once by hand".into())
            })?;
        let (start, end) = feature.location.byte_span;
        let old = &text[start..end];
        return Ok(format!(
            "{}{}{}",
            &text[..start],
            scalar(old, &assignment.value),
            &text[end..]
        ));
    }
    let Some((Step::Key(key), parent)) = assignment.steps.split_last() else {
        return Err(refuse("nowhere to put it".into()));
    };
    let mut neighbours: Vec<String> = ["newTag", "newName", "name", "digest"]
        .map(str::to_string)
        .into();
    let there = parent.iter().try_fold(before, |at, step| match step {
        Step::Key(key) => at.get(key),
        Step::Index(index) => at.get(*index),
    });
    let scalars = there
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_object() && !value.is_array());
    neighbours.extend(scalars.map(|(key, _)| key.clone()));
    insert(text, &document, parent, key, &assignment.value, &neighbours)
}

/// Adds `key: value` to a mapping, after one of the keys that stand in it.
fn insert(
    text: &str,
    document: &Document,
    parent: &[Step],
    key: &str,
    value: &Value,
    neighbours: &[String],
) -> Result<String, EditError> {
    for neighbour in neighbours {
        let mut steps = parent.to_vec();
        steps.push(Step::Key(neighbour.clone()));
        let steps = route(&steps);
        let (Ok(name), Ok(Some(value_at))) = (
            document.query_key_only(&steps),
            document.query_exact(&steps),
        ) else {
            continue;
        };
        let end = value_at.location.byte_span.1;
        let flow = text[end..]
            .trim_start_matches([' ', '\t'])
            .starts_with([',', '}']);
        if flow {
            return Ok(format!(
                "{}, {key}: {}{}",
                &text[..end],
                scalar("", value),
                &text[end..]
            ));
        }
        let column = name.location.point_span.0.1;
        let line_end = text[end..].find('\n').map_or(text.len(), |at| end + at);
        let newline = if text[..line_end].ends_with('\r') {
            "\r\n"
        } else {
            "\n"
        };
        let (head, tail) = text.split_at(line_end);
        let head = head.strip_suffix('\r').unwrap_or(head);
        let tail = if tail.is_empty() {
            String::new()
        } else {
            format!("{newline}{}", &tail[1..])
        };
        return Ok(format!(
            "{head}{newline}{}{key}: {}{tail}",
            " ".repeat(column),
            scalar("", value)
        ));
    }
    Err(EditError(
        "there is no plain value beside it after which it could be put".into(),
    ))
}

/// A scalar as it is written in the place of an old one.
fn scalar(old: &str, value: &Value) -> String {
    match value {
        Value::String(text) => scalar_like(old, text),
        other => other.to_string(),
    }
}

/// The value in the quotes that the old one had; a plain value that YAML would read as something else gets double quotes.
fn scalar_like(old: &str, value: &str) -> String {
    if old.starts_with('\'') {
        return format!("'{value}'");
    }
    if old.starts_with('"') {
        return format!("\"{value}\"");
    }
    let plain = yaml::documents(&format!("a: {value}\n"))
        .is_ok_and(|read| read == [serde_json::json!({ "a": value })]);
    // Other readers take what ours keeps as a string for a number or a time: 12e4567, 1_000, 2024-01-02.
    let ambiguous = value.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && !value.contains([':', '/'])
        || matches!(
            value.to_ascii_lowercase().as_str(),
            "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null" | "nan" | "inf"
        );
    if plain && !ambiguous {
        value.into()
    } else {
        format!("\"{value}\"")
    }
}

/// Cuts a stream after each line that ends a document, so that the pieces joined are the stream.
pub fn split_documents(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        let separator = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if separator && at > start {
            pieces.push(&text[start..at]);
            start = at;
        }
        at += line.len();
    }
    pieces.push(&text[start..]);
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(tag: &str) -> Candidate {
        Candidate {
            image: "ghcr.io/acme/shop".into(),
            digest: format!("sha256:{}", "b".repeat(64)).parse().unwrap(),
            tag: tag.parse().unwrap(),
            commit: "c".repeat(40).parse().unwrap(),
            source: "acme/shop".parse().unwrap(),
        }
    }

    /// The lines that an edit takes away and puts in.
    fn changed(text: &str, tag: &str) -> String {
        let edited = set_image(text, &candidate(tag))
            .unwrap()
            .expect("the file uses the image");
        similar::TextDiff::from_lines(text, &edited)
            .iter_all_changes()
            .filter(|change| change.tag() != similar::ChangeTag::Equal)
            .map(|change| {
                format!(
                    "{}{}",
                    change.tag(),
                    change
                        .value()
                        .replace(&"b".repeat(64), "BBB")
                        .replace(&"a".repeat(64), "AAA")
                )
            })
            .collect()
    }

    #[test]
    fn a_kustomization_gets_tag_and_digest() {
        let text = "# ours\nresources: [../base]\nimages:\n  - name: other\n    newTag: v9\n  - name: ghcr.io/acme/shop   # the shop\n    newTag: \"v1\" # now\n";
        assert_eq!(
            changed(text, "v2"),
            "-    newTag: \"v1\" # now\n+    newTag: \"v2\" # now\n+    digest: sha256:BBB\n"
        );
        assert_eq!(
            changed(
                "images:\n- name: ghcr.io/acme/shop\n  digest: sha256:0\n",
                "v2"
            ),
            "-  digest: sha256:0\n+  newTag: v2\n+  digest: sha256:BBB\n"
        );
        assert_eq!(
            changed("images:\n- {name: ghcr.io/acme/shop, newTag: v1}\n", "v2"),
            "-- {name: ghcr.io/acme/shop, newTag: v1}\n+- {name: ghcr.io/acme/shop, newTag: v2, digest: sha256:BBB}\n"
        );
        assert_eq!(
            changed(
                "images:\r\n- name: x\r\n  newName: ghcr.io/acme/shop\r\n",
                "v2"
            )
            .replace('\r', "~"),
            "+  newTag: v2~\n+  digest: sha256:BBB~\n"
        );
    }

    #[test]
    fn fields_of_an_object_are_set_where_it_stands() {
        let text = "# ours\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2 # two\n  template:\n    spec:\n      containers:\n        - name: a\n          image: a:1\n        - {name: b, image: 'b:1'}\n---\nkind: Service\nmetadata: {name: web}\n";
        let path = |text: &str| FieldPath::parse(text).unwrap();
        let set = |fields: &[(FieldPath, Value)]| set_fields(text, "Deployment", "web", fields);
        let edited = set(&[
            (path(".spec.replicas"), 5.into()),
            (
                path(".spec.template.spec.containers[name=\"b\"].image"),
                "b:2".into(),
            ),
            (path(".spec.paused"), true.into()),
        ]);
        let edited = edited.unwrap().unwrap();
        let lines: Vec<_> = similar::TextDiff::from_lines(text, &edited)
            .iter_all_changes()
            .filter(|change| change.tag() != similar::ChangeTag::Equal)
            .map(|change| format!("{}{}", change.tag(), change.value().trim()))
            .collect();
        assert_eq!(
            lines,
            [
                "-replicas: 2 # two",
                "+replicas: 5 # two",
                "+paused: true",
                "-- {name: b, image: 'b:1'}",
                "+- {name: b, image: 'b:2'}"
            ]
        );
        assert_eq!(set_fields(text, "Deployment", "other", &[]), Ok(None));
        assert!(set(&[(path(".spec.strategy.type"), "Recreate".into())]).is_err());
    }

    #[test]
    fn a_tag_that_reads_as_a_number_is_quoted() {
        assert_eq!(
            changed(
                "images:\n- name: ghcr.io/acme/shop\n  newTag: v1\n  digest: x\n",
                "1.10"
            ),
            "-  newTag: v1\n-  digest: x\n+  newTag: \"1.10\"\n+  digest: sha256:BBB\n"
        );
        assert!(
            changed(
                "images:\n- name: ghcr.io/acme/shop\n  newTag: v1\n",
                "12e4567"
            )
            .contains("\"12e4567\"")
        );
    }

    #[test]
    fn raw_image_fields_in_every_document() {
        let pod = "---\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: 'ghcr.io/acme/shop:v1'\n";
        let text = format!("kind: ConfigMap\ndata: {{a: ghcr.io/acme/shop}}\n{pod}{pod}");
        assert_eq!(
            changed(&text, "v2")
                .matches("+    image: 'ghcr.io/acme/shop:v2@sha256:BBB'")
                .count(),
            2
        );
        assert_eq!(
            set_image("kind: Pod\nspec: {image: other}\n", &candidate("v2")),
            Ok(None)
        );
    }

    #[test]
    fn a_name_of_docker_hub_is_found_however_it_is_written_and_stays_so() {
        let hub = |image: &str| Candidate {
            image: image.into(),
            ..candidate("v2")
        };
        for announced in [
            "redis",
            "library/redis",
            "docker.io/library/redis",
            "index.docker.io/library/redis",
        ] {
            for written in [
                "redis",
                "library/redis",
                "docker.io/redis",
                "docker.io/library/redis",
            ] {
                let pod = format!(
                    "kind: Pod\nspec: {{containers: [{{name: a, image: \"{written}:7\"}}]}}\n"
                );
                let edited = set_image(&pod, &hub(announced)).unwrap().unwrap();
                let digest = format!("sha256:{}", "b".repeat(64));
                assert!(
                    edited.contains(&format!("image: \"{written}:v2@{digest}\"")),
                    "{announced} in:\n{edited}"
                );
                assert_eq!(
                    digests(&edited, announced).unwrap(),
                    [Some(digest.parse().unwrap())]
                );
                let list = format!("images:\n- name: {written}\n  newTag: v1\n");
                assert_eq!(digests(&list, announced).unwrap(), [None]);
                let edited = set_image(&list, &hub(announced)).unwrap().unwrap();
                assert!(
                    edited.contains(&format!("- name: {written}\n  newTag: v2\n")),
                    "{edited}"
                );
            }
        }
        assert_eq!(
            set_image(
                "images:\n- name: ghcr.io/acme/redis\n  newTag: v1\n",
                &hub("redis")
            ),
            Ok(None)
        );
        assert_eq!(
            digests("kind: Pod\nspec: {image: other}\n", "redis"),
            Ok(vec![])
        );
    }

    #[test]
    fn the_same_image_again_changes_nothing() {
        let text = "images:\n- name: ghcr.io/acme/shop\n  newTag: v1\n";
        let once = set_image(text, &candidate("v2")).unwrap().unwrap();
        assert_eq!(set_image(&once, &candidate("v2")).unwrap().unwrap(), once);
    }

    #[test]
    fn what_cannot_be_proven_is_refused() {
        for text in [
            "a: &x v1\nimages:\n- name: ghcr.io/acme/shop\n  newTag: *x\n",
            "images:\n- name: ghcr.io/acme/shop\n  newTag: v1\n  newTag: v1\n",
            "images:\n- name: ghcr.io/acme/shop\n  newTag: {{ .tag }}\n",
            "images:\n- name: ghcr.io/acme/shop\n  newTag: &t v1\nother: *t\n",
        ] {
            assert!(
                set_image(text, &candidate("v2")).is_err(),
                "edited:\n{text}"
            );
        }
    }

    proptest! {
        /// Whatever stands around it, the edit changes only the image's two lines and reads back as intended.
        #[test]
        fn only_the_span_changes(
            before in proptest::collection::vec("# [ -~]{0,20}|k[a-z]{1,5}: [a-z]{1,8}|", 0..4),
            indent in 0usize..4, quote in 0usize..3, tag in "[a-z][a-z0-9.]{0,8}|[0-9]{1,3}\\.[0-9]{1,3}", comment in "| # [a-z ]{0,9}",
        ) {
            let mut seen = std::collections::HashSet::new();
            let before: Vec<_> = before.into_iter().filter(|line| seen.insert(line.split(':').next().unwrap_or("").to_string()) || line.is_empty()).collect();
            let q = ["", "'", "\""][quote];
            let pad = " ".repeat(indent);
            let text = format!(
                "{}\nimages:\n{pad}- name: ghcr.io/acme/shop\n{pad}  newTag: {q}old{q}{comment}\n{pad}  digest: sha256:{}\ntail: 1\n",
                before.join("\n"), "a".repeat(64)
            );
            let edited = set_image(&text, &candidate(&tag)).unwrap().unwrap();
            let lines = |text: &str| text.lines().map(str::to_string).collect::<Vec<_>>();
            let (old, new) = (lines(&text), lines(&edited));
            prop_assert_eq!(old.len(), new.len());
            let differ = old.iter().zip(&new).filter(|(a, b)| a != b).count();
            prop_assert!((1..=2).contains(&differ));
            let read = yaml::documents(&edited).unwrap();
            prop_assert_eq!(&read[0]["images"][0]["newTag"], &Value::String(tag));
        }
    }
}
