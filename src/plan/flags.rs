//! The flags of `windlass plan`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use crate::domain::RepoName;

/// `windlass plan`: exit code 0 where nothing changes, 1 where something does, 2 where it cannot be told.
#[derive(Debug, Clone, clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub(super) place: PlaceArgs,

    /// The branch or commit that the change is merged into; its windlass.yaml applies (default: the
    /// remote's default branch as last fetched, or `main` or `master` without a remote)
    #[arg(long, value_name = "REVISION")]
    pub(super) base: Option<String>,

    /// The branch or commit with the change; the plan merges it into the base, as GitHub would
    /// (default: the working copy with its uncommitted changes)
    #[arg(long, value_name = "REVISION")]
    pub(super) head: Option<String>,

    /// Only these applications, as shop/production. Repeat for more
    #[arg(long = "application", value_name = "APPLICATION/STAGE")]
    pub(super) applications: Vec<String>,

    /// Plan every application, also those that the change does not touch: what the first sync of each
    /// would do, or, where windlass has synced it, what the next one would do anyway
    #[arg(long)]
    pub(super) all: bool,

    /// Output format; markdown is the comment of a pull request
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,

    /// Whether text has colours: by default on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(super) color: Color,
}

impl PlanArgs {
    /// Whether the change is of whoever runs the command: not in CI, which runs it with rights of its
    /// own on what others propose. CI systems set `CI`, as GitHub Actions, GitLab and CircleCI do.
    pub(super) fn is_own(&self) -> bool {
        self.head.is_none() && std::env::var_os("CI").is_none()
    }
}

/// Where a plan finds the repository, the clusters and the programs.
#[derive(Debug, Clone, clap::Args)]
pub struct PlaceArgs {
    /// The config repository's working copy, or a bare repository
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    pub(super) repo: PathBuf,

    /// The repository's name on GitHub, as owner/name (default: from the remote `origin`)
    #[arg(long, value_name = "OWNER/NAME")]
    pub(super) repository: Option<RepoName>,

    /// Kubeconfig for the clusters (default: as kubectl finds it)
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,

    /// The context of that kubeconfig for the cluster `local` (default: the current one)
    #[arg(long)]
    pub(super) context: Option<String>,

    /// A cluster that windlass.yaml names: NAME=CONTEXT (default: the context of the cluster's name,
    /// or else the one of `local`). Repeat for more
    #[arg(long = "cluster", value_name = "NAME=CONTEXT")]
    pub(super) clusters: Vec<String>,

    /// A label of a cluster, for stages whose clusters windlass.yaml chooses by label:
    /// NAME:KEY=VALUE. Repeat for more
    #[arg(long = "cluster-label", value_name = "NAME:KEY=VALUE")]
    pub(super) cluster_labels: Vec<String>,

    /// The namespace of windlass's own objects, which record what it owns
    #[arg(long, short, default_value = "windlass", env = "WINDLASS_NAMESPACE")]
    pub(super) namespace: String,

    /// The kustomize program; kubectl is one too (default: `kustomize`, or else `kubectl`)
    #[arg(
        long,
        env = "WINDLASS_KUSTOMIZE",
        default_value = "kustomize",
        value_name = "PROGRAM"
    )]
    pub(super) kustomize: PathBuf,

    /// The helm program (default: `helm`, if there is one; without it charts are not rendered)
    #[arg(long, env = "WINDLASS_HELM", value_name = "PROGRAM")]
    pub(super) helm: Option<PathBuf>,

    /// windlass-renderer: kustomize and helm in one program that goes on running between
    /// renderings, which saves each its start. Without it those two are started for each
    #[arg(long, env = "WINDLASS_WARM_RENDERER", value_name = "PROGRAM")]
    pub(super) warm_renderer: Option<PathBuf>,

    /// File with the projects of the server's settings: the plan then shows what windlass would
    /// refuse
    #[arg(long, env = "WINDLASS_PROJECTS", value_name = "FILE")]
    pub(super) projects: Option<PathBuf>,

    /// File with the sources of charts and bases, as the server has it
    #[arg(long, env = "WINDLASS_SOURCES", value_name = "FILE")]
    pub(super) sources: Option<PathBuf>,

    /// Render even if this kernel cannot jail the renderers
    #[arg(long)]
    pub(super) render_without_jail: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    Text,
    Json,
    Markdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Whether what goes to standard output has colours (no-color.org).
    pub(super) fn applies(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
                !is_unwanted && std::io::stdout().is_terminal()
            }
        }
    }
}
