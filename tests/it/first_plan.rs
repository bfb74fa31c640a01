//! The first minutes: `windlass plan`, `init` and `validate` in a repository that
//! knows nothing of windlass, against a cluster that has nothing of it.

use serde_json::json;

use crate::support::lab::{CONFIG, deployment, has};
use crate::support::working_copy::WorkingCopy;
use crate::support::{Setup, World, plane};
use crate::syncs::external::define_argo_cd;

fn kustomization(namespace: &str, resource: &str) -> String {
    format!("namespace: {namespace}\nresources: [{resource}]\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_windlass_is_planned_and_configured() {
    let world = World::asleep(Setup::default()).await;
    let [staging, production] = ["shop-staging", "shop-production"].map(|of| world.namespace(of));
    for namespace in [&staging, &production] {
        world.kubectl(&["create", "namespace", namespace]);
        world.with_file(&["apply", "-n", namespace], &deployment("", ""));
    }
    let copy = WorkingCopy::of(
        "mia/deployments",
        &[
            (
                "shop/base/kustomization.yaml",
                "resources: [deployment.yaml]\n",
            ),
            ("shop/base/deployment.yaml", &deployment("", "")),
            (
                "shop/overlays/staging/kustomization.yaml",
                &kustomization(&staging, "../../base"),
            ),
            (
                "shop/overlays/production/kustomization.yaml",
                &kustomization(&production, "../../base"),
            ),
            (".github/workflows/ci.yaml", "on: push\n"),
        ],
    );
    let (text, code) = copy.run(&["plan"]);
    assert_eq!(code, 0, "{text}");
    let overlay = kustomization(&staging, "../../base") + "replicas: [{name: lab, count: 5}]\n";
    copy.write("shop/overlays/staging/kustomization.yaml", &overlay);
    let (text, code) = copy.run(&["plan"]);
    assert_eq!(code, 1, "{text}");
    let kubectl = plane().tools().program("kubectl").unwrap();
    let by_kubectl = copy.run(&["plan", "--kustomize", kubectl.to_str().unwrap()]);
    assert_eq!(by_kubectl.0, text, "kubectl renders the same");
    insta::assert_snapshot!(world.scrub(&text), @"
    note: the plan includes uncommitted changes: shop/overlays/staging/kustomization.yaml
    note: `origin/HEAD` has no windlass.yaml: the plan uses the one that `windlass init` would write, with 2 applications
    1 of 2 applications changes · 1 changed · verified by the cluster

    shop/staging on local
      changed Deployment shop-staging/lab
        • scales up by 3 pods: from 2 to 5
        • adoption: takes over the fields that kubectl-client-side-apply set, once; those that Git does not have are removed
           namespace: shop-staging
         spec:
           progressDeadlineSeconds: 600
        -  replicas: 2
        +  replicas: 5
           revisionHistoryLimit: 10
           selector:
             matchLabels:
    ");
    // The same by a file: what the plan used is what `init` writes.
    let (text, code) = copy.run(&["init"]);
    assert_eq!(code, 0, "{text}");
    insta::assert_snapshot!(world.scrub(&text), @"
    wrote windlass.yaml
    windlass.yaml has 2 applications:
      shop/staging     shop/overlays/staging → namespace shop-staging on local
      shop/production  shop/overlays/production → namespace shop-production on local
    next: read the file, then `windlass plan --all` shows what a first sync would do in your cluster
    ");
    let written = std::fs::read_to_string(copy.folder().join("windlass.yaml")).unwrap();
    insta::assert_snapshot!(world.scrub(&written), @r#"
    # What windlass deploys, previews and promotes. It is read from the default branch only.
    # yaml-language-server: $schema=https://raw.githubusercontent.com/windlass-dev/windlass/main/deploy/windlass.schema.json
    version: 1

    stages:                        # in order
      staging:
        cluster: local             # a name that the server's settings know
      production:
        cluster: local             # a name that the server's settings know
        after: [staging]
        gates: { approvals: 1 }    # for every pull request that touches it

    applications:                  # the first entry that matches a directory wins
      - path: "{application}/overlays/{stage}"
        namespace: "{application}-{stage}"

      # An entry may name the images that pull requests promote, and the repositories whose CI announces
      # them:
      #   images:
      #     ghcr.io/mia/NAME: { source: mia/NAME }
    "#);
    let (text, code) = copy.run(&["init"]);
    assert_eq!(code, 2, "{text}");
    has(&text, &["windlass.yaml exists already"]);
    let (text, code) = copy.run(&["validate"]);
    assert_eq!(code, 0, "{text}");
    has(
        &text,
        &["windlass.yaml has 2 applications:\n  shop/staging"],
    );
    let (text, code) = copy.run(&["plan"]);
    assert_eq!(code, 1, "{text}");
    has(
        &text,
        &[
            "`origin/HEAD` has no windlass.yaml: the plan uses the one of the change",
            "1 of 2 applications changes",
        ],
    );
    // What the change leaves as it is, and a first sync would do: production has no such label yet.
    let map = format!(
        "{}  - map.yaml\n",
        kustomization(&production, "../../base")
            .replace("resources: [../../base]", "resources:\n  - ../../base")
    );
    copy.write("shop/overlays/production/kustomization.yaml", &map);
    copy.write(
        "shop/overlays/production/map.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\n",
    );
    copy.git(&["add", "."]);
    copy.git(&["commit", "-qm", "A map and a configuration"]);
    copy.git(&["update-ref", "refs/remotes/origin/trunk", "HEAD"]);
    let (text, code) = copy.run(&["plan", "--all"]);
    assert_eq!(code, 1, "{text}");
    insta::assert_snapshot!(world.scrub(&text), @"
    note: all applications are planned; the change touches 0 of them
    2 of 2 applications change · 1 created · 2 changed · verified by the cluster

    shop/staging on local
        1 object of it exists in the cluster already: windlass applies nothing of the application before windlass adopt shop/staging.
      changed Deployment shop-staging/lab
        • scales up by 3 pods: from 2 to 5
        • adoption: takes over the fields that kubectl-client-side-apply set, once; those that Git does not have are removed
           namespace: shop-staging
         spec:
           progressDeadlineSeconds: 600
        -  replicas: 2
        +  replicas: 5
           revisionHistoryLimit: 10
           selector:
             matchLabels:

    shop/production on local
        1 object of it exists in the cluster already: windlass applies nothing of the application before windlass adopt shop/production.
      created ConfigMap shop-production/new
        +apiVersion: v1
        +kind: ConfigMap
        +metadata:
        +  name: new
        +  namespace: shop-production
      changed Deployment shop-production/lab
        • adoption: takes over the fields that kubectl-client-side-apply set, once; those that Git does not have are removed
    ");
    copy.write(
        "windlass.yaml",
        &written
            .replace("shop/", "shops/")
            .replace("{application}", "{applications}"),
    );
    let (text, code) = copy.run(&["validate"]);
    assert_eq!(code, 2, "{text}");
    copy.write("windlass.yaml", "version: 1\nstage: {}\n");
    let (text, code) = copy.run(&["validate"]);
    assert_eq!(code, 2, "{text}");
    has(&text, &["did you mean `stages`?"]);
}

/// A stage and an application that only the working copy has, an object that it removes, and files
/// that nothing reads.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_working_copy_has_is_compared_with_the_cluster() {
    let world = World::asleep(Setup::default()).await;
    let [staging, qa] = ["shop-staging", "shop-qa"].map(|of| world.namespace(of));
    for namespace in [&staging, &qa] {
        world.kubectl(&["create", "namespace", namespace]);
        world.with_file(&["apply", "-n", namespace], &deployment("", ""));
        world.with_file(&["apply", "-n", namespace], CONFIG);
    }
    let of_staging = format!("namespace: {staging}\nresources: [deployment.yaml, config.yaml]\n");
    let copy = WorkingCopy::of(
        "mia/deployments",
        &[
            ("shop/staging/kustomization.yaml", &of_staging),
            ("shop/staging/deployment.yaml", &deployment("", "")),
            ("shop/staging/config.yaml", CONFIG),
        ],
    );
    let without = of_staging.replace(", config.yaml", "");
    copy.write("shop/staging/kustomization.yaml", &without);
    std::fs::remove_file(copy.folder().join("shop/staging/config.yaml")).unwrap();
    copy.write(
        "shop/qa/kustomization.yaml",
        &without.replace(&staging, &qa),
    );
    let scaled = deployment("", "").replace("replicas: 2", "replicas: 3");
    copy.write("shop/qa/deployment.yaml", &scaled);
    copy.write("NOTES.md", "Nothing reads this.\n");
    let (text, code) = copy.run(&["plan"]);
    assert_eq!(code, 1, "{text}");
    insta::assert_snapshot!(world.scrub(&text), @"
    note: the plan includes uncommitted changes: NOTES.md, shop/qa/deployment.yaml, shop/qa/kustomization.yaml, shop/staging/config.yaml, shop/staging/kustomization.yaml
    note: `origin/HEAD` has no windlass.yaml: the plan uses the one that `windlass init` would write, with 2 applications
    note: no application reads NOTES.md
    1 of 2 applications changes · 1 changed · verified by the cluster

    shop/qa on local
        1 object of it exists in the cluster already: windlass applies nothing of the application before windlass adopt shop/qa.
      changed Deployment shop-qa/lab
        • scales up by 1 pod: from 2 to 3
        • adoption: takes over the fields that kubectl-client-side-apply set, once; those that Git does not have are removed
           namespace: shop-qa
         spec:
           progressDeadlineSeconds: 600
        -  replicas: 2
        +  replicas: 3
           revisionHistoryLimit: 10
           selector:
             matchLabels:

    shop/staging on local
        ConfigMap shop-staging/lab leaves Git but stays in the cluster: windlass did not apply it.
    ");
    // CI runs it with rights of its own on what others propose: a proposal sees nothing by naming it.
    let (in_ci, _) = copy.run_with(&["plan"], &[("CI", "true")]);
    assert!(!in_ci.contains("shop/qa on local"), "{in_ci}");
    // With a file, a directory of a stage that it does not have is none of its applications.
    let (file, _) = copy.run(&["init", "--print"]);
    let without_qa = file
        .replace(
            "  qa:\n    cluster: local             # a name that the server's settings know\n",
            "",
        )
        .replace("    after: [qa]\n", "");
    copy.write("windlass.yaml", &without_qa);
    let (text, code) = copy.run(&["plan"]);
    assert_eq!(code, 0, "{text}");
    insta::assert_snapshot!(world.scrub(&text), @"
    note: the plan includes uncommitted changes: NOTES.md, shop/qa/deployment.yaml, shop/qa/kustomization.yaml, shop/staging/config.yaml, shop/staging/kustomization.yaml, windlass.yaml
    note: `origin/HEAD` has no windlass.yaml: the plan uses the one of the change, and shows what differs in manifests; `--all` adds what a first sync would do besides
    note: no application reads NOTES.md, shop/qa/deployment.yaml, shop/qa/kustomization.yaml (shop/qa: windlass.yaml has no stage `qa`)
    None of 1 application changes · the cluster stays as it is

    shop/staging on local
        ConfigMap shop-staging/lab leaves Git but stays in the cluster: windlass did not apply it.
    ");
    copy.write("windlass.yaml", "version: 1\nstage: {}\n");
    let (text, code) = copy.run(&["plan"]);
    assert_eq!(code, 2, "{text}");
    insta::assert_snapshot!(text, @"
    windlass: windlass.yaml: error: line 2 column 1: unknown field `stage`, expected one of version, stages, applications, discover, health
     --> windlass.yaml:2:1
      |
    1 | version: 1
    2 | stage: {}
      | ^ unknown field `stage`, expected one of version, stages, applications, discover, health
    did you mean `stages`?
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_argo_cd_deploys_from_it_is_asked_of_the_cluster() {
    let world = World::asleep(Setup::default()).await;
    let (argo, namespace) = (world.namespace("argocd"), world.namespace("web"));
    define_argo_cd(&world);
    for name in [&argo, &namespace] {
        world.kubectl(&["create", "namespace", name]);
    }
    let repository = format!("mia/{namespace}");
    // As an ApplicationSet makes it: no file has it.
    let application = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "web", "namespace": argo},
        "spec": {"project": "default",
            "source": {"repoURL": format!("https://github.com/{repository}"), "targetRevision": "HEAD", "path": "deploy",
                "kustomize": {"namePrefix": "my-"}},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace}}});
    world.with_file(&["create"], &application.to_string());
    let copy = WorkingCopy::of(
        &repository,
        &[
            ("deploy/kustomization.yaml", "resources: [config.yaml]\n"),
            ("deploy/config.yaml", CONFIG),
        ],
    );
    copy.write("deploy/config.yaml", &CONFIG.replace("'1'", "'2'"));
    let (text, code) = copy.run(&["plan"]);
    assert_eq!(code, 1, "{text}");
    insta::assert_snapshot!(world.scrub(&text), @"
    note: the plan includes uncommitted changes: deploy/config.yaml
    note: `origin/HEAD` has no windlass.yaml: the plan uses the one that `windlass init` would write, with 1 application
    1 of 1 application changes · 1 changed · verified by the cluster

    argocd-web/live on local
        Argo CD does not sync this application by itself: after the merge somebody syncs it, there or by /sync.
      changed ConfigMap web/my-lab
        • no pod restarts: running pods keep what they read at start until their next rollout
         apiVersion: v1
         data:
        -  a: '1'
        +  a: '2'
         kind: ConfigMap
         metadata:
           annotations:
      merged before and waiting to be synced: 1
        • created ConfigMap web/my-lab
    ");
    // What nothing in the cluster or the repository declares is said.
    let nothing = WorkingCopy::of("mia/nothing", &[("README.md", "Nothing\n")]);
    let (text, code) = nothing.run(&["plan"]);
    assert_eq!(code, 2, "{text}");
    insta::assert_snapshot!(text, @"windlass: there is no directory with a kustomization, a Helm chart or manifests");
    let (text, code) = nothing.run(&["validate"]);
    assert_eq!(code, 2, "{text}");
    insta::assert_snapshot!(text, @"windlass: there is no windlass.yaml at the repository's root: `windlass init` writes one");
}
