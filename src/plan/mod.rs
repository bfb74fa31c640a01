//! `windlass plan`: what a change of the config repository would do to the
//! clusters, from a working copy, without windlass's server and without GitHub.
//! The same code makes the preview of a pull request.
//!
//! - [`flags`]: the command's flags
//! - [`revisions`]: the compared revisions
//! - [`clusters`]: the clusters, and windlass's own objects in them
//! - [`unconfigured`]: a repository that has no `windlass.yaml`
//! - [`init`]: `windlass init` and `windlass validate`; [`import`]: `windlass import`
//! - [`json`]: the output for programs

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::config::fleet;
use crate::controller::preview::{Changes, GitDiff, Touched};
use crate::controller::resource_owners::{self, RenderInputs};
use crate::controller::{Configured, configuration, drafted, preview, side_by_side};
use crate::domain::catalog::{FILE, Fleet, Reconciler, Target};
use crate::domain::command::Selector;
use crate::domain::pull_request::{ApplicationPreview, Preview};
use crate::domain::{Invalid, RepoName, TargetKey};
use crate::git::Mirror;
use crate::render::Source;
use crate::view;

mod clusters;
mod flags;
mod import;
mod init;
mod json;
mod progress;
mod revisions;
mod unconfigured;

pub use flags::PlanArgs;
use flags::{Output, PlaceArgs};
pub use import::{ImportArgs, import};
pub use init::{InitArgs, ValidateArgs, init, validate};
use json::as_json;
use progress::Progress;
use revisions::{Revisions, revisions};

/// The output, and the exit code.
pub async fn plan(args: &PlanArgs) -> anyhow::Result<(String, ExitCode)> {
    let (preview, notes) = previewed(args).await?;
    let text = match args.output {
        Output::Text => {
            let notes = notes.iter().map(|note| format!("note: {note}\n"));
            let text = notes.collect::<String>() + &view::terminal(&preview);
            match args.color.applies() {
                true => view::coloured(&text),
                false => text,
            }
        }
        Output::Json => {
            let mut json = as_json(&preview);
            json["notes"] = notes.into();
            serde_json::to_string_pretty(&json)? + "\n"
        }
        Output::Markdown => {
            let line = |note: &String| format!("> {}\n", view::quoted(note));
            let notes: String = notes.iter().map(line).collect();
            let gap = if notes.is_empty() { "" } else { "\n" };
            notes + gap + &view::preview(&preview).comment(None).text
        }
    };
    Ok((text, exit_code(&preview, args.all)))
}

/// 0 where nothing changes, 1 where something does, 2 where it cannot be told. `all`: what the next
/// sync does for other reasons is a change as well.
fn exit_code(preview: &Preview, all: bool) -> ExitCode {
    let changes =
        |app: &ApplicationPreview| !app.plan.is_empty() || all && app.pending().next().is_some();
    let changes = preview.applications.iter().any(changes);
    match (preview.ok(), changes) {
        (false, _) => ExitCode::from(2),
        (true, true) => ExitCode::from(1),
        (true, false) => ExitCode::SUCCESS,
    }
}

/// The preview, and notes about its revisions.
async fn previewed(args: &PlanArgs) -> anyhow::Result<(Preview, Vec<String>)> {
    let (started, place) = (Instant::now(), &args.place);
    let mirror = Mirror::discover(&place.repo)
        .with_context(|| format!("{} is not a git repository", place.repo.display()))?;
    let name = clusters::named(place.repository.as_ref(), &mirror)?;
    let fleet = fleet(&place.cluster_labels)?;
    let revisions = revisions(args, &mirror)?;
    let Revisions {
        onto,
        base,
        head,
        mut notes,
    } = unconfigured::configured(args, &mirror, (&name, &fleet), revisions).await?;
    let source = Source::open(&mirror, mirror.tree(&base)?)?;
    let catalog = catalog(&source, &name, &fleet)?;
    let catalog = catalog
        .with_context(|| format!("`{onto}` has no windlass.yaml: it is not a config repository"))?;
    notes.extend(clusters::shared_context(place, &catalog)?);
    let GitDiff {
        failure,
        changes,
        total,
        mut inputs,
        heads,
    } = preview::git_diff(&mirror, (&name, &fleet), Some(&catalog), &base, &head)?;
    // What the change itself breaks comes first.
    if failure.is_none() {
        let unmatched =
            preview::unmatched(&mirror, (&name, &fleet), &source, &catalog, changes.merged)?;
        if !unmatched.is_empty() {
            bail!("{}", unmatched.join("\n"));
        }
    }
    if args.is_own() {
        // Whoever plans their own working copy may see what their kubeconfig lets them see.
        let all = inputs.iter_mut();
        all.for_each(|touched| touched.shows_live = true);
    }
    notes.extend(unread(&catalog, &changes, &heads));
    if args.all {
        notes.push(view::all_planned(inputs.len()));
        inputs.extend(untouched(&heads, &inputs));
    }
    let scope = Scope {
        requested: &args.applications,
        released: BTreeMap::new(),
        first_syncs: args.all,
    };
    let planned = applications(place, scope, (&mirror, &catalog), inputs, &heads).await?;
    let preview = Preview {
        policy: changes.policy,
        head,
        base,
        applications: planned,
        total,
        failure,
        duration: started.elapsed(),
    };
    Ok((preview, notes))
}

/// The base's configuration, or a drafted one if it has none.
fn catalog(
    source: &Source<'_>,
    name: &RepoName,
    fleet: &Fleet,
) -> anyhow::Result<Option<Result<Configured, Invalid>>> {
    match configuration(source, name, fleet)? {
        Some(found) => Ok(Some(found)),
        None => Ok(drafted(source, name)?.map(Ok)),
    }
}

/// Which applications are planned, and how.
struct Scope<'a> {
    /// Only these, if there are any.
    requested: &'a [String],
    /// See [`Environment::released`](crate::controller::Environment::released).
    released: BTreeMap<String, Reconciler>,
    /// Of an application that was never synced, everything that its first sync does is the change.
    first_syncs: bool,
}

/// The previews of applications.
async fn applications(
    args: &PlaceArgs,
    scope: Scope<'_>,
    (mirror, catalog): (&Mirror, &Result<Configured, Invalid>),
    inputs: Vec<Touched>,
    heads: &[(Target, RenderInputs)],
) -> anyhow::Result<Vec<ApplicationPreview>> {
    let all = clusters::objects(args).await?;
    let (repo, id) = clusters::repository(args, mirror, &all)?;
    let work = tempfile::Builder::new()
        .prefix("windlass-plan-")
        .tempdir()?;
    let environment =
        clusters::environment(args, work.path().to_path_buf(), catalog, scope.released).await?;
    clusters::set_health_rules(&environment, &repo, catalog).await;
    let claims = match inputs.is_empty() {
        true => resource_owners::ResourceOwners::default(),
        false => resource_owners::of(|_| &environment, &repo, id, heads).await?,
    };
    let keys = heads.iter().map(|(target, _)| target.key(&repo));
    check_names(scope.requested, &keys.collect::<Vec<_>>())?;
    let (mut applications, environment, repo) = (Vec::new(), &environment, &repo);
    for mut touched in inputs {
        let key = touched.target.key(repo);
        let mut named = scope.requested.iter();
        if !scope.requested.is_empty() && !named.any(|name| is_named(&key, name)) {
            continue;
        }
        let known = match all.get(&key.object_name()) {
            Some(object) if object.spec.repository == *repo => Some((
                object,
                preview::synced_of(mirror, object, &touched.target, &touched.before)?,
            )),
            _ => None,
        };
        let was_synced = known.as_ref().is_some_and(|(object, _)| {
            let status = object.status.as_ref();
            status.is_some_and(|status| status.synced_revision.is_some())
        });
        // Argo CD and Flux may have synced it long ago: what they delete is shown.
        let is_ours = touched.target.stage.reconcile == Reconciler::Windlass;
        let is_first = !was_synced && (is_ours || touched.is_unchanged());
        if scope.first_syncs && is_first && !matches!(touched.after, Ok(None)) {
            touched.before = Ok(None);
        }
        let application = preview::application(environment, repo, id, touched, &claims, known);
        applications.push(application);
    }
    let progress = &Progress::new(applications.len());
    let counted = applications.into_iter().map(async |application| {
        let planned = application.await;
        progress.one_more();
        planned
    });
    Ok(side_by_side(counted).await?)
}

/// The applications that a change does not touch, as if it left them as they are.
fn untouched(heads: &[(Target, RenderInputs)], touched: &[Touched]) -> Vec<Touched> {
    let is_touched = |target: &Target| touched.iter().any(|one| one.target.is_same(target));
    let others = heads.iter().filter(|(target, _)| !is_touched(target));
    let as_it_is = |(target, inputs): &(Target, RenderInputs)| Touched {
        target: target.clone(),
        before: inputs.clone(),
        after: inputs.clone(),
        shows_live: true,
        forgotten: None,
        moved_from: None,
    };
    others.map(as_it_is).collect()
}

/// Whether a name is that of an application in a stage, or in one of the stage's clusters.
fn is_named(key: &TargetKey, name: &str) -> bool {
    let selector = Selector::parse(name).filter(|selector| selector.stage.is_some());
    selector.is_some_and(|selector| selector.matches(key))
}

/// A note of the changed files that no application reads.
fn unread(
    catalog: &Result<Configured, Invalid>,
    changes: &Changes,
    heads: &[(Target, RenderInputs)],
) -> Option<String> {
    let catalog = &catalog.as_ref().ok()?.catalog;
    // Whoever cannot be read may read them.
    if heads.iter().any(|(_, inputs)| inputs.is_err()) {
        return None;
    }
    let is_read = |file: &str| {
        let by = |(_, inputs): &(_, RenderInputs)| matches!(inputs, Ok(Some(inputs)) if inputs.reads(file));
        heads.iter().any(by) || changes.reads.values().flatten().any(|read| read == file)
    };
    let files = changes.files.iter().map(String::as_str);
    let unread: Vec<_> = files
        .filter(|file| ![FILE, unconfigured::LIVE].contains(file) && !is_read(file))
        .collect();
    let stages = unread.iter().filter_map(|file| catalog.without_stage(file));
    let stages: BTreeMap<_, _> = stages.collect();
    (!unread.is_empty()).then(|| view::unread(&unread, &stages))
}

/// Fails if a requested application does not exist.
fn check_names(requested: &[String], keys: &[TargetKey]) -> anyhow::Result<()> {
    let is_known = |name: &&String| keys.iter().any(|key| is_named(key, name));
    if let Some(unknown) = requested.iter().find(|name| !is_known(name)) {
        let titles: Vec<_> = keys.iter().map(TargetKey::title).collect();
        bail!(
            "there is no application `{unknown}`; the applications are: {}",
            titles.join(", ")
        );
    }
    Ok(())
}
