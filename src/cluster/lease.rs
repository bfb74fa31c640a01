//! Leader election: only the holder of a Lease in our namespace writes.
//!
//! A Lease does not fence: a former holder may still write for a moment. So
//! every write names the state that it was decided from; the Lease only keeps
//! two replicas from working against each other. After a crash the same identity
//! continues at once.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};

use super::{Result, call, refused};
use crate::domain::permit::WritePermit;

const NAME: &str = "windlass";
/// A holder that has not renewed for so long has lost the Lease.
const DURATION: Duration = Duration::from_secs(15);
/// Writing stops so long before the Lease expires.
const MARGIN: Duration = Duration::from_secs(3);
const RENEW_EVERY: Duration = Duration::from_secs(5);

pub struct Holder {
    leases: Api<Lease>,
    identity: String,
}

impl Holder {
    pub fn new(client: Client, namespace: &str, identity: &str) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            identity: identity.into(),
        }
    }

    /// Waits until the Lease is ours. It has expired if the holder did not renew it for its
    /// duration, by our own clock.
    pub async fn acquire(&self) -> Result<WritePermit> {
        let mut last_seen: Option<(Option<String>, Instant)> = None;
        let mut logged = false;
        loop {
            let lease = self.read().await?;
            let holder = lease
                .as_ref()
                .and_then(|lease| lease.spec.as_ref()?.holder_identity.clone())
                .filter(|holder| !holder.is_empty());
            let version = lease
                .as_ref()
                .and_then(|lease| lease.metadata.resource_version.clone());
            let silent_since = match &last_seen {
                Some((last_version, since)) if *last_version == version => *since,
                _ => Instant::now(),
            };
            last_seen = Some((version, silent_since));
            let free = holder
                .as_ref()
                .is_none_or(|holder| *holder == self.identity)
                || silent_since.elapsed() > DURATION;
            if free && self.take(lease).await? {
                return Ok(WritePermit::of_the_lease());
            }
            if !logged {
                tracing::info!(
                    lease.holder = holder.as_deref().unwrap_or("nobody"),
                    "waiting for the Lease"
                );
                logged = true;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    /// Releases the Lease, if it is ours: the next holder need not wait until it expires.
    pub async fn release(&self) {
        let release = async {
            let Some(lease) = self.read().await? else {
                return Ok(());
            };
            if lease
                .spec
                .as_ref()
                .and_then(|spec| spec.holder_identity.as_deref())
                != Some(&self.identity)
            {
                return Ok(());
            }
            let spec = LeaseSpec {
                holder_identity: None,
                ..lease.spec.clone().unwrap_or_default()
            };
            let parameters = PostParams {
                field_manager: Some("windlass".into()),
                dry_run: false,
            };
            let free = Lease {
                metadata: lease.metadata,
                spec: Some(spec),
            };
            let answer = call(
                "give the Lease back",
                self.leases.replace(NAME, &parameters, &free),
            )
            .await?;
            answer
                .map(drop)
                .map_err(|status| refused("give the Lease back", &status))
        };
        match tokio::time::timeout(Duration::from_secs(3), release).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the Lease was not released: it expires by itself")
            }
            Err(_) => tracing::warn!("the Lease was not released in time: it expires by itself"),
        }
    }

    /// Renews the Lease. Returns once it was lost or could not be renewed in time: then we must not
    /// write any more.
    pub async fn keep(&self) -> anyhow::Error {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let outcome = async {
                let lease = self.read().await?;
                let ours = lease
                    .as_ref()
                    .and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref())
                    == Some(&self.identity);
                if !ours {
                    return Ok(None);
                }
                self.take(lease).await.map(Some)
            };
            // A request that hangs is cut off before the Lease expires: we must not write once
            // another may hold it.
            let left = (DURATION - MARGIN).saturating_sub(renewed.elapsed());
            let outcome = match tokio::time::timeout(left, outcome).await {
                Ok(outcome) => outcome,
                Err(_) => return anyhow::anyhow!("the Lease could not be renewed in time"),
            };
            match outcome {
                Ok(Some(true)) => renewed = Instant::now(),
                Ok(None) => return anyhow::anyhow!("somebody else holds the Lease"),
                Ok(Some(false)) => {}
                Err(error) => tracing::warn!(%error, "the Lease was not renewed"),
            }
            if renewed.elapsed() > DURATION - MARGIN {
                return anyhow::anyhow!(
                    "the Lease could not be renewed for {} s",
                    renewed.elapsed().as_secs()
                );
            }
        }
    }

    async fn read(&self) -> Result<Option<Lease>> {
        let what = "read the Lease";
        match call(what, self.leases.get(NAME)).await? {
            Ok(lease) => Ok(Some(lease)),
            Err(status) if status.is_not_found() => Ok(None),
            Err(status) => Err(refused(what, &status)),
        }
    }

    /// Writes our identity into the Lease, unless somebody wrote it since it was read.
    async fn take(&self, read: Option<Lease>) -> Result<bool> {
        let now = Timestamp::now();
        let now = MicroTime(Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now));
        let before = read
            .as_ref()
            .and_then(|lease| lease.spec.clone())
            .unwrap_or_default();
        let ours = before.holder_identity.as_deref() == Some(&self.identity);
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(DURATION.as_secs() as i32),
            acquire_time: if ours {
                before.acquire_time
            } else {
                Some(now.clone())
            },
            renew_time: Some(now),
            lease_transitions: Some(
                before.lease_transitions.unwrap_or(0) + i32::from(!ours && read.is_some()),
            ),
            ..LeaseSpec::default()
        };
        let parameters = PostParams {
            field_manager: Some("windlass".into()),
            dry_run: false,
        };
        let what = "take the Lease";
        let answer = match read {
            None => {
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(NAME.into()),
                        ..Default::default()
                    },
                    spec: Some(spec),
                };
                call(what, self.leases.create(&parameters, &lease)).await?
            }
            Some(read) => {
                call(
                    what,
                    self.leases.replace(
                        NAME,
                        &parameters,
                        &Lease {
                            metadata: read.metadata,
                            spec: Some(spec),
                        },
                    ),
                )
                .await?
            }
        };
        match answer {
            Ok(_) => Ok(true),
            Err(status) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(status) => Err(refused(what, &status)),
        }
    }
}
