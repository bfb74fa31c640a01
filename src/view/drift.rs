//! Pull requests that ask whether Git shall have what somebody changed in the cluster.

use std::collections::BTreeSet;

use serde::Serialize;

use super::markdown::bounded;
use super::preview::drift_lines;
use super::render;
use crate::domain::TargetKey;
use crate::domain::plan::Plan;

const DRIFT: &str = "<!-- windlass:drift ";

#[derive(Serialize)]
struct DriftView {
    marker: String,
    title: String,
    lines: Vec<String>,
}

/// Title and body of a pull request that asks whether Git shall have what somebody changed.
/// `digests`: of each object's drift.
pub fn drift(key: &TargetKey, plan: &Plan, digests: &BTreeSet<String>) -> (String, String) {
    let digests: Vec<_> = digests.iter().map(String::as_str).collect();
    let view = DriftView {
        marker: format!("{DRIFT}{} -->", digests.join(",")),
        title: key.title(),
        lines: drift_lines(plan),
    };
    (
        format!("{}: keep what was changed by hand?", key.title()),
        bounded(&render("drift.md", view)),
    )
}

/// The drift that a pull request's body is about.
pub fn drift_of(body: &str) -> BTreeSet<String> {
    let marker = body
        .trim_start()
        .strip_prefix(DRIFT)
        .and_then(|rest| rest.split(" -->").next());
    marker
        .into_iter()
        .flat_map(|marker| marker.split(','))
        .map(str::to_string)
        .collect()
}
