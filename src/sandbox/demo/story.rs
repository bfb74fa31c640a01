//! The story: an image goes to staging and to production, and a hand edit is taken back.

use std::time::Instant;

use anyhow::bail;
use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{NAMESPACE, done, step};
use crate::cluster::store::Application;
use crate::sandbox::example::{CONFIG, SOURCE};
use crate::sandbox::forge::Forge;
use crate::sandbox::installation::Windlass;

pub(super) struct Story<'a> {
    pub(super) forge: &'a Forge,
    pub(super) client: Client,
    pub(super) windlass: &'a Windlass,
}

impl Story<'_> {
    /// The number of the pull request that it leaves open.
    pub(super) async fn tell(&self) -> anyhow::Result<u64> {
        self.applications_are_healthy().await?;
        let digest = self.build_an_image().await?;
        let staging = self.promoted("staging", &digest).await?;
        step(
            "staging is healthy with that digest: windlass proposes the same digest for production",
        );
        let production = self.proposal_for_production().await?;
        self.as_user(
            "bob",
            Method::POST,
            &format!("pulls/{production}/reviews"),
            json!({"event": "APPROVE"}),
        )?;
        done("bob approves");
        let merged = self.promoted("production", &digest).await?;
        if merged != production || staging == production {
            bail!("production was reached by #{merged}, not by #{production}");
        }
        step("somebody scales a deployment by hand");
        self.scale_by_hand().await?;
        self.until("no pull request is left open", async || {
            let open = self
                .as_user("ada", Method::GET, "pulls?state=open", Value::Null)
                .ok()?;
            (open.as_array()?.is_empty()).then_some(())
        })
        .await?;
        self.leave_one_open().await
    }

    /// A person's change, for whoever watches to go on with.
    async fn leave_one_open(&self) -> anyhow::Result<u64> {
        step("ada proposes another greeting for production");
        let file = "apps/shop/production/config.yaml";
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: shop\ndata:\n  stage: production\n  greeting: good morning\n";
        let change = [(file, Some(text))];
        self.forge
            .push(CONFIG, "greeting", "ada", "Greet politely", &change)?;
        let pull = json!({"title": "Greet politely", "head": "greeting", "base": "main"});
        let opened = self.as_user("ada", Method::POST, "pulls", pull)?;
        let Some(number) = opened["number"].as_u64() else {
            bail!("the pull request was not opened");
        };
        self.until("its preview", async || {
            self.has_preview(number).then_some(())
        })
        .await?;
        done(&format!("#{number} has its preview: it is your turn"));
        Ok(number)
    }

    async fn applications_are_healthy(&self) -> anyhow::Result<()> {
        let applications = self
            .until("every application is synced and healthy", async || {
                let all: Vec<_> = Api::<Application>::namespaced(self.client.clone(), NAMESPACE)
                    .list(&Default::default())
                    .await
                    .ok()?
                    .items;
                let healthy = |object: &Application| {
                    object.status.as_ref().is_some_and(|s| {
                        s.conditions.iter().filter(|c| c.status == "True").count() == 2
                    })
                };
                (all.len() == 13 && all.iter().all(healthy)).then_some(all.len())
            })
            .await?;
        done(&format!(
            "{applications} applications are synced and healthy"
        ));
        Ok(())
    }

    /// What CI would do; the image's digest.
    async fn build_an_image(&self) -> anyhow::Result<String> {
        let digest = format!("sha256:{}", "2a".repeat(32));
        let commit = self.forge.push(
            SOURCE,
            "main",
            "bob",
            "Faster checkout",
            &[("main.go", Some("package main // faster\n"))],
        )?;
        step(&format!(
            "CI says: ghcr.io/acme/shop:1.1.0 was built from {SOURCE}@{}",
            &commit[..12]
        ));
        let event = json!({"image": "ghcr.io/acme/shop", "digest": digest, "tag": "1.1.0", "commit": commit, "source": SOURCE});
        let url = self.announce(&event).await?;
        done(&format!("windlass answers with {url}"));
        Ok(digest)
    }

    /// The number of a pull request that waits for nothing but its approval.
    async fn proposal_for_production(&self) -> anyhow::Result<u64> {
        let production = self
            .until("a pull request for production", async || {
                self.open_pull("windlass/shop/production")
            })
            .await?;
        done(&format!(
            "pull request #{production}: {}",
            self.pull(production)["title"].as_str().unwrap_or_default()
        ));
        self.until("its preview", async || {
            self.has_preview(production).then_some(())
        })
        .await?;
        done("its preview is there; it waits for one approval");
        // A review from before the preview would not count.
        self.until("its verdict", async || {
            self.gate(production)
                .filter(|(state, _)| state == "pending")
        })
        .await?;
        Ok(production)
    }

    /// Scales, and waits until that is reverted.
    async fn scale_by_hand(&self) -> anyhow::Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), "shop-production");
        let edited = deployments
            .patch(
                "shop",
                &PatchParams {
                    field_manager: Some("kubectl-scale".into()),
                    ..Default::default()
                },
                &Patch::Merge(json!({"spec": {"replicas": 5}})),
            )
            .await?;
        if edited.spec.and_then(|spec| spec.replicas) != Some(5) {
            bail!("the hand edit did not take");
        }
        let since = Instant::now();
        self.until("the edit is reverted", async || {
            let spec = deployments.get("shop").await.ok()?.spec?;
            (spec.replicas == Some(2)).then_some(())
        })
        .await?;
        done(&format!(
            "reverted after {:.1} s",
            since.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// Follows the pull request of a stage to its end; its number.
    async fn promoted(&self, stage: &str, digest: &str) -> anyhow::Result<u64> {
        let (number, commit) = self.merged(stage).await?;
        if !self.has_preview(number) {
            bail!("#{number} was merged without a preview");
        }
        done(&format!(
            "#{number} is merged as {}, its preview was there before",
            &commit[..12]
        ));
        self.rolled_out(stage, digest).await?;
        self.reported(number, &commit).await?;
        done(&format!(
            "shop runs {} in {stage}: synced and healthy, on the commit's status and in the comment",
            &digest[7..19]
        ));
        Ok(number)
    }
}
