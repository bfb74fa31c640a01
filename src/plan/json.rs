//! The plan as JSON.

use serde_json::{Value, json};

use crate::domain::plan::{Change, Confidence, Plan};
use crate::domain::pull_request::{Failure, Preview};

/// The stable form for programs: `docs/reference.md` describes it.
pub(super) fn as_json(preview: &Preview) -> Value {
    let change = |change: &Change| {
        json!({
            "object": change.key, "version": change.version, "action": change.action.word(), "hook": change.notes.hook,
            "proof": match change.confidence { Confidence::Server => "server", Confidence::Simulated => "simulated", Confidence::Static => "static" },
            "before": change.before, "after": change.after, "problem": change.problem, "warnings": change.notes.warnings,
        })
    };
    let applications = preview.applications.iter().map(|app| {
        let all = |plan: &Plan| plan.effective().map(change).collect::<Vec<_>>();
        json!({
            "application": app.key.title(), "cluster": app.cluster, "wave": app.wave + 1, "error": app.error, "notes": app.notes,
            "changes": all(&app.plan), "drift": all(&app.drift), "waiting": all(&app.waiting), "unmoved": app.unmoved,
        })
    });
    let failure = preview.failure.as_ref().map(|failure| match failure {
        Failure::Conflict(files) => format!("conflict: {}", files.join(", ")),
        Failure::Configuration(why) | Failure::TooLarge(why) => why.clone(),
        Failure::Killed => "killed".into(),
        Failure::Fork => "fork".into(),
    });
    json!({"version": 1, "base": preview.base, "head": preview.head, "digest": preview.digest(), "failure": failure, "applications": applications.collect::<Vec<_>>()})
}
