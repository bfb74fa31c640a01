//! The applications of a `windlass.yaml`, for a terminal.

use crate::domain::catalog::{FILE, Target};

/// What `windlass init` wrote, and what to do next.
pub fn initialized(targets: &[Target], left_out: &[String]) -> String {
    let mut text = format!("wrote {FILE}\n") + &applications(targets);
    for what in left_out {
        text.push_str(&format!("left out: {what}\n"));
    }
    text + "next: read the file, then `windlass plan --all` shows what a first sync would do in your cluster\n"
}

/// A line for each application in each stage.
pub fn applications(targets: &[Target]) -> String {
    let s = if targets.len() == 1 { "" } else { "s" };
    let mut text = format!("{FILE} has {} application{s}:\n", targets.len());
    let titles = targets.iter().map(Target::title);
    let width = titles.map(|title| title.len()).max().unwrap_or_default();
    for target in targets {
        let by = target.stage.reconcile.object().map(|(key, _)| key);
        let by = by.map(|key| format!(", applied by {} {}", key.kind, key.name));
        text.push_str(&format!(
            "  {:width$}  {} → namespace {} on {}{}\n",
            target.title(),
            target.path,
            target.destination.namespace,
            target.destination.cluster,
            by.unwrap_or_default()
        ));
    }
    text
}
