//! Fields that an Argo CD Application does not compare.

use serde_json::{Value, json};

use super::external::{kubectl, world_of_argo_cd};
use crate::support::World;
use crate::support::lab::{deployment, has, has_not};

/// An Application that ignores replicas, synced by Argo CD (played here); somebody scaled the
/// Deployment to four.
struct Scaled {
    world: World,
    namespace: String,
    own: String,
    commit: String,
}

impl Scaled {
    async fn new() -> Self {
        let (world, namespace, own) = world_of_argo_cd().await;
        let mark = format!(
            "metadata: {{name: lab, namespace: {namespace}, annotations: {{argocd.argoproj.io/tracking-id: \"lab-staging:apps/Deployment:{namespace}/lab\"}}}}"
        );
        let text = deployment("", "");
        kubectl(
            &world,
            &["apply", "--field-manager=argocd-controller"],
            &text.replace("metadata: {name: lab}", &mark),
        );
        world.kubectl(&["-n", &namespace, "scale", "deployment/lab", "--replicas=4"]);
        let catalog = world.file("windlass.yaml").replacen(
            "    cluster: local\n",
            &format!("    cluster: local\n    reconcile: {{ by: argocd, namespace: {own} }}\n"),
            1,
        );
        let gone = ["kustomization", "namespace", "config", "secret"]
            .map(|file| format!("apps/shop/staging/{file}.yaml"));
        let mut files: Vec<_> = gone.iter().map(|path| (path.as_str(), None)).collect();
        files.extend([
            ("windlass.yaml", Some(catalog.as_str())),
            ("apps/lab/staging/deployment.yaml", Some(text.as_str())),
        ]);
        let commit = world.commit("Kept by Argo CD", &files);
        let scaled = Self {
            world,
            namespace,
            own,
            commit,
        };
        scaled.declare(&json!([]));
        scaled.world.start();
        scaled.world.sync_status(&scaled.commit, "success").await;
        scaled
    }

    /// The Application, with sync options.
    fn declare(&self, options: &Value) {
        let url = format!("{}/acme/config.git", self.world.forge.url());
        let application = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "lab-staging", "namespace": self.own},
            "spec": {"source": {"repoURL": url, "path": "apps/lab/staging"},
                "syncPolicy": {"automated": {"prune": true}, "syncOptions": options},
                "ignoreDifferences": [{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}]},
            "status": {"sync": {"status": "Synced", "revision": self.commit}, "health": {"status": "Healthy"}}});
        kubectl(&self.world, &["apply"], &application.to_string());
    }

    /// The comment on a pull request that edits the Deployment.
    async fn preview(&self, branch: &str, edits: &[(&str, &str)]) -> String {
        let text = edits.iter().fold(deployment("", ""), |text, (old, new)| {
            text.replace(old, new)
        });
        let file = "apps/lab/staging/deployment.yaml";
        let number = self.world.propose("bob", branch, &[(file, Some(&text))]);
        self.world.previewed(number).await;
        self.world.conversation(number)
    }
}

const IMAGE: (&str, &str) = ("lab:1", "lab:2");
const REPLICAS: (&str, &str) = ("replicas: 2", "replicas: 3");

#[tokio::test(flavor = "multi_thread")]
async fn what_argo_cd_does_not_compare_causes_no_sync_and_is_set_back_by_one() {
    let scaled = Scaled::new().await;
    let alone = scaled.preview("alone", &[REPLICAS]).await;
    has(
        &alone,
        &["Argo CD ignores what this changes", "lab-staging/lab"],
    );
    has_not(&alone, &["1 changed", "replicas: 3"]);
    // A sync for another reason applies all that Git has.
    let both = scaled.preview("both", &[IMAGE, REPLICAS]).await;
    has(
        &both,
        &["1 changed", "-      - image: lab:1\n+      - image: lab:2"],
    );
    has(&both, &["+  replicas: 3"]);
    let image = scaled.preview("image", &[IMAGE]).await;
    let reverted =
        "A sync reverts what others changed: `Deployment lab-staging/lab` `.spec.replicas`";
    has(&image, &["1 changed", reverted]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_argo_cd_respects_stays_as_it_is() {
    let scaled = Scaled::new().await;
    scaled.declare(&json!(["RespectIgnoreDifferences=true"]));
    let both = scaled.preview("both", &[IMAGE, REPLICAS]).await;
    has(
        &both,
        &["1 changed", "-      - image: lab:1\n+      - image: lab:2"],
    );
    has_not(&both, &["replicas:", "reverts"]);
    let live = scaled.world.kubectl(&[
        "-n",
        &scaled.namespace,
        "get",
        "deployment/lab",
        "-o",
        "jsonpath={.spec.replicas}",
    ]);
    assert_eq!(live, "4");
}
