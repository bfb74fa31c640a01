//! Flux's helm-controller: server-side apply by force of what a release has, whoever
//! else wrote the object, and fields of others stay.

use crate::domain::Live;

const POLICY: &str = "helm.sh/resource-policy";

pub(super) fn keeps(live: &Live) -> Option<String> {
    let policy = live.annotation(POLICY)?;
    let keeps = policy.trim().eq_ignore_ascii_case("keep");
    keeps.then(|| format!("it is marked `{POLICY}: keep`"))
}
