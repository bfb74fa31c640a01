//! Path 5: a push is synced, kept, and told.

use crate::support::lab::has;
use crate::support::{Setup, World, digest_of};

const OVERLAY: &str = "apps/shop/staging/kustomization.yaml";

#[tokio::test(flavor = "multi_thread")]
async fn objects_carry_their_owner_and_the_manager_is_the_applications() {
    let world = World::with(Setup {
        platform: true,
        ..Setup::default()
    })
    .await;
    let live = world.deployment("staging").await;
    let repository = world.forge.state().by_full_name("acme/config").unwrap().id;
    let key = windlass::judged_by::TargetKey {
        repo: "acme/config".parse().unwrap(),
        application: "shop".parse().unwrap(),
        stage: "staging".parse().unwrap(),
        cluster: None,
    };
    assert_eq!(
        live["metadata"]["labels"]["windlass.dev/owner"],
        key.owner_label(repository)
    );
    assert_eq!(
        live["metadata"]["annotations"]["windlass.dev/application"],
        "shop/staging"
    );
    assert_eq!(
        live["spec"]["template"]["metadata"]["labels"].get("windlass.dev/owner"),
        None,
        "never in pod templates"
    );
    let managers: Vec<_> = live["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["manager"].as_str().unwrap())
        .collect();
    assert!(managers.contains(&"windlass/shop/staging"), "{managers:?}");
    let inventory = world.application("shop.staging").await["status"]["inventory"]
        .as_array()
        .unwrap()
        .clone();
    assert!(
        inventory
            .iter()
            .all(|entry| entry.as_str().unwrap().contains(" uid="))
            && inventory.len() == 5,
        "{inventory:?}"
    );
    // A custom resource came with its own definition, in one push.
    let plan = world
        .get(
            "acme.example/v1",
            "BackupPlan",
            "backupplans",
            &world.namespace("platform-production"),
            "nightly",
        )
        .await
        .unwrap();
    assert_eq!(plan["spec"]["keep"], 7, "the server's default");
    let wait = world.kubectl(&[
        "wait",
        "--for=condition=Synced",
        "-n",
        &world.home(),
        "application.windlass.dev/shop.staging",
        "--timeout=5s",
    ]);
    assert!(wait.contains("condition met"), "{wait}");
    let table = world.kubectl(&["get", "applications.windlass.dev", "-n", &world.home()]);
    assert!(
        table.lines().next().unwrap().split_whitespace().eq([
            "NAME", "SYNCED", "HEALTH", "REVISION", "HELD", "MESSAGE", "AGE"
        ]),
        "{table}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_edit_is_reverted_and_a_deleted_object_comes_back() {
    let world = World::new().await;
    let namespace = world.namespace("shop-staging");
    world.kubectl(&[
        "-n",
        &namespace,
        "set",
        "image",
        "deployment/shop",
        "shop=ghcr.io/acme/shop:hacked",
    ]);
    world.kubectl(&["-n", &namespace, "scale", "deployment/shop", "--replicas=7"]);
    world.kubectl(&[
        "-n",
        &namespace,
        "patch",
        "configmap/shop",
        "--type=merge",
        "-p",
        r#"{"data":{"greeting":"hacked"}}"#,
    ]);
    world.kubectl(&["-n", &namespace, "delete", "service/shop"]);
    world
        .until("all of it is reverted", async || {
            let live = world.deployment("staging").await;
            let image = live["spec"]["template"]["spec"]["containers"][0]["image"]
                .as_str()?
                .contains("1.0.0");
            let greeting =
                world.config_map("staging", "shop").await?["data"]["greeting"] == "hello";
            let service = world
                .get("v1", "Service", "services", &namespace, "shop")
                .await
                .is_some();
            (image && live["spec"]["replicas"] == 2 && greeting && service).then_some(())
        })
        .await;
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_git_is_pruned_and_an_empty_render_prunes_nothing() {
    let world = World::new().await;
    let with = world
        .file(OVERLAY)
        .replace("  - config.yaml\n", "  - config.yaml\n  - extra.yaml\n");
    let extra = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: extra\ndata: {a: b}\n";
    let commit = world.commit(
        "Extra",
        &[
            (OVERLAY, Some(&with)),
            ("apps/shop/staging/extra.yaml", Some(extra)),
        ],
    );
    world.sync_status(&commit, "success").await;
    assert!(world.config_map("staging", "extra").await.is_some());
    let without = with.replace("  - extra.yaml\n", "");
    let commit = world.commit(
        "No extra",
        &[
            (OVERLAY, Some(&without)),
            ("apps/shop/staging/extra.yaml", None),
        ],
    );
    world.sync_status(&commit, "success").await;
    assert!(
        world.config_map("staging", "extra").await.is_none(),
        "pruned"
    );
    let inventory = world.application("shop.staging").await["status"]["inventory"].to_string();
    assert!(
        !inventory.contains("extra"),
        "the inventory is shrunk: {inventory}"
    );

    let commit = world.commit("Empty", &[(OVERLAY, Some("resources: []\n"))]);
    let text = world.sync_status(&commit, "failure").await;
    assert!(
        text.contains("kustomization.yaml is empty") || text.contains("renders no objects"),
        "{text}"
    );
    assert!(
        world.config_map("staging", "shop").await.is_some(),
        "nothing is pruned"
    );
    // A whole application that goes away is left as it is, and that is said.
    let files: Vec<_> = [
        "kustomization.yaml",
        "namespace.yaml",
        "config.yaml",
        "secret.yaml",
    ]
    .map(|file| format!("apps/shop/staging/{file}"))
    .into();
    let removed: Vec<_> = files.iter().map(|path| (path.as_str(), None)).collect();
    world.commit("Gone", &removed);
    world
        .until("it is said", async || {
            world.application("shop.staging").await["status"]["message"]
                .as_str()?
                .contains("its objects stay")
                .then_some(())
        })
        .await;
    assert!(world.config_map("staging", "shop").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validation_error_applies_nothing_of_the_application() {
    let world = World::new().await;
    let base = "apps/shop/base/deployment.yaml";
    let config = "apps/shop/staging/config.yaml";
    let typo = world
        .file(base)
        .replace("  replicas: 2\n", "  replicas: two\n");
    let changed = world.file(config).replace("hello", "half");
    let commit = world.commit("Broken", &[(base, Some(&typo)), (config, Some(&changed))]);
    let text = world.sync_status(&commit, "failure").await;
    assert!(text.contains("Deployment"), "{text}");
    assert_eq!(
        world.config_map("staging", "shop").await.unwrap()["data"]["greeting"],
        "hello",
        "no half of it is applied"
    );
    let reason = async || {
        world.application("shop.staging").await["status"]["conditions"][0]["reason"].clone()
    };
    world
        .until("it is blocked", async || {
            (reason().await == "Refused").then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_fails_names_the_pods_reason_and_production_is_not_proposed() {
    let world = World::new().await;
    world.announce("broken-1").await;
    let number = world.pull_request("staging").await;
    let commit = world.merged(number).await;
    let text = world.sync_status(&commit, "failure").await;
    assert!(text.contains("CrashLoopBackOff (exit code 1)"), "{text}");
    world
        .until("the comment says so too", async || {
            world.comments(number)[0]["body"]
                .as_str()?
                .contains("**Failed**")
                .then_some(())
        })
        .await;
    // An edit notifies nobody: a failure is a comment of its own, once.
    let told = async || (world.comments(number).len() == 2).then_some(());
    world.until("a comment tells of the failure", told).await;
    insta::assert_snapshot!(world.conversation(number).lines().filter(|line| !line.contains("pod shop-")).collect::<Vec<_>>().join("\n"), @"
    shop/staging: broken-1 (595959595959) by windlass[bot] (merged)

    --- windlass[bot]
    <!-- windlass:sticky (hex) -->
    **Failed** · `(hex)`

    | application | state | |
    |---|---|---|

    <details><summary>the preview that was merged</summary>

    **1 of 2 applications changes** · 1 changed · rolls 2 pods · verified by the cluster

    | application | image | from | to | source |
    |---|---|---|---|---|
    | `shop/staging` | `ghcr.io/acme/shop` | `1.0.0` `101010101010` | `broken-1` `595959595959` | [ccccccc](https://forge/acme/shop/commit/cccccccccccccccccccccccccccccccccccccccc) |

    **shop/staging** on `local`

    <details><summary><code>Deployment shop-staging/shop</code> changed +1 −1</summary>

    - rolls 2 pods (maxSurge 25%, maxUnavailable 25%): all 2 stay available

    ```diff
           - envFrom:
             - configMapRef:
                 name: shop
    -        image: ghcr.io/acme/shop:1.0.0@sha256:1010101010101010101010101010101010101010101010101010101010101010
    +        image: ghcr.io/acme/shop:broken-1@sha256:5959595959595959595959595959595959595959595959595959595959595959
             imagePullPolicy: IfNotPresent
             name: shop
             ports:
    ```

    </details>

    </details>

    --- windlass[bot]
    <!-- windlass:failed shop/staging -->
    🔴 **shop/staging is failing** since this pull request was merged by windlass.


    **Next:** fix it in a new pull request, or comment `/rollback shop/staging` here to go back to the last healthy commit. `/sync` tries again. The comment above stays up to date.
    ");
    assert!(world.pull_from("windlass/shop/production").is_none());
    world.kill();
    world.start();
    // The next image mends it, and is what goes on.
    world.announce("1.1.1").await;
    let mended = world
        .until("the next pull request", async || {
            world.pull_from("windlass/shop/staging")?["number"]
                .as_u64()
                .filter(|n| *n != number)
        })
        .await;
    let commit = world.merged(mended).await;
    world.sync_status(&commit, "success").await;
    assert_eq!(world.comments(number).len(), 2, "it is told once");
    let production = world.pull_request("production").await;
    assert!(
        world.read(&format!("pulls/{production}"))["title"]
            .as_str()
            .unwrap()
            .contains(&digest_of("1.1.1")[7..19])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_others_is_not_taken() {
    // Also where the server's settings let the application have objects there.
    let world = World::with(Setup::default()).await;
    let namespace = world.namespace("others");
    world.kubectl(&["create", "namespace", &namespace]);
    world.kubectl(&[
        "-n",
        &namespace,
        "create",
        "configmap",
        "theirs",
        "--from-literal=a=their-value",
    ]);
    let file = "apps/shop/staging/theirs.yaml";
    let theirs = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: theirs\n  namespace: {namespace}\ndata: {{b: mine}}\n"
    );
    // Without the overlay's `namespace:`, which would move it.
    let overlay = format!(
        "{}  - theirs.yaml\n",
        "resources:\n  - ../base\n  - namespace.yaml\n  - config.yaml\n  - secret.yaml\n"
    );
    let number = world.propose(
        "bob",
        "theirs",
        &[(OVERLAY, Some(&overlay)), (file, Some(&theirs))],
    );
    world.previewed(number).await;
    let body = world.comments(number)[0]["body"]
        .as_str()
        .unwrap()
        .to_string();
    has(
        &body,
        &[
            "an application's objects live in its own namespace",
            "otherNamespaces",
        ],
    );
    assert!(
        !body.contains("their-value"),
        "a pull request must not read what is not its application's:\n{body}"
    );
}
