//! Completes the server's answer: removes values that the server allocates only later, checks the
//! fence, and notes whose changes a sync reverts.

use super::conflicts::fields;
use super::{AppScope, Prediction};
use crate::domain::build::release::{self, Installs};
use crate::domain::manifest::Manifest;
use crate::domain::plan::{self, Confidence, Side};
use crate::domain::{contracts, ownership};

pub(super) fn review(scope: &AppScope<'_>, set: &[Manifest], predicted: Prediction) -> Prediction {
    let mut predicted = as_far_as_known(predicted, set);
    let (Some(live), Side::Object(after, _)) = (&predicted.live, &predicted.after) else {
        return predicted;
    };
    let key = &predicted.manifest.key;
    if let Err(why) = scope.fence.check_change(key, live, after) {
        predicted.after = Side::Refused(why.to_string());
        return predicted;
    }
    let mut others = ownership::changed_by_others(live, after);
    if !scope.applies() {
        others.remove(&scope.manager_of(&predicted.manifest));
    }
    predicted.notes.reverted = fields(others, &predicted.manifest);
    predicted
}

/// Without values that will differ once the object is really applied.
fn as_far_as_known(mut predicted: Prediction, set: &[Manifest]) -> Prediction {
    let manifest = &predicted.manifest;
    let Side::Object(after, confidence) = &mut predicted.after else {
        return predicted;
    };
    match &predicted.live {
        None => plan::without_allocated(after, &manifest.value),
        Some(live) if plan::without_newly_allotted(after, &manifest.value, live) => {
            predicted.notes.allotted = true;
        }
        Some(_) => {}
    }
    let unknown = match release::installs(manifest, set) {
        Some(Installs::Shown) => None,
        Some(Installs::NotShown(Some(why))) => {
            // Notes have no code.
            let why = why.replace('`', "");
            Some(format!("what its chart makes is not shown: {why}"))
        }
        Some(Installs::NotShown(None)) | None => contracts::applies_more(&manifest.key)
            .map(|who| format!("what {who} does with it is not known here")),
    };
    if unknown.is_some() {
        *confidence = (*confidence).max(Confidence::Simulated);
        predicted.notes.unverified = unknown;
    }
    predicted
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::controller::dry_run::Write;
    use crate::domain::Live;
    use crate::domain::manifest::ResourceKey;
    use crate::domain::plan::Notes;

    fn predicted(group: &str, kind: &str, live: Option<Live>, after: Value) -> Prediction {
        Prediction {
            manifest: Manifest::new(
                ResourceKey {
                    group: group.into(),
                    kind: kind.into(),
                    namespace: Some("a".into()),
                    name: "web".into(),
                },
                "v1",
                json!({"apiVersion": "v1", "kind": kind, "spec": {}}),
            ),
            live,
            after: Side::Object(Live::new(after), Confidence::Server),
            notes: Notes::default(),
            write: Write::default(),
        }
    }

    #[test]
    fn what_is_allotted_later_is_left_out() {
        let service = |spec: Value| json!({"apiVersion": "v1", "kind": "Service", "spec": spec});
        let (none, address) = (
            service(json!({})),
            service(json!({"clusterIP": "10.0.0.1"})),
        );
        for (live, allotted) in [(None, false), (Some(Live::new(none.clone())), true)] {
            let predicted = as_far_as_known(predicted("", "Service", live, address.clone()), &[]);
            let Side::Object(after, confidence) = &predicted.after else {
                unreachable!("it was not refused");
            };
            assert!(after["spec"]["clusterIP"].is_null());
            assert_eq!(*confidence, Confidence::Server);
            assert_eq!(predicted.notes.allotted, allotted);
        }
    }

    #[test]
    fn what_a_controller_applies_by_itself_is_not_known() {
        let predicted = as_far_as_known(
            predicted("argoproj.io", "Application", None, json!({})),
            &[],
        );
        assert!(matches!(
            predicted.after,
            Side::Object(_, Confidence::Simulated)
        ));
        assert_eq!(
            predicted.notes.unverified.as_deref(),
            Some("what Argo CD does with it is not known here")
        );
    }
}
