//! The settings of `windlass serve` as flags and environment variables.

use std::net::SocketAddr;
use std::num::NonZeroU32;
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

    /// REST API of github.com; of a GitHub Enterprise Server: https://HOST/api/v3; of a tenant with
    /// data residency: https://api.TENANT.ghe.com
    #[arg(
        long,
        env = "WINDLASS_GITHUB_API_URL",
        default_value = "https://api.github.com",
        value_name = "URL"
    )]
    pub github_api_url: String,

    /// Minimum time between two writes to GitHub, in milliseconds; GitHub asks for one second
    #[arg(
        long,
        env = "WINDLASS_GITHUB_WRITE_INTERVAL",
        default_value_t = 1000,
        value_name = "MS"
    )]
    pub github_write_interval: u64,

    /// Only preview pull requests: windlass writes comments and check runs on GitHub, and nothing to any
    /// cluster. It merges, promotes and applies nothing. A repository without windlass.yaml is
    /// previewed as the one that `windlass init` would write says. Without a webhook secret,
    /// windlass asks GitHub for changes every half minute
    #[arg(long, env = "WINDLASS_PREVIEW_ONLY")]
    pub preview_only: bool,

    /// File with the token that CI announces images with (POST /events/image)
    #[arg(long, env = "WINDLASS_EVENTS_TOKEN_FILE", value_name = "FILE")]
    pub events_token_file: Option<PathBuf>,

    /// The address of this server, such as https://windlass.example.com: CI on GitHub announces
    /// images with GitHub's OIDC tokens for this audience, without a shared secret
    #[arg(long, env = "WINDLASS_EVENTS_AUDIENCE", value_name = "URL")]
    pub events_audience: Option<String>,

    /// Who signs those tokens (default: the GitHub of --github-api-url)
    #[arg(long, env = "WINDLASS_EVENTS_ISSUER", value_name = "URL")]
    pub events_issuer: Option<String>,

    /// The address at which people open the page from outside, such as https://windlass.example.com:
    /// they sign in by GitHub there, and see the config repositories that they may read. The App
    /// needs the callback URL of that address with /signed-in behind it
    #[arg(long, env = "WINDLASS_PAGE_URL", value_name = "URL")]
    pub page_url: Option<String>,

    /// File with a client secret of the App, for that sign-in
    #[arg(long, env = "WINDLASS_PAGE_CLIENT_SECRET_FILE", value_name = "FILE")]
    pub page_client_secret_file: Option<PathBuf>,

    /// Kubeconfig of the cluster that stores windlass's objects (default: the service account of
    /// its pod)
    #[arg(long, env = "WINDLASS_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Namespace of windlass's own objects
    #[arg(long, env = "WINDLASS_NAMESPACE", default_value = "windlass")]
    pub namespace: String,

    /// A destination cluster, by the name that windlass.yaml uses: NAME=KUBECONFIG or
    /// NAME=KUBECONFIG#CONTEXT. Repeat for more. `local` is the cluster that windlass runs in
    /// unless it is given here
    #[arg(
        long = "cluster",
        env = "WINDLASS_CLUSTERS",
        value_delimiter = ',',
        value_name = "NAME=FILE"
    )]
    pub clusters: Vec<String>,

    /// Take clusters from Secrets too: those in windlass's namespace with the label
    /// `windlass.dev/cluster`, its value being the name. They come, change and go while windlass
    /// runs
    #[arg(long, env = "WINDLASS_CLUSTER_SECRETS")]
    pub cluster_secrets: bool,

    /// A program that kubeconfigs of such Secrets may run for credentials, by its name on the PATH,
    /// such as `aws-iam-authenticator`. Repeat for more; without it they run none
    #[arg(
        long = "cluster-exec-plugin",
        env = "WINDLASS_CLUSTER_EXEC_PLUGINS",
        value_delimiter = ',',
        value_name = "PROGRAM"
    )]
    pub exec_plugins: Vec<String>,

    /// A label of a cluster, by which windlass.yaml may choose the clusters of a stage:
    /// NAME:KEY=VALUE. Repeat for more
    #[arg(
        long = "cluster-label",
        env = "WINDLASS_CLUSTER_LABELS",
        value_delimiter = ',',
        value_name = "NAME:KEY=VALUE"
    )]
    pub cluster_labels: Vec<String>,

    /// A repository whose `windlass.yaml` controls clusters, as owner/name. Repeat for more. Each
    /// of its applications may use any one namespace, and no objects outside of it. All other
    /// repositories that the App sees only get statuses
    #[arg(
        long = "config-repository",
        env = "WINDLASS_CONFIG_REPOSITORIES",
        value_delimiter = ',',
        value_name = "OWNER/NAME"
    )]
    pub config_repositories: Vec<RepoName>,

    /// File with projects: which config repositories may deploy to which clusters and namespaces,
    /// and which kinds
    #[arg(long, env = "WINDLASS_PROJECTS", value_name = "FILE")]
    pub projects: Option<PathBuf>,

    /// File with the age keys that decrypt the Secrets that SOPS encrypted in the repositories of
    /// --config-repository; a project names its own by `sops.ageKeyFile`
    #[arg(long, env = "WINDLASS_SOPS_AGE_KEY_FILE", value_name = "FILE")]
    pub sops_age_key_file: Option<PathBuf>,

    /// The service account that previews impersonate, as namespace/name. It may read and dry-run,
    /// and an admission policy refuses its writes (deploy/rbac.yaml has both). Without it, previews
    /// use windlass's own rights
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

    /// Address for metrics and probes; the internet should not reach it
    #[arg(
        long,
        env = "WINDLASS_METRICS_LISTEN",
        default_value = "0.0.0.0:9090",
        value_name = "ADDRESS"
    )]
    pub metrics_listen: SocketAddr,

    /// Folder for mirrors of config repositories; its content may be lost at any time
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

    /// windlass-renderer: kustomize and helm in one program that goes on running between
    /// renderings, which saves each its start. Without it those two are started for each
    #[arg(long, env = "WINDLASS_WARM_RENDERER", value_name = "PROGRAM")]
    pub warm_renderer: Option<PathBuf>,

    /// File with the sources that windlass may fetch charts and bases of kustomize from, for config
    /// repositories. Without it, it fetches nothing
    #[arg(long, env = "WINDLASS_SOURCES", value_name = "FILE")]
    pub sources: Option<PathBuf>,

    /// File with the channels that notifications go to, by the names that `notify` in windlass.yaml
    /// uses. Their addresses are secrets
    #[arg(long, env = "WINDLASS_NOTIFICATIONS", value_name = "FILE")]
    pub notifications: Option<PathBuf>,

    /// File with credentials of image registries, as `docker login` writes it. windlass uses them
    /// to check whether an announced index lists a running digest. Public images need none
    #[arg(long, env = "WINDLASS_REGISTRY_AUTH_FILE", value_name = "FILE")]
    pub registry_auth_file: Option<PathBuf>,

    /// File with the certificates of private authorities, in PEM form. They are trusted besides the
    /// system's, by GitHub's API, git and image registries. For clusters, kubeconfigs have them
    #[arg(long, env = "WINDLASS_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// The socket of a `windlass render` in its own container, without token, secrets or network.
    /// It renders instead of child processes of this one. For kernels without Landlock
    #[arg(long, env = "WINDLASS_RENDERER", value_name = "FILE")]
    pub renderer: Option<PathBuf>,

    /// Render pull requests even if this kernel cannot jail the renderers (it has no Landlock). Use
    /// this only if you trust everybody who may open a pull request with all of windlass's rights
    #[arg(long, env = "WINDLASS_RENDER_WITHOUT_JAIL")]
    pub render_without_jail: bool,

    /// The name of this replica in the Lease; with the same name, windlass resumes at once after a
    /// restart
    #[arg(long, env = "WINDLASS_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,

    /// Seconds between two full resyncs, which find what no event reported
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

    /// How many of the newest commits of a branch are fetched at first; older ones are, when they
    /// are needed
    #[arg(
        long,
        env = "WINDLASS_FETCH_DEPTH",
        default_value = "100",
        value_name = "COMMITS"
    )]
    pub fetch_depth: NonZeroU32,

    /// What is logged: a level, or directives such as info,windlass=debug
    #[arg(
        long,
        env = "WINDLASS_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,

    /// Collector of OpenTelemetry traces (OTLP over HTTP, such as http://otel-collector:4318), which
    /// get each reconcile; the other OTEL_* variables count as well
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub traces: Option<String>,

    /// Format of log lines
    #[arg(long, env = "WINDLASS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}
