//! Applications that an Argo CD `ApplicationSet` in the repository makes.

use super::external::{define, kubectl};
use crate::support::lab::{CONFIG, has, has_not};
use crate::support::{Setup, World};

fn set(argo: &str, namespace: &str, prefix: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {{name: all, namespace: {argo}}}
spec:
  goTemplate: true
  generators:
    - git:
        repoURL: https://github.com/acme/config.git
        revision: HEAD
        directories: [{{path: made/*}}]
  template:
    metadata: {{name: 'made-{{{{ .path.basename }}}}'}}
    spec:
      project: default
      destination: {{server: 'https://kubernetes.default.svc', namespace: {namespace}}}
      source:
        repoURL: https://github.com/acme/config.git
        targetRevision: HEAD
        path: '{{{{ .path.path }}}}'
        kustomize: {{namePrefix: '{prefix}'}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_set_makes_is_previewed_by_the_files_of_each_head() {
    let world = World::asleep(Setup::default()).await;
    let (namespace, argo) = (world.namespace("lab-staging"), world.namespace("argocd"));
    for (kind, plural) in [
        ("Application", "applications"),
        ("ApplicationSet", "applicationsets"),
    ] {
        define(&world, "argoproj.io", "v1alpha1", kind, plural);
    }
    for name in [&namespace, &argo] {
        world.kubectl(&["create", "namespace", name]);
    }
    let config = |name: &str| CONFIG.replace("name: lab", &format!("name: {name}"));
    let kustomization = "resources: [config.yaml]\n";
    let (one, two) = (config("one"), config("two"));
    let all = set(&argo, &namespace, "a-");
    world.commit(
        "A set",
        &[
            ("windlass.yaml", Some("version: 1\ndiscover: argocd\n")),
            ("argocd/all.yaml", Some(&all)),
            ("made/one/kustomization.yaml", Some(kustomization)),
            ("made/one/config.yaml", Some(&one)),
        ],
    );
    let tracked =
        format!("argocd.argoproj.io/tracking-id: 'made-one:/ConfigMap:{namespace}/a-one'");
    let live = one.replace(
        "name: one\n",
        &format!("name: a-one\n  namespace: {namespace}\n  annotations: {{{tracked}}}\n"),
    );
    kubectl(
        &world,
        &["apply", "--field-manager=argocd-controller"],
        &live,
    );
    world.start();
    // A directory that a head adds is an application of it, and an edit is one of its own.
    let number = world.propose(
        "bob",
        "two",
        &[
            ("made/two/kustomization.yaml", Some(kustomization)),
            ("made/two/config.yaml", Some(&two)),
            ("made/one/config.yaml", Some(&one.replace("'1'", "'2'"))),
        ],
    );
    world.previewed(number).await;
    let shown = world.conversation(number);
    has(
        &shown,
        &[
            "2 of 2 applications change",
            "argocd-made-one/live",
            "ConfigMap lab-staging/a-one",
            "-  a: '1'\n+  a: '2'",
            "argocd-made-two/live",
            "ConfigMap lab-staging/a-two",
        ],
    );
    // So is an edit of the set itself.
    let other = set(&argo, &namespace, "b-");
    let number = world.propose("bob", "prefix", &[("argocd/all.yaml", Some(&other))]);
    world.previewed(number).await;
    let shown = world.conversation(number);
    has(&shown, &["ConfigMap lab-staging/b-one", "1 created"]);
    has_not(&shown, &["made-two"]);
    // A directory that goes takes its Application, and that its objects.
    let number = world.propose(
        "bob",
        "gone",
        &[
            ("made/one/kustomization.yaml", None),
            ("made/one/config.yaml", None),
        ],
    );
    world.previewed(number).await;
    has(
        &world.conversation(number),
        &["its objects (1) are deleted with it", "a-one"],
    );
    // What is not in Git is said where the set is changed.
    let clusters = all.replace(
        "    - git:",
        "    - clusters: {selector: {matchLabels: {env: live}}}\n    - git:",
    );
    let number = world.propose("bob", "clusters", &[("argocd/all.yaml", Some(&clusters))]);
    world.previewed(number).await;
    insta::assert_snapshot!(world.conversation(number), @"
    Change by bob by bob (open)

    --- windlass[bot]
    <!-- windlass:sticky (hex) -->
    **2 of 2 applications change** · **2 cannot be applied**

    | application | cluster | what happens | confidence |
    |---|---|---|---|
    | `argocd-all/live` | `local` | **1 cannot be applied** | ✗ not planned |
    | `argocd-made-one/live` | `local` | **1 cannot be applied** | ✗ not planned |

    **argocd-all/live** on `local`

    ```text
    argocd/all.yaml: ApplicationSet all: the generator `clusters` selects by labels: name Argo CD's
    clusters with their labels in `clusters` of `discover`
    ```


    **argocd-made-one/live** on `local`

    ```text
    argocd/all.yaml: ApplicationSet all: the generator `clusters` selects by labels: name Argo CD's
    clusters with their labels in `clusters` of `discover`
    ```

    <sub>head `(hex)` on base `(hex)` · (time) s · plan `wl1:(digest)` · `/help`</sub>
    ");
}
