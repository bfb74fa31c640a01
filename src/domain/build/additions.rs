//! What a reconciler adds to a kustomization before it is built: it changes a copy of the file.

use serde_json::{Map, Value, json};

use crate::domain::Invalid;

/// What is added to a kustomization.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Additions {
    pub namespace: Option<String>,
    pub name_prefix: Option<String>,
    pub name_suffix: Option<String>,
    /// Paths of components, from the kustomization's directory.
    pub components: Vec<String>,
    /// Entries of `images`; one of the same name is replaced.
    pub images: Vec<Value>,
    /// An entry of `images` replaces one of the same name, and is not merged with it.
    pub replaces_images: bool,
    /// Entries of `patches`, with their texts.
    pub patches: Vec<Value>,
    /// Entries of `labels`.
    pub labels: Vec<Value>,
    /// Entries of `replicas`.
    pub replicas: Vec<Value>,
    /// Fields of `commonAnnotations`.
    pub annotations: Map<String, Value>,
}

impl Additions {
    pub fn is_empty(&self) -> bool {
        let nothing = Self {
            replaces_images: self.replaces_images,
            ..Self::default()
        };
        *self == nothing
    }

    /// A kustomization's text with the additions, as JSON.
    pub fn add_to(&self, document: &Value) -> Result<String, Invalid> {
        let mut kustomization = match document {
            Value::Object(map) => map.clone(),
            _ => return Err(Invalid("a kustomization is a mapping".into())),
        };
        for (field, value) in [
            ("namespace", &self.namespace),
            ("namePrefix", &self.name_prefix),
            ("nameSuffix", &self.name_suffix),
        ] {
            if let Some(value) = value {
                kustomization.insert(field.into(), value.as_str().into());
            }
        }
        let components: Vec<_> = self.components.iter().map(|path| json!(path)).collect();
        for (field, more) in [
            ("components", &components),
            ("patches", &self.patches),
            ("labels", &self.labels),
            ("replicas", &self.replicas),
        ] {
            list(&mut kustomization, field).extend(more.iter().cloned());
        }
        if !self.annotations.is_empty() {
            let known = kustomization
                .entry("commonAnnotations")
                .or_insert_with(|| json!({}));
            let known = known.as_object_mut();
            let more = self.annotations.clone();
            known.map(|known| known.extend(more)).unwrap_or_default();
        }
        let images = list(&mut kustomization, "images");
        for image in &self.images {
            let known = images
                .iter_mut()
                .find(|known| known["name"] == image["name"]);
            match known {
                Some(known) if self.replaces_images => *known = image.clone(),
                Some(known) => override_image(known, image),
                None => images.push(image.clone()),
            }
        }
        kustomization.retain(|_, value| !value.as_array().is_some_and(Vec::is_empty));
        Ok(Value::Object(kustomization).to_string())
    }
}

/// A tag and a digest select the version together: one of them replaces both.
fn override_image(known: &mut Value, image: &Value) {
    let is_set = |field: &str| image[field].as_str().is_some_and(|text| !text.is_empty());
    if is_set("newName") {
        known["newName"] = image["newName"].clone();
    }
    if is_set("newTag") || is_set("digest") {
        for field in ["newTag", "digest"] {
            match is_set(field) {
                true => known[field] = image[field].clone(),
                false => drop(known.as_object_mut().map(|known| known.remove(field))),
            }
        }
    }
}

fn list<'a>(kustomization: &'a mut Map<String, Value>, field: &str) -> &'a mut Vec<Value> {
    let value = kustomization.entry(field).or_insert_with(|| json!([]));
    if !value.is_array() {
        *value = json!([]);
    }
    value.as_array_mut().expect("it is one")
}
