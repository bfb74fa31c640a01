//! A registry with one image: an index that lists one manifest.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::lab::deployment;
use super::{World, digest_of};

pub struct Registry {
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// The digest of the index.
    pub announced: String,
    /// The digest of the manifest that it lists.
    pub platform: String,
    server: tokio::task::JoinHandle<()>,
}

impl Registry {
    pub async fn start() -> Self {
        let platform = digest_of("platform");
        let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1, "digest": platform, "platform": {"os": "linux", "architecture": "amd64"}}]}).to_string();
        let announced = format!("sha256:{}", hex::encode(Sha256::digest(index.as_bytes())));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = Router::new()
            .route("/v2/", axum::routing::get(|| async { "{}" }))
            .route("/v2/{*path}", axum::routing::get(manifest))
            .with_state(Arc::new(index));
        Self {
            address,
            announced,
            platform,
            server: tokio::spawn(async move { drop(axum::serve(listener, app).await) }),
        }
    }

    /// windlass.yaml with `image` as the only image that may be announced.
    pub fn catalog(world: &World, image: &str) -> String {
        let rules = format!("    images: {{ \"{image}\": {{ source: acme/shop }} }}\n");
        let catalog = world.file("windlass.yaml");
        let start = catalog.find("    images:\n").unwrap();
        let end = start + catalog[start..].match_indices('\n').nth(1).unwrap().0 + 1;
        format!("{}{rules}{}", &catalog[..start], &catalog[end..])
    }

    /// Has the lab run the image, whose pods report what only the index connects with the digest in
    /// Git; the commit.
    pub fn run_in_lab(&self, world: &World, image: &str) -> String {
        let (catalog, deployment) = (
            Self::catalog(world, image),
            self.deployment(image, &self.platform),
        );
        let files = [
            ("windlass.yaml", Some(catalog.as_str())),
            ("apps/lab/staging/deployment.yaml", Some(&deployment)),
        ];
        world.commit("An index", &files)
    }

    /// The lab's Deployment with the image by its index, whose pods report the digest `runs`.
    pub fn deployment(&self, image: &str, runs: &str) -> String {
        let announced = &self.announced;
        deployment("", "").replace("lab:1", &format!("{image}:1@{announced}")).replace(
            "metadata: {labels: {app: lab}}",
            &format!("metadata: {{labels: {{app: lab}}, annotations: {{sandbox.windlass/image-id: \"{image}@{runs}\"}}}}"),
        )
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// As the OCI distribution specification has it: content by digest.
async fn manifest(
    State(content): State<Arc<String>>,
    Path(path): Path<String>,
) -> axum::response::Response {
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(content.as_bytes())));
    if path.is_empty() {
        return StatusCode::OK.into_response();
    }
    match path.ends_with(&format!("/manifests/{digest}")) {
        true => (
            [
                (
                    header::CONTENT_TYPE,
                    "application/vnd.oci.image.index.v1+json",
                ),
                (
                    header::HeaderName::from_static("docker-content-digest"),
                    digest.as_str(),
                ),
            ],
            content.to_string(),
        )
            .into_response(),
        false => StatusCode::NOT_FOUND.into_response(),
    }
}
