//! What `windlass import` moves, and what stays where it is.

use std::collections::BTreeMap;

use super::markdown::first_of;
use super::terminal::terminal;
use crate::domain::catalog::{Differs, FILE, LeftOut, Reconciler, Stays};
use crate::domain::pull_request::Preview;

/// An application of Argo CD or Flux.
pub struct Imported {
    pub title: String,
    pub stage: String,
    pub by: Reconciler,
    /// The file of the repository that declares it. None: only the cluster has its object.
    pub file: Option<String>,
    /// The ApplicationSet that makes its object.
    pub made_by: Option<String>,
    /// How many objects it has. None: it does not move.
    pub objects: Option<usize>,
    /// Why it does not move; empty: it does.
    pub stays: Vec<Stays>,
    pub left_out: Vec<LeftOut>,
    /// What becomes other if it moves.
    pub differs: Vec<Differs>,
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
    text + &different(&moves) + "\n" + &next_steps(&moves)
}

/// How many applications are named at most for each.
const MOST_NAMED: usize = 5;

/// What windlass does otherwise, with the applications that this concerns.
fn different(moves: &[&Imported]) -> String {
    let mut found: BTreeMap<Differs, Vec<&str>> = BTreeMap::new();
    for row in moves {
        for differs in &row.differs {
            found.entry(*differs).or_default().push(&row.title);
        }
    }
    let line = |(differs, titles): (Differs, Vec<&str>)| {
        let what = match differs {
            Differs::SyncsByItself => {
                "it syncs by itself (`windlass pause` keeps an application as it is)".into()
            }
            Differs::Prunes => "it deletes what leaves Git".into(),
            Differs::Heals => {
                "it sets back what people change (`drift: report` in the entry tells it instead)"
                    .into()
            }
            Differs::Unread(field) => {
                format!(
                    "it does not read `{}`",
                    field.trim_start_matches('/').replace('/', ".")
                )
            }
        };
        format!("  {what}: {}\n", first_of(MOST_NAMED, titles.iter()))
    };
    let lines: String = found.into_iter().map(line).collect();
    match lines.is_empty() {
        true => lines,
        false => format!("\nwhat windlass does otherwise than now:\n{lines}"),
    }
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
        Stays::Sources(count) => format!(
            "it renders {count} sources, and an entry has one: make a kustomization.yaml that names them all, or an application of each"
        ),
        Stays::Include => "only some files of its directory count (`include`): move the others out, or list its files in a kustomization.yaml".into(),
        Stays::OtherCluster(cluster) => format!(
            "it deploys to `{cluster}`, and an entry is for the cluster of its stage: write a stage for that cluster, and the entry by hand"
        ),
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
        let (title, name) = (&row.title, &key.name);
        text.push_str(&match (&row.made_by, &row.file) {
            (Some(set), file) => {
                let place = file.as_ref().map_or_else(String::new, |file| format!("in {file}, "));
                format!(
                    "     {title}: {place}set `spec.syncPolicy.preserveResourcesOnDeletion: true` of the ApplicationSet {set}; once {name} has no finalizer in the cluster, take it out of the set\n"
                )
            }
            (None, Some(file)) => format!(
                "     {title}: in {file}, {words}; once the cluster has that, delete {name} from the file\n"
            ),
            (None, None) => format!(
                "     {title}:\n       kubectl -n {namespace} patch {kind} {name} --type=merge --patch '{patch}'\n       kubectl -n {namespace} delete {kind} {name}\n"
            ),
        });
    }
    let is_argo = |row: &&&Imported| matches!(row.by, Reconciler::ArgoCd(_));
    if let Some(row) = moves.iter().find(is_argo)
        && let Some((key, _)) = row.by.object()
    {
        let namespace = key.namespace.as_deref().unwrap_or_default();
        text.push_str(&format!(
            "     An Application with a finalizer deletes all its objects. Look before you delete one; this prints nothing then:\n       kubectl -n {namespace} get applications.argoproj.io {} -o jsonpath='{{.metadata.finalizers}}'\n",
            key.name
        ));
    }
    let mut stages: Vec<_> = moves.iter().map(|row| &row.stage).collect();
    stages.dedup();
    text.push_str("  3. Let windlass take them over:\n");
    for stage in stages {
        text.push_str(&format!("     windlass adopt --all --stage {stage}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::Named;

    fn row(name: &str, file: Option<&str>, made_by: Option<&str>) -> Imported {
        Imported {
            title: format!("{name}/live"),
            stage: "live".into(),
            by: Reconciler::ArgoCd(Named {
                cluster: None,
                namespace: "argocd".into(),
                name: name.into(),
            }),
            file: file.map(Into::into),
            made_by: made_by.map(Into::into),
            objects: None,
            stays: Vec::new(),
            left_out: Vec::new(),
            differs: Vec::new(),
        }
    }

    #[test]
    fn what_becomes_other_is_told_once_with_the_applications() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let mut rows = names.map(|name| row(name, None, None));
        rows.iter_mut()
            .for_each(|row| row.differs.push(Differs::Prunes));
        rows[0]
            .differs
            .push(Differs::Unread("/spec/syncPolicy/syncOptions"));
        insta::assert_snapshot!(different(&rows.iter().collect::<Vec<_>>()), @"

        what windlass does otherwise than now:
          it deletes what leaves Git: a/live, b/live, c/live, d/live, e/live and 1 more
          it does not read `spec.syncPolicy.syncOptions`: a/live
        ");
        assert_eq!(different(&[&row("web", None, None)]), "");
    }

    #[test]
    fn what_lets_go_depends_on_who_makes_the_object() {
        let mut flux = row("db", None, None);
        flux.by = Reconciler::Flux(Named {
            cluster: None,
            namespace: "flux-system".into(),
            name: "db".into(),
        });
        let rows = [
            row("web", Some("apps/web.yaml"), None),
            row("api", None, None),
            row("one", Some("set.yaml"), Some("all")),
            row("two", None, Some("live")),
            flux,
        ];
        insta::assert_snapshot!(next_steps(&rows.iter().collect::<Vec<_>>()), @r#"
        next:
          1. Open a pull request with windlass.yaml. Its merge changes nothing that is there: windlass leaves alone what another keeps.
          2. Let go of the objects without deleting them:
             web/live: in apps/web.yaml, take out `metadata.finalizers`; once the cluster has that, delete web from the file
             api/live:
               kubectl -n argocd patch applications.argoproj.io api --type=merge --patch '{"metadata":{"finalizers":null}}'
               kubectl -n argocd delete applications.argoproj.io api
             one/live: in set.yaml, set `spec.syncPolicy.preserveResourcesOnDeletion: true` of the ApplicationSet all; once one has no finalizer in the cluster, take it out of the set
             two/live: set `spec.syncPolicy.preserveResourcesOnDeletion: true` of the ApplicationSet live; once two has no finalizer in the cluster, take it out of the set
             db/live:
               kubectl -n flux-system patch kustomizations.kustomize.toolkit.fluxcd.io db --type=merge --patch '{"spec":{"suspend":true}}'
               kubectl -n flux-system delete kustomizations.kustomize.toolkit.fluxcd.io db
             An Application with a finalizer deletes all its objects. Look before you delete one; this prints nothing then:
               kubectl -n argocd get applications.argoproj.io web -o jsonpath='{.metadata.finalizers}'
          3. Let windlass take them over:
             windlass adopt --all --stage live
        "#);
    }
}
