//! The drift pull request: it proposes to keep in Git what somebody changed in
//! the cluster. If it is merged, Git has the change; if it is closed, the
//! change is reverted.
//!
//! Each write is conditional on what was read. After a crash the next reconcile
//! continues: the content of the branch follows from the drift.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::desired::rendered;
use crate::controller::dry_run;
use crate::controller::{Base, Error, Reader, Result, Writer};
use crate::domain::catalog::{RenderSource, Target};
use crate::domain::edit::{EditError, FileEdit, set_fields};
use crate::domain::fieldset::{self, FieldPath};
use crate::domain::manifest::ResourceKey;
use crate::domain::mask::is_hidden;
use crate::domain::plan::{Change, Plan, digest};
use crate::domain::sync::Proposal;
use crate::domain::{Invalid, PullRequestKey, TargetKey};
use crate::git::{Mirror, TreeId};
use crate::github::{self, Pull};
use crate::render::{self, Source};
use crate::view;

fn branch(key: &TargetKey) -> String {
    // A ref cannot stand where another one has its folder.
    let place = key.place().replace('/', ".");
    format!("windlass-drift/{}/{place}", key.application)
}

/// A digest of each object's drift.
fn digests(plan: &Plan) -> BTreeSet<String> {
    let digest_of = |change: &Change| {
        digest([(
            "",
            &Plan {
                changes: vec![change.clone()],
                ..Plan::default()
            },
        )])
        .chars()
        .skip(4)
        .take(16)
        .collect()
    };
    plan.effective().map(digest_of).collect()
}

/// The newest drift pull request of the application, and whether it is about this drift. An open
/// one has to be about all of it. A closed one may be about more: some of that may be reverted
/// already.
async fn newest(ctx: &Arc<Reader>, key: &TargetKey, plan: &Plan) -> Result<Option<(Pull, bool)>> {
    let pulls = ctx.github.pulls_from(&key.repo, &branch(key)).await?;
    let bot = &ctx.github.identity().await?.login;
    let newest = pulls
        .into_iter()
        .filter(|pull| pull.author() == bot)
        .max_by_key(|pull| pull.number);
    Ok(newest.map(|pull| {
        let (proposed, current) = (
            view::drift_of(pull.body.as_deref().unwrap_or_default()),
            digests(plan),
        );
        let same = if pull.is_open() {
            proposed == current
        } else {
            current.is_subset(&proposed)
        };
        (pull, same)
    }))
}

/// The state of the proposal about a drift.
pub async fn observe(
    ctx: &Arc<Reader>,
    key: &TargetKey,
    base: &Base,
    plan: &Plan,
) -> Result<Proposal> {
    if let Some((pull, same)) = newest(ctx, key, plan).await? {
        match (pull.is_open(), pull.merged_at) {
            (true, _) if same => {
                return Ok(Proposal::Open {
                    number: pull.number,
                });
            }
            (false, None) if same => return Ok(Proposal::Refused),
            (false, Some(_)) if same => {
                let (merged, tip) = (pull.merged_as(), base.commit.clone());
                let has_merge = ctx
                    .mirror(&key.repo, move |mirror| match merged {
                        Some(merged) => mirror.has_in(&merged, &tip),
                        None => Ok(true),
                    })
                    .await?;
                // It is merged, and the mirror does not have the merge yet.
                if !has_merge {
                    return Ok(Proposal::Open {
                        number: pull.number,
                    });
                }
            }
            _ => {}
        }
    }
    let Some(target) = base.target(key) else {
        return Ok(Proposal::None);
    };
    Ok(match edits_at(ctx, key, base, target, plan).await? {
        Ok(_) => Proposal::None,
        Err(Invalid(why)) => Proposal::Impossible { why },
    })
}

/// Opens the pull request, or updates the open one. Returns its number.
pub async fn propose(
    ctx: &Writer,
    key: &TargetKey,
    base: &Base,
    target: &Target,
    plan: &Plan,
) -> Result<Option<u64>> {
    let Ok(edits) = edits_at(ctx, key, base, target, plan).await? else {
        return Ok(None);
    };
    let (title, body) = view::drift(key, plan, &digests(plan));
    commit(ctx, key, base, &title, &edits).await?;
    ctx.touch(&key.repo);
    match newest(ctx, key, plan).await? {
        Some((pull, _)) if pull.is_open() => {
            let pull = PullRequestKey {
                repo: key.repo.clone(),
                number: pull.number,
            };
            ctx.to_github().retitle_pull(&pull, &title, &body).await?;
        }
        _ => open(ctx, key, base, &title, &body).await?,
    }
    Ok(newest(ctx, key, plan)
        .await?
        .filter(|(pull, _)| pull.is_open())
        .map(|(pull, _)| pull.number))
}

/// Commits the edits on top of the base, to the branch of the pull request.
async fn commit(
    ctx: &Writer,
    key: &TargetKey,
    base: &Base,
    title: &str,
    edits: &[FileEdit],
) -> Result<()> {
    let (repo, branch, onto) = (&key.repo, branch(key), &base.commit);
    let (message, github) = ((title, ""), ctx.to_github());
    match ctx.github.branch_head(repo, &branch).await? {
        None => {
            github.create_branch(repo, &branch, onto).await?;
            github.commit(repo, &branch, onto, message, edits).await?;
        }
        Some(head) if head == *onto => {
            github.commit(repo, &branch, onto, message, edits).await?;
        }
        Some(head) => {
            github
                .rebuild_branch(repo, &branch, (head, onto), message, edits)
                .await?;
        }
    }
    Ok(())
}

async fn open(ctx: &Writer, key: &TargetKey, base: &Base, title: &str, body: &str) -> Result<()> {
    let into = &base.repo.default_branch;
    let opened = ctx
        .to_github()
        .open_pull(&key.repo, &branch(key), into, title, body)
        .await;
    match opened {
        Ok(_) | Err(github::Error::Stale { .. }) => Ok(()),
        Err(error) => Err(Error::GitHub(error)),
    }
}

async fn edits_at(
    ctx: &Arc<Reader>,
    key: &TargetKey,
    base: &Base,
    target: &Target,
    plan: &Plan,
) -> Result<std::result::Result<Vec<FileEdit>, Invalid>> {
    let wanted = match wanted(plan) {
        Ok(wanted) => wanted,
        Err(why) => return Ok(Err(why)),
    };
    let (commit, place, fields) = (base.commit.clone(), target.render_source(), wanted.clone());
    let made = ctx.mirror(&key.repo, move |mirror| {
        let tree = mirror.tree(&commit)?;
        let edits = match edits(mirror, tree, &place, &fields)? {
            Ok(edits) => edits,
            Err(why) => return Ok(Err(why)),
        };
        let read = render::inputs(&Source::open(mirror, mirror.edited(tree, &edits)?)?, &place);
        Ok(Ok((edits, read)))
    });
    let (edits, read) = match made.await? {
        Ok(made) => made,
        Err(why) => return Ok(Err(why)),
    };
    // Checked by rendering the result: an overlay, or a value of a chart, may set the field
    // elsewhere.
    let rendered = match rendered(ctx, target, &read, None).await? {
        Ok(rendered) => rendered,
        Err(why) => return Ok(Err(Invalid(why))),
    };
    let owner = key.owner_label(base.repo.id);
    let scope = ctx.environment.scope(key, target, &owner)?;
    let settled = dry_run::normalize(&scope, &rendered).await?.manifests;
    for (object, fields) in &wanted {
        let manifest = settled.iter().find(|manifest| manifest.key == *object);
        for (path, value) in fields {
            if manifest.and_then(|manifest| fieldset::lookup(&manifest.value, path)) != Some(value)
            {
                return Ok(Err(Invalid(format!(
                    "{path} of {object} is set elsewhere than in the application's own files"
                ))));
            }
        }
    }
    Ok(if edits.is_empty() {
        Err(Invalid(
            "nothing in the application's own files sets it".into(),
        ))
    } else {
        Ok(edits)
    })
}

/// The fields that somebody changed, by object, with their values in the cluster.
type Wanted = BTreeMap<ResourceKey, Vec<(FieldPath, Value)>>;

fn wanted(plan: &Plan) -> std::result::Result<Wanted, Invalid> {
    let mut wanted = Wanted::new();
    for change in plan.effective() {
        let object = &change.key;
        if object.kind == "Secret" {
            return Err(Invalid(format!(
                "{object} is a Secret: its live values are not written into Git"
            )));
        }
        let live = change.before.as_deref().cloned().unwrap_or_default();
        let paths: Vec<_> = change
            .notes
            .reverted
            .iter()
            .flat_map(|(_, paths)| paths)
            .collect();
        if paths.is_empty() {
            return Err(Invalid(format!(
                "{object} was changed, but which fields is not known"
            )));
        }
        for path in paths {
            let read = FieldPath::parse(path)
                .and_then(|path| Some((fieldset::lookup(&live, &path)?.clone(), path)));
            let Some((value, path)) = read else {
                return Err(Invalid(format!("{path} of {object} was removed")));
            };
            // The value is masked here too.
            if value.as_str().is_some_and(is_hidden) {
                return Err(Invalid(format!(
                    "{path} of {object} looks like a credential: it is not written into Git"
                )));
            }
            wanted
                .entry(object.clone())
                .or_default()
                .push((path, value));
        }
    }
    Ok(wanted)
}

/// The edits of the application's own files that set the wanted values.
fn edits(
    mirror: &Mirror,
    tree: TreeId,
    place: &RenderSource,
    wanted: &Wanted,
) -> anyhow::Result<std::result::Result<Vec<FileEdit>, Invalid>> {
    let source = Source::open(mirror, tree)?;
    let before = match render::editable(&source, place) {
        Ok(files) => files,
        Err(why) => return Ok(Err(why)),
    };
    let mut files = before.clone();
    for (object, fields) in wanted {
        let (kind, name) = (&object.kind, &object.name);
        let mut found = 0;
        for (path, (_, text)) in &mut files.own {
            match set_fields(text, kind, name, fields) {
                Ok(Some(edited)) => {
                    found += 1;
                    *text = edited;
                }
                Ok(None) => {}
                Err(EditError(why)) => return Ok(Err(Invalid(format!("{path}: {why}")))),
            }
        }
        // Two objects of one kind and name may be in two namespaces, or one may patch the other.
        if found != 1 {
            return Ok(Err(Invalid(format!(
                "{found} files in {} have the {kind} {name}",
                place.directory
            ))));
        }
    }
    Ok(Ok(files.changed_from(&before)))
}
