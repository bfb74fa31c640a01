//! Files in the shapes that public charts, kustomizations and manifests have,
//! each with the lines that setting an image changes, or why it is refused.

use super::*;
use crate::domain::image::Candidate;

/// A shape: its name, the files, and the lines of the edit. The first file is the application's own;
/// those whose path begins with `base/` are elsewhere.
struct Shape {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    expected: &'static str,
}

const fn shape(
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    expected: &'static str,
) -> Shape {
    Shape {
        name,
        files,
        expected,
    }
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

fn files(shape: &Shape) -> Files {
    let mut files = Files {
        place: "app".into(),
        ..Files::default()
    };
    for (path, text) in shape.files {
        let kind = match path.rsplit('/').next().unwrap() {
            "kustomization.yaml" | "kustomization.yml" => Kind::Kustomization,
            name if name.contains("values") => Kind::Values,
            _ => Kind::Manifests,
        };
        let side = match path.starts_with("base/") {
            true => &mut files.elsewhere,
            false => &mut files.own,
        };
        side.insert(path.to_string(), (kind, text.to_string()));
    }
    files
}

/// The changed lines, each with its file; or the refusal.
fn edit(shape: &Shape, image: &str) -> String {
    let before = files(shape);
    let mut after = before.clone();
    if let Err(EditError(why)) = after.set(&candidate(image)) {
        return format!("refused: {why}");
    }
    // The same again changes nothing.
    let mut again = after.clone();
    again.set(&candidate(image)).unwrap();
    assert!(again == after, "{}", shape.name);
    let (digests, readable) = after.digests(image);
    let ours = Some(candidate(image).digest);
    assert!(
        readable && !digests.is_empty() && digests.iter().all(|digest| *digest == ours),
        "{}: {digests:?}",
        shape.name
    );
    let mut lines = Vec::new();
    for edit in after.changed_from(&before) {
        let old = &before.own[&edit.path].1;
        let new = edit.text.unwrap();
        for change in similar::TextDiff::from_lines(old, &new).iter_all_changes() {
            if change.tag() != similar::ChangeTag::Equal {
                lines.push(format!("{}{}", change.tag(), change.value().trim_end()));
            }
        }
    }
    lines.join("\n").replace(&"b".repeat(64), "B")
}

fn check(image: &str, shapes: &[Shape]) {
    let mut wrong = Vec::new();
    for shape in shapes {
        let found = edit(shape, image);
        if found != shape.expected {
            wrong.push(format!(
                "{}\n--- found\n{found}\n--- expected\n{}",
                shape.name, shape.expected
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} shapes:\n{}",
        wrong.len(),
        shapes.len(),
        wrong.join("\n\n")
    );
}

mod charts;
mod kustomizations;
mod manifests;
