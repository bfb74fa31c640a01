//! What `windlass import` moves, and what stays where it is.

use super::terminal::terminal;
use crate::domain::catalog::{FILE, LeftOut, Reconciler, Stays};
use crate::domain::pull_request::Preview;

/// An application of Argo CD or Flux.
pub struct Imported {
    pub title: String,
    pub stage: String,
    pub by: Reconciler,
    /// The file of the repository that declares it. None: only the cluster has its object.
    pub file: Option<String>,
    /// How many objects it has. None: it does not move.
    pub objects: Option<usize>,
    /// Why it does not move; empty: it does.
    pub stays: Vec<Stays>,
    pub left_out: Vec<LeftOut>,
}

/// `preview`: what the first sync would change, without what only takes the other's marks off. None:
/// nothing moves.
pub fn imported(rows: &[Imported], preview: Option<&Preview>) -> String {
    let moves: Vec<_> = rows.iter().filter(|row| row.stays.is_empty()).collect();
    let s = if rows.len() == 1 { "" } else { "s" };
    let mut text = match preview {
        Some(_) => format!(
            "wrote {FILE}: windlass applies {} of {} application{s} then\n",
            moves.len(),
            rows.len()
        ),
        None => format!(
            "none of {} application{s} can move: {FILE} stays as it is\n",
            rows.len()
        ),
    };
    let width = rows
        .iter()
        .map(|row| row.title.len())
        .max()
        .unwrap_or_default();
    for row in rows {
        let title = &row.title;
        let outcome = match (row.stays.is_empty(), preview) {
            (true, Some(preview)) => outcome(row, preview),
            _ => format!("stays with {}", by(&row.by)),
        };
        text.push_str(&format!("  {title:width$}  {outcome}\n"));
        let details = row
            .stays
            .iter()
            .map(stays)
            .chain(row.left_out.iter().map(left_out));
        details.for_each(|line| text.push_str(&format!("      {line}\n")));
    }
    let Some(preview) = preview else { return text };
    if !preview.ok() || preview.applications.iter().any(|app| !app.plan.is_empty()) {
        let body = terminal(preview);
        // Its first line counts what the rows count.
        let body = body.split_once('\n').map_or("", |(_, rest)| rest);
        text.push_str(&format!("\nthe first sync would change:\n{body}"));
    }
    text + "\n" + &next_steps(&moves)
}

fn outcome(row: &Imported, preview: &Preview) -> String {
    let app = preview
        .applications
        .iter()
        .find(|app| app.key.title() == row.title);
    let (changes, problems) = app.map_or((0, 0), |app| {
        (app.plan.effective().count(), app.plan.problems().count())
    });
    let objects = row.objects.unwrap_or_default();
    let s = if objects == 1 { "" } else { "s" };
    let what = match (app.and_then(|app| app.error.as_ref()), problems, changes) {
        (Some(_), ..) => "cannot be rendered".into(),
        (None, 1.., _) => format!("{problems} cannot be applied"),
        (None, 0, 0) => "nothing changes".into(),
        (None, 0, changes) => format!("{changes} would change"),
    };
    format!("{objects} object{s}, {what}")
}

fn by(reconciler: &Reconciler) -> String {
    let object = reconciler.object().map(|(key, _)| key);
    object.map_or_else(
        || "windlass".into(),
        |key| {
            let namespace = key.namespace.as_deref().unwrap_or_default();
            format!("the {} {namespace}/{}", key.kind, key.name)
        },
    )
}

fn stays(why: &Stays) -> String {
    match why {
        Stays::Unreadable(why) => why.clone(),
        Stays::ChartElsewhere(name) => format!(
            "the chart {name} is not in this repository: make a directory with a Chart.yaml that has it under `dependencies`, and its values"
        ),
        Stays::Changes(fields) => {
            let fields: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
            format!(
                "its {} changes what the repository has: write that into the kustomization.yaml, or into a values file, and import again",
                fields.join(", ")
            )
        }
        Stays::Include => "only some files of its directory count (`include`): move the others out, or list its files in a kustomization.yaml".into(),
        Stays::Parent(child) => format!("it applies the object that declares {child}: it is not needed once all of its applications have moved"),
    }
}

fn left_out(what: &LeftOut) -> String {
    match what {
        LeftOut::IgnoredDifferences(kind) => format!(
            "`ignoreDifferences` of {kind} is no list of plain paths: write it as `ignore` in {FILE}"
        ),
        LeftOut::DependsOn(name) => {
            format!("it waits for {name}, which does not move: that is left out")
        }
    }
}

/// How the other lets go of the objects, and windlass takes them over.
fn next_steps(moves: &[&Imported]) -> String {
    let mut text = format!(
        "next:\n  1. Open a pull request with {FILE}. Its merge changes nothing that is there: windlass leaves alone what another keeps.\n  2. Let go of the objects without deleting them:\n"
    );
    for row in moves {
        let Some((key, _)) = row.by.object() else {
            continue;
        };
        let namespace = key.namespace.as_deref().unwrap_or_default();
        let (kind, patch, words) = match row.by {
            Reconciler::ArgoCd(_) => (
                "applications.argoproj.io",
                r#"{"metadata":{"finalizers":null}}"#,
                "take out `metadata.finalizers`",
            ),
            _ => (
                "kustomizations.kustomize.toolkit.fluxcd.io",
                r#"{"spec":{"suspend":true}}"#,
                "set `spec.suspend: true`",
            ),
        };
        text.push_str(&match &row.file {
            Some(file) => format!(
                "     {}: in {file}, {words}; once the cluster has that, delete {} from the file\n",
                row.title, key.name
            ),
            None => format!(
                "     {}: kubectl -n {namespace} patch {kind} {name} --type=merge --patch '{patch}'\n       {:width$}  kubectl -n {namespace} delete {kind} {name}\n",
                row.title,
                "",
                width = row.title.len() - 1,
                name = key.name
            ),
        });
    }
    let mut stages: Vec<_> = moves.iter().map(|row| &row.stage).collect();
    stages.dedup();
    text.push_str("  3. Let windlass take them over:\n");
    for stage in stages {
        text.push_str(&format!("     windlass adopt --all --stage {stage}\n"));
    }
    text
}
