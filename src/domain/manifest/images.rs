//! The images that an object names.

use serde_json::{Map, Value};

use super::{Manifest, is_custom_group};
use crate::domain::image::ImageRef;

impl Manifest {
    /// Every image that the object's containers run.
    pub fn images(&self) -> Vec<ImageRef> {
        let all = self.containers().into_iter();
        all.map(|(_, image)| image).collect()
    }

    /// Every image, with the name of the container that runs it.
    pub fn containers(&self) -> Vec<(String, ImageRef)> {
        let is_custom = is_custom_group(&self.key.group);
        let mut found = Vec::new();
        walk(&self.value, &mut |object| {
            let apart = || apart(object).filter(|_| is_custom);
            if let Some(image) = whole(object, is_custom).or_else(apart) {
                let name = object.get("name").and_then(Value::as_str);
                let name = name.unwrap_or_default();
                found.push((format!("{} {name}", self.key), image));
            }
        });
        found
    }
}

/// A reference in one piece. Custom kinds have their own names for the field.
fn whole(object: &Map<String, Value>, is_custom: bool) -> Option<ImageRef> {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let named = || text("imageName").filter(|_| is_custom);
    text("image").or_else(named)?.parse().ok()
}

/// A reference in parts, as charts have it.
fn apart(object: &Map<String, Value>) -> Option<ImageRef> {
    let text = |key: &str| match object.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let registry = text("registry").map(|registry| registry + "/");
    let name = registry.unwrap_or_default() + &text("repository")?;
    let tag = text("tag")?;
    let digest = text("digest").filter(|_| !tag.contains('@'));
    let digest = digest.map(|digest| format!("@{digest}"));
    format!("{name}:{tag}{}", digest.unwrap_or_default())
        .parse()
        .ok()
}

fn walk(value: &Value, visit: &mut impl FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            visit(map);
            map.values().for_each(|value| walk(value, visit));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_read_as_their_kind_writes_them() {
        let digest = format!("sha256:{}", "b".repeat(64));
        let apart = "{registry: ghcr.io, repository: a/b, tag: 1.5";
        for (version, spec, expected) in [
            ("v1", "{containers: [{image: 'a/b:1'}]}".into(), "a/b:1"),
            ("v1", "{imageName: 'a/b:1'}".into(), ""),
            ("v1", format!("{{image: {apart}}}}}"), ""),
            ("db.example/v1", "{imageName: 'a/b:1'}".into(), "a/b:1"),
            (
                "db.example/v1",
                format!("{{image: {apart}}}}}"),
                "ghcr.io/a/b:1.5",
            ),
            (
                "db.example/v1",
                format!("{{image: {apart}, digest: '{digest}'}}}}"),
                &format!("ghcr.io/a/b:1.5@{digest}"),
            ),
            (
                "db.example/v1",
                format!("{{image: {{repository: a/b, tag: '1@{digest}', digest: x}}}}"),
                &format!("a/b:1@{digest}"),
            ),
            ("db.example/v1", "{image: {repository: a/b}}".into(), ""),
        ] {
            let text =
                format!("apiVersion: {version}\nkind: A\nmetadata: {{name: a}}\nspec: {spec}\n");
            let read = Manifest::parse_all(&text, "a.yaml").unwrap();
            let found: Vec<_> = read[0].images().iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
    }
}
