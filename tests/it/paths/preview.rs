//! Path 2: a pull request gets a preview that only the server could give.

use serde_json::json;

use crate::support::World;
use crate::support::lab::has;

const OVERLAY: &str = "apps/shop/staging/kustomization.yaml";

#[tokio::test(flavor = "multi_thread")]
async fn one_sticky_comment_and_a_check_run() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let changed = world
        .file(file)
        .replace("greeting: hello", "greeting: good morning");
    let number = world.propose("bob", "greeting", &[(file, Some(&changed))]);
    let check = world.previewed(number).await;
    assert_eq!(check["conclusion"], "success");
    world.gate_status(number, "pending").await;
    insta::assert_snapshot!(world.conversation(number), @"
    Change by bob by bob (open)

    --- windlass[bot]
    <!-- windlass:sticky (hex) -->
    **1 of 2 applications changes** · 1 changed · verified by the cluster

    **shop/staging** on `local`

    <details open><summary><code>ConfigMap shop-staging/shop</code> changed +1 −1</summary>

    - no pod restarts: running pods keep what they read at start until their next rollout

    ```diff
     apiVersion: v1
     data:
    -  greeting: hello
    +  greeting: good morning
       stage: staging
     kind: ConfigMap
     metadata:
    ```

    </details>

    **Needs one approval.** Then merge it yourself, or have windlass do it by `/merge`. `/why` says what is missing now.

    <sub>head `(hex)` on base `(hex)` · (time) s · plan `wl1:(digest)` · `/help`</sub>
    ");

    // Another push: the same comment, edited.
    let first = world.comments(number)[0]["id"].clone();
    let changed = changed.replace("good morning", "good evening");
    world
        .forge
        .push(
            "acme/config",
            "greeting",
            "bob",
            "Evening",
            &[(file, Some(&changed))],
        )
        .unwrap();
    world
        .until("the comment is edited", async || {
            world.comments(number)[0]["body"]
                .as_str()?
                .contains("good evening")
                .then_some(())
        })
        .await;
    let comments = world.comments(number);
    assert_eq!((comments.len(), &comments[0]["id"]), (1, &first));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_server_knows() {
    let world = World::new().await;
    let namespace = world.namespace("shop-staging");
    let limits = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "defaults", "namespace": namespace},
        "spec": {"limits": [{"type": "Container", "defaultRequest": {"cpu": "123m"}}]}});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), limits.to_string()).unwrap();
    world.kubectl(&["apply", "-f", &file.path().display().to_string()]);

    // A default of a LimitRange: only admission adds it.
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: lonely\nspec:\n  containers:\n    - name: a\n      image: ghcr.io/acme/lonely:1\n";
    let overlay = world
        .file(OVERLAY)
        .replace("  - config.yaml\n", "  - config.yaml\n  - pod.yaml\n");
    let number = world.propose(
        "bob",
        "pod",
        &[
            (OVERLAY, Some(&overlay)),
            ("apps/shop/staging/pod.yaml", Some(pod)),
        ],
    );
    world.previewed(number).await;
    let body = world.comments(number)[0]["body"]
        .as_str()
        .unwrap()
        .to_string();
    assert!(
        body.contains("+      cpu: 123m") || body.contains("cpu: 123m"),
        "the LimitRange's default is not shown:\n{body}"
    );

    // A field that the schema does not have, and one that may not change.
    let base = "apps/shop/base/deployment.yaml";
    let typo = world
        .file(base)
        .replace("  replicas: 2\n", "  replicas: 2\n  replcas: 3\n");
    let number = world.propose("bob", "typo", &[(base, Some(&typo))]);
    let check = world.previewed(number).await;
    assert_eq!(check["conclusion"], "failure");
    let body = world.comments(number)[0]["body"]
        .as_str()
        .unwrap()
        .to_string();
    assert!(
        body.contains("field not declared in schema") || body.contains("unknown field"),
        "{body}"
    );
    assert!(body.contains("cannot be applied"), "{body}");

    let kustomization = "apps/shop/base/kustomization.yaml";
    let immutable = world.file(kustomization).replace(
        "app.kubernetes.io/name: shop",
        "app.kubernetes.io/name: store",
    );
    let number = world.propose("bob", "immutable", &[(kustomization, Some(&immutable))]);
    world.previewed(number).await;
    let body = world.comments(number)[0]["body"]
        .as_str()
        .unwrap()
        .to_string();
    assert!(body.contains("field is immutable"), "{body}");
    assert_eq!(
        world.gate_status(number, "failure").await,
        "the preview failed: its check run says what to fix"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_values_never_appear() {
    let world = World::new().await;
    let file = "apps/shop/staging/secret.yaml";
    let changed = world
        .file(file)
        .replace("not-so-secret-staging", "CANARY-new-value")
        + "  other: CANARY-added\n";
    let number = world.propose("bob", "secret", &[(file, Some(&changed))]);
    world.previewed(number).await;
    let broken = world
        .file(file)
        .replace("stringData:\n", "data:\n  bad: CANARY%%%\nstringData:\n");
    let other = world.propose("bob", "broken-secret", &[(file, Some(&broken))]);
    world.previewed(other).await;
    use base64::Engine as _;
    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let told = format!(
        "{:?}{:?}{}{}",
        world.comments(number),
        world.comments(other),
        world.previewed(number).await,
        world.previewed(other).await
    );
    let log = std::fs::read_to_string(world.windlass.log()).unwrap();
    for text in [
        "CANARY",
        "not-so-secret",
        &encoded("CANARY-new-value"),
        &encoded("not-so-secret-staging"),
        &encoded("CANARY-added"),
    ] {
        assert!(!told.contains(text), "`{text}` is told");
        assert!(!log.contains(text), "`{text}` is logged");
    }
    insta::assert_snapshot!(world.conversation(number), @"
    Change by bob by bob (open)

    --- windlass[bot]
    <!-- windlass:sticky (hex) -->
    **1 of 2 applications changes** · 1 changed · verified by the cluster

    **shop/staging** on `local`

    <details open><summary><code>Secret shop-staging/shop</code> changed +2 −1</summary>

    - no pod restarts: running pods keep what they read at start until their next rollout

    ```diff
     apiVersion: v1
     data:
    +  other: (hidden)
    -  session-key: (hidden, old)
    +  session-key: (hidden, new)
     kind: Secret
     metadata:
       name: shop
    ```

    </details>

    **Needs one approval.** Then merge it yourself, or have windlass do it by `/merge`. `/why` says what is missing now.

    <sub>head `(hex)` on base `(hex)` · (time) s · plan `wl1:(digest)` · `/help`</sub>
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_branch_reverts_nothing_and_a_conflict_is_said() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let original = world.file(file);
    let number = world.propose(
        "bob",
        "stale",
        &[(
            "apps/shop/production/config.yaml",
            Some(
                &original
                    .replace("staging", "production")
                    .replace("hello", "salut"),
            ),
        )],
    );
    world.previewed(number).await;
    let before = world.comments(number)[0]["body"].clone();
    let hola = original.replace("hello", "hola");
    let meanwhile = world.commit("Meanwhile", &[(file, Some(&hola))]);
    world.sync_status(&meanwhile, "success").await;
    world.quiet().await;
    let after = &world.comments(number)[0]["body"];
    assert_eq!(*after, before, "its effect is the same, so it stays");
    let body = after.as_str().unwrap();
    assert!(
        body.contains("salut") && !body.contains("hola"),
        "what others merged is not this pull request's doing:\n{body}"
    );

    let clash = world.propose(
        "bob",
        "clash",
        &[(file, Some(&original.replace("hello", "ciao")))],
    );
    // Pushed from main before the other change: made to conflict by another push to main.
    world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "Again",
            &[(file, Some(&original.replace("hello", "servus")))],
        )
        .unwrap();
    world
        .until("the conflict is said", async || {
            world.comments(clash).first()?["body"]
                .as_str()?
                .contains("Conflicts with the base branch")
                .then_some(())
        })
        .await;
    assert!(
        world
            .gate_status(clash, "failure")
            .await
            .contains("conflicts with the base branch")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_touches_nothing_managed_is_a_green_check_and_no_comment() {
    let world = World::new().await;
    let number = world.propose("bob", "readme", &[("README.md", Some("# Changed\n"))]);
    let check = world.previewed(number).await;
    assert_eq!(
        (
            check["conclusion"].as_str(),
            check["output"]["title"].as_str()
        ),
        (Some("success"), Some("No application changes"))
    );
    world.gate_status(number, "pending").await;
    assert_eq!(world.comments(number).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_head_is_refused_with_words() {
    let world = World::new().await;
    let cases = [
        (
            "remote",
            "resources: [https://example.com/evil.yaml]\n",
            "remote files are not read",
        ),
        (
            "escape",
            "resources: [../../../../etc/passwd]\n",
            "is not in this repository",
        ),
        (
            "charts",
            "helmCharts: [{name: evil}]\n",
            "the chart `evil` is not in `apps/shop/staging/charts/evil`",
        ),
        (
            "broken",
            "resources: [\n",
            "kustomization.yaml: error: line 1",
        ),
    ];
    for (branch, kustomization, words) in cases {
        let number = world.propose("bob", branch, &[(OVERLAY, Some(kustomization))]);
        let check = world.previewed(number).await;
        assert_eq!(check["conclusion"], "failure", "{branch}");
        let body = world.comments(number)[0]["body"]
            .as_str()
            .unwrap()
            .to_string();
        has(&body, &[words]);
    }
    // A mistake in windlass.yaml is shown with its line and the nearest key.
    let mistaken = world
        .file("windlass.yaml")
        .replace("merge: auto", "mrege: auto");
    let number = world.propose("bob", "mistaken", &[("windlass.yaml", Some(&mistaken))]);
    world.previewed(number).await;
    let body = world.comments(number)[0]["body"]
        .as_str()
        .unwrap()
        .to_string();
    assert!(
        body.contains("line 5") && body.contains('^') && body.contains("did you mean `merge`?"),
        "{body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_namespace_and_a_new_kind_in_one_pull_request() {
    let world = World::new().await;
    let namespace = world.namespace("brand-staging");
    let number = world.propose(
        "bob",
        "brand",
        &[
            (
                "apps/brand/staging/namespace.yaml",
                Some(&format!(
                    "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n"
                )),
            ),
            (
                "apps/brand/staging/config.yaml",
                Some("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: brand\ndata: {a: b}\n"),
            ),
        ],
    );
    let check = world.previewed(number).await;
    assert_eq!(check["conclusion"], "success");
    let body = world.comments(number)[0]["body"]
        .as_str()
        .unwrap()
        .to_string();
    assert!(
        body.contains("partly verified by the cluster")
            && body.contains("comes with this change: quotas, limits and security labels"),
        "{body}"
    );
    let missing = world.propose(
        "bob",
        "missing",
        &[(
            "apps/brand/production/config.yaml",
            Some("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: brand\n"),
        )],
    );
    world.previewed(missing).await;
    let body = world.comments(missing)[0]["body"]
        .as_str()
        .unwrap()
        .to_string();
    has(&body, &["does not exist: create it, or add it"]);
}
