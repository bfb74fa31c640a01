//! What a preview says of an application besides its changes.

use std::collections::BTreeMap;

use super::markdown::{code, first_of, listed};
use crate::domain::applying::NotAutomatic;
use crate::domain::catalog::Destination;
use crate::domain::manifest::ResourceKey;
use crate::domain::pull_request::Forgotten;
use crate::domain::sops::Encrypted;

/// An application that only the pull request has. `applies`: windlass applies it.
pub fn new_application(applies: bool) -> String {
    const NEW: &str = "This application is not on the base branch yet, so the preview assumes that none of its objects exist.";
    match applies {
        true => format!(
            "{NEW} After the merge windlass checks the cluster, and changes existing objects only after `/adopt`."
        ),
        false => NEW.into(),
    }
}

/// An application whose objects go to another place: those of the former one that are deleted there,
/// and those that stay.
pub fn moves(
    (from, to): (&Destination, &Destination),
    deleted: &[String],
    kept: &[String],
) -> String {
    let place = |one: &Destination| code(&format!("{}/{}", one.cluster, one.namespace));
    let (from, to) = (place(from), place(to));
    let fate = |objects: &[String], fate: &str| match objects.is_empty() {
        true => String::new(),
        false => format!(
            " In the former place {fate}: {} ({}).",
            listed(objects),
            objects.len()
        ),
    };
    format!(
        "The destination changes from {from} to {to} (cluster/namespace).{}{}",
        fate(deleted, "**are deleted**"),
        fate(kept, "stay, until somebody deletes them")
    )
}

/// All that windlass says in the threads of such a repository.
pub const FOREIGN_IDS: &str = "windlass does nothing in this repository: it has SHA-256 object ids, which windlass does not support. Put the configuration into a repository with SHA-1 ids, the default.";

/// How many repeated keys are listed.
const MOST_KEYS: usize = 10;

/// An application that a pull request takes out of Git, with the names of its objects.
pub fn leaves_git(objects: &[String], stage: &str) -> String {
    format!(
        "The application leaves Git. Its objects ({}) stay and run on until, after the merge, somebody who may approve for {} comments `/confirm-prune` here. That deletes them: {}.",
        objects.len(),
        code(stage),
        listed(objects)
    )
}

/// The same, where an object of Argo CD or Flux declares the application.
pub fn declared_no_more(objects: &[String], deletes: bool) -> String {
    let (count, listed) = (objects.len(), listed(objects));
    match deletes {
        true => format!(
            "The object that declares the application leaves Git. When it is deleted, **its objects ({count}) are deleted with it**: {listed}."
        ),
        false => format!(
            "The object that declares the application leaves Git. Its objects ({count}) stay in the cluster: {listed}."
        ),
    }
}

/// A template of a chart that reads the cluster.
pub fn looks_up(template: &str) -> String {
    format!(
        "{} reads the cluster with `lookup`, which finds nothing here, as with `helm template`: the chart is rendered as on its first installation.",
        code(template)
    )
}

/// Why an object that SOPS encrypted stays so, and what to do.
pub fn encrypted(why: &Encrypted) -> String {
    match why {
        Encrypted::NoKey => "it is encrypted with SOPS, and this project has no age key: name the key's file by `sops.ageKeyFile` in the server's projects, or commit an object that a controller in the cluster turns into it (such as an ExternalSecret or a SealedSecret)".into(),
        Encrypted::NotASecret => "it is encrypted with SOPS, and no Secret: windlass decrypts Secrets alone, since previews show everything else. Put the values into a Secret, and refer to it".into(),
        Encrypted::OtherKeys(recipients) if recipients.is_empty() => {
            "it is encrypted with SOPS for no age key: add the project's key to `.sops.yaml`, and run `sops updatekeys`".into()
        }
        Encrypted::OtherKeys(recipients) => format!(
            "it is encrypted with SOPS for {}, and no age key of this project opens that: add the project's key to `.sops.yaml`, and run `sops updatekeys`",
            recipients.iter().take(MOST_RECIPIENTS).map(|one| code(one)).collect::<Vec<_>>().join(", ")
        ),
        Encrypted::NotText(path) => format!(
            "it is encrypted with SOPS, and {} is no text, as a Secret's values are: quote it, by `sops edit`",
            code(path)
        ),
        Encrypted::Changed(path) => format!(
            "it is encrypted with SOPS, and {} cannot be decrypted: its text or its place was changed without sops. Take it back, and edit it by `sops edit`",
            code(path)
        ),
    }
}

/// How many recipients of a file are listed.
const MOST_RECIPIENTS: usize = 5;

/// A chart of the repository that changes without a new version.
pub fn former_chart(directory: &str) -> String {
    let directory = directory.replace('`', "");
    format!(
        "The chart `{directory}` changes, and its `version` does not: Flux goes on with the chart as it was. Raise the version in its Chart.yaml, or set `reconcileStrategy: Revision` in the HelmRelease."
    )
}

/// Keys that are repeated in a mapping, each with its place.
pub fn repeated(keys: &[String]) -> String {
    let keys = keys.iter().map(|key| format!("`{}`", key.replace('`', "")));
    format!(
        "A key stands twice in one mapping, and the last value counts, as with kubectl: {}.",
        first_of(MOST_KEYS, keys)
    )
}

/// Custom kinds of which nobody said when they are healthy.
pub fn unruled(kinds: &[String]) -> String {
    format!(
        "No rule says when {} is healthy, so windlass goes by its own status. To add a rule, use `health` in `windlass.yaml`.",
        listed(kinds)
    )
}

/// Changed files that no application reads. `stages`: the directories that would be applications, and
/// the stages that `windlass.yaml` does not have.
pub fn unread(files: &[&str], stages: &BTreeMap<&str, String>) -> String {
    let missing = stages
        .iter()
        .next()
        .map(|(directory, stage)| format!(" ({directory}: windlass.yaml has no stage `{stage}`)"));
    format!(
        "no application reads {}{}",
        first_of(MOST_FILES, files.iter()),
        missing.unwrap_or_default()
    )
}

/// How many changed files are listed.
const MOST_FILES: usize = 5;

/// Every application is planned, of which a change touches so many.
pub fn all_planned(touched: usize) -> String {
    format!("all applications are planned; the change touches {touched} of them")
}

/// The objects of a new application that are there, of which `count` would change.
pub fn to_adopt(count: usize, title: &str) -> String {
    let (objects, exist) = match count {
        1 => ("1 object", "exists"),
        _ => (&*format!("{count} objects"), "exist"),
    };
    format!(
        "{objects} of it {exist} in the cluster already: windlass applies nothing of the application before `windlass adopt {title}`."
    )
}

/// Why an object that leaves Git is not deleted.
pub const NOT_APPLIED: &str = "windlass did not apply it";

pub fn hands_over(key: &ResourceKey, to: &str) -> String {
    format!(
        "{} moves to `{to}`: it is handed over, not deleted.",
        code(&key.to_string())
    )
}

/// `why`: the mark that keeps it.
pub fn stays(key: &ResourceKey, why: &str) -> String {
    format!(
        "{} leaves Git but stays in the cluster: {why}.",
        code(&key.to_string())
    )
}

/// The object of Argo CD or Flux that declares it stays in Git.
pub fn forgotten(why: &Forgotten) -> String {
    match why {
        Forgotten::Unlisted => UNLISTED.into(),
        Forgotten::Renamed(title) => format!(
            "The object that declares the application is {} for windlass from now on.",
            code(title)
        ),
        Forgotten::Elsewhere => ELSEWHERE.into(),
    }
}

const ELSEWHERE: &str = "The object that declares the application stays, and this branch declares the application no more: it is built from another branch, a tag or another repository, or `discover` in `windlass.yaml` passes it over. This preview does not show what becomes of it.";

const UNLISTED: &str = "`windlass.yaml` no longer has this application: windlass does not preview, gate or promote it any more. The object that declares it stays in Git, and so does what it deploys.";

/// Why nothing is synced without a person.
pub fn not_automatic(why: NotAutomatic) -> String {
    match why {
        NotAutomatic::Manual => "Argo CD does not sync this application by itself: after the merge somebody syncs it, there or by `/sync`.".into(),
        NotAutomatic::Suspended => "Its Kustomization is suspended: Flux applies nothing of this before somebody resumes it.".into(),
    }
}

/// `follows`: what the source of a Kustomization follows, in words.
pub fn pinned(follows: &str) -> String {
    format!(
        "**Flux does not apply this after the merge**: its GitRepository follows {follows}. What is shown here comes once that is changed."
    )
}

/// Changes of fields that Argo CD ignores.
pub fn unseen(objects: &[ResourceKey]) -> String {
    let names: Vec<_> = objects.iter().map(ToString::to_string).collect();
    format!(
        "Argo CD ignores what this changes in {} (`ignoreDifferences`), and nothing else changes: it does not sync, and the cluster stays as it is until the next sync.",
        listed(&names)
    )
}

/// A hook of a kind that is only run by who else uses the manifests. `words`: its annotation.
pub fn not_run(key: &ResourceKey, words: &str) -> String {
    format!(
        "{} is a hook that windlass does not run ({}).",
        code(&key.to_string()),
        code(words)
    )
}
