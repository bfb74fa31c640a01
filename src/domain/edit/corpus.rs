//! Files in the shapes that public charts, kustomizations and manifests have,
//! each with the lines that setting an image changes, or why it is refused.
//!
//! `corpus.txt` has them: `=== NAME | IMAGE`, then each file below `--- PATH`, and
//! the changed lines below `>>>`. Files below `base/` are elsewhere. `~` at the end
//! of a line is a carriage return, `\` an end without a line break.

use super::*;
use crate::domain::image::Candidate;

struct Shape {
    name: String,
    image: String,
    files: Files,
    expected: String,
}

fn shapes() -> Vec<Shape> {
    let mut found: Vec<Shape> = Vec::new();
    let mut path: Option<String> = None;
    for line in include_str!("corpus.txt").lines() {
        if let Some((name, image)) = line
            .strip_prefix("=== ")
            .and_then(|line| line.split_once(" | "))
        {
            found.push(Shape {
                name: name.into(),
                image: image.into(),
                files: Files {
                    place: "app".into(),
                    ..Files::default()
                },
                expected: String::new(),
            });
            continue;
        }
        let shape = found.last_mut().expect("a shape begins the file");
        match (line.strip_prefix("--- "), &path) {
            (Some(new), _) => {
                file(&mut shape.files, new);
                path = Some(new.into());
            }
            _ if line == ">>>" => path = None,
            (None, Some(path)) => {
                let line = match (line.strip_suffix('\\'), line.strip_suffix('~')) {
                    (Some(line), _) => line.to_string(),
                    (_, Some(line)) => format!("{line}\r\n"),
                    _ => format!("{line}\n"),
                };
                file(&mut shape.files, path).push_str(&line);
            }
            (None, None) => {
                shape.expected.push_str(line);
                shape.expected.push('\n');
            }
        }
    }
    found
}

/// The text of a file, which is made by the first call.
fn file<'a>(files: &'a mut Files, path: &str) -> &'a mut String {
    let kind = match path.rsplit('/').next().unwrap_or(path) {
        "kustomization.yaml" | "kustomization.yml" => Kind::Kustomization,
        name if name.contains("values") => Kind::Values,
        _ => Kind::Manifests,
    };
    if kind == Kind::Values && !path.starts_with("base/") {
        files.last_values = Some(path.into());
    }
    let side = match path.starts_with("base/") {
        true => &mut files.elsewhere,
        false => &mut files.own,
    };
    &mut side.entry(path.into()).or_insert((kind, String::new())).1
}

fn candidate(image: &str) -> Candidate {
    Candidate {
        image: image.into(),
        digest: format!("sha256:{}", "b".repeat(64)).parse().unwrap(),
        tag: "2.0".parse().unwrap(),
        commit: "c".repeat(40).parse().unwrap(),
        source: "acme/shop".parse().unwrap(),
    }
}

/// The changed lines, or the refusal. What is set is found again, and set again it stays.
fn edit(shape: &Shape) -> String {
    let (before, candidate) = (&shape.files, candidate(&shape.image));
    let mut after = before.clone();
    if let Err(EditError(why)) = after.set(&candidate) {
        assert!(after == *before, "{}", shape.name);
        return format!("refused: {why}\n");
    }
    let mut again = after.clone();
    again.set(&candidate).unwrap();
    assert!(again == after, "{}", shape.name);
    let (digests, readable) = after.digests(&shape.image);
    let ours = Some(candidate.digest);
    let all = !digests.is_empty() && digests.iter().all(|digest| *digest == ours);
    assert!(readable && all, "{}: {digests:?}", shape.name);
    let mut lines = String::new();
    for edit in after.changed_from(before) {
        let (old, new) = (&before.own[&edit.path].1, edit.text.unwrap());
        let diff = similar::TextDiff::from_lines(old, &new);
        let changed = diff
            .iter_all_changes()
            .filter(|change| change.tag() != similar::ChangeTag::Equal);
        for change in changed {
            lines.push_str(&format!("{}{}\n", change.tag(), change.value().trim_end()));
        }
    }
    lines.replace(&"b".repeat(64), "B")
}

#[test]
fn each_shape_is_edited_as_its_author_would_or_refused_in_words() {
    let shapes = shapes();
    assert!(shapes.len() >= 120, "{} shapes", shapes.len());
    let wrong = shapes.iter().filter_map(|shape| {
        let found = edit(shape);
        let (name, expected) = (&shape.name, &shape.expected);
        (found != *expected).then(|| format!("=== {name}\n{found}--- expected\n{expected}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        shapes.len(),
        wrong.join("\n")
    );
}
