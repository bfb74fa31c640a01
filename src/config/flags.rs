//! The settings of `windlass serve` as flags and environment variables.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::domain::RepoName;
use crate::domain::fence::ServiceAccount;
use crate::telemetry::LogFormat;

/// `windlass serve`: every flag has an environment variable.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// The GitHub App's id (the App's settings page, "App ID")
    #[arg(long, env = "WINDLASS_GITHUB_APP_ID")]
    pub github_app_id: Option<u64>,

    /// File with the App's private key in PEM form (settings page, "Generate a private key")
    #[arg(long, env = "WINDLASS_GITHUB_PRIVATE_KEY_FILE", value_name = "FILE")]
    pub github_private_key_file: Option<PathBuf>,

    /// File with the App's webhook secret; two lines while it is being rotated
    #[arg(long, env = "WINDLASS_GITHUB_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub github_webhook_secret_file: Option<PathBuf>,

    /// REST API of github.com, or of a GitHub Enterprise Server: https://HOST/api/v3
    #[arg(
        long,
        env = "WINDLASS_GITHUB_API_URL",
        default_value = "https://api.github.com",
        value_name = "URL"
    )]
    pub github_api_url: String,

    /// Least time between two writes to GitHub, in milliseconds; GitHub asks for a second
    #[arg(
        long,
        env = "WINDLASS_GITHUB_WRITE_INTERVAL",
        default_value_t = 1000,
        value_name = "MS"
    )]
    pub github_write_interval: u64,

    /// File with the token that CI announces images with (POST /events/image)
    #[arg(long, env = "WINDLASS_EVENTS_TOKEN_FILE", value_name = "FILE")]
    pub events_token_file: Option<PathBuf>,

    /// Kubeconfig of the cluster that windlass keeps its objects in; without it, the service account of its pod
    #[arg(long, env = "WINDLASS_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Namespace of windlass's own objects
    #[arg(long, env = "WINDLASS_NAMESPACE", default_value = "windlass")]
    pub namespace: String,

    /// A destination cluster, by the name that windlass.yaml uses: NAME=KUBECONFIG or NAME=KUBECONFIG#CONTEXT. Repeat
    /// for more. `local` is the cluster that windlass runs in unless it is given here
    #[arg(
        long = "cluster",
        env = "WINDLASS_CLUSTERS",
        value_delimiter = ',',
        value_name = "NAME=FILE"
    )]
    pub clusters: Vec<String>,

    /// A repository whose `windlass.yaml` steers clusters, as owner/name; repeat for more. Its applications may go to any
    /// namespace, and have nothing outside of it. All other repositories that the App sees only receive statuses
    #[arg(
        long = "config-repository",
        env = "WINDLASS_CONFIG_REPOSITORIES",
        value_delimiter = ',',
        value_name = "OWNER/NAME"
    )]
    pub config_repositories: Vec<RepoName>,

    /// File with projects: which config repositories may go to which clusters and namespaces, and have which kinds
    #[arg(long, env = "WINDLASS_PROJECTS", value_name = "FILE")]
    pub projects: Option<PathBuf>,

    /// The service account that previews act as, as namespace/name: one that can read and dry-run, and whose writes an
    /// admission policy refuses (deploy/rbac.yaml has both). Without it they act as windlass itself
    #[arg(long, env = "WINDLASS_PREVIEW_ACCOUNT", value_name = "NAMESPACE/NAME")]
    pub preview_account: Option<ServiceAccount>,

    /// Address to listen on
    #[arg(
        long,
        env = "WINDLASS_LISTEN",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,

    /// Address that metrics are served at, apart from what the internet may reach
    #[arg(
        long,
        env = "WINDLASS_METRICS_LISTEN",
        default_value = "0.0.0.0:9090",
        value_name = "ADDRESS"
    )]
    pub metrics_listen: SocketAddr,

    /// Folder for mirrors of config repositories; it may be lost at any time
    #[arg(
        long,
        env = "WINDLASS_CACHE",
        default_value = "/var/cache/windlass",
        value_name = "FOLDER"
    )]
    pub cache: PathBuf,

    /// The kustomize program
    #[arg(
        long,
        env = "WINDLASS_KUSTOMIZE",
        default_value = "kustomize",
        value_name = "PROGRAM"
    )]
    pub kustomize: PathBuf,

    /// The helm program; without it charts are not rendered
    #[arg(long, env = "WINDLASS_HELM", value_name = "PROGRAM")]
    pub helm: Option<PathBuf>,

    /// File with credentials of image registries, as `docker login` writes it: for telling whether a running digest is one
    /// that an announced index lists. Public images need none
    #[arg(long, env = "WINDLASS_REGISTRY_AUTH_FILE", value_name = "FILE")]
    pub registry_auth_file: Option<PathBuf>,

    /// The socket of `windlass render` in a container of its own, without token, secrets and network: it renders in the
    /// place of children of this process. For kernels that have no Landlock
    #[arg(long, env = "WINDLASS_RENDERER", value_name = "FILE")]
    pub renderer: Option<PathBuf>,

    /// Render pull requests though this kernel cannot jail the renderers (it has no Landlock): only where everybody who
    /// may open one is trusted with what windlass may do
    #[arg(long, env = "WINDLASS_RENDER_WITHOUT_JAIL")]
    pub render_without_jail: bool,

    /// Who we are in the Lease; the same name resumes at once after a restart
    #[arg(long, env = "WINDLASS_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,

    /// Seconds between two looks at everything, for what no event told
    #[arg(
        long,
        env = "WINDLASS_RESYNC",
        default_value_t = 600,
        value_name = "SECONDS"
    )]
    pub resync: u64,

    /// Seconds between two scans of GitHub's delivery log for webhooks that did not arrive
    #[arg(
        long,
        env = "WINDLASS_DELIVERY_SCAN",
        default_value_t = 300,
        value_name = "SECONDS"
    )]
    pub delivery_scan: u64,

    /// What is logged: a level, or directives such as info,windlass=debug
    #[arg(
        long,
        env = "WINDLASS_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,

    /// How log lines look
    #[arg(long, env = "WINDLASS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}
