//! What a story reads from the cluster.

use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use serde_json::Value;

use super::World;

impl World {
    pub async fn applications(&self) -> Vec<Value> {
        self.list(
            "windlass.dev/v1alpha1",
            "Application",
            "applications",
            &self.home(),
        )
        .await
    }

    pub async fn application(&self, name: &str) -> Value {
        self.get(
            "windlass.dev/v1alpha1",
            "Application",
            "applications",
            &self.home(),
            name,
        )
        .await
        .unwrap_or_default()
    }

    fn api(
        &self,
        version: &str,
        kind: &str,
        plural: &str,
        namespace: &str,
    ) -> (Api<DynamicObject>, ApiResource) {
        let (group, v) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource {
            group: group.into(),
            version: v.into(),
            api_version: version.into(),
            kind: kind.into(),
            plural: plural.into(),
        };
        let api = if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        };
        (api, resource)
    }

    pub async fn list(
        &self,
        version: &str,
        kind: &str,
        plural: &str,
        namespace: &str,
    ) -> Vec<Value> {
        let (api, _) = self.api(version, kind, plural, namespace);
        let listed = api
            .list(&Default::default())
            .await
            .map(|list| list.items)
            .unwrap_or_default();
        listed
            .into_iter()
            .map(|object| serde_json::to_value(object).unwrap())
            .collect()
    }

    pub async fn get(
        &self,
        version: &str,
        kind: &str,
        plural: &str,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        let (api, _) = self.api(version, kind, plural, namespace);
        api.get_opt(name)
            .await
            .ok()
            .flatten()
            .map(|object| serde_json::to_value(object).unwrap())
    }

    pub async fn deployment(&self, stage: &str) -> Value {
        self.get(
            "apps/v1",
            "Deployment",
            "deployments",
            &self.namespace(&format!("shop-{stage}")),
            "shop",
        )
        .await
        .unwrap_or_default()
    }

    pub async fn config_map(&self, stage: &str, name: &str) -> Option<Value> {
        self.get(
            "v1",
            "ConfigMap",
            "configmaps",
            &self.namespace(&format!("shop-{stage}")),
            name,
        )
        .await
    }
}
