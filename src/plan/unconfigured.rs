//! A plan of a repository whose base has no `windlass.yaml`: with that of the head, or with
//! the one that `windlass init` would write. So a first plan needs nothing but a
//! repository and a cluster.

use std::collections::BTreeSet;

use kube::Api;
use kube::api::{ListParams, TypeMeta};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::clusters;
use super::flags::{PlaceArgs, PlanArgs};
use super::revisions::Revisions;
use crate::controller::configuration;
use crate::domain::catalog::{self, Contents, Draft, FILE, Fleet, Objects};
use crate::domain::{CommitSha, RepoName};
use crate::git::Mirror;
use crate::render::Source;

/// Where the base of such a plan has the objects that only the cluster has.
pub(super) const LIVE: &str = ".windlass/live.yaml";

/// The kinds of Argo CD and Flux that say what is deployed.
const KINDS: [(&str, &str, &str); 3] = [
    ("argoproj.io", "v1alpha1", "Application"),
    ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization"),
    ("source.toolkit.fluxcd.io", "v1", "GitRepository"),
];

/// The same revisions, the base with a configuration in memory if it has none.
pub(super) async fn configured(
    args: &PlanArgs,
    mirror: &Mirror,
    (repo, fleet): (&RepoName, &Fleet),
    mut revisions: Revisions,
) -> anyhow::Result<Revisions> {
    let text_of = |commit: &CommitSha| {
        let tree = mirror.tree(commit)?;
        anyhow::Ok(mirror.read(tree, FILE)?)
    };
    if text_of(&revisions.base)?.is_some() {
        return Ok(revisions);
    }
    let (base, onto) = (&revisions.base, &revisions.onto);
    let (files, notes) = match text_of(&revisions.head)? {
        // Of a commit that others may have made, the file does not say what may be seen.
        Some(_) if args.head.is_some() => {
            revisions.notes.push(format!(
                "`{onto}` has no {FILE}: what the change declares is planned as new"
            ));
            return Ok(revisions);
        }
        Some(text) => {
            let head = Source::open(mirror, mirror.tree(&revisions.head)?)?;
            configuration(&head, repo, fleet)?.transpose()?;
            let text = String::from_utf8_lossy(&text).into_owned();
            let note = format!(
                "`{onto}` has no {FILE}: the plan uses the one of the change, and shows what differs in manifests; `--all` adds what a first sync would do besides"
            );
            (vec![(FILE.to_string(), text)], vec![note])
        }
        None => {
            // What others may have made does not say what may be seen.
            let own = args.is_own().then_some(&revisions.head);
            drafted(&args.place, mirror, repo, (base, onto, own)).await?
        }
    };
    revisions.base = mirror.with_files(base, files)?;
    revisions.notes.extend(notes);
    Ok(revisions)
}

/// The files of a drafted configuration, and what people have to know of it. `base`: the commit that
/// it is for, and its name; `own`: the working copy, whose new applications are drafted as well.
pub(super) async fn drafted(
    args: &PlaceArgs,
    mirror: &Mirror,
    repo: &RepoName,
    (base, onto, own): (&CommitSha, &str, Option<&CommitSha>),
) -> anyhow::Result<(Vec<(String, String)>, Vec<String>)> {
    let source = Source::open(mirror, mirror.tree(base)?)?;
    let live = live_objects(args, source.objects()?).await?;
    let mut contents = source.contents()?;
    if let Some(own) = own {
        let own = Source::open(mirror, mirror.tree(own)?)?;
        contents = own.contents()?.over(contents);
    }
    let Draft {
        text,
        applications,
        left_out,
    } = draft(&contents, source.objects()?, &live, repo)?;
    let s = if applications == 1 { "" } else { "s" };
    let mut notes = vec![format!(
        "`{}` has no {FILE}: the plan uses the one that `windlass init` would write, with {applications} application{s}",
        onto
    )];
    notes.extend(left_out.iter().map(|what| format!("it leaves out {what}")));
    let mut files = vec![(FILE.to_string(), text)];
    if !live.is_empty() {
        files.push((LIVE.to_string(), live));
    }
    Ok((files, notes))
}

/// The draft for these files, with more objects of the cluster.
pub(super) fn draft(
    contents: &Contents,
    objects: &Objects,
    live: &str,
    repo: &RepoName,
) -> anyhow::Result<Draft> {
    let mut objects = objects.clone();
    objects.add(LIVE, live);
    Ok(catalog::draft(contents, &objects, repo)?)
}

/// The objects of Argo CD and Flux in the cluster that no file has, such as those that an
/// `ApplicationSet` makes.
async fn live_objects(args: &PlaceArgs, written: &Objects) -> anyhow::Result<String> {
    let client = clusters::client(args).await?;
    let mut all = Vec::new();
    for (group, version, kind) in KINDS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
        let found = match api.list(&ListParams::default()).await {
            Ok(found) => found.items,
            // The cluster does not have it, or does not show it.
            Err(kube::Error::Api(status)) if [403, 404].contains(&status.code) => continue,
            Err(error) => return Err(error.into()),
        };
        for mut object in found {
            object.types = Some(TypeMeta {
                api_version: format!("{group}/{version}"),
                kind: kind.into(),
            });
            all.push(declaration(&serde_json::to_value(object)?));
        }
    }
    let sources: BTreeSet<_> = all
        .iter()
        .filter(|object| object["kind"] == "GitRepository")
        .map(|object| place(&object["metadata"], &Value::Null))
        .collect();
    // Without its source, nobody knows whose files a Kustomization builds.
    let is_known = |object: &&Value| {
        let source = place(
            &object["spec"]["sourceRef"],
            &object["metadata"]["namespace"],
        );
        object["kind"] != "Kustomization" || sources.contains(&source)
    };
    let unwritten = all.iter().filter(is_known);
    let unwritten = unwritten.filter(|object| !written.has(object));
    Ok(unwritten.map(|object| format!("---\n{object}\n")).collect())
}

/// The namespace and the name that an object has, or that a reference names.
fn place(named: &Value, default_namespace: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().map(str::to_string);
    let namespace = text(&named["namespace"]).or_else(|| text(default_namespace));
    let name = text(&named["name"]);
    (namespace.unwrap_or_default(), name.unwrap_or_default())
}

/// What somebody would have written of a live object.
fn declaration(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "apiVersion": object["apiVersion"],
        "kind": object["kind"],
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"],
            "labels": metadata["labels"], "finalizers": metadata["finalizers"],
            "ownerReferences": metadata["ownerReferences"],
        },
        "spec": object["spec"],
    })
}
