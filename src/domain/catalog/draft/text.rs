//! The file as text, with comments for its readers.

use super::super::discover::By;
use super::entries::Entry;
use super::found;
use super::place::{DraftedStage, rank};
use crate::domain::RepoName;

const HEAD: &str = "# What windlass deploys, previews and promotes. It is read from the default branch only.
# yaml-language-server: $schema=https://raw.githubusercontent.com/windlass-dev/windlass/main/deploy/windlass.schema.json
version: 1
";

/// The file for entries of `applications`.
pub(super) fn of_entries(stages: &[DraftedStage], entries: &[Entry], repo: &RepoName) -> String {
    let mut text = HEAD.to_string() + &of_stages(stages, false);
    text.push_str(
        "\napplications:                  # the first entry that matches a directory wins\n",
    );
    let mut is_explained = false;
    for entry in entries {
        let explains = !entry.knows_namespace && !is_explained;
        is_explained |= explains;
        text.push_str(&of_entry(entry, explains));
    }
    text.push_str(&format!(
        "
  # An entry may name the images that pull requests promote, and the repositories whose CI announces
  # them:
  #   images:
  #     ghcr.io/{owner}/NAME: {{ source: {owner}/NAME }}
",
        owner = repo.owner.to_lowercase()
    ));
    text
}

/// The entries without comments.
pub(super) fn plain(stages: &[DraftedStage], entries: &[Entry]) -> String {
    let entries: String = entries.iter().map(|entry| of_entry(entry, false)).collect();
    format!(
        "version: 1\n{}applications:\n{entries}",
        of_stages(stages, false)
    )
}

/// The file for what Argo CD and Flux deploy.
pub(super) fn of_discover(found: &[found::Entry]) -> String {
    let all = found.iter().filter_map(|entry| entry.under.as_ref());
    let mut stages: Vec<String> = all.flat_map(|under| under.stages.clone()).collect();
    stages.sort_by_key(|stage| (rank(stage), stage.clone()));
    stages.dedup();
    let of_none = found.iter().any(|entry| entry.under.is_none());
    if of_none && !stages.is_empty() {
        stages.insert(0, "shared".into());
    }
    let drafted = |name: String| DraftedStage {
        cluster: name.clone(),
        after: Vec::new(),
        name,
    };
    let ordered: Vec<_> = stages.into_iter().map(drafted).collect();
    let mut text = HEAD.to_string() + &of_stages(&ordered, true);
    text.push_str("\n# Every object in this repository whose source is this repository is an application. Argo CD or\n# Flux goes on to apply it; windlass previews, gates and promotes.\n");
    if let [entry] = found
        && entry.under.is_none()
        && entry.exclude.is_empty()
        && entry.clusters.is_empty()
    {
        return text + &format!("discover: {}\n", word(entry.by));
    }
    text.push_str("discover:\n");
    for entry in found {
        text.push_str(&format!("  - by: {}\n", word(entry.by)));
        match &entry.under {
            Some(under) => text.push_str(&format!("    under: {}\n", scalar(&under.pattern))),
            None if ordered.is_empty() => {}
            None => text.push_str("    stage: shared\n"),
        }
        if !entry.clusters.is_empty() {
            text.push_str("    clusters:                  # beside their own; the server's settings know these names\n");
            for (name, server) in &entry.clusters {
                let server = server.as_ref();
                let server = server.map(|url| format!(" server: {} ", scalar(url)));
                let server = server.unwrap_or_default();
                text.push_str(&format!("      {}: {{{server}}}\n", scalar(name)));
            }
        }
        if !entry.exclude.is_empty() {
            text.push_str(
                "    exclude:                   # they declare what other files declare\n",
            );
            let lines = entry.exclude.iter();
            text.extend(lines.map(|file| format!("      - {}\n", scalar(file))));
        }
    }
    text
}

fn word(by: By) -> &'static str {
    match by {
        By::ArgoCd => "argocd",
        By::Flux => "flux",
    }
}

/// `of_others`: whether Argo CD or Flux applies them.
fn of_stages(stages: &[DraftedStage], of_others: bool) -> String {
    if stages.is_empty() {
        return String::new();
    }
    let mut text = "\nstages:                        # in order\n".to_string();
    let last = stages.iter().filter_map(|stage| rank(&stage.name)).max();
    for DraftedStage {
        name,
        cluster,
        after,
    } in stages
    {
        text.push_str(&format!("  {name}:\n"));
        let cluster = format!("    cluster: {cluster}");
        text.push_str(&format!(
            "{cluster:30} # a name that the server's settings know\n"
        ));
        if !after.is_empty() {
            text.push_str(&format!("    after: [{}]\n", after.join(", ")));
        }
        if !of_others && stages.len() > 1 && rank(name).is_some() && rank(name) == last {
            text.push_str(
                "    gates: { approvals: 1 }    # for every pull request that touches it\n",
            );
        }
    }
    text
}

/// `explains`: with a comment on its namespace.
fn of_entry(entry: &Entry, explains: bool) -> String {
    let mut text = format!("  - path: {}\n", scalar(&entry.path));
    let fields = [
        ("name", &entry.name),
        ("stage", &entry.stage),
        ("chart", &entry.chart),
        ("namespace", &Some(entry.namespace.clone())),
    ];
    for (field, value) in fields {
        let Some(value) = value else { continue };
        let comment = match field {
            "namespace" if explains => {
                "         # for objects that name none. No file says it: change it where it is wrong"
            }
            _ => "",
        };
        text.push_str(&format!("    {field}: {}{comment}\n", scalar(value)));
    }
    if !entry.exclude.is_empty() {
        let all: Vec<_> = entry.exclude.iter().map(|path| scalar(path)).collect();
        text.push_str(&format!("    exclude: [{}]\n", all.join(", ")));
    }
    text
}

/// A text as YAML: quoted where it would be read otherwise.
fn scalar(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    let is_word = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && text.bytes().all(plain)
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    match is_word {
        true => text.into(),
        false => serde_json::to_string(text).unwrap_or_default(),
    }
}
