//! The comparison of Secrets: it never shows more than Git itself has.

use serde_json::Value;

use crate::domain::manifest::Manifest;
use crate::domain::plan::{Comparison, Side};

/// Compares a Secret's data in Git on both sides, never the live data: a pull request could
/// otherwise test a guess.
pub fn show_git_sides(
    comparison: &mut Comparison,
    base: Option<&Manifest>,
    head: Option<&Manifest>,
) {
    if !comparison.key.is_core("Secret") {
        return;
    }
    for (side, manifest) in [
        (&mut comparison.before, base),
        (&mut comparison.after, head),
    ] {
        if let Side::Object(value, _) = side {
            value["data"] = manifest
                .map(|manifest| manifest.as_in_git()["data"].clone())
                .unwrap_or_default();
        }
    }
}

/// Hides the data of a live Secret: only whether it differs from Git is shown.
pub fn mask_live_secret(comparison: &mut Comparison) {
    if !comparison.key.is_core("Secret") {
        return;
    }
    if let (Side::Object(before, _), Side::Object(after, _)) =
        (&mut comparison.before, &mut comparison.after)
    {
        let differs = before["data"] != after["data"];
        before["data"] = if differs {
            serde_json::json!({"(all)": "(as it is)"})
        } else {
            Value::Null
        };
        after["data"] = if differs {
            serde_json::json!({"(all)": "(as Git has it)"})
        } else {
            Value::Null
        };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Live;
    use crate::domain::manifest::ResourceKey;
    use crate::domain::plan::Confidence;

    fn comparison(kind: &str, before: &str, after: &str) -> Comparison {
        let key = ResourceKey {
            group: String::new(),
            kind: kind.into(),
            namespace: Some("shop".into()),
            name: "x".into(),
        };
        let side = |text: &str| {
            Side::Object(
                Live::new(json!({"data": {"key": text}})),
                Confidence::Server,
            )
        };
        Comparison::new(key, side(before), side(after))
    }

    fn data(side: &Side) -> &Value {
        match side {
            Side::Object(value, _) => &value["data"],
            _ => &Value::Null,
        }
    }

    /// Each row: a kind, its live data and Git's, and what is told of the live data.
    #[test]
    fn of_a_live_secret_only_is_told_whether_it_differs() {
        for (kind, live, git, expected) in [
            ("Secret", "a", "b", json!({"(all)": "(as it is)"})),
            ("Secret", "a", "a", Value::Null),
            ("ConfigMap", "a", "b", json!({"key": "a"})),
        ] {
            let mut comparison = comparison(kind, live, git);
            mask_live_secret(&mut comparison);
            assert_eq!(data(&comparison.before), &expected, "{kind} {live} {git}");
        }
    }

    /// Each row: a kind, and the data that is compared where the live one is another than Git's.
    #[test]
    fn of_a_secret_the_sides_of_git_are_compared() {
        for (kind, before, after) in [
            ("Secret", json!({"key": "base"}), Value::Null),
            ("ConfigMap", json!({"key": "live"}), json!({"key": "new"})),
        ] {
            let mut comparison = comparison(kind, "live", "new");
            let data_of_base = json!({"data": {"key": "base"}});
            let base = Manifest::new(comparison.key.clone(), "v1", data_of_base);
            show_git_sides(&mut comparison, Some(&base), None);
            assert_eq!(data(&comparison.before), &before, "{kind}");
            assert_eq!(data(&comparison.after), &after, "{kind}");
        }
    }
}
