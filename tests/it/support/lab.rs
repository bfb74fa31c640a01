//! One application of plain manifests in a namespace of its own: what most
//! stories about a plan or a sync need.

use http::Method;
use serde_json::{Value, json};

use super::{Setup, World};

/// One application of plain manifests, in a namespace of its own.
pub struct Lab {
    pub world: World,
}

pub const CONFIG: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: lab\ndata: {a: '1'}\n";

pub fn deployment(more: &str, container: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: lab}}\nspec:\n  replicas: 2\n{more}  selector: {{matchLabels: {{app: lab}}}}\n  template:\n    metadata: {{labels: {{app: lab}}}}\n    spec:\n      containers:\n        - name: lab\n          image: lab:1\n{container}"
    )
}

impl Lab {
    pub async fn with(files: &[(&str, &str)]) -> Self {
        Self::ruled("", files).await
    }

    /// `rules`: lines of windlass.yaml for the lab's application.
    pub async fn ruled(rules: &str, files: &[(&str, &str)]) -> Self {
        Self::within(World::asleep(Setup::default()).await, rules, files).await
    }

    /// In a world that is yet to be started.
    pub async fn within(world: World, rules: &str, files: &[(&str, &str)]) -> Self {
        let namespace = world.namespace("lab-staging");
        let mut all = vec![(
            "apps/lab/staging/namespace.yaml".to_string(),
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"),
        )];
        all.extend(files.iter().map(|(name, text)| {
            (
                format!("apps/lab/staging/{name}"),
                text.replace("NAMESPACE", &namespace),
            )
        }));
        if !rules.is_empty() {
            let catalog = world.file("windlass.yaml");
            let rule = format!("  - path: apps/{{application}}/{{stage}}\n{rules}");
            all.push((
                "windlass.yaml".into(),
                catalog.replacen("  - path: apps/{application}/{stage}\n", &rule, 1),
            ));
        }
        let all: Vec<_> = all
            .iter()
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        world.commit("The lab", &all);
        world.start();
        let lab = Self { world };
        lab.world
            .until("the lab is synced", async || {
                let object = lab.world.application("lab.staging").await;
                (object["status"]["sync"] == "Synced" && object["status"]["health"] == "Healthy")
                    .then_some(())
            })
            .await;
        lab
    }

    pub fn namespace(&self) -> String {
        self.world.namespace("lab-staging")
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let namespace = self.namespace();
        self.world
            .kubectl(&[&["-n", namespace.as_str()], arguments].concat())
    }

    /// What an administrator grants for a kind that `deploy/rbac.yaml` does not list.
    pub fn may_write(&self, group: &str, resource: &str) {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": group, "labels": {"windlass.dev/aggregate-to-windlass": "true"}},
            "rules": [{"apiGroups": [group], "resources": [resource], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}]});
        self.with_file(&["create"], &role.to_string());
    }

    /// kubectl with a file of this text, in the lab's namespace.
    pub fn with_file(&self, arguments: &[&str], text: &str) -> String {
        let namespace = self.namespace();
        self.world
            .with_file(&[&["-n", namespace.as_str()], arguments].concat(), text)
    }

    /// A pull request that changes the lab's files; its number and comment.
    pub async fn change(&self, branch: &str, files: &[(&str, Option<&str>)]) -> (u64, String) {
        let namespace = self.namespace();
        let files: Vec<_> = files
            .iter()
            .map(|(name, text)| {
                (
                    format!("apps/lab/staging/{name}"),
                    text.map(|text| text.replace("NAMESPACE", &namespace)),
                )
            })
            .collect();
        let mut files: Vec<_> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_deref()))
            .collect();
        // Two pull requests with the same files in the same second would be one commit.
        files.push(("NOTES.md", Some(branch)));
        let number = self.world.propose("bob", branch, &files);
        self.world.previewed(number).await;
        let comments = self.world.comments(number);
        (
            number,
            self.world.scrub(
                comments
                    .first()
                    .and_then(|comment| comment["body"].as_str())
                    .unwrap_or_default(),
            ),
        )
    }

    /// Merged by a person; what windlass/sync ends with.
    pub async fn merge(&self, number: u64, state: &str) -> String {
        let merged = self.world.as_user(
            "ada",
            Method::PUT,
            &format!("pulls/{number}/merge"),
            json!({}),
        );
        self.world
            .sync_status(merged["sha"].as_str().unwrap(), state)
            .await
    }

    pub async fn object(&self, version: &str, kind: &str, plural: &str, name: &str) -> Value {
        self.world
            .get(version, kind, plural, &self.namespace(), name)
            .await
            .unwrap_or_default()
    }

    pub async fn deployment(&self) -> Value {
        self.object("apps/v1", "Deployment", "deployments", "lab")
            .await
    }
}

pub fn has(text: &str, parts: &[&str]) {
    // Sentences are told in lines of a page's width.
    let flat = text.replace('\n', " ");
    for part in parts {
        assert!(
            text.contains(part) || flat.contains(part),
            "`{part}` is not in:\n{text}"
        );
    }
}

pub fn has_not(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(!text.contains(part), "`{part}` is in:\n{text}");
    }
}
