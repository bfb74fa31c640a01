//! `windlass init` writes a `windlass.yaml` for a working copy; `windlass validate` checks it.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::clusters::named;
use super::revisions::working_copy;
use super::unconfigured::draft;
use crate::config::fleet;
use crate::controller::{Configured, configuration};
use crate::domain::catalog::{Draft, FILE, Fleet};
use crate::domain::{CommitSha, RepoName};
use crate::git::Mirror;
use crate::render::Source;
use crate::view;

/// `windlass init`.
#[derive(Debug, Clone, clap::Args)]
pub struct InitArgs {
    #[command(flatten)]
    place: Place,

    /// Print the file, and write nothing
    #[arg(long)]
    print: bool,
}

/// `windlass validate`.
#[derive(Debug, Clone, clap::Args)]
pub struct ValidateArgs {
    #[command(flatten)]
    place: Place,

    /// A label of a cluster, for stages whose clusters windlass.yaml chooses by label:
    /// NAME:KEY=VALUE. Repeat for more
    #[arg(long = "cluster-label", value_name = "NAME:KEY=VALUE")]
    cluster_labels: Vec<String>,
}

/// The working copy.
#[derive(Debug, Clone, clap::Args)]
struct Place {
    /// The config repository's working copy
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    repo: PathBuf,

    /// The repository's name on GitHub, as owner/name (default: from the remote `origin`)
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Option<RepoName>,
}

impl Place {
    fn mirror(&self) -> anyhow::Result<Mirror> {
        Mirror::discover(&self.repo)
            .with_context(|| format!("{} is not a git repository", self.repo.display()))
    }
}

/// Writes the file. The output says how the repository was understood.
pub fn init(args: &InitArgs) -> anyhow::Result<String> {
    let mirror = args.place.mirror()?;
    let name = named(args.place.repository.as_ref(), &mirror)?;
    let commit = working_copy(&mirror)?;
    let source = Source::open(&mirror, mirror.tree(&commit)?)?;
    let Draft { text, left_out, .. } = draft(&source.contents()?, source.objects()?, "", &name)?;
    if args.print {
        return Ok(text);
    }
    let folder = mirror
        .folder()
        .context("this repository has no working copy: `windlass init --print` prints the file")?;
    let file = folder.join(FILE);
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).open(&file);
    let mut opened = opened.with_context(|| match file.exists() {
        true => format!(
            "{FILE} exists already: `windlass validate` checks it, `windlass init --print` prints a new one"
        ),
        false => format!("cannot write {}", file.display()),
    })?;
    opened.write_all(text.as_bytes())?;
    let drafted = mirror.with_files(&commit, vec![(FILE.into(), text)])?;
    let configured = configured(&mirror, &drafted, (&name, &Fleet::default()))?;
    Ok(view::initialized(&configured.targets, &left_out))
}

/// Checks the file of the working copy. The output lists the applications.
pub fn validate(args: &ValidateArgs) -> anyhow::Result<String> {
    let mirror = args.place.mirror()?;
    let name = named(args.place.repository.as_ref(), &mirror)?;
    let commit = working_copy(&mirror)?;
    let fleet = fleet(&args.cluster_labels)?;
    let configured = configured(&mirror, &commit, (&name, &fleet))?;
    Ok(view::applications(&configured.targets))
}

/// The valid configuration of a commit; each of its entries finds something.
fn configured(
    mirror: &Mirror,
    commit: &CommitSha,
    (name, fleet): (&RepoName, &Fleet),
) -> anyhow::Result<Configured> {
    let source = Source::open(mirror, mirror.tree(commit)?)?;
    let Some(configured) = configuration(&source, name, fleet)? else {
        bail!("there is no {FILE} at the repository's root: `windlass init` writes one");
    };
    let configured = configured?;
    let catalog = &configured.catalog;
    let targets: Vec<_> = configured.targets.iter().collect();
    let mut problems = catalog.unmatched(source.places());
    problems.extend(catalog.undiscovered(&targets, name));
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(configured)
}
