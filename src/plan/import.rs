//! `windlass import`: what Argo CD or Flux applies becomes entries of windlass.yaml that
//! windlass applies itself. The plan of the new file, as if the other had let go of its objects,
//! proves that nothing changes, or says what does. It writes one file, and nothing elsewhere.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::clusters::named;
use super::flags::PlaceArgs;
use super::revisions::working_copy;
use super::unconfigured::{LIVE, drafted};
use super::{Scope, applications, exit_code, untouched};
use crate::config::fleet;
use crate::controller::preview::git_diff;
use crate::controller::{Configured, configuration};
use crate::domain::build::Written;
use crate::domain::catalog::{self, FILE, Fleet, Import, Reconciler, Stays, Target};
use crate::domain::plan::Plan;
use crate::domain::pull_request::{ApplicationPreview, Preview};
use crate::domain::{CommitSha, Name, RepoName, ownership};
use crate::git::Mirror;
use crate::render::Source;
use crate::view::{self, Imported};

/// `windlass import`.
#[derive(Debug, Clone, clap::Args)]
pub struct ImportArgs {
    #[command(flatten)]
    place: PlaceArgs,

    /// Print the file, and write nothing
    #[arg(long)]
    print: bool,
}

/// The applications that move, and the file that says so.
struct Move {
    text: String,
    /// By their titles.
    moving: BTreeMap<String, Reconciler>,
    rows: Vec<Imported>,
}

/// Writes the file; the output says what would change, and the exit code whether something would.
pub async fn import(args: &ImportArgs) -> anyhow::Result<(String, ExitCode)> {
    let started = Instant::now();
    let place = &args.place;
    let mirror = Mirror::discover(&place.repo)
        .with_context(|| format!("{} is not a git repository", place.repo.display()))?;
    let name = named(place.repository.as_ref(), &mirror)?;
    let fleet = fleet(&place.cluster_labels)?;
    let commit = working_copy(&mirror)?;
    let (files, text) = configured_text(place, &mirror, &name, &commit).await?;
    let base = mirror.with_files(&commit, files)?;
    let Move {
        text,
        moving,
        mut rows,
    } = entries(&mirror, &base, (&name, &fleet), &text)?;
    if moving.is_empty() {
        return Ok((view::imported(&rows, None), ExitCode::from(2)));
    }
    let head = mirror.with_files(&commit, vec![(FILE.into(), text.clone())])?;
    let source = Source::open(&mirror, mirror.tree(&head)?)?;
    let catalog = configuration(&source, &name, &fleet)?.context("it was just written")?;
    if let Err(why) = &catalog {
        bail!("the new entries do not fit the {FILE} that is there: {why}");
    }
    if args.print {
        return Ok((text, ExitCode::SUCCESS));
    }
    let diff = git_diff(&mirror, (&name, &fleet), Some(&catalog), &head, &head)?;
    let mut all = untouched(&diff.heads, &[]);
    all.retain(|one| moving.contains_key(&one.target.title()));
    let scope = Scope {
        requested: &[],
        released: moving,
        first_syncs: true,
    };
    let planned = applications(place, scope, (&mirror, &catalog), all, &diff.heads).await?;
    write(&mirror, &text)?;
    for row in &mut rows {
        let planned = planned.iter().find(|one| one.key.title() == row.title);
        row.objects = planned.map(objects);
    }
    let changed = planned.into_iter().map(as_changes);
    let changed: Vec<_> = changed
        .filter(|one| one.error.is_some() || !one.plan.is_empty())
        .collect();
    let preview = Preview {
        head: head.clone(),
        base: head,
        total: changed.len(),
        applications: changed,
        policy: Vec::new(),
        failure: None,
        duration: started.elapsed(),
    };
    Ok((
        view::imported(&rows, Some(&preview)),
        exit_code(&preview, false),
    ))
}

/// The configuration that finds the applications of Argo CD or Flux: that of the working copy, or a
/// drafted one with the files that it needs.
async fn configured_text(
    place: &PlaceArgs,
    mirror: &Mirror,
    name: &RepoName,
    commit: &CommitSha,
) -> anyhow::Result<(Vec<(String, String)>, String)> {
    if let Some(text) = mirror.read(mirror.tree(commit)?, FILE)? {
        return Ok((Vec::new(), String::from_utf8_lossy(&text).into_owned()));
    }
    let (files, _) = drafted(place, mirror, name, (commit, "HEAD", None)).await?;
    let text = files.iter().find(|(file, _)| file == FILE);
    let text = text.map(|(_, text)| text.clone()).unwrap_or_default();
    Ok((files, text))
}

/// The entries of what `discover` finds in a commit, in the place of `discover`.
fn entries(
    mirror: &Mirror,
    commit: &CommitSha,
    (name, fleet): (&RepoName, &Fleet),
    text: &str,
) -> anyhow::Result<Move> {
    let source = Source::open(mirror, mirror.tree(commit)?)?;
    let configured = configuration(&source, name, fleet)?;
    let Configured {
        catalog, targets, ..
    } = configured.context("it has the file")??;
    let declared: Vec<_> = targets
        .iter()
        .filter_map(|target| Some((target, &target.declared.as_ref()?.written)))
        .collect();
    if declared.is_empty() {
        bail!(
            "{FILE} finds nothing that Argo CD or Flux declares in this repository (`discover`). To let windlass apply a stage that has `reconcile`, take that out of the stage"
        );
    }
    let imports: Vec<_> = declared
        .iter()
        .map(|one| moved(&source, &declared, one))
        .collect::<anyhow::Result<_>>()?;
    let moving = moving(&declared, &imports);
    let (mut entries, mut by_title, mut rows) = (Vec::new(), BTreeMap::new(), Vec::new());
    for ((target, written), import) in declared.iter().zip(imports) {
        let by = target.stage.reconcile.clone();
        let (stays, left_out) = match import {
            Ok((mut entry, mut left_out)) => {
                let stage = &target.stage.name;
                left_out.extend(entry.settle(|name| moving.get(&(stage, name)).cloned()));
                by_title.insert(target.title(), by.clone());
                entries.push(entry);
                (Vec::new(), left_out)
            }
            Err(stays) => (stays, Vec::new()),
        };
        rows.push(Imported {
            title: target.title(),
            stage: target.stage.name.to_string(),
            by,
            file: (written.file != LIVE).then(|| written.file.clone()),
            made_by: made_by(&source, written)?,
            objects: None,
            differs: catalog::differs(declaration(&source, written)?),
            stays,
            left_out,
        });
    }
    let keeps_discover = rows.iter().any(|row| !row.stays.is_empty());
    let text = catalog::with_entries(text, entries, catalog.stages.len(), keeps_discover)?;
    Ok(Move {
        text,
        moving: by_title,
        rows,
    })
}

/// The applications that objects become, by their stages and the objects' names.
fn moving<'a>(
    declared: &[(&'a Target, &'a Written)],
    imports: &[Import],
) -> BTreeMap<(&'a Name, &'a str), String> {
    let all = declared.iter().zip(imports);
    let moves = all.filter(|(_, import)| import.is_ok());
    let named = moves.map(|((target, written), _)| {
        let object = (&target.stage.name, written.key.name.as_str());
        (object, target.application.to_string())
    });
    named.collect()
}

/// The entry of one of the applications, or why it stays.
fn moved(
    source: &Source<'_>,
    declared: &[(&Target, &Written)],
    (target, written): &(&Target, &Written),
) -> anyhow::Result<Import> {
    let object = declaration(source, written)?;
    let under: Vec<_> = source.under(&target.path).collect();
    // It would apply the objects that declare the others.
    let is_child =
        |other: &Written| other != *written && catalog::is_own(&target.path, &other.file);
    Ok(match declared.iter().find(|(_, other)| is_child(other)) {
        Some((other, _)) => Err(vec![Stays::Parent(other.title())]),
        None => catalog::import(target, object, &written.build(object), &under),
    })
}

/// The object that declares an application.
fn declaration<'a>(source: &'a Source<'_>, written: &Written) -> anyhow::Result<&'a Value> {
    let object = source.objects()?.object(written);
    object.with_context(|| format!("{} has it", written.file))
}

/// The ApplicationSet that makes an Application: in the repository, or by its owner in the cluster.
fn made_by(source: &Source<'_>, written: &Written) -> anyhow::Result<Option<String>> {
    if written.made_by.is_some() {
        return Ok(written.made_by.clone());
    }
    let object = source.objects()?.object(written);
    let owners = object.and_then(|object| object["metadata"]["ownerReferences"].as_array());
    let mut owners = owners.into_iter().flatten();
    let set = owners.find(|owner| owner["kind"] == "ApplicationSet");
    Ok(set.and_then(|owner| owner["name"].as_str().map(str::to_string)))
}

/// How many objects it has.
fn objects(preview: &ApplicationPreview) -> usize {
    let plans = [&preview.plan, &preview.waiting, &preview.drift];
    preview.unmoved + plans.map(|plan| plan.changes.len()).iter().sum::<usize>()
}

/// The preview with what the first sync would change as its plan. What only takes the other's marks
/// off is no change.
fn as_changes(mut preview: ApplicationPreview) -> ApplicationPreview {
    let label = |object: &Value| object["metadata"]["labels"][ownership::ARGO_LABEL].clone();
    let is_more_than_marks = |before: &Value, after: &Value| {
        // Charts set this label too.
        let is_other = !label(after).is_null() && label(after) != label(before);
        is_other || ownership::without_marks(before) != ownership::without_marks(after)
    };
    let pending = [&mut preview.plan, &mut preview.waiting, &mut preview.drift];
    let changes = pending
        .into_iter()
        .flat_map(|plan| std::mem::take(plan).changes);
    let changes = changes.filter(|change| match (&change.before, &change.after) {
        (Some(before), Some(after)) if change.problem.is_none() => {
            is_more_than_marks(before, after)
        }
        _ => true,
    });
    preview.plan = Plan {
        changes: changes.collect(),
        ..Plan::default()
    };
    preview.notes.clear();
    preview
}

fn write(mirror: &Mirror, text: &str) -> anyhow::Result<()> {
    let folder = mirror.folder();
    let folder = folder.context(
        "this repository has no working copy: `windlass import --print` prints the file",
    )?;
    let file = folder.join(FILE);
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}
