//! Objects that another application has too, and objects that are removed from Git but not deleted.

use crate::domain::Live;
use crate::domain::applying::Applying;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::plan::{Comparison, Side};
use crate::domain::sync;

/// Objects, each with a reason or a new owner.
type Named = Vec<(ResourceKey, String)>;

/// Refuses objects that another application has too: the refusal names that application.
pub fn refuse_claimed(
    mut change: Vec<Comparison>,
    head: &[Manifest],
    claimant: impl Fn(&ResourceKey) -> Option<String>,
) -> Vec<Comparison> {
    for manifest in head {
        let Some(other) = claimant(&manifest.key) else {
            continue;
        };
        let why = format!(
            "{} also belongs to {other}: remove it from one of them",
            manifest.key
        );
        change.retain(|comparison| comparison.key != manifest.key);
        let key = manifest.key.clone();
        change.push(Comparison::new(key, Side::Absent, Side::Refused(why)));
    }
    change
}

/// Separates the objects that move from this application to another, each with its new owner.
pub fn hand_over(
    change: Vec<Comparison>,
    claimant: impl Fn(&ResourceKey) -> Option<String>,
) -> (Vec<Comparison>, Named) {
    let handed = change
        .iter()
        .filter(|comparison| matches!(comparison.after, Side::Absent))
        .filter_map(|comparison| Some((comparison.key.clone(), claimant(&comparison.key)?)))
        .collect();
    (without(change, &handed), handed)
}

/// What is left of an application after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Others,
    /// Git has no objects of it.
    Nothing,
    /// The object of another reconciler that declares it is deleted as well.
    NotEvenItself,
}

/// Separates the objects that are removed from Git and protected from deletion, each with the
/// reason. `applying`: how another reconciler applies them.
pub fn withhold(
    change: Vec<Comparison>,
    applying: Option<&Applying>,
    left: Left,
) -> (Vec<Comparison>, Named) {
    let kept = |live: &Live| match (applying, left) {
        (Some(applying), Left::NotEvenItself) => applying.keeps_at_end(live),
        (Some(applying), Left::Nothing) => applying.keeps(live).or(applying.keeps_last()),
        (Some(applying), Left::Others) => applying.keeps(live),
        (None, _) => sync::protected(live),
    };
    let withheld = change
        .iter()
        .filter(|comparison| matches!(comparison.after, Side::Absent))
        .filter_map(|comparison| match &comparison.before {
            Side::Object(live, _) => Some((comparison.key.clone(), kept(live)?)),
            _ => None,
        })
        .collect();
    (without(change, &withheld), withheld)
}

fn without(mut change: Vec<Comparison>, named: &Named) -> Vec<Comparison> {
    change.retain(|comparison| !named.iter().any(|(key, _)| *key == comparison.key));
    change
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::plan::Confidence;

    fn key(name: &str) -> ResourceKey {
        ResourceKey {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: Some("shop".into()),
            name: name.into(),
        }
    }

    fn object(value: Value) -> Side {
        Side::Object(Live::new(value), Confidence::Server)
    }

    fn names(change: &[Comparison]) -> Vec<&str> {
        change.iter().map(|one| one.key.name.as_str()).collect()
    }

    fn claimant(object: &ResourceKey) -> Option<String> {
        (object.name == "shared").then(|| "web/staging".into())
    }

    fn both(after: Side) -> Vec<Comparison> {
        let one = |name| Comparison::new(key(name), object(json!({})), after.clone());
        vec![one("shared"), one("own")]
    }

    #[test]
    fn what_two_applications_have_is_refused() {
        let head = ["shared", "own"].map(|name| Manifest::new(key(name), "v1", json!({})));
        let change = refuse_claimed(both(object(json!({}))), &head, claimant);
        assert_eq!(names(&change), ["own", "shared"]);
        assert!(matches!(&change[1].after, Side::Refused(why) if why.contains("web/staging")));
    }

    #[test]
    fn what_leaves_for_another_is_handed_over() {
        let (change, handed) = hand_over(both(Side::Absent), claimant);
        assert_eq!(names(&change), ["own"]);
        assert_eq!(handed, [(key("shared"), "web/staging".into())]);
        let (change, handed) = hand_over(both(object(json!({}))), claimant);
        assert_eq!((change.len(), handed.len()), (2, 0));
    }

    #[test]
    fn what_is_marked_to_be_kept_stays() {
        let kept = json!({"metadata": {"annotations": {"helm.sh/resource-policy": "keep"}}});
        let change = vec![
            Comparison::new(key("kept"), object(kept.clone()), Side::Absent),
            Comparison::new(key("gone"), object(json!({})), Side::Absent),
            Comparison::new(key("there"), object(kept.clone()), object(kept)),
        ];
        let (change, withheld) = withhold(change, None, Left::Others);
        assert_eq!(names(&change), ["gone", "there"]);
        assert_eq!(withheld.len(), 1);
    }
}
