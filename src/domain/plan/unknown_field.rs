//! A field that the server does not know: its path, and the field that was probably meant.

use serde_json::Value;

use crate::domain::fieldset::{Element, FieldPath, lookup};

/// The unknown field that a refusal names: `.spec.replicsa: field not declared in schema` (structured-merge-diff), or
/// `unknown field "spec.replicsa"` (apiserver, strict decoding).
pub fn unknown_field(refusal: &str) -> Option<FieldPath> {
    if let Some((before, _)) = refusal.split_once(": field not declared in schema") {
        return FieldPath::parse(before.rsplit(' ').next()?);
    }
    let (_, after) = refusal.split_once("unknown field \"")?;
    let (path, _) = after.split_once('"')?;
    FieldPath::parse(&format!(".{path}"))
}

/// The field beside an unknown one that is spelled most like it, in an object that the server knows.
pub fn nearest_field(known: &Value, unknown: &FieldPath) -> Option<FieldPath> {
    const MOST_WRONG: usize = 3;
    const LONGEST: usize = 100;
    let (last, parent) = unknown.0.split_last()?;
    let Element::Field(name) = last else {
        return None;
    };
    if name.len() > LONGEST {
        return None;
    }
    let siblings = lookup(known, &FieldPath(parent.to_vec()))?.as_object()?;
    let distance = |known: &str| strsim::damerau_levenshtein(known, name);
    let nearest = siblings.keys().min_by_key(|known| distance(known))?;
    let wrong = distance(nearest);
    let meant = (1..=MOST_WRONG).contains(&wrong) && wrong * 2 <= name.chars().count();
    meant.then(|| {
        let path = parent.iter().cloned();
        FieldPath(path.chain([Element::Field(nearest.clone())]).collect())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_field_that_was_meant_is_found() {
        let live = json!({"spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "a"}]}}}});
        for (refusal, unknown, meant) in [
            (
                "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): .spec.replicsa: field not declared in schema",
                Some(".spec.replicsa"),
                Some(".spec.replicas"),
            ),
            (
                "failed: .spec.template.spec.containers[name=\"web\"].imge: field not declared in schema",
                Some(".spec.template.spec.containers[name=\"web\"].imge"),
                Some(".spec.template.spec.containers[name=\"web\"].image"),
            ),
            (
                "unknown field \"spec.replica\"",
                Some(".spec.replica"),
                Some(".spec.replicas"),
            ),
            ("unknown field \"spec.color\"", Some(".spec.color"), None),
            ("spec.replicas: Invalid value", None, None),
        ] {
            let found = unknown_field(refusal);
            assert_eq!(found.as_ref().map(ToString::to_string).as_deref(), unknown);
            let nearest = found.and_then(|field| nearest_field(&live, &field));
            assert_eq!(nearest.map(|field| field.to_string()).as_deref(), meant);
        }
    }
}
