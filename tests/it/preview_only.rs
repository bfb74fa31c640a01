//! `windlass serve --preview-only`: an unchanged repository of Flux or Argo CD, an App that may
//! comment, a service account that may read, and no webhook.

use windlass::sandbox::example::PROJECTS;

use crate::support::lab::{CONFIG, deployment};
use crate::support::{Setup, World, image_event, plane};
use crate::syncs::external::{define, kubectl};

async fn reading() -> World {
    let grant = "    otherNamespaces: ['*-flux', '*-argocd']\n    kinds:";
    World::asleep(Setup {
        preview_only: true,
        resync: Some(1),
        projects: Some(PROJECTS.replace("    kinds:", grant)),
        ..Setup::default()
    })
    .await
}

/// The example without its `windlass.yaml`, with these files.
fn repository(world: &World, files: &[(&str, &str)]) {
    let mut all = vec![("windlass.yaml", None)];
    all.extend(files.iter().map(|(path, text)| (*path, Some(*text))));
    world.commit("An unchanged repository", &all);
}

fn may(world: &World, verb: &str, resource: &str) -> bool {
    let who = format!("system:serviceaccount:{}:windlass", world.home());
    let asked = ["auth", "can-i", verb, resource, "-A", "--as", &who];
    plane().kubectl(&asked).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_flux_repository_is_previewed_by_reading() {
    let world = reading().await;
    let (namespace, flux) = (world.namespace("lab-staging"), world.namespace("flux"));
    let (group, version) = ("kustomize.toolkit.fluxcd.io", "v1");
    define(&world, group, version, "Kustomization", "kustomizations");
    for name in [&namespace, &flux] {
        world.kubectl(&["create", "namespace", name]);
    }
    let web = format!(
        "apiVersion: {group}/{version}\nkind: Kustomization\nmetadata: {{name: web, namespace: {flux}}}\nspec:\n  path: ./apps/web\n  prune: true\n  targetNamespace: {namespace}\n  sourceRef: {{kind: GitRepository, name: flux-system}}\n"
    );
    let marked = |name: &str| {
        format!(
            "name: {name}, namespace: {namespace}, labels: {{kustomize.toolkit.fluxcd.io/name: web, kustomize.toolkit.fluxcd.io/namespace: {flux}}}"
        )
    };
    let (old, lab) = (CONFIG.replace("name: lab", "name: old"), deployment("", ""));
    let live_old = old.replace(
        "metadata:\n  name: old",
        &format!("metadata: {{{}}}", marked("old")),
    );
    let live_lab = lab.replace("name: lab}\nspec", &format!("{}}}\nspec", marked("lab")));
    for text in [&live_old, &live_lab] {
        let as_flux = [
            "apply",
            "--server-side",
            "--field-manager=kustomize-controller",
        ];
        kubectl(&world, &as_flux, text);
    }
    kubectl(&world, &["apply"], &web);
    repository(
        &world,
        &[
            ("clusters/home/web.yaml", &web),
            ("apps/web/deployment.yaml", &lab),
            ("apps/web/old.yaml", &old),
        ],
    );
    assert!(may(&world, "list", "deployments"));
    for verb in ["create", "patch", "delete"] {
        assert!(!may(&world, verb, "configmaps"), "{verb}");
    }
    world.start();
    let new = CONFIG.replace("name: lab", "name: new");
    let number = world.propose(
        "bob",
        "change",
        &[
            (
                "apps/web/deployment.yaml",
                Some(&lab.replace("lab:1", "lab:2")),
            ),
            ("apps/web/old.yaml", None),
            ("apps/web/new.yaml", Some(&new)),
        ],
    );
    world.previewed(number).await;
    insta::assert_snapshot!(world.conversation(number), @"
    Change by bob by bob (open)

    --- windlass[bot]
    <!-- windlass:sticky (hex) -->
    **1 of 1 application changes** · 1 created · 1 changed · 1 deleted · rolls 2 pods · partly verified by the cluster

    > [!WARNING]
    > Deletes `ConfigMap lab-staging/old`.

    | application | image | from | to |
    |---|---|---|---|
    | `flux-web/live` | `lab` | `1` | `2` |

    **flux-web/live** on `local`

    <details open><summary><code>ConfigMap lab-staging/new</code> created +10 −0</summary>

    - ○ not checked: windlass may not try it in the cluster

    ```diff
    +apiVersion: v1
    +data:
    +  a: '1'
    +kind: ConfigMap
    +metadata:
    +  labels:
    +    kustomize.toolkit.fluxcd.io/name: web
    +    kustomize.toolkit.fluxcd.io/namespace: flux
    +  name: new
    +  namespace: lab-staging
    ```

    </details>
    <details open><summary><code>ConfigMap lab-staging/old</code> deleted +0 −10</summary>

    ```diff
    -apiVersion: v1
    -data:
    -  a: '1'
    -kind: ConfigMap
    -metadata:
    -  labels:
    -    kustomize.toolkit.fluxcd.io/name: web
    -    kustomize.toolkit.fluxcd.io/namespace: flux
    -  name: old
    -  namespace: lab-staging
    ```

    </details>
    <details open><summary><code>Deployment lab-staging/lab</code> changed +1 −1</summary>

    - rolls 2 pods (maxSurge 25%, maxUnavailable 25%): all 2 stay available
    - ○ not checked: windlass may not try it in the cluster

    ```diff
             app: lab
         spec:
           containers:
    -      - image: lab:1
    +      - image: lab:2
             imagePullPolicy: IfNotPresent
             name: lab
             resources: {}
    ```

    </details>

    <sub>head `(hex)` on base `(hex)` · (time) s · plan `wl1:(digest)` · `/help`</sub>
    ");
    // Nothing is judged, kept or merged; and who asks for more is told so.
    assert_eq!(world.verdict(&world.head(number)), None);
    world.comment("bob", number, "/sync");
    let only = "This windlass only previews pull requests.";
    let answered = async || world.conversation(number).contains(only).then_some(());
    world.until("an answer", answered).await;
    assert!(world.applications().await.is_empty());
    let event = image_event("1.1.0");
    let (status, said) = world.event(&event, Some("token")).await.unwrap();
    assert_eq!(status, 404, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_argo_cd_repository_is_previewed_by_reading() {
    let world = reading().await;
    let (namespace, argo) = (world.namespace("lab-staging"), world.namespace("argocd"));
    let (group, version) = ("argoproj.io", "v1alpha1");
    define(&world, group, version, "Application", "applications");
    for name in [&namespace, &argo] {
        world.kubectl(&["create", "namespace", name]);
    }
    let web = format!(
        "apiVersion: {group}/{version}\nkind: Application\nmetadata: {{name: web, namespace: {argo}}}\nspec:\n  project: default\n  destination: {{server: 'https://kubernetes.default.svc', namespace: {namespace}}}\n  source: {{repoURL: 'https://github.com/acme/config', targetRevision: HEAD, path: web}}\n  syncPolicy: {{automated: {{prune: true}}}}\n"
    );
    // As Argo CD applies by default: by a merge with what it applied last.
    let tracked = format!("argocd.argoproj.io/tracking-id: 'web:/ConfigMap:{namespace}/lab'");
    let live = CONFIG.replace(
        "name: lab\n",
        &format!("name: lab\n  namespace: {namespace}\n  annotations: {{{tracked}}}\n"),
    );
    let live = live.replace("{a: '1'}", "{a: '1', gone: '1'}");
    let as_argo = ["apply", "--field-manager=argocd-controller"];
    kubectl(&world, &as_argo, &live);
    kubectl(&world, &["apply"], &web);
    let before = CONFIG.replace("{a: '1'}", "{a: '1', gone: '1'}");
    repository(
        &world,
        &[("argocd/web.yaml", &web), ("web/config.yaml", &before)],
    );
    world.start();
    let after = CONFIG.replace("'1'", "'2'");
    let number = world.propose("bob", "change", &[("web/config.yaml", Some(&after))]);
    world.previewed(number).await;
    insta::assert_snapshot!(world.conversation(number), @"
    Change by bob by bob (open)

    --- windlass[bot]
    <!-- windlass:sticky (hex) -->
    **1 of 1 application changes** · 1 changed · partly verified by the cluster

    **argocd-web/live** on `local`

    <details open><summary><code>ConfigMap lab-staging/lab</code> changed +1 −1</summary>

    - no pod restarts: running pods keep what they read at start until their next rollout
    - ○ not checked: windlass may not try it in the cluster

    ```diff
     apiVersion: v1
     data:
    -  a: '1'
    +  a: '2'
       gone: '1'
     kind: ConfigMap
     metadata:
    ```

    </details>

    <sub>head `(hex)` on base `(hex)` · (time) s · plan `wl1:(digest)` · `/help`</sub>
    ");
    // The file that windlass.yaml would be may come later, by a pull request of its own.
    let file = "version: 1\ndiscover: argocd\n";
    let number = world.propose("bob", "file", &[("windlass.yaml", Some(file))]);
    world.previewed(number).await;
}
