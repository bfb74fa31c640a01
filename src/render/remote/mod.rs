//! What a rendering needs from elsewhere: charts of chart repositories and OCI registries, and bases of
//! kustomize in other Git repositories.
//!
//! The fetcher runs outside of the jail and gives it files only. It asks nobody but the sources that
//! the server's settings name, for exact versions and commits alone, and keeps what it fetched by digest: a second
//! rendering asks nobody. The digest that a version was first used with is kept too; other content
//! under that version is refused.
//!
//! - [`sources`]: whom it may ask, and with which credentials
//! - [`web`]: requests within limits, to public addresses
//! - [`repository`], [`oci`]: where a chart's archive is, in both kinds of registries
//! - [`archive`]: unpacking one that nobody trusts
//! - [`store`]: the folder of what was fetched
//! - [`base`]: what a kustomization reads of another repository
//! - here: [`Fetcher`]

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

mod archive;
mod base;
mod oci;
mod repository;
mod sources;
mod store;
#[cfg(test)]
mod tests;
mod web;

use super::run::Trouble;
use crate::git::Pinned;
use crate::outgoing::Outgoing;
pub(super) use archive::Unpacked;
pub(super) use base::{Base, FETCHED, Found};
pub use sources::Sources;
use store::Store;
use web::Web;

/// The memory for unpacked charts, and for bases, in bytes.
const MOST_UNPACKED: u64 = 64 << 20;

/// An exact version of a chart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ChartVersion {
    /// `https://charts.example.com` or `oci://ghcr.io/acme/charts`.
    pub(super) repository: String,
    pub(super) name: String,
    pub(super) version: String,
}

/// Fetches from the sources of the settings.
pub struct Fetcher {
    web: Web,
    store: Store,
    /// One fetch at a time for each chart, and no second one while it is in memory.
    charts: moka::future::Cache<ChartVersion, Arc<Unpacked>>,
    repositories: Pinned,
    bases: moka::future::Cache<Base, Arc<Found>>,
    outgoing: Outgoing,
}

impl Fetcher {
    /// `folder`: for what was fetched.
    pub fn new(sources: Sources, folder: PathBuf, outgoing: &Outgoing) -> anyhow::Result<Self> {
        let weight = |files: &Unpacked| {
            let bytes: usize = files.values().map(|content| content.len()).sum();
            u32::try_from(bytes).unwrap_or(u32::MAX).max(1)
        };
        Ok(Self {
            web: Web::new(sources, outgoing)?,
            repositories: Pinned::new(folder.join("repositories"))?,
            store: Store::new(folder)?,
            outgoing: outgoing.clone(),
            charts: moka::future::Cache::builder()
                .weigher(move |_, files: &Arc<Unpacked>| weight(files))
                .max_capacity(MOST_UNPACKED)
                .build(),
            bases: moka::future::Cache::builder()
                .weigher(move |_, found: &Arc<Found>| weight(&found.files))
                .max_capacity(MOST_UNPACKED)
                .build(),
        })
    }

    /// The same, which trusts the system's authorities only.
    pub fn without_authorities(sources: Sources, folder: PathBuf) -> anyhow::Result<Self> {
        Self::new(sources, folder, &Outgoing::new(None)?)
    }

    /// The files of a chart, relative to its own directory.
    pub(super) async fn chart(&self, of: &ChartVersion) -> Result<Arc<Unpacked>, Trouble> {
        let unpacked = self
            .charts
            .try_get_with(of.clone(), self.unpacked(of))
            .await;
        unpacked.map_err(|trouble| (*trouble).clone())
    }

    async fn unpacked(&self, of: &ChartVersion) -> Result<Arc<Unpacked>, Trouble> {
        let archive = self.archive(of).await?;
        let unpacked = tokio::task::spawn_blocking(move || archive::unpack(&archive)).await;
        let unpacked = unpacked.map_err(|_| Trouble::Passing("unpacking it was stopped".into()))?;
        let files = unpacked.map_err(|why| Trouble::Author(format!("its archive {why}")))?;
        if !files.contains_key("Chart.yaml") {
            return Err(Trouble::Author("its archive has no Chart.yaml".into()));
        }
        Ok(Arc::new(files))
    }

    /// The archive of a chart: as it was fetched before, or from its registry.
    async fn archive(&self, of: &ChartVersion) -> Result<Vec<u8>, Trouble> {
        // What is kept is served only while the settings still allow its source.
        self.web.sources().allowed(&of.repository)?;
        let pinned = self.store.pin(of);
        if let Some(archive) = pinned.as_ref().and_then(|pin| self.store.archive(pin)) {
            return Ok(archive);
        }
        let archive = match of.repository.starts_with("oci://") {
            true => oci::chart(&self.web, of).await?,
            false => repository::chart(&self.web, of).await?,
        };
        let digest = hex::encode(Sha256::digest(&archive));
        match pinned {
            Some(pinned) if pinned != digest => Err(Trouble::Author(format!(
                "its content changed under the same version: it was sha256:{pinned} when it was first used here, and is sha256:{digest} now. Use another version, or have the server's administrator forget the first one ({})",
                self.store.pin_path(of).display()
            ))),
            _ => {
                let kept = self.store.keep(of, &digest, &archive);
                kept.map_err(|error| Trouble::Passing(format!("it cannot be kept: {error}")))?;
                Ok(archive)
            }
        }
    }
}
