//! Traces for OpenTelemetry (OTLP over HTTP): each reconcile is one, with the requests, fetches and
//! renderings that it makes. Nothing is recorded unless an address is named.
//!
//! Spans have what log lines have: names of repositories, applications and objects, and no content.

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Span};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

use crate::outgoing::Outgoing;

/// The target of spans that are part of a trace and of no log line.
const TARGET: &str = "traces";
/// How long a collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is recorded goes out in batches until this is ended.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// `endpoint`: the address of a collector, without the path `/v1/traces`.
    pub fn to(endpoint: &str, outgoing: &Outgoing) -> anyhow::Result<Self> {
        let url: reqwest::Url = endpoint
            .parse()
            .with_context(|| format!("--traces: `{endpoint}` is not a URL"))?;
        let certificates = outgoing.certificates()?;
        // A client that blocks must not be made where tasks run.
        let client = std::thread::spawn(move || {
            reqwest::blocking::Client::builder()
                .tls_certs_merge(certificates)
                .timeout(PATIENCE)
                .build()
        });
        let client = client
            .join()
            .map_err(|_| anyhow::anyhow!("the client for traces could not be made"))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client?)
            .with_endpoint(format!("{}/v1/traces", url.as_str().trim_end_matches('/')))
            .build()
            .context("--traces")?;
        let resource = Resource::builder()
            .with_service_name("windlass")
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_batch_exporter(exporter);
        Ok(Self(provider.build()))
    }

    /// What records: windlass's spans, and the log lines of them.
    pub fn layer(&self) -> impl Layer<Registry> + Send + Sync + use<> {
        let ours = filter_fn(|metadata| {
            metadata.target() == TARGET
                || metadata.target().starts_with("windlass") && *metadata.level() <= Level::INFO
        });
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("windlass"))
            .with_location(false)
            .with_threads(false)
            .with_filter(ours)
    }

    /// Sends what was recorded, and ends.
    pub fn end(&self) {
        if let Err(error) = tokio::task::block_in_place(|| self.0.shutdown()) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// A part of a reconcile.
pub fn stage(name: &'static str) -> Span {
    tracing::debug_span!(target: TARGET, "stage", otel.name = name)
}

/// A request to GitHub. `what`: in words, such as `read the pull request`.
pub fn github(what: &str) -> Span {
    request("GitHub", what)
}

/// A request to a cluster's API server.
pub fn cluster(cluster: &str, what: &str) -> Span {
    let span = request("Kubernetes", what);
    span.record("cluster", cluster);
    span
}

fn request(name: &'static str, what: &str) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "request",
        otel.name = name,
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        cluster = tracing::field::Empty,
        what,
    )
}

/// A fetch of Git.
pub fn fetch(url: &str) -> Span {
    tracing::debug_span!(target: TARGET, "git fetch", otel.kind = "client", url)
}

/// A rendering by a program.
pub fn rendering(program: &str, directory: &str) -> Span {
    tracing::debug_span!(target: TARGET, "render", program, directory)
}

/// Marks the span of what failed.
pub fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}
