//! Variables that a Kustomization fills in from ConfigMaps and Secrets, of which only the former are
//! read.

use std::collections::BTreeMap;

/// What a Kustomization fills in from ConfigMaps and Secrets, as far as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variables {
    pub(super) values: BTreeMap<String, String>,
    /// There are no others.
    pub(super) are_all: bool,
}

impl Variables {
    /// Of the sources in their order, of which a later one wins. None: one that is not read, as
    /// Secrets are, and may have any of them.
    pub fn of(sources: impl IntoIterator<Item = Option<BTreeMap<String, String>>>) -> Self {
        let mut found = Self {
            values: BTreeMap::new(),
            are_all: true,
        };
        for source in sources {
            match source {
                Some(values) => found.values.extend(values),
                None => {
                    found.values.clear();
                    found.are_all = false;
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Transforms;
    use super::*;

    #[test]
    fn a_secret_may_have_what_stands_before_it_and_what_nothing_else_has() {
        let from = json!({"spec": {"postBuild": {"substitute": {"REGION": "eu-1"},
            "substituteFrom": [{"kind": "Secret", "name": "s"}]}}});
        let from = Transforms::of(&from);
        let values = |name: &str| Some(BTreeMap::from([(name.to_string(), "v".to_string())]));
        let some = Variables::of([values("BEFORE"), None, values("AFTER")]);
        let mut object =
            json!({"data": {"a": "${BEFORE}", "b": "${AFTER}", "c": "${REGION}", "d": "${TOKEN}"}});
        let unknown = from.clone().with_variables(some).fill(&mut object);
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), ["BEFORE", "TOKEN"]);
        assert_eq!(
            object["data"],
            json!({"a": "${BEFORE}", "b": "v", "c": "eu-1", "d": "${TOKEN}"})
        );
        let all = Variables::of([values("BEFORE"), values("AFTER")]);
        let mut object = json!({"data": {"a": "${BEFORE}", "d": "${TOKEN}"}});
        assert!(from.with_variables(all).fill(&mut object).is_empty());
        assert_eq!(object["data"], json!({"a": "v", "d": null}));
    }
}
